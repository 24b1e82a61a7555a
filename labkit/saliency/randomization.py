"""Does a map show what the network learnt? Its weights are drawn anew, layer by layer, and the map should change."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from labkit.activations.capture import random_numbers_given_back
from labkit.errors import DataError, SettingError
from labkit.saliency.attribution import attributed
from labkit.saliency.borrow import borrowed
from labkit.saliency.faithfulness import Progress
from labkit.saliency.maps import as_map

# Two maps whose ranks correlate by so much are taken for the same picture of the same thing.
SURVIVED = 0.5
BATCH = 256
_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.RMSNorm)

Kind = Literal["cascading", "independent"]


@dataclass(frozen=True)
class Randomization:
    """A method's maps while the network's layers are drawn anew, compared with those of the trained one.

    layers: the stages, from the output down. rank, signed, ssim (stages, n): Spearman's rank correlation of the
    magnitudes and of the signed maps, and the structural similarity of the magnitudes, each scaled to a maximum of 1;
    NaN where a map is the same everywhere. maps (stages + 1, n, ...): signed, that of the trained network first.
    notes: what the method had to say about any of them.
    passed: whether, with all layers drawn anew (cascading only), the mean rank correlation is below 0.5: a map that
    looks the same then does not show what was learnt. None for independent.
    """

    kind: Kind
    layers: tuple[str, ...]
    rank: np.ndarray
    signed: np.ndarray
    ssim: np.ndarray
    maps: np.ndarray
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool | None:
        return None if self.kind == "independent" else bool(np.nanmean(self.rank[-1]) < SURVIVED)


def randomized(
    model: nn.Module,
    calibrate_with: Tensor,
    kind: Kind = "cascading",
    seed: int = 0,
) -> Iterator[tuple[str, nn.Module]]:
    """(layer, a copy of the model with this layer drawn anew), from the output down; the model itself is untouched.

    Adebayo et al. 2018, section 3.1. cascading: this layer and all above it; independent: this layer alone.
    A layer is a module with weights of its own; a normalisation goes with the layer before it, and weights whose module
    is never called with the one around them. Weights come from the module's own `reset_parameters`; what that leaves as
    it was is drawn from a normal distribution of its own mean and standard deviation. Batch normalisations
    that see other values than before have their running statistics measured again on `calibrate_with` (n, ...): with
    the old ones the network would be broken rather than random.
    Errors: SettingError for another kind, DataError for a model that cannot be copied or has no weights, and where
    there is one example only to measure statistics on.
    """
    if kind not in ("cascading", "independent"):
        raise SettingError(f'Expected "cascading" or "independent", received {kind!r}.')
    trained = _copied(model)
    groups = _groups(trained, calibrate_with)
    current = trained
    for number, (layer, names) in enumerate(groups):
        if kind == "independent" or number == 0:
            current = _copied(trained)
        _redraw([current.get_submodule(name) for name in names], seed + number)
        later = {name for _, group in groups[: number + 1] for name in group}
        _calibrate([one for name, one in current.named_modules() if name in later], current, calibrate_with)
        yield layer, _copied(current)


def randomized_layers(model: nn.Module, x: Tensor) -> tuple[str, ...]:
    """The layers that `randomized` draws anew, from the output down. Errors: those of `randomized`."""
    return tuple(layer for layer, _ in _groups(_copied(model), x))


def randomization_check(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    method: str = "gradient",
    kind: Kind = "cascading",
    calibrate_with: Tensor | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **more: Any,
) -> Randomization:
    """Whether a method's maps change when what the network has learnt is taken from it, layer by layer.

    Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3. calibrate_with: inputs on which batch normalisation
    is measured again, by default x. more: as `attributed` takes. The model is given back as it was.
    Errors: those of `randomized` and of `attributed`.
    """
    notes: dict[str, None] = {}

    def maps_of(net: nn.Module) -> Tensor:
        found = attributed(net, x, target, method, seed=seed, **more)
        notes.update(dict.fromkeys(found.notes))
        return found.values

    first = maps_of(model)
    layers, alike, maps = [], [], [as_map(first, signed=True)]
    stages = len(randomized_layers(model, x))
    for layer, net in randomized(model, x if calibrate_with is None else calibrate_with, kind, seed):
        values = maps_of(net)
        layers.append(layer)
        alike.append(similar(first, values))
        maps.append(as_map(values, signed=True))
        if progress is not None:
            progress(len(layers), stages)
    columns = {name: np.stack([one[name] for one in alike]) for name in ("rank", "signed", "ssim")}
    return Randomization(kind, tuple(layers), maps=torch.stack(maps).cpu().numpy(), notes=tuple(notes), **columns)


def similar(first: Tensor, second: Tensor) -> dict[str, np.ndarray]:
    """{"rank", "signed", "ssim": (n,)} of two attributions of the same inputs, as in `Randomization`."""
    magnitudes = [as_map(one).cpu().double().numpy() for one in (first, second)]
    signs = [as_map(one, signed=True).cpu().double().numpy() for one in (first, second)]
    return {
        "rank": rank_correlation(*magnitudes),
        "signed": rank_correlation(*signs),
        "ssim": np.array([_ssim(a, b) for a, b in zip(*magnitudes, strict=True)]),
    }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,): Spearman's, of each pair of maps (n, ...), ties at their mean rank; NaN where one is a constant."""
    from scipy.stats import rankdata  # half a second to load, which views need not wait for

    ranks = [rankdata(one.reshape(len(one), -1), axis=1) for one in (first, second)]
    a, b = (one - one.mean(1, keepdims=True) for one in ranks)
    with np.errstate(invalid="ignore"):
        return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))


