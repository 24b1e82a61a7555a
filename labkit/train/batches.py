"""Minibatches by their place in training: the same (seed, epoch, position) gives the same examples, always.

Nothing random is kept between two batches, so a run can be continued, rewound and forked exactly by two integers.
"""

from collections.abc import Iterator
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from labkit.errors import DataError


class Batches(Protocol):
    examples: int
    batch_size: int

    def get(self, epoch: int, position: int, seed: int) -> tuple[Tensor, Tensor]:
        """The batch that begins at example `position` of an epoch, on the device."""

    def sample(self, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """At most `most` examples, evenly spaced and always the same, in batches on the device."""


def mix(seed: int, count: int, salt: int = 0) -> int:
    """One 32-bit seed for the `count`-th use of `seed` (torch's CPU generator takes no more than 32 bits)."""
    return (seed * 0x9E3779B1 + count * 0x85EBCA77 + salt) & 0xFFFFFFFF


def order(examples: int, shuffle: bool, seed: int, epoch: int) -> Tensor:
    """The order of the examples in an epoch: a permutation drawn from (seed, epoch), or as they stand."""
    if not shuffle:
        return torch.arange(examples)
    return torch.randperm(examples, generator=torch.Generator().manual_seed(mix(seed, epoch, salt=1)))


def spread(examples: int, most: int) -> Tensor:
    """Indices of at most `most` of the examples, evenly spaced."""
    return torch.linspace(0, examples - 1, min(examples, most)).round().long()


def _is_stream(dataset: object) -> bool:
    return isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__")


class TensorBatches:
    """Batches indexed from tensors that stay on the device: no loader, no copy."""

    # Enough for one pass to be efficient, few enough for the activations of a small CNN to fit anywhere.
    EVALUATION_BATCH = 512

    def __init__(self, inputs: Tensor, targets: Tensor, batch_size: int, shuffle: bool, device: torch.device) -> None:
        if len(inputs) == 0 or len(inputs) != len(targets):
            raise DataError(
                f"Expected as many targets as inputs and at least one, received {len(inputs)} inputs and "
                f"{len(targets)} targets."
            )
        self.inputs, self.targets = inputs.to(device), targets.to(device)
        self.examples, self.batch_size, self.shuffle = len(inputs), batch_size, shuffle
        parts = zip(self.inputs.split(batch_size), self.targets.split(batch_size), strict=True)
        self._parts = [] if shuffle else list(parts)  # views
        self._order_of: tuple[int, int] | None = None
        self._order = torch.empty(0)

    def get(self, epoch: int, position: int, seed: int) -> tuple[Tensor, Tensor]:
        if not self.shuffle:
            number, rest = divmod(position, self.batch_size)
            if rest == 0:
                return self._parts[number]
            end = position + self.batch_size  # the batch size was changed in the middle of an epoch
            return self.inputs[position:end], self.targets[position:end]
        if self._order_of != (epoch, seed):
            self._order = order(self.examples, self.shuffle, seed, epoch).to(self.inputs.device)
            self._order_of = (epoch, seed)
        chosen = self._order[position : position + self.batch_size]
        return self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)

    def sample(self, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        if most >= self.examples:
            size = self.EVALUATION_BATCH
            yield from zip(self.inputs.split(size), self.targets.split(size), strict=True)
            return
        for chosen in spread(self.examples, most).to(self.inputs.device).split(self.EVALUATION_BATCH):
            yield self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)


class LoaderBatches:
    """Batches from a map-style torch Dataset or a DataLoader (its workers, pinned memory and collation are kept)."""

    def __init__(self, source: Any, batch_size: int, shuffle: bool, device: torch.device) -> None:
        self._loader = source if isinstance(source, DataLoader) else None
        self._dataset = cast(Any, source.dataset if isinstance(source, DataLoader) else source)
        if _is_stream(self._dataset):
            kind = type(self._dataset).__name__
            raise DataError(
                f"Expected a map-style data set (with __len__ and __getitem__), received {kind}. "
                "A stream has no epochs to replay: collect it first."
            )
        if self._loader is None:
            self.batch_size, self.examples = batch_size, len(self._dataset)
        elif self._loader.batch_size is None:
            raise DataError("Expected a DataLoader with a batch_size, received one with its own batches (None).")
        else:  # what an epoch really delivers: a sampler or drop_last may leave examples out
            self.batch_size = self._loader.batch_size
            full = len(self._loader) * self.batch_size
            sampler: Any = self._loader.sampler
            self.examples = full if self._loader.drop_last else len(sampler)
        if self.examples == 0:
            raise DataError("Expected at least one example, received an empty data set.")
        self.shuffle, self._device = shuffle, device
        self._pin = device.type == "cuda"
        self._next: tuple[int, int, int] | None = None
        self._iterator: Iterator[Any] = iter(())
        self._held: tuple[tuple[int, int, int], tuple[Tensor, Tensor]] | None = None

    def get(self, epoch: int, position: int, seed: int) -> tuple[Tensor, Tensor]:
        place = (epoch, position, seed)
        if self._held is not None and self._held[0] == place:
            return self._held[1]
        if self._next != place:
            self._iterator = self._start(epoch, position, seed)
        batch = self._to_device(next(self._iterator))
        self._next = (epoch, position + len(batch[0]), seed)
        self._held = (place, batch)
        return batch

    def _start(self, epoch: int, position: int, seed: int) -> Iterator[Any]:
        if self._loader is None:
            indices = order(self.examples, self.shuffle, seed, epoch)[position:].tolist()
            return iter(DataLoader(self._dataset, self.batch_size, sampler=indices, pin_memory=self._pin))
        # A loader draws its order and its workers' seeds from the global generator when it is started.
        torch.default_generator.manual_seed(mix(seed, epoch, salt=1))
        if self._loader.generator is not None:
            self._loader.generator.manual_seed(mix(seed, epoch, salt=1))
        iterator = iter(self._loader)
        for _ in range(position // self.batch_size):
            next(iterator)
        return iterator

    def sample(self, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        chosen = Subset(self._dataset, spread(len(self._dataset), most).tolist())
        collate = self._loader.collate_fn if self._loader is not None else None
        for batch in DataLoader(chosen, self.batch_size, collate_fn=collate, pin_memory=self._pin):
            yield self._to_device(batch)

    def _to_device(self, batch: Any) -> tuple[Tensor, Tensor]:
        if not (isinstance(batch, list | tuple) and len(batch) == 2 and all(isinstance(b, Tensor) for b in batch)):
            raise DataError(
                f"Expected batches of (inputs, targets), both tensors, received {type(batch).__name__} of "
                f"{[type(b).__name__ for b in batch] if isinstance(batch, list | tuple) else batch!r:.80}."
            )
        inputs, targets = batch
        return (
            inputs.to(self._device, non_blocking=self._pin),
            targets.to(self._device, non_blocking=self._pin),
        )
