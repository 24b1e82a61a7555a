"""Trainer states as safetensors files: tensors by name, the rest as JSON in the header. Nothing is ever unpickled."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from labkit.errors import CheckpointError

FORMAT = "labkit-trainer-1"


def copy_of(state: Any) -> Any:
    """A copy that shares no tensor with the original; dicts, lists and tuples are copied, other values kept."""
    if isinstance(state, Tensor):
        return state.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(state, dict):
        return {key: copy_of(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copy_of(value) for value in state)
    return state


def nbytes(state: Any) -> int:
    """Bytes of all tensors in a state."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(nbytes, state.values()))
    if isinstance(state, list | tuple):
        return sum(map(nbytes, state))
    return 0


def check(state: dict[str, Any], own: dict[str, Any], parameters: list[Tensor]) -> None:
    """Raise CheckpointError unless `state` has the parts, the tensors and the place in the data that `own` can take.

    `parameters` are those of the optimiser, in its order.
    """
    if not isinstance(state, dict) or set(state) != set(own):
        raise CheckpointError(f"Expected a trainer's state with {', '.join(own)}, received {_brief(state)}.")
    if not isinstance(state["model"], dict) or set(state["model"]) != set(own["model"]):
        differ = sorted(set(state["model"]) ^ set(own["model"]))
        raise CheckpointError(
            f"Expected the state of a model with the same layers, received one that differs in {differ[:4]}. "
            "Build the model as it was when it was saved."
        )
    for key, value in own["model"].items():
        received = state["model"][key]
        if not isinstance(received, Tensor) or received.shape != value.shape:
            raise CheckpointError(
                f"Expected {key} of shape {tuple(value.shape)}, received "
                f"{tuple(received.shape) if isinstance(received, Tensor) else type(received).__name__}."
            )
    progress = state["progress"]
    if not isinstance(progress, dict) or set(progress) != set(own["progress"]):
        raise CheckpointError(f"Expected progress with {', '.join(own['progress'])}, received {_brief(progress)}.")
    if any(not isinstance(value, int) or (value < 0 and key != "seed") for key, value in progress.items()):
        raise CheckpointError(f"Expected whole numbers of at least 0 as progress, received {progress}.")
    if progress["examples"] != own["progress"]["examples"] or progress["position"] >= progress["examples"]:
        raise CheckpointError(
            f"Expected the state of a run on {own['progress']['examples']} examples, received one at example "
            f"{progress['position']} of {progress['examples']}. To train these weights on other data, load the model "
            'alone: model.load_state_dict(state["model"]).'
        )
    _check_optimizer(state["optimizer"], own["optimizer"], parameters)


def _check_optimizer(state: Any, own: dict[str, Any], parameters: list[Tensor]) -> None:
    groups = state.get("param_groups") if isinstance(state, dict) else None
    memory = state.get("state") if isinstance(state, dict) else None
    if (
        not isinstance(groups, list)
        or not isinstance(memory, dict)
        or [set(group) for group in groups] != [set(group) for group in own["param_groups"]]
        or [group["params"] for group in groups] != [group["params"] for group in own["param_groups"]]
    ):
        raise CheckpointError(
            "Expected the state of the same optimiser, received another's. Build the trainer with the optimizer "
            "that it was saved with."
        )
    for index, entries in memory.items():
        shape = parameters[index].shape if isinstance(index, int) and 0 <= index < len(parameters) else None
        for key, value in entries.items():
            if shape is None or (isinstance(value, Tensor) and value.ndim and value.shape != shape):
                raise CheckpointError(
                    f"Expected the optimiser's {key} for parameter {index} in the parameter's shape, received "
                    f"{tuple(value.shape) if isinstance(value, Tensor) else value}."
                )


def write(state: dict[str, Any], path: Path) -> None:
    tensors: dict[str, Tensor] = {}
    plain = _pull_tensors(state, "", tensors)
    beside = path.with_name(path.name + ".part")
    try:
        save_file(tensors, beside, metadata={"format": FORMAT, "state": json.dumps(plain)})
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise CheckpointError(
                    f"Expected a trainer's state ({FORMAT}), received {header.get('format') or 'another kind of file'} "
                    f"in {path.name}. Give a file that Trainer.save wrote."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        state = _put_tensors(json.loads(header["state"]), tensors)
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"Expected a whole safetensors file, received a broken one: {path.name} ({error}). Save it again."
        ) from error
    except FileNotFoundError as error:
        raise CheckpointError(f"Expected a saved state, found no file {path}. Look at the path.") from error
    return state


# A tensor inside the JSON is {"tensor": name}; a dict with whole-number keys (an optimiser's state) is a list of pairs.


def _pull_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"pairs": [[key, _pull_tensors(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_pull_tensors(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
    return value


def _put_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _put_tensors(item, tensors) for key, item in value["pairs"]}
    if isinstance(value, list):
        return [_put_tensors(item, tensors) for item in value]
    return value


def _brief(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