def _ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. 2004, of magnitudes scaled to a maximum of 1; NaN for maps of zeros and of fewer than 3 places."""
    from skimage.metrics import structural_similarity  # as slow to load

    window = min(7, *(side - (side + 1) % 2 for side in first.shape))
    if window < 3 or first.max() == 0 or second.max() == 0:
        return float("nan")
    return float(structural_similarity(first / first.max(), second / second.max(), data_range=1, win_size=window))


def _copied(model: nn.Module) -> nn.Module:
    try:
        twin = copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise DataError(f"Expected a model that can be copied, to draw its weights anew: {error}") from error
    return twin.eval().requires_grad_(False)


def _groups(model: nn.Module, x: Tensor) -> list[tuple[str, list[str]]]:
    """[(layer, names of the modules drawn anew with it)] from the output down."""
    order: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():

        def called(_: nn.Module, __: object, name: str = name) -> None:
            order[name] = len(calls)
            calls.append(name)

        handles.append(module.register_forward_pre_hook(called))
    calls: list[str] = []
    try:
        with borrowed(model), torch.no_grad():
            model(x[:1])
    finally:
        for handle in handles:
            handle.remove()
    members: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            around = name
            while around not in order:
                around = around.rpartition(".")[0]
            members.setdefault(around, []).append(name)
    if not members:
        raise DataError("Expected a model with weights, received one without: there is nothing to draw anew.")
    groups: list[tuple[str, list[str]]] = []
    for name in sorted(members, key=order.__getitem__):
        if groups and isinstance(model.get_submodule(name), _NORMS):
            groups[-1][1].extend(members[name])
        else:
            groups.append((name or "model", members[name]))
    return groups[::-1]


def _redraw(modules: Sequence[nn.Module], seed: int) -> None:
    parameters = [one for module in modules for one in module.parameters(recurse=False)]
    with random_numbers_given_back(parameters), torch.no_grad():
        torch.manual_seed(seed)
        for module in modules:
            own = list(module.parameters(recurse=False))
            before = [one.clone() for one in own]
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if reset is not None:
                reset()
            for one, old in zip(own, before, strict=True):
                if torch.equal(one, old) and one.is_floating_point() and one.numel() > 1:
                    one.normal_().mul_(old.std()).add_(old.mean())


def _calibrate(modules: Sequence[nn.Module], model: nn.Module, x: Tensor) -> None:
    """Running means and variances of these batch normalisations, measured in one pass over x."""
    norms = [one for one in modules if isinstance(one, _BatchNorm) and one.running_mean is not None]
    if not norms:
        return
    if len(x) < 2:
        raise DataError(
            f"Expected at least 2 examples to measure batch normalisation on, received {len(x)}. Pass more as "
            "calibrate_with, such as a hundred of the data set's inputs."
        )
    momenta = [one.momentum for one in norms]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # the plain mean over the batches
        one.training = True
    with random_numbers_given_back(model.parameters()), torch.no_grad():
        for part in x.tensor_split(-(-len(x) // BATCH)):
            model(part)
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum, one.training = momentum, False
