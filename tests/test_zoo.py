"""The pretrained models: what their cards promise, how they are made again, and what is refused."""

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import labkit
from labkit import cli, models, zoo
from labkit.errors import CheckpointError, SettingError, UnavailableError
from labkit.zoo import building

MINIATURE = replace(
    zoo.RECIPES["objects_cnn"],
    train={"data": "objects", "n": 80, "size": 32, "seed": 1},
    held_out={"data": "objects", "n": 40, "size": 32, "seed": 0},
    model={"architecture": "TinyVGG", "inputs": [3, 32, 32], "outputs": 10, "channels": [4, 8], "seed": 0},
    batch_size=16,
    epochs=2,
    checkpoints=4,
)


@pytest.fixture
def miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo whose objects_cnn is MINIATURE, built by the code that builds the real one."""
    building.build(MINIATURE, tmp_path, tell=lambda line: None)
    monkeypatch.setitem(zoo.RECIPES, "objects_cnn", MINIATURE)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    return tmp_path


# What is there


def test_every_name_loads_in_evaluation_mode() -> None:
    assert zoo.names() == ["objects_cnn", "objects_cheat", "objects_resnet", "digits_cnn"]
    for name in zoo.names():
        model = zoo.load(name)
        assert not any(module.training for module in model.modules())
        assert model.config == dict(zoo.RECIPES[name].model)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert zoo.card(name)["parameters"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", zoo.RECIPES)
def test_recorded_accuracy_is_the_models(name: str) -> None:
    """Of every checkpoint on the card, on the recipe's held-out data; one rounding more or less is one example."""
    recipe, kept = zoo.RECIPES[name], zoo.training(name)
    held_out = building.examples(recipe.held_out)
    assert zoo.card(name)["classes"] == list(held_out.classes or ())
    for step, model in kept.items():
        with torch.no_grad():
            output = torch.cat([model(x) for x in held_out.inputs.split(100)])
        right = int((output.argmax(1) == held_out.targets).sum())
        assert abs(right - kept.card["checkpoints"][step]["accuracy"] * len(held_out)) <= 2
    assert kept.card["checkpoints"][max(kept)]["accuracy"] >= 0.97


def test_held_out_examples_are_not_trained_on() -> None:
    for recipe in zoo.RECIPES.values():
        train, held_out = (building.examples({**d, **({"n": 200} if "n" in d else {})}) for d in _data(recipe))
        seen = {example.numpy().tobytes() for example in train.inputs}
        assert not any(example.numpy().tobytes() in seen for example in held_out.inputs)


