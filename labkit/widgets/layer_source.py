"""Whose layers LayerView shows: a model as it is, or a player's at the step that is shown."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from labkit.train import Player
from labkit.train.trainer import evaluation_mode


@contextmanager
def model_at_rest(source: nn.Module | Player) -> Iterator[tuple[nn.Module, int | None]]:
    """(model, step): in evaluation mode, between two steps of its training; the step is None without a player.

    Of a player that looks back it is a copy with the weights of the newest recorded state at or before the step shown:
    of a probe `labkit.train.probes.state()`, else of a checkpoint.
    """
    if isinstance(source, nn.Module):
        with evaluation_mode(source):
            yield source, None
    elif source.following:
        with source.looking() as trainer, evaluation_mode(trainer.model):
            yield trainer.model, trainer.step_count
    else:
        step, state = recorded_state(source, source.position)
        with source.looking() as trainer:
            twin = copy.deepcopy(trainer.model)
        twin.load_state_dict(state)
        yield twin.eval(), step


def recorded_state(player: Player, step: int) -> tuple[int, dict[str, torch.Tensor]]:
    """(step, state of the model) of the newest that was recorded at or before `step`."""
    with player.looking() as trainer:
        names = list(trainer.model.state_dict())
    frame = player.frame(step)
    at = frame.pop("step", -1)
    found: tuple[int, dict[str, torch.Tensor]] = (-1, {})
    for probe in player.probes:
        if all(f"{probe}.{name}" in frame for name in names):
            found = (at, {name: torch.from_numpy(frame[f"{probe}.{name}"].copy()) for name in names})
    kept = player.recorder.checkpoints.at(step)
    return (kept[0], kept[1]["model"]) if kept is not None and kept[0] > found[0] else found
