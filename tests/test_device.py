"""The choice of a device, with devices planted."""

import random

import numpy as np
import pytest
import torch

import labkit
from labkit import device
from labkit.errors import DeviceError, SettingError


def plant(monkeypatch, working=(), present=("cuda", "mps")):
    monkeypatch.setattr(
        device,
        "failure",
        lambda d: None if d.type in ("cpu", *working) else ("driver too old" if d.type in present else "not found"),
    )


def test_the_cpu_is_there_and_says_why(monkeypatch):
    plant(monkeypatch, present=())
    chosen = device.choose()
    assert (chosen.device.type, chosen.dtype) == ("cpu", torch.float32)
    assert chosen.reason.startswith("no CUDA or MPS device here")


def test_a_device_that_fails_does_not_count_and_is_named(monkeypatch):
    plant(monkeypatch)
    assert "CUDA (driver too old)" in device.choose().reason


@pytest.mark.parametrize(
    ("bf16", "capability", "dtype"),
    [(True, (9, 0), torch.bfloat16), (False, (7, 5), torch.float16), (False, (6, 1), torch.float32)],
)
def test_precision_of_cuda_cards(monkeypatch, bf16, capability, dtype):
    plant(monkeypatch, working=("cuda", "mps"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d: capability)
    chosen = device.choose()
    assert (chosen.device.type, chosen.dtype) == ("cuda", dtype)


def test_mps_comes_before_the_cpu(monkeypatch):
    plant(monkeypatch, working=("mps",))
    assert device.choose().device.type == "mps"


def test_a_device_asked_for_must_compute(monkeypatch):
    assert device.choose("cpu").reason.startswith("you asked for it")
    plant(monkeypatch)
    with pytest.raises(DeviceError, match="'cuda': driver too old"):
        device.choose("cuda")
    with pytest.raises(DeviceError, match="received 'gpu0'"):
        device.choose("gpu0")


def test_computing_is_really_tried():
    assert device.failure(torch.device("cpu")) is None
    assert device.failure(torch.device("meta")) is not None


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with device.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), device.threads(before + 1):
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("flops", "cores", "threads"), [(1e6, 16, 1), (1e9, 16, 15), (1e9, 2, 1), (1e9, 1, 1)])
def test_one_core_is_left_for_the_browser(monkeypatch, flops, cores, threads):
    monkeypatch.setattr(device, "cores", lambda: cores)
    assert device.threads_for(flops) == threads


def test_setup_says_one_line_and_seeds(capsys):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    labkit.setup(seed=3)
    first = draw()
    labkit.setup(seed=3)
    assert draw() == first
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and str(device.choose()) in lines[0] and lines[0].endswith("Seed 3.")
    labkit.setup(seed=4)
    assert draw() != first


def test_unknown_precision():
    with pytest.raises(SettingError, match="int4"):
        device.parse_dtype("int4")


def test_one_core_is_spared_and_the_threads_come_back(monkeypatch):
    monkeypatch.setattr(device, "cores", lambda: 3)
    before = torch.get_num_threads()
    try:
        for threads, inside in ((8, 2), (1, 1)):
            torch.set_num_threads(threads)
            with device.one_core_spared():
                assert torch.get_num_threads() == inside
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
