"""What our own checks say of each method: measured, kept in verdicts.json, never written by hand."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from labkit.errors import SettingError, UnsuitableError
from labkit.saliency.attribution import METHODS, attributed
from labkit.saliency.faithfulness import Progress, completeness, deletion
from labkit.saliency.grid import grid_game
from labkit.saliency.randomization import SURVIVED, randomized, similar
from labkit.saliency.sanity import UNCHANGED, input_shift_check

FILE = Path(__file__).with_name("verdicts.json")
SHIFTED = 4  # pictures of the input shift: it holds for each one or it does not
# Methods whose values promise to add up to what the output changes by from the baseline.
COMPLETE = ("integrated_gradients", "deep_lift", "kernel_shap")


def verdicts(method: str) -> tuple[str, ...]:
    """What our checks found of a method, a sentence each, with the numbers; empty where it was not measured.

    Error: SettingError for an unknown method.
    """
    if method not in METHODS:
        raise SettingError(f"Expected a method of {', '.join(METHODS)}, received {method!r}.")
    found = measured()["methods"].get(method)
    return () if found is None else tuple(_sentences(found))


@cache
def measured() -> Mapping[str, Any]:
    """{"on": how it was measured, "methods": {method: {check: number}}} as `measure` gave it."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def measure(
    model: nn.Module,
    ds: Any,
    name: str,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every check of every method on a model, as plain values; eight minutes or so for all of them.

    ds: pictures and their classes. name: of the model, written down. What stands in verdicts.json was made by

        from labkit.saliency import verdict
        model, ds = labkit.zoo.load("objects_cnn"), labkit.data.objects(n=24)
        made = verdict.measure(model, ds, "objects_cnn")
        verdict.FILE.write_text(json.dumps(made, indent=1) + "\\n")

    Checks: "input_shift" the largest relative change of a map (Kindermans et al. 2017); "randomized" the mean rank
    correlation once all layers are drawn anew, and "randomized_ssim" (Adebayo et al. 2018); "grid" the mean of the grid
    pointing game; "deletion" the mean area; "completeness" the median error, of methods whose values should add up;
    "refused": why the model breaks it, then there is nothing else.
    """
    x, targets = ds.inputs, ds.targets
    chosen = list(methods or METHODS)
    *_, (_, drawn_anew) = randomized(model, x, seed=seed)
    found: dict[str, dict[str, Any]] = {}
    for done, method in enumerate(chosen, start=1):
        try:
            found[method] = _checks(model, drawn_anew, x, targets, method, seed)
        except UnsuitableError as error:
            found[method] = {"refused": str(error)}
        if progress is not None:
            progress(done, len(chosen))
    versions = {package: metadata.version(package) for package in ("torch", "numpy")}
    on = {"model": name, "pictures": len(x), "shifted": min(SHIFTED, len(x)), "seed": seed, "versions": versions}
    return {"on": on, "methods": found}


def _checks(
    model: nn.Module, drawn_anew: nn.Module, x: Tensor, targets: Tensor, method: str, seed: int
) -> dict[str, float]:
    values, of_random = (attributed(net, x, targets, method, seed=seed).values for net in (model, drawn_anew))
    shift = input_shift_check(model, x[:SHIFTED], targets[:SHIFTED], method, seed=seed)
    alike = similar(values, of_random)
    checks = {
        "input_shift": float(np.nanmax(shift.change)),
        "randomized": float(np.nanmean(alike["rank"])),
        "randomized_ssim": float(np.nanmean(alike["ssim"])),
        "grid": float(grid_game(model, x, targets, method, seed=seed).nanmean()),
        "deletion": float(deletion(model, x, targets, values).nanmean()),
    }
    if method in COMPLETE:
        checks["completeness"] = float(completeness(model, x, targets, values).median())
    return {name: float(f"{value:.3g}") for name, value in checks.items()}


def _sentences(found: Mapping[str, Any]) -> list[str]:
    if "refused" in found:
        return [found["refused"]]
    shift = found["input_shift"]
    said = [
        "Stays when the input is shifted and the network makes up for it."
        if shift < UNCHANGED
        else f"Changes by {100 * shift:.0f} % when the input is shifted, though the network makes up for it."
    ]
    rank = found["randomized"]
    if rank > 0.999:
        said.append("Is the same when all weights are drawn anew: it does not ask what was learnt.")
    else:
        told = "it shows the picture more than the network" if rank >= SURVIVED else "it depends on what was learnt"
        said.append(f"With all weights drawn anew its ranks correlate {rank:.2f} with the trained network's: {told}.")
    said.append(f"Grid pointing game {found['grid']:.2f}, by chance 0.25.")
    if "completeness" in found:
        said.append(f"Its values miss the output's change by {100 * found['completeness']:.1f} % (median).")
    return said
