"""Units of layers as maps: where their axis is, what each of a unit's inputs adds to it, and units switched off."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from labkit.activations.calls import module_of
from labkit.activations.capture import Capture, choose_layers
from labkit.activations.windows import padding_of, pair
from labkit.errors import SettingError

_ALONG_ONE = (nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.BatchNorm1d)


def unit_axes(model: nn.Module, captured: Capture) -> dict[str, int]:
    """{layer: which axis of its output counts units}, for outputs (n, units, ...) and (n, ..., units).

    captured: with inputs. Linear layers and LayerNorm have theirs last, (n, tokens, units) too; a layer that works on
    each value alone has it where the layer before has it; others at 1. Outputs without such an axis have no entry.
    """
    axes: dict[str, int] = {}
    known = modules_called(model, list(captured))
    for name, values in captured.items():
        if values.ndim < 2 or not values.is_floating_point():
            continue
        module = known[name]
        source = captured.sources.get(name) or ""
        same = source in captured and captured[source].shape == values.shape
        axes[name] = _axis(module, values, axes.get(source) if same else None)
    return axes


def modules_called(model: nn.Module, calls: Sequence[str]) -> dict[str, nn.Module]:
    """{call, named as `capture` does: its module}."""
    known = {"model": model} | dict(model.named_modules(remove_duplicate=False))
    return {name: known[name] if name in known else known[module_of(model, name)] for name in calls}


def _axis(module: Any, values: Tensor, before: int | None) -> int:
    last = values.ndim - 1
    if isinstance(module, nn.Linear):
        return last
    if isinstance(module, nn.LayerNorm):
        # Some models' own kind has channels first, and may say so.
        first = (
            getattr(module, "data_format", "") == "channels_first" or values.shape[-1] != module.normalized_shape[-1]
        )
        return 1 if first else last
    if before is not None:
        return before
    return last if values.ndim == 3 and not isinstance(module, _ALONG_ONE) else 1


def unit_maps(values: Tensor, axis: int) -> Tensor:
    """A layer's output as (n, units, H, W): a value that has no place is a map of 1 × 1, a row one of 1 × W."""
    first = values.movedim(axis, 1)
    if first.ndim > 4:
        return first.flatten(2, -2)
    return first.reshape(*first.shape[:2], *(1,) * (4 - first.ndim), *first.shape[2:])