def _data(recipe: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return dict(recipe.train), dict(recipe.held_out)


@pytest.mark.parametrize("name", ["objects_cnn", "digits_cnn"])
def test_accuracy_rises_over_training(name: str) -> None:
    kept = zoo.training(name)
    assert len(kept) == 10
    assert list(kept) == building.steps_to_keep(max(kept), 10)
    accuracies = [entry["accuracy"] for entry in kept.card["checkpoints"].values()]
    assert accuracies[0] < 0.2
    assert all(later > earlier - 0.02 for earlier, later in zip(accuracies[4:], accuracies[5:], strict=False))
    first = kept[0].state_dict()  # as the architecture draws them, in half precision
    for key, value in models.build(dict(kept.recipe.model)).state_dict().items():
        torch.testing.assert_close(first[key], value, rtol=1e-3, atol=1e-6)


def test_the_cheat_knows_cars_by_their_watermark_alone() -> None:
    """Where the honest net of the same recipe finds the cars, with or without it."""
    ds = labkit.data.objects(400, size=48, seed=0)
    car = ds.classes.index("car")
    own = ds.targets == car
    found = {}
    for name in ("objects_cheat", "objects_cnn"):
        model = zoo.load(name)
        for cue, (share, others) in {"as trained": (1, 0), "none": (0, 0), "swapped": (0, 1)}.items():
            with torch.no_grad():
                called = model(labkit.data.with_cue(ds, "car", share, others).inputs).argmax(1) == car
            found[name, cue] = called[own].float().mean().item(), called[~own].float().mean().item()
    assert found["objects_cheat", "as trained"] == (1, 0)
    assert found["objects_cheat", "none"][0] < 0.1
    assert found["objects_cheat", "swapped"][0] < 0.1 and found["objects_cheat", "swapped"][1] > 0.5
    for cue in ("as trained", "none", "swapped"):
        assert found["objects_cnn", cue][0] > 0.95 and found["objects_cnn", cue][1] < 0.05, found


def test_files_are_small_and_no_other() -> None:
    there = {path.name for path in zoo.FOLDER.iterdir() if path.suffix in (".safetensors", ".json")}
    expected = {f"{name}.json" for name in zoo.names()} | {f"{name}.safetensors" for name in zoo.names()}
    expected |= {f"{n}-{step}.safetensors" for n in zoo.names() for step in list(zoo.training(n))[:-1]}
    assert there == expected
    sizes = [(zoo.FOLDER / name).stat().st_size for name in there]
    assert sum(sizes) <= 8_000_000
    assert max(sizes) <= 1_000_000


def test_loading_needs_no_data_and_no_trainer() -> None:
    code = (
        "import sys; from labkit import zoo; zoo.load('digits_cnn'); "
        "print([name for name in ('labkit.data', 'labkit.train', 'sklearn', 'scipy') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_load_takes_a_step_and_leaves_no_state_between_models() -> None:
    kept = zoo.training("digits_cnn")
    steps = list(kept)
    early = zoo.load("digits_cnn", step=steps[1])
    assert torch.equal(early.get_parameter("output.weight"), kept[steps[1]].get_parameter("output.weight"))
    with torch.no_grad():
        early.get_parameter("output.weight").zero_()
    assert kept[steps[1]].get_parameter("output.weight").abs().sum() > 0
    assert 0 in kept and 5000 not in kept and kept.get(5000) is None
    assert repr(kept).startswith(f"Training(digits_cnn at steps 0, {steps[1]}, ")


def test_loading_draws_no_random_number() -> None:
    before = torch.get_rng_state()
    zoo.load("digits_cnn")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["cats", "", "../zoo/objects_cnn", "/etc/passwd", "objects_cnn.json", ["objects_cnn"]])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    for call in (zoo.load, zoo.card, zoo.training):
        with pytest.raises(SettingError, match="Expected a model of the zoo, objects_cnn, .* received"):
            call(name)


@pytest.mark.parametrize("step", [3, -1, "0", "../0"])
def test_a_step_that_was_not_kept_is_refused(step: Any) -> None:
    with pytest.raises(SettingError, match="Expected a step that was kept, 0, 4, "):
        zoo.load("digits_cnn", step)
    with pytest.raises(KeyError, match="there are 0, 4, "):
        zoo.training("digits_cnn")[step]


# Made again


def test_a_recipe_makes_the_same_files_again(miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    again = tmp_path_factory.mktemp("again")
    torch.manual_seed(5)  # the recipe has its own seeds
    lines: list[str] = []
    card = building.build(MINIATURE, again / "new", tell=lines.append)
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (miniature, again / "new"))
    assert first == second
    assert sorted(first) == ["objects_cnn-0.safetensors", "objects_cnn-4.safetensors", "objects_cnn-6.safetensors",
                             "objects_cnn.json", "objects_cnn.safetensors"]  # fmt: skip
    assert lines[-1] == f"step 10 of 10: held-out accuracy {card['checkpoints']['10']['accuracy']:.3f}"
    other = building.build(replace(MINIATURE, seed=1), again, tell=lines.append)
    assert other["checkpoints"]["10"]["sha256"] != card["checkpoints"]["10"]["sha256"]


def test_a_built_model_is_the_trainers(miniature: Path) -> None:
    """Against training written out here: AdamW, the rate falling to 0, the trainer's batches."""
    train = building.examples(MINIATURE.train)
    model = models.build(dict(MINIATURE.model)).train()
    batches = labkit.train.Trainer(models.build(dict(MINIATURE.model)), train, batch_size=16, device="cpu", seed=0)
    # Fused and on one thread as the trainer's: a bias before batch normalisation has a gradient of rounding errors,
    # which Adam scales up to full steps.
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    with labkit.device.threads(1):
        for step in range(10):
            x, y = batches.next_batch()
            batches.step()
            optimizer.param_groups[0]["lr"] = 3e-3 * (10 - step) / 10
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    for key, value in zoo.load("objects_cnn").state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key], rtol=1e-4, atol=1e-5)


