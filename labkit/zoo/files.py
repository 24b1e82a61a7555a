"""A model of the zoo as files: NAME.safetensors, NAME-STEP.safetensors before the last step, and NAME.json, its card.

Nothing is unpickled. What decides the architecture is the recipe in the code; a file can only fill it or be refused.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from labkit import models
from labkit.errors import CheckpointError, UnavailableError
from labkit.zoo.recipes import Recipe

MOST_BYTES = 2**20  # of one file

# What a card holds, and for each step that was kept.
CARD = {"recipe": dict, "parameters": int, "classes": list, "checkpoints": dict, "versions": dict, "licence": str}
ENTRY = {"accuracy": float, "loss": float, "dtype": str, "sha256": str, "bytes": int}


def write(recipe: Recipe, states: dict[int, dict[str, Tensor]], folder: Path) -> dict[str, dict[str, Any]]:
    """Write the state dict of each step as safetensors; returns {step: {"sha256", "bytes"}} for the card."""
    written = {}
    for step, state in states.items():
        content = safetensors.torch.save(state, metadata={"format": "pt"})
        _path(recipe, step, max(states), folder).write_bytes(content)
        written[str(step)] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return written


def write_card(card: dict[str, Any], folder: Path) -> None:
    (folder / f"{card['recipe']['name']}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def read_card(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The card, its steps as whole numbers in their order; CheckpointError for one that is not of this recipe."""
    path = folder / f"{recipe.name}.json"
    try:
        card = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"Expected a card in JSON, received {path.name} that is none ({error!s:.100}). {_remedy(recipe)}"
        ) from error
    if not (_has(card, CARD) and _are_checkpoints(card["checkpoints"])):
        raise CheckpointError(
            f"Expected a card with {', '.join(CARD)}, and for each step {', '.join(ENTRY)}, received something else in "
            f"{path.name}. {_remedy(recipe)}"
        )
    own = json.loads(json.dumps(asdict(recipe)))
    differ = [key for key in {**card["recipe"], **own} if card["recipe"].get(key) != own.get(key)]
    if differ:
        raise CheckpointError(
            f"Expected weights made by the recipe of {recipe.name}, received a card that differs from it in "
            f"{', '.join(differ)}. {_remedy(recipe)}"
        )
    card["checkpoints"] = {int(step): entry for step, entry in card["checkpoints"].items()}
    return card


def _are_checkpoints(value: dict[str, Any]) -> bool:
    if not (value and all(step.isdecimal() and len(step) < 10 for step in value)):
        return False
    steps = list(map(int, value))
    return steps == sorted(set(steps)) and all(_has(entry, ENTRY) for entry in value.values())


def _has(value: Any, fields: dict[str, type]) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == set(fields)
        and all(isinstance(value[name], kind) for name, kind in fields.items())
    )


def read_model(recipe: Recipe, card: dict[str, Any], step: int, folder: Path) -> nn.Module:
    """The model at a step on the card, in evaluation mode, in float32 on the CPU, its file's hash verified.

    Errors: CheckpointError for a file that is not the one on the card or does not fit the model, UnavailableError for
    one that is missing.
    """
    path = _path(recipe, step, max(card["checkpoints"]), folder)
    content = _bytes(path)
    found = hashlib.sha256(content).hexdigest()
    if found != card["checkpoints"][step]["sha256"]:
        raise CheckpointError(
            f"Expected {path.name} with the sha256 on its card, {card['checkpoints'][step]['sha256'][:12]}..., "
            f"received {found[:12]}... in {len(content)} bytes. {_remedy(recipe)}"
        )
    try:
        state = safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"Expected a whole safetensors file, received a broken one: {path.name} ({error}). {_remedy(recipe)}"
        ) from error
    model = models.build(dict(recipe.model))
    _check(state, model.state_dict(), path, recipe)
    model.load_state_dict(state)
    return model.eval()


def _check(state: dict[str, Tensor], own: dict[str, Tensor], path: Path, recipe: Recipe) -> None:
    if state.keys() != own.keys():
        raise CheckpointError(
            f"Expected {path.name} with the tensors of {recipe.model['architecture']}, received one that differs in "
            f"{', '.join(sorted(state.keys() ^ own.keys())[:4])}. {_remedy(recipe)}"
        )
    for name, value in own.items():
        received = state[name]
        if received.shape != value.shape or received.is_floating_point() != value.is_floating_point():
            raise CheckpointError(
                f"Expected {name} of shape {tuple(value.shape)} and {value.dtype} in {path.name}, received "
                f"{tuple(received.shape)} and {received.dtype}. {_remedy(recipe)}"
            )
        if not torch.isfinite(received).all():
            raise CheckpointError(
                f"Expected finite numbers in {path.name}, received NaN or infinity in {name}. {_remedy(recipe)}"
            )


def _path(recipe: Recipe, step: int, last: int, folder: Path) -> Path:
    return folder / (f"{recipe.name}.safetensors" if step == last else f"{recipe.name}-{step}.safetensors")


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnavailableError(
            f"Expected the zoo's file {path.name}, but it cannot be read ({error.strerror}). Install labkit again."
        ) from error
    if len(content) > MOST_BYTES:
        raise CheckpointError(
            f"Expected at most {MOST_BYTES} bytes in {path.name}, received more. Install labkit again."
        )
    return content


def _remedy(recipe: Recipe) -> str:
    return f"Install labkit again, or make the files anew: labkit zoo build {recipe.name}."
