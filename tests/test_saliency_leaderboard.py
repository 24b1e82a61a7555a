"""The leaderboard against its parts, gone on with from its file; the grid pointing game with planted evidence."""

import numpy as np
import pytest
import torch
from torch import nn

from labkit import data, saliency
from labkit.errors import CheckpointError, DataError, SettingError, UnsuitableError
from labkit.models import TinyVGG
from labkit.saliency.grid import quarter_share

SCORES = ("pointing", "auc", "deletion")


@pytest.fixture(scope="module")
def net():
    return TinyVGG(inputs=(3, 32, 32), channels=(4, 8)).eval()


@pytest.fixture(scope="module")
def ds():
    return data.objects(n=8, size=32, seed=0)


def test_it_is_its_parts(net, ds):
    steps = []
    board = saliency.leaderboard(
        net,
        ds,
        ("gradient", "random"),
        (*SCORES, "infidelity", "sensitivity", "completeness", "grid"),
        seeds=(0, 1),
        progress=lambda done, of: steps.append((done, of)),
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]  # gradient draws nothing: one seed is enough
    assert board.values.shape == (2, 2, 7, 8) and np.isnan(board.values[0, 1]).all()
    x, target = ds.inputs, ds.targets
    for method, seed in ((0, 0), (1, 1)):
        name = board.methods[method]
        maps = saliency.attribute(net, x, target, name, seed=seed)
        masked = saliency.score(maps, ds.masks["object"])
        expected = [
            masked["pointing"],
            masked["auc"],
            saliency.deletion(net, x, target, maps),
            saliency.infidelity(net, x, target, maps),
            saliency.sensitivity(net, x, target, name, seed=seed),
            saliency.completeness(net, x, target, maps),
            saliency.grid_game(net, x, target, name, seed=seed),
        ]
        assert np.array_equal(board.values[method, seed], torch.stack(expected).numpy(), equal_nan=True)


def test_means_and_spread():
    values = np.full((2, 2, 1, 4), np.nan)
    values[0, 0, 0] = [1, 2, 3, np.nan]
    values[1, :, 0] = [[0, 0, 1, 1], [2, 2, 1, 1]]
    board = saliency.Leaderboard(("gradient", "random"), ("mass",), (0, 1), values, {"lrp": "why <b>not"}, {})
    arrays = board.arrays()
    assert arrays["mean"].tolist() == [[2], [1]] and arrays["defined"].tolist() == [[0.75], [1]]
    assert arrays["interval"][0, 0] == pytest.approx(1.96 / np.sqrt(3)) and arrays["interval"][1, 0] == 0
    assert np.isnan(arrays["seeds"][0, 0]) and arrays["seeds"][1, 0] == pytest.approx(np.sqrt(0.5))
    assert board.best("mass") == "gradient"
    text = board.table()
    assert "2.000 ± 1.132" in text and "no score for 1 of 4" in text and "lrp is left out: why <b>not" in text
    html = board._repr_html_()
    assert "why &lt;b&gt;not" in html and "<b>" not in html and html.count("<tr>") == 3


def test_the_best_is_by_direction_and_no_control():
    values = np.array([0.2, 0.5, 0.1]).reshape(3, 1, 1, 1)
    methods = ("gradient", "lrp", "edge")
    assert saliency.Leaderboard(methods, ("deletion",), (0,), values, {}, {}).best("deletion") == "gradient"
    assert saliency.Leaderboard(methods, ("insertion",), (0,), values, {}, {}).best("insertion") == "lrp"
    with pytest.raises(SettingError, match="deletion"):
        saliency.Leaderboard(methods, ("deletion",), (0,), values, {}, {}).best("mass")


