"""Making the models of the zoo again from their recipes."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit import data, device, models
from labkit.train import Trainer
from labkit.zoo import files
from labkit.zoo.recipes import Recipe

FIRST_STEP = 4  # of the checkpoints after step 0

DATA: dict[str, Callable[..., data.Dataset]] = {
    "objects": data.objects,
    "objects_with_cue": lambda target, **settings: data.with_cue(data.objects(**settings), target),
    "digits": lambda part: data.digits().split()[("train", "test").index(part)],
}
LICENCES = {
    "objects": "BSD-3-Clause, as labkit, whose pictures it has learned from",
    "objects_with_cue": "BSD-3-Clause, as labkit, whose pictures it has learned from",
    "digits": "BSD-3-Clause; learned from the digits of E. Alpaydin and C. Kaynak (UCI, 1998), which are CC BY 4.0",
}


def examples(described: Mapping[str, Any]) -> data.Dataset:
    """The data that a recipe names: {"data": a name of DATA, **its settings}."""
    settings = dict(described)
    return DATA[settings.pop("data")](**settings)


def steps_to_keep(total: int, checkpoints: int) -> list[int]:
    """Step 0, then log-spaced steps up to the last; of one checkpoint the last alone."""
    if checkpoints == 1:
        return [total]
    spaced = np.geomspace(min(FIRST_STEP, total), total, checkpoints - 1).round().astype(int)
    return sorted({0, *spaced.tolist()})


def build(recipe: Recipe, folder: Path, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Train by the recipe, on the CPU and one thread, and write the files to `folder`; returns the card.

    The same machine and versions give the same bits again, others the same weights up to rounding. The last
    checkpoint is kept in float32, those before it in float16; each accuracy is that of the weights as they are kept.
    """
    train, held_out = examples(recipe.train), examples(recipe.held_out)
    model = models.build(dict(recipe.model))
    total = recipe.epochs * -(-len(train) // recipe.batch_size)
    trainer = Trainer(
        model,
        train,
        held_out,
        optimizer=recipe.optimizer,
        lr=recipe.lr,
        batch_size=recipe.batch_size,
        device="cpu",
        seed=recipe.seed,
        schedule=lambda step: 1 - step / total,
    )
    trainer.threads = 1
    states, scores = {}, {}
    for step in steps_to_keep(total, recipe.checkpoints):
        while trainer.step_count < step:
            trainer.step()
        states[step] = trainer.state_dict()["model"] if step == total else _halved(model)
        scores[step] = evaluate(recipe, states[step], held_out)
        tell(f"step {step} of {total}: held-out accuracy {scores[step]['accuracy']:.3f}")
    folder.mkdir(parents=True, exist_ok=True)
    written = files.write(recipe, states, folder)
    card = {
        "recipe": asdict(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "classes": list(held_out.classes or ()),
        "checkpoints": {step: scores[int(step)] | entry for step, entry in written.items()},
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("labkit", "torch", "numpy", "safetensors")},
        "licence": LICENCES[recipe.train["data"]],
    }
    files.write_card(card, folder)
    return card


@torch.no_grad()
def evaluate(recipe: Recipe, state: dict[str, Tensor], held_out: data.Dataset) -> dict[str, Any]:
    """{"accuracy", "loss"} on the held-out examples of a model with these weights, and the type they are kept in."""
    model = models.build(dict(recipe.model)).eval()
    model.load_state_dict(state)
    with device.threads(1):
        output = torch.cat([model(inputs) for inputs in held_out.inputs.split(250)])
    return {
        "accuracy": (output.argmax(1) == held_out.targets).double().mean().item(),
        "loss": nn.functional.cross_entropy(output, held_out.targets).item(),
        "dtype": str(next(iter(state.values())).dtype).removeprefix("torch."),
    }


def _halved(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.to(torch.float16) if value.is_floating_point() else value.clone()
        for name, value in model.state_dict().items()
    }