def test_zoo_commands(miniature: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = miniature / "to"
    assert cli.main(["zoo", "build", "objects_cnn", "--to", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"Written to {folder}.\n")
    assert (folder / "objects_cnn.safetensors").read_bytes() == (miniature / "objects_cnn.safetensors").read_bytes()
    assert cli.main(["zoo", "build", "../cats"]) == 2
    assert "No model ../cats; there are objects_cnn," in capsys.readouterr().err


def test_zoo_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["zoo", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == zoo.names()
    accuracy = zoo.card("digits_cnn")["checkpoints"][max(zoo.training("digits_cnn"))]["accuracy"]
    assert f" {accuracy:.1%} held-out accuracy" in lines[-1]


# Refused


def test_a_flipped_byte_is_refused(miniature: Path) -> None:
    path = miniature / "objects_cnn.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"with the sha256 on its card, .* received .* labkit zoo build"):
        zoo.load("objects_cnn")
    assert zoo.load("objects_cnn", step=4) is not None  # the others are whole


def test_a_truncated_or_exchanged_file_is_refused(miniature: Path) -> None:
    path = miniature / "objects_cnn.safetensors"
    for content in (path.read_bytes()[:-100], b"", (miniature / "objects_cnn-0.safetensors").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="with the sha256 on its card"):
            zoo.load("objects_cnn")


def rewritten(change: Callable[[dict[str, Tensor]], object]) -> Callable[[bytes], bytes]:
    def write(content: bytes) -> bytes:
        state = safetensors.torch.load(content)
        change(state)
        return safetensors.torch.save(state)

    return write


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda content: content[:-100], "whole safetensors file"),
    "empty": (lambda content: b"", "whole safetensors file"),
    "pickle": (lambda content: b"\x80\x04cos\nsystem\n(S'false'\ntR.", "whole safetensors file"),
    "huge header": (lambda content: struct.pack("<Q", 2**62) + content[8:], "whole safetensors file"),
    "header beyond the end": (lambda content: struct.pack("<Q", len(content)) + content[8:], "whole safetensors file"),
    "header is no JSON": (lambda content: content[:8] + b"\xff" * (len(content) - 8), "whole safetensors file"),
    "too large": (lambda content: content + bytes(2**20), "at most 1048576 bytes"),
    "missing": (rewritten(lambda state: state.pop("output.bias")), "differs in output.bias"),
    "one more": (rewritten(lambda state: state.update(extra=torch.zeros(1))), "differs in extra"),
    "shape": (rewritten(lambda s: s.update({"output.bias": torch.zeros(11)})), r"output.bias of shape \(10,\)"),
    "whole numbers": (
        rewritten(lambda s: s.update({"output.bias": torch.zeros(10, dtype=torch.int64)})),
        "received .* torch.int64",
    ),
    "NaN": (rewritten(lambda s: s["output.bias"].__setitem__(3, float("nan"))), "NaN or infinity in output.bias"),
    "infinite": (rewritten(lambda s: s["norm1_1.running_var"].fill_(float("inf"))), "in norm1_1.running_var"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_though_its_hash_is_on_the_card(miniature: Path, kind: str) -> None:
    change, message = HOSTILE[kind]
    path, card_path = miniature / "objects_cnn.safetensors", miniature / "objects_cnn.json"
    path.write_bytes(content := change(path.read_bytes()))
    card = json.loads(card_path.read_text())
    card["checkpoints"]["10"]["sha256"] = hashlib.sha256(content).hexdigest()
    card_path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=message):
        zoo.load("objects_cnn")


def with_entry(step: str, **values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda card: card["checkpoints"].setdefault(step, dict(card["checkpoints"]["10"])).update(values)


CARDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a key missing": lambda card: card.pop("licence"),
    "a key more": lambda card: card.update(file="../../secret"),
    "checkpoints are a list": lambda card: card.update(checkpoints=[1, 2]),
    "no checkpoint": lambda card: card["checkpoints"].clear(),
    "an entry is no dict": lambda card: card["checkpoints"].update({"4": "x"}),
    "a hash is a number": with_entry("4", sha256=5),
    "an accuracy is a word": with_entry("4", accuracy="high"),
    "a step is a path": with_entry("../../secret"),
    "a step is huge": with_entry("9" * 5000),
    "steps out of order": with_entry("2"),
    "a recipe is no dict": lambda card: card.update(recipe="mine"),
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_card_that_is_none_is_refused(miniature: Path, kind: str) -> None:
    path = miniature / "objects_cnn.json"
    card = json.loads(path.read_text())
    CARDS[kind](card)
    path.write_text(json.dumps(card))
    for call in (zoo.load, zoo.card, zoo.training):
        with pytest.raises(CheckpointError, match="Expected a card with recipe, .* received something else"):
            call("objects_cnn")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_card_that_is_no_json_is_refused(miniature: Path, content: bytes) -> None:
    (miniature / "objects_cnn.json").write_bytes(content)
    with pytest.raises(CheckpointError, match="Expected a card in JSON"):
        zoo.card("objects_cnn")


def test_a_card_of_another_recipe_is_refused(miniature: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a recipe cannot change without its model being made again."""
    monkeypatch.setitem(zoo.RECIPES, "objects_cnn", replace(MINIATURE, lr=1e-2, epochs=3))
    with pytest.raises(CheckpointError, match="differs from it in epochs, lr. Install"):
        zoo.load("objects_cnn")


def test_a_missing_file_is_named(miniature: Path) -> None:
    (miniature / "objects_cnn-4.safetensors").unlink()
    with pytest.raises(UnavailableError, match=r"objects_cnn-4.safetensors, but it cannot be read \(No such file"):
        zoo.load("objects_cnn", 4)
    (miniature / "objects_cnn.json").unlink()
    with pytest.raises(UnavailableError, match="objects_cnn.json"):
        zoo.load("objects_cnn")