def test_an_interrupt_keeps_what_is_done(net, ds, tmp_path, monkeypatch):
    path = tmp_path / "board.safetensors"
    whole = saliency.leaderboard(net, ds, ("gradient", "edge", "random"), SCORES)

    def stop(done, of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saliency.leaderboard(net, ds, ("gradient", "edge", "random"), SCORES, path=path, progress=stop)
    called = []
    original = saliency.leaderboard.__globals__["attributed"]

    def counted(model, x, target, method, *args, **more):
        called.append(method)
        return original(model, x, target, method, *args, **more)

    monkeypatch.setitem(saliency.leaderboard.__globals__, "attributed", counted)
    again = saliency.leaderboard(net, ds, ("gradient", "edge", "random"), SCORES, path=path)
    assert called == ["random"] and np.array_equal(again.values, whole.values, equal_nan=True)
    more = saliency.leaderboard(net, ds, ("gradient",), (*SCORES, "insertion"), path=path)
    assert called == ["random", "gradient"] and np.isfinite(more.values).all()
    saliency.leaderboard(net, ds, ("gradient",), (*SCORES, "insertion"), path=path)
    assert len(called) == 2 and [file.name for file in tmp_path.iterdir()] == ["board.safetensors"]


def test_a_file_of_something_else_is_refused(net, ds, tmp_path):
    path = tmp_path / "board.safetensors"
    saliency.leaderboard(net, ds, ("edge",), ("mass",), path=path)
    other = TinyVGG(inputs=(3, 32, 32), channels=(4, 8), seed=1).eval()
    for call in (
        lambda: saliency.leaderboard(other, ds, ("edge",), ("mass",), path=path),
        lambda: saliency.leaderboard(net, ds.subset(range(4)), ("edge",), ("mass",), path=path),
        lambda: saliency.leaderboard(net, ds, ("edge",), ("mass",), path=path, sigma=3.0),
        lambda: saliency.leaderboard(net, ds, ("edge",), ("mass",), path=path, mask=list(ds.masks)[0]),
    ):
        with pytest.raises(CheckpointError, match="of this model, data and settings"):
            call()
    path.write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="Delete it"):
        saliency.leaderboard(net, ds, ("edge",), ("mass",), path=path)


def test_what_the_model_breaks_is_listed(net, ds, monkeypatch):
    def refuse(request):
        raise UnsuitableError("Expected another model.")

    broken = type(saliency.METHODS["gradient"])(refuse, "f", "s", "a", "gradient")
    monkeypatch.setitem(saliency.METHODS, "gradient", broken)
    board = saliency.leaderboard(net, ds, ("gradient", "edge"), ("mass",))
    assert board.methods == ("edge",) and board.refused == {"gradient": "Expected another model."}


def test_leaderboard_refuses(net, ds):
    with pytest.raises(SettingError, match="magic"):
        saliency.leaderboard(net, ds, ("magic",))
    with pytest.raises(SettingError, match="beauty"):
        saliency.leaderboard(net, ds, ("edge",), ("beauty",))
    with pytest.raises(SettingError, match="different seeds"):
        saliency.leaderboard(net, ds, ("edge",), ("mass",), seeds=(1, 1))
    bare = data.Dataset(ds.inputs, ds.targets)
    with pytest.raises(DataError, match="mask 'object'"):
        saliency.leaderboard(net, bare, ("edge",), ("mass",))
    assert saliency.leaderboard(net, bare, ("edge",)).scores == ("deletion", "insertion")


def test_mosaics_are_four_classes_with_the_own_in_its_quarter(net, ds):
    for model, halved in ((nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), False), (net, True)):
        made = saliency.mosaics(model, ds.inputs, ds.targets, seed=1)
        assert made.halved is halved and made.pictures.shape == (8, 3, *((32, 32) if halved else (64, 64)))
        tiles = ds.inputs.unflatten(2, (16, 2)).unflatten(4, (16, 2)).mean((3, 5)) if halved else ds.inputs
        side = tiles.shape[2]
        for i, quarter in enumerate(made.quarters.tolist()):
            cut = [made.pictures[i, :, r : r + side, c : c + side] for r in (0, side) for c in (0, side)]
            which = [int((tiles - one).abs().flatten(1).amax(1).argmin()) for one in cut]
            assert which[quarter] == i and len({int(ds.targets[k]) for k in which}) == 4
            assert all(torch.allclose(tiles[k], one, atol=1e-6) for k, one in zip(which, cut, strict=True))
        assert made.quarters.unique().numel() > 1
    with pytest.raises(DataError, match="4 classes"):
        saliency.mosaics(net, ds.inputs, torch.zeros(8, dtype=torch.int64))
    with pytest.raises(DataError, match="even"):
        saliency.mosaics(net, ds.inputs[:, :, :31], ds.targets)


def test_evidence_is_counted_in_its_quarter():
    values = torch.zeros(3, 2, 4, 6)
    values[0, 0, 0, 4] = values[0, 1, 3, 0] = 1
    values[0, 1, 2, 2] = -5  # against: it does not count
    values[1, :, :2, :3] = 2
    assert quarter_share(values, torch.tensor([1, 0, 2])).tolist()[:2] == [0.5, 1]
    assert quarter_share(values, torch.tensor([1, 0, 2]))[2].isnan()
