"""All methods by all scores, over the pictures of a data set: measured once, kept in a file, gone on with."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from labkit.device import device_of
from labkit.errors import CheckpointError, DataError, SettingError, UnsuitableError
from labkit.saliency.attribution import METHODS, attributed
from labkit.saliency.faithfulness import Progress, completeness, deletion, infidelity, insertion, sensitivity
from labkit.saliency.grid import grid_game
from labkit.saliency.scores import SCORES, score

USUAL = ("pointing", "mass", "top_k", "auc", "deletion", "insertion")
# Another way to compute a score makes old files foreign: count up.
VERSION = 1


@dataclass(frozen=True)
class Leaderboard:
    """values (methods, seeds, scores, n): each picture's score; NaN where it is undefined or was not needed.

    A method that draws nothing is measured with the first seed only. refused: {method: why this model breaks it};
    notes: {method: what to doubt in its maps}.
    """

    methods: tuple[str, ...]
    scores: tuple[str, ...]
    seeds: tuple[int, ...]
    values: np.ndarray
    refused: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]

    def arrays(self) -> dict[str, np.ndarray]:
        """Each (methods, scores), over all pictures where the score is defined.

        mean: over pictures and seeds. interval: half the width of the 95 % interval of the mean over pictures (normal,
        1.96 standard errors, of each picture's mean over the seeds). seeds: standard deviation over the seeds of the
        mean over the pictures, NaN for one seed. defined: the share of pictures that have the score.
        """
        measured = ~np.isnan(self.values)
        pictures = _mean(self.values, axis=1)  # (methods, scores, n)
        count = (~np.isnan(pictures)).sum(2)
        mean = _mean(pictures, axis=2)
        squares = np.where(np.isnan(pictures), 0, (pictures - mean[..., None]) ** 2).sum(2)
        with np.errstate(invalid="ignore", divide="ignore"):
            interval = 1.96 * np.sqrt(squares / (count - 1) / count)
            by_seed = _mean(self.values, axis=3)
            used = measured.any(3).sum(1)
            middle = _mean(by_seed, axis=1)
            deviation = np.where(np.isnan(by_seed), 0, (by_seed - middle[:, None]) ** 2).sum(1)
            spread = np.where(used > 1, np.sqrt(deviation / (used - 1)), np.nan)
        return {"mean": mean, "interval": interval, "seeds": spread, "defined": count / self.values.shape[3]}

    def best(self, name: str) -> str:
        """The method that is best by a score, controls left out."""
        if name not in self.scores:
            raise SettingError(f"Expected a score of {', '.join(self.scores)}, received {name!r}.")
        means = self.arrays()["mean"][:, self.scores.index(name)]
        sign = 1 if SCORES[name].better == "higher" else -1
        ranked = [
            (sign * value, method)
            for value, method in zip(means, self.methods, strict=True)
            if METHODS[method].family != "control" and not np.isnan(value)
        ]
        if not ranked:
            raise SettingError("Expected at least one method that is no control and has this score.")
        return max(ranked)[1]

    def table(self) -> str:
        """As text: a line a method, each score's mean ± half its 95 % interval."""
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return "\n".join([*lines, *self._said()])

    __str__ = table

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        cells = ["".join(f"<th scope='col'>{escape(cell)}</th>" for cell in head)]
        for name, *numbers in body:
            cells.append(f"<th scope='row'>{escape(name)}</th>" + "".join(f"<td>{escape(one)}</td>" for one in numbers))
        said = "".join(f"<p>{escape(line)}</p>" for line in self._said())
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + f"</table>{said}"

    def _rows(self) -> list[list[str]]:
        arrays = self.arrays()
        arrow = {"higher": "↑", "lower": "↓"}
        head = ["method", *(f"{SCORES[name].label} {arrow[SCORES[name].better]}" for name in self.scores)]
        body = [
            [method, *(_number(arrays["mean"][i, j], arrays["interval"][i, j]) for j in range(len(self.scores)))]
            for i, method in enumerate(self.methods)
        ]
        return [head, *body]

    def _said(self) -> list[str]:
        count = self.values.shape[3]
        lines = [f"{count} pictures; mean ± half of the 95 % interval; ↑ higher, ↓ lower is better."]
        missing = self.arrays()["defined"]
        for i, method in enumerate(self.methods):
            least = float(missing[i].min()) if self.scores else 1.0
            if least < 1:
                lines.append(f"{method}: no score for {count - round(least * count)} of {count} pictures.")
            lines += [f"{method}: {note}" for note in self.notes.get(method, ())]
        return lines + [f"{method} is left out: {why}" for method, why in self.refused.items()]


def leaderboard(
    model: nn.Module,
    ds: Any,
    methods: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    path: str | Path | None = None,
    progress: Progress | None = None,
    layer: str | None = None,
    mask: str = "object",
    sigma: float | None = None,
) -> Leaderboard:
    """Every method's maps of all pictures, for their own class, by every score; the model is given back as it was.

    ds: with inputs (n, ...), targets (n,) and, for the scores that need one, masks[mask]. methods: names, by default
    all; one that this model breaks is listed in `.refused`. scores: names of SCORES; by default the four with masks (if
    there are), deletion and insertion. seeds: methods that draw are measured with each. layer: of the CAMs. sigma: of
    the pointing game, as in `score`. Other settings are each method's and score's usual ones.
    path: a file (safetensors) that keeps what is measured, after each method and seed: an interrupted call, or one for
    more methods, goes on from it. progress: called with (done, of) methods times seeds.
    Errors: SettingError for unknown names, DataError for data without what is needed, CheckpointError for a file that
    is broken, or of another model, data or settings.
    """
    chosen = tuple(methods or METHODS)
    wanted = tuple(scores or (name for name in USUAL if SCORES[name].needs != "mask" or getattr(ds, "masks", None)))
    _check(chosen, wanted, seeds)
    x, targets = (value.to(device_of(model)) for value in (ds.inputs, ds.targets))
    truth = _truth(ds, mask) if any(SCORES[name].needs == "mask" for name in wanted) else None
    file = None if path is None else Path(path)
    print_of = "" if file is None else _fingerprint(model, x, targets, truth, layer, sigma)
    kept = {} if file is None or not file.exists() else _read(file, print_of)
    measure = _Scores(model, x, targets, truth, layer, sigma)
    refused: dict[str, str] = {}
    notes: dict[str, tuple[str, ...]] = {}
    jobs = [(name, seed) for name in chosen for seed in (seeds if METHODS[name].random else seeds[:1])]
    for done, (method, seed) in enumerate(jobs, start=1):
        left = [name for name in wanted if f"{method}/{seed}/{name}" not in kept]
        if left and method not in refused:
            try:
                found, notes[method] = measure(method, seed, left)
                kept |= {f"{method}/{seed}/{name}": value.cpu() for name, value in found.items()}
            except UnsuitableError as error:
                refused[method] = str(error)
            if file is not None:
                _write(file, kept, print_of)
        if progress is not None:
            progress(done, len(jobs))
    measured = tuple(name for name in chosen if name not in refused)
    values = np.full((len(measured), len(seeds), len(wanted), len(x)), np.nan)
    for i, method in enumerate(measured):
        for j, seed in enumerate(seeds):
            for k, name in enumerate(wanted):
                value = kept.get(f"{method}/{seed}/{name}")
                if value is not None:
                    values[i, j, k] = value.numpy()
    said = {method: lines for method, lines in notes.items() if lines}
    return Leaderboard(measured, wanted, tuple(seeds), values, refused, said)


@dataclass(frozen=True)
class _Scores:
    """Measures one method with one seed: its maps are made once for all scores."""

    model: nn.Module
    x: Tensor
    targets: Tensor
    mask: Tensor | None
    layer: str | None
    sigma: float | None

    def __call__(self, method: str, seed: int, names: Sequence[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        model, x, targets = self.model, self.x, self.targets
        layer = self.layer if METHODS[method].layer else None
        maps = attributed(model, x, targets, method, layer, seed)
        found: dict[str, Tensor] = {}
        by_name: dict[str, Callable[[], Tensor]] = {
            "deletion": lambda: deletion(model, x, targets, maps.values),
            "insertion": lambda: insertion(model, x, targets, maps.values),
            "infidelity": lambda: infidelity(model, x, targets, maps.values),
            "completeness": lambda: completeness(model, x, targets, maps.values),
            "sensitivity": lambda: sensitivity(model, x, targets, method, seed=seed, layer=layer),
            "grid": lambda: grid_game(model, x, targets, method, seed=seed, layer=layer),
        }
        if self.mask is not None:
            found |= score(maps.values, self.mask, self.sigma)
        return {name: found[name] if name in found else by_name[name]() for name in names}, maps.notes


def _check(methods: Sequence[str], scores: Sequence[str], seeds: Sequence[int]) -> None:
    for names, known, what in ((methods, METHODS, "methods"), (scores, SCORES, "scores")):
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise SettingError(f"Expected {what} of {', '.join(known)}, received {', '.join(unknown) or 'none'}.")
    if not len(seeds) or len(set(seeds)) != len(seeds):
        raise SettingError(f"Expected different seeds such as (0, 1, 2), received {tuple(seeds)}.")


def _truth(ds: Any, mask: str) -> Tensor:
    masks = getattr(ds, "masks", None)
    if not masks or mask not in masks:
        raise DataError(
            f"Expected a data set with a mask {mask!r}, received {', '.join(masks) if masks else 'none'}. Name one of "
            'its masks, or take scores that need none, such as ("deletion", "insertion").'
        )
    return masks[mask]


def _fingerprint(
    model: nn.Module, x: Tensor, targets: Tensor, truth: Tensor | None, layer: str | None, sigma: float | None
) -> str:
    """Of all that decides the values: the weights, the data, the settings."""
    found = hashlib.sha256(json.dumps([VERSION, type(model).__name__, layer, sigma]).encode())
    data = {"x": x, "targets": targets} | ({} if truth is None else {"truth": truth})
    for name, value in (model.state_dict() | data).items():
        raw = value.detach().cpu().contiguous()
        found.update(f"{name} {raw.dtype} {tuple(raw.shape)}".encode())
        found.update(raw.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _read(file: Path, expected: str) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            found = (opened.metadata() or {}).get("fingerprint")
            values = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"Expected a leaderboard's file, received {file}: {error}. Delete it.") from error
    if found != expected:
        raise CheckpointError(
            f"Expected the file of a leaderboard of this model, data and settings, received another's: {file}. Give "
            "another path, or delete it."
        )
    return values


def _write(file: Path, values: Mapping[str, Tensor], fingerprint: str) -> None:
    """Whole or not at all: beside it first, then in its place."""
    beside = file.with_name(file.name + ".part")
    save_file({name: value.contiguous() for name, value in values.items()}, beside, {"fingerprint": fingerprint})
    os.replace(beside, file)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """nanmean without its warning: NaN where all are."""
    count = (~np.isnan(values)).sum(axis)
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(values), 0, values).sum(axis) / count


def _number(mean: float, half: float) -> str:
    if np.isnan(mean):
        return "none"
    return f"{mean:.3f}" if np.isnan(half) else f"{mean:.3f} ± {half:.3f}"