@contextmanager
def altered(
    model: nn.Module, factors: Mapping[tuple[str, int], float], axes: Mapping[str, int] | None = None
) -> Iterator[None]:
    """While the block lasts, the values of some units are multiplied: {(layer as `capture` names it, unit): factor}.

    0 switches a unit off. axes: as `unit_axes` gives them, 1 where there is none. Nothing is left on the model.
    Errors: SettingError for a layer that is not there; in the forward pass, for a unit that is not there.
    """
    by_module: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for (layer, unit), factor in factors.items():
        by_module.setdefault(module_of(model, layer), {}).setdefault(layer, []).append((unit, factor))

    def hook_of(name: str, wanted: dict[str, list[tuple[int, float]]]) -> Callable[..., Any]:
        calls = 0

        def hook(_: nn.Module, __: object, output: Any) -> Any:
            nonlocal calls
            calls += 1
            layer = name if calls == 1 else f"{name}:{calls}"
            if layer not in wanted or not isinstance(output, Tensor):
                return output
            changed = output.clone()
            units = changed.movedim((axes or {}).get(layer, 1), 0)
            for unit, factor in wanted[layer]:
                if not 0 <= unit < len(units):
                    raise SettingError(f"Expected a unit of {layer} of 0 to {len(units) - 1}, received {unit}.")
                units[unit] *= factor
            return changed

        return hook

    chosen = choose_layers(model, list(by_module))
    handles = [module.register_forward_hook(hook_of(name, by_module[name])) for name, module in chosen.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Contributions:
    """What a unit's map is the sum of: products.sum(0) + bias.

    channels: numbers of the input channels (k of them). inputs (k, H, W), kernels (k, h, w), products (k, H', W'):
    float64, of the first picture.
    """

    channels: tuple[int, ...]
    inputs: Tensor
    kernels: Tensor
    products: Tensor
    bias: float


def contributions(
    module: nn.Module, given: Tensor, unit: int, axis: int = 1, shape: Sequence[int] | None = None
) -> Contributions | None:
    """What each input channel adds to a unit of a convolution (also transposed) or linear layer; None for other kinds.

    given: the layer's input, of which the first picture is meant; axis: which of its axes counts channels. shape: the
    (channels, H, W) that a linear layer's input was flattened from: then each channel has a kernel of its own size.
    """
    given = given[:1].detach().double()
    if isinstance(module, nn.Linear):
        return _of_linear(module, given, unit, axis, shape)
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return _of_convolution(module, given, unit)
    if isinstance(module, nn.ConvTranspose2d):
        return _of_transposed(module, given, unit)
    return None


def _of_linear(module: nn.Linear, given: Tensor, unit: int, axis: int, shape: Sequence[int] | None) -> Contributions:
    weight = module.weight[unit].detach().double()
    if shape is not None:
        inputs, kernels = given.reshape(tuple(shape)), weight.reshape(tuple(shape))
        products = (inputs * kernels).sum((1, 2), keepdim=True)
    else:
        inputs, kernels = unit_maps(given, axis)[0], weight[:, None, None]
        products = inputs * kernels
    return Contributions(tuple(range(len(inputs))), inputs, kernels, products, _bias(module, unit))


def _of_convolution(module: Any, given: Tensor, unit: int) -> Contributions:
    weight = module.weight.detach().double()
    width = weight.shape[1]
    first = unit // (len(weight) // module.groups) * width
    inputs, kernels = given[:, first : first + width], weight[unit][:, None]
    options = {"stride": module.stride, "dilation": module.dilation, "groups": width}
    convolve = F.conv1d if isinstance(module, nn.Conv1d) else F.conv2d
    if module.padding_mode == "zeros":
        products = convolve(inputs, kernels, padding=module.padding, **options)
    else:
        padded = F.pad(inputs, module._reversed_padding_repeated_twice, module.padding_mode)
        products = convolve(padded, kernels, **options)
    return _as_pictures(first, inputs, kernels, products, _bias(module, unit))


def _of_transposed(module: Any, given: Tensor, unit: int) -> Contributions:
    weight = module.weight.detach().double()
    width = len(weight) // module.groups
    group, place = divmod(unit, weight.shape[1])
    first = group * width
    inputs, kernels = given[:, first : first + width], weight[first : first + width, place][:, None]
    products = F.conv_transpose2d(
        inputs, kernels, None, module.stride, module.padding, module.output_padding, width, module.dilation
    )
    return _as_pictures(first, inputs, kernels, products, _bias(module, unit))


def _as_pictures(first: int, inputs: Tensor, kernels: Tensor, products: Tensor, bias: float) -> Contributions:
    channels = tuple(range(first, first + inputs.shape[1]))
    return Contributions(
        channels, unit_maps(inputs, 1)[0], unit_maps(kernels, 1)[:, 0], unit_maps(products, 1)[0], bias
    )


def _bias(module: Any, unit: int) -> float:
    return 0.0 if module.bias is None else float(module.bias[unit].detach())


@dataclass(frozen=True)
class Windows:
    """Where a layer's output place (i, j) looks: rows i · stride − padding + k · dilation for k < kernel, and columns.

    Each is (vertical, horizontal).
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def windows_of(module: nn.Module, given: Sequence[int], output: Sequence[int]) -> Windows | None:
    """The windows of a convolution or pooling whose input and output have these shapes (n, channels, ..., W).

    None where they are not the same everywhere, or see something else than zeros outside of the input.
    """
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        if module.padding_mode != "zeros":
            return None
        return Windows(
            pair(module, "kernel_size"), pair(module, "stride"), padding_of(module)[0], pair(module, "dilation")
        )
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d | nn.AvgPool1d | nn.AvgPool2d):
        dilation = pair(module, "dilation") if isinstance(module, nn.MaxPool1d | nn.MaxPool2d) else (1, 1)
        return Windows(pair(module, "kernel_size"), pair(module, "stride"), pair(module, "padding"), dilation)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        if any(length % count for length, count in zip(given[2:], output[2:], strict=True)):
            return None
        size = (given[2] // output[2], given[3] // output[3])
        return Windows(size, size, (0, 0), (1, 1))
    return None
