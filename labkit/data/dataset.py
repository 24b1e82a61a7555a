"""Examples with their answers: what every room of the lab takes as data."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.errors import DataError, SettingError


class PartMasks(Mapping[str, Tensor]):
    """Boolean masks of parts that never overlap, kept as one label map: a byte a pixel for all of them.

    `codes` is a uint8 tensor (n, H, W): 0 where no part is visible, i + 1 where `parts[i]` is. It reads like
    a dict {part: bool (n, H, W)}; "object" is the union of all parts but those in `apart`, which are seen in the
    picture without being the object's; each lookup makes a new tensor.
    """

    def __init__(self, codes: Tensor, parts: Sequence[str], apart: Collection[str] = ()) -> None:
        if len(parts) > 254 or "object" in parts:
            raise DataError(f"PartMasks takes at most 254 parts and makes 'object' itself; received {list(parts)}.")
        self.codes, self.parts, self.apart = codes, tuple(parts), frozenset(apart)

    def __getitem__(self, part: str) -> Tensor:
        if part == "object":
            found = self.codes > 0
            for other in self.apart:
                found &= ~self[other]
            return found
        if part not in self.parts:
            raise KeyError(f"no part {part!r}; there are {', '.join(self)}")
        return self.codes == self.parts.index(part) + 1

    def __iter__(self) -> Iterator[str]:
        return iter((*self.parts, "object"))

    def __len__(self) -> int:
        return len(self.parts) + 1

    def subset(self, indices: Tensor) -> "PartMasks":
        return PartMasks(self.codes[indices], self.parts, self.apart)


class Dataset(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Inputs and targets of the same length, held in memory; a map-style torch Dataset.

    inputs   (n, ...) tensor, array or nested list. Numbers become float32; only a torch int64 tensor stays
             as it is (token ids). Pictures are (n, C, H, W) with values 0..1.
    targets  whole numbers (n,) mean classification and become int64 class indices; real numbers (n,) or
             (n, ...) mean regression and become float32, (n,) as (n, 1).
    classes  the classes' names (classification only), or None.
    masks    {part: bool (n, H, W)}, true where that part of the picture is visible, or None.

    Raises DataError for what cannot be used: different lengths, nothing in it, NaN or infinite values,
    labels out of range, masks that do not fit the pictures.
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        classes: Sequence[str] | None = None,
        masks: Mapping[str, Any] | None = None,
    ) -> None:
        self.inputs = _inputs(inputs)
        self.targets = _targets(targets)
        self.task = "regression" if self.targets.is_floating_point() else "classification"
        if len(self.inputs) != len(self.targets):
            raise DataError(
                f"Expected one target for each input; received {len(self.inputs)} inputs and "
                f"{len(self.targets)} targets. Drop the rows that have no partner."
            )
        self.classes = None if classes is None else _class_names(classes, self.targets)
        self.masks = None if masks is None else _masks(masks, self.inputs)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.inputs[i], self.targets[i]

    def __repr__(self) -> str:
        shape = " x ".join(str(s) for s in self.inputs.shape[1:]) or "one number"
        if self.task == "regression":
            what = f"{self.targets[0].numel()} real target(s)"
        else:
            count = len(self.classes) if self.classes else int(self.targets.max()) + 1
            what = f"{count} classes"
        parts = "" if self.masks is None else f", {len(self.masks)} masks"
        return f"Dataset({len(self)} examples of {shape}, {what}{parts})"

    def split(self, test: float = 0.2, seed: int = 0) -> tuple["Dataset", "Dataset"]:
        """(train, test): the fraction `test` (0..1) drawn by `seed`, each class in proportion; order is kept.

        Raises SettingError for a fraction outside 0..1, DataError where one side would be empty.
        """
        if not 0 < test < 1:
            raise SettingError(f"Expected a test fraction between 0 and 1, such as 0.2; received test={test!r}.")
        n_test = round(len(self) * test)
        if n_test in (0, len(self)):
            raise DataError(
                f"A test fraction of {test} of {len(self)} examples leaves one side empty; "
                "use another fraction or more examples."
            )
        rng = np.random.default_rng(seed)
        labels = self.targets.cpu().numpy() if self.task == "classification" else np.zeros(len(self), np.int64)
        chosen = _stratified(labels, n_test, rng)
        return self.subset(np.flatnonzero(~chosen)), self.subset(np.flatnonzero(chosen))

    def subset(self, indices: Any) -> "Dataset":
        """The examples at `indices` (whole numbers, in that order, or one bool an example) as a Dataset."""
        index = torch.as_tensor(indices)
        if index.dtype == torch.bool:
            if index.shape != (len(self),):
                raise DataError(f"Expected one bool for each of {len(self)} examples; received {_shape(index)}.")
            index = index.nonzero().flatten()
        if index.ndim != 1 or index.is_floating_point() or index.is_complex():
            raise DataError(f"Expected a list of whole numbers; received {index.dtype} of shape {_shape(index)}.")
        if len(index) == 0:
            raise DataError("Expected at least one index; received none.")
        if index.min() < -len(self) or index.max() >= len(self):
            raise DataError(
                f"Expected indices from 0 to {len(self) - 1}; received {int(index.min())} to {int(index.max())}."
            )
        index = index.long()
        masks: Mapping[str, Any] | None = self.masks
        if isinstance(masks, PartMasks):
            masks = masks.subset(index)
        elif masks is not None:
            masks = {part: mask[index] for part, mask in masks.items()}
        return Dataset(self.inputs[index], self.targets[index], self.classes, masks)


def _stratified(labels: np.ndarray, n_test: int, rng: np.random.Generator) -> np.ndarray:
    """A bool an example, n_test of them true, each label in proportion (largest remainders first)."""
    values, counts = np.unique(labels, return_counts=True)
    share = counts * n_test / len(labels)
    quota = np.floor(share).astype(int)
    largest = np.argsort(quota - share, kind="stable")
    quota[largest[: n_test - quota.sum()]] += 1
    chosen = np.zeros(len(labels), bool)
    for value, k in zip(values, quota, strict=True):
        chosen[rng.permutation(np.flatnonzero(labels == value))[:k]] = True
    return chosen


def _shape(x: Tensor) -> str:
    return "(" + ", ".join(str(s) for s in x.shape) + ("," if x.ndim == 1 else "") + ")"


def _tensor(values: Any, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    try:
        array = np.ascontiguousarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"an array of {array.dtype}")
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError) as error:
        raise DataError(f"Expected numbers as {name} (a tensor, an array, a list); received {error}.") from error


def _floats(x: Tensor, name: str) -> Tensor:
    x = x.to(torch.float32)
    finite = torch.isfinite(x)
    if not finite.all():
        row = int((~finite).flatten(1).any(1).nonzero()[0]) if x.ndim > 1 else int((~finite).nonzero()[0])
        raise DataError(
            f"Expected finite {name}; received {int((~finite).sum())} values that are NaN or infinite in "
            f"float32, first in example {row}. Fill them in or drop those examples."
        )
    return x


def _inputs(values: Any) -> Tensor:
    x = _tensor(values, "inputs")
    if x.ndim == 0 or x.numel() == 0:
        raise DataError(f"Expected at least one example; received inputs of shape {_shape(x)}.")
    if x.dtype == torch.uint8:
        raise DataError(
            "Expected inputs as floats; received uint8 (0..255). Pass inputs / 255 for pictures, "
            "inputs.astype('float32') for other numbers."
        )
    if x.is_complex():
        raise DataError("Expected real inputs; received complex numbers. Pass both parts as columns.")
    if isinstance(values, Tensor) and x.dtype == torch.int64:
        return x
    return _floats(x, "inputs")


def _targets(values: Any) -> Tensor:
    y = _tensor(values, "targets")
    if y.ndim == 0 or y.numel() == 0:
        raise DataError(f"Expected at least one target; received targets of shape {_shape(y)}.")
    if y.is_floating_point():
        y = _floats(y, "targets")
        return y[:, None] if y.ndim == 1 else y
    if y.is_complex() or y.ndim != 1:
        raise DataError(
            f"Expected class indices of shape (n,), or float targets; received {y.dtype} of shape "
            f"{_shape(y)}. Use flatten() or argmax() for classes, astype('float32') for regression."
        )
    y = y.to(torch.int64)
    if y.min() < 0:
        raise DataError(f"Expected class indices from 0 on; received {int(y.min())}. Number them 0, 1, 2, ...")
    return y


def _class_names(classes: Sequence[str], targets: Tensor) -> tuple[str, ...]:
    names = tuple(str(name) for name in classes)
    if targets.is_floating_point():
        raise DataError("Expected no class names with float targets (regression); to classify, pass whole numbers.")
    if isinstance(classes, str) or len(set(names)) != len(names):
        raise DataError(f"Expected a list of different class names; received {classes!r}.")
    if int(targets.max()) >= len(names):
        raise DataError(
            f"Expected class indices from 0 to {len(names) - 1} for the {len(names)} class names; "
            f"received {int(targets.max())}. Name every class or renumber the targets."
        )
    return names


def _masks(masks: Mapping[str, Any], inputs: Tensor) -> Mapping[str, Tensor]:
    if inputs.ndim != 4:
        raise DataError(f"Expected pictures (n, C, H, W) where there are masks; received {_shape(inputs)}.")
    expected = (inputs.shape[0], *inputs.shape[2:])
    if isinstance(masks, PartMasks):
        if masks.codes.shape != expected or masks.codes.dtype != torch.uint8:
            raise DataError(f"Expected uint8 codes of shape {expected}; received {_shape(masks.codes)}.")
        return masks
    checked = {}
    for part, values in masks.items():
        mask = _tensor(values, f"mask {part!r}")
        if mask.shape != expected or mask.dtype != torch.bool:
            raise DataError(
                f"Expected mask {part!r} as bool of shape {expected}; received {mask.dtype} {_shape(mask)}."
            )
        checked[part] = mask
    return checked
