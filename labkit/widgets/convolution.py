"""The view of one convolution: every pixel of the output as the sum that made it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from labkit.activations.kernels import KERNELS, SINGLE, kernel
from labkit.activations.operation import KINDS, MODES, Operation
from labkit.data import objects, photo
from labkit.errors import DataError, SettingError
from labkit.widgets.view import View

if TYPE_CHECKING:
    from labkit.plots.figure import Figure

PICTURES = ("flower", "temple", "car")
PIECES = (8, 12, 16, 24, 32)
COLOURS = ("grey", "separate", "together")
CHANNELS = ("red", "green", "blue")
LABELS = {
    "identity": "Identity",
    "box": "Box blur",
    "gaussian": "Gaussian blur",
    "sharpen": "Sharpen",
    "laplace": "Edges (Laplace)",
    "sobel_x": "Sobel x",
    "sobel_y": "Sobel y",
    "emboss": "Emboss",
    "gabor": "Gabor",
    "own": "Your own",
}
WORDS = {
    "convolution": "Convolution",
    "transposed": "Transposed convolution",
    "max": "Max pooling",
    "average": "Average pooling",
}
# What an operation begins with when one changes to it.
USUAL: dict[str, dict[str, Any]] = {
    "convolution": {"size": 3, "stride": 1, "padding": 1, "mode": "zeros", "dilation": 1},
    "transposed": {"size": 3, "stride": 2, "padding": 1, "mode": "zeros", "dilation": 1},
    "max": {"size": 2, "stride": 2, "padding": 0, "mode": "zeros", "dilation": 1},
    "average": {"size": 2, "stride": 2, "padding": 0, "mode": "zeros", "dilation": 1},
}
LIMITS = {"size": (1, 7), "stride": (1, 4), "padding": (0, 6), "dilation": (1, 4)}
LARGEST = 256  # pixels along a side of a picture
STEP = 0.1  # of an entry by key or drag
# What goes back to what it was when new settings cannot be computed.
_SETTLED = (
    *("_picture", "_picture_name", "_place", "colours", "piece", "angle", "wavelength", "operation"),
    *("kernel", "kernel_name", "input", "output", "whole", "pixel", "channel"),
)


class ConvolutionView(View):
    """A kernel slides over a picture: point at an output pixel for its window, products and sum.

    picture: "flower", "temple" or "car" (drawn from parts), or an own one: an array or tensor (H, W), (3, H, W) or
        (H, W, 3), uint8 or in 0..1, at most 256 pixels a side.
    kernel: a name of labkit.activations.kernels.KERNELS, or an own one, (size, size) or (channels, size, size).
    operation: "convolution", "transposed", "max" or "average" (pooling, which has no kernel).
    colours: "grey" (their mean), "separate" (each colour its own output, groups=3) or "together" (summed into one).
    piece: the side of the square of pixels that is shown large, and is an input of its own with its own padding.
    Options of the operation: size, stride, padding, mode ("zeros", "reflect", "circular"), dilation; and angle and
        wavelength of the kernel "gabor".

    `operation`, `kernel`, `input` and `output` hold what is shown: an Operation and tensors, with
    `output == operation(input, kernel)`; `whole` is the output of the whole picture. `set(...)` changes settings,
    `edit(...)` one entry of the kernel. `text` says what is shown, `figure()` draws it with Matplotlib.
    Raises SettingError and DataError for what cannot be computed.
    """

    asset = "convolution"

    def __init__(
        self,
        picture: Any = None,
        kernel: Any = "sobel_x",
        operation: str = "convolution",
        colours: str = "grey",
        piece: int = 16,
        angle: float = 0.0,
        wavelength: float = 4.0,
        **options: Any,
    ) -> None:
        if operation not in KINDS:
            raise SettingError(f"Expected an operation of {', '.join(KINDS)}, received {operation!r}.")
        self.operation = Operation(**USUAL["convolution"])
        self.kernel: Tensor
        self.pixel = (0, 0)
        self.channel = 0
        self._place: tuple[int, int] | None = None
        if not isinstance(kernel, str) and "size" not in options:
            options = {**options, "size": int(_own(kernel).shape[-1])}
        self._settle(
            picture="flower" if picture is None else picture,
            kernel=kernel,
            colours=colours,
            piece=piece,
            angle=angle,
            wavelength=wavelength,
            options={**USUAL[operation], **options, "kind": operation},
        )
        self._centre()
        super().__init__()
        self.say(self._describe())
        self.claim_cell()

    # ---- from Python

    def set(self, **changes: Any) -> None:
        """Change settings, by the names that the view is made with. Another operation brings its usual options."""
        known = {"picture", "kernel", "operation", "colours", "piece", "angle", "wavelength", *LIMITS, "mode"}
        if not changes.keys() <= known:
            strange = ", ".join(sorted(changes.keys() - known))
            raise SettingError(f"Expected settings of {', '.join(sorted(known))}; received {strange}.")
        options = {name: changes.pop(name) for name in (*LIMITS, "mode") if name in changes}
        kind = changes.pop("operation", self.operation.kind)
        usual = USUAL.get(kind, {}) if kind != self.operation.kind else {}
        before = self.output.shape
        self._settle(
            picture=changes.get("picture"),
            kernel=changes.get("kernel"),
            colours=changes.get("colours", self.colours),
            piece=changes.get("piece", self.piece),
            angle=changes.get("angle", self.angle),
            wavelength=changes.get("wavelength", self.wavelength),
            options={**asdict(self.operation), **usual, **options, "kind": kind},
        )
        if self.output.shape[1:] != before[1:]:
            self._centre()
        self._show()

    def edit(self, row: int, column: int, value: float, channel: int | None = None) -> None:
        """Set one entry of the kernel, in one channel or (None) in all; it is then your own."""
        if not np.isfinite(value):
            raise SettingError(f"Expected a finite number for an entry of the kernel, received {value!r}.")
        changed = self.kernel.clone()
        changed[slice(None) if channel is None else channel, row, column] = value
        self.kernel, self.kernel_name = changed, "own"
        self._compute()
        self._show()

    def move(self, row: int, column: int) -> None:
        """Put the piece's upper left pixel there, or as near as it fits."""
        self._place = (row, column)
        self._compute()
        self._show()

    def look(self, row: int, column: int, channel: int | None = None) -> None:
        """Choose an output pixel (and the channel whose numbers are shown): `text` and `figure()` tell its sum."""
        height, width = self.output.shape[1:]
        if not (0 <= row < height and 0 <= column < width):
            raise SettingError(f"Expected a pixel of the {height}x{width} output, received ({row}, {column}).")
        self.pixel = (int(row), int(column))
        if channel is not None:
            self.channel = min(max(int(channel), 0), len(self.input) - 1)
        self._show()

    @property
    def code(self) -> str:
        """The line of PyTorch that computes the output from x (1, channels, H, W)."""
        o = self.operation
        x, padding = "x", o.padding
        if o.mode != "zeros" and o.padding and o.kind != "transposed":
            x, padding = f'pad(x, ({", ".join([str(o.padding)] * 4)}), mode="{o.mode}")', 0
        common = f"stride={o.stride}, padding={padding}"
        if o.kind == "average":
            return f"F.avg_pool2d({x}, {o.size}, {common})"
        if o.kind == "max":
            return f"F.max_pool2d({x}, {o.size}, {common}, dilation={o.dilation})"
        groups = len(self.input) if o.depthwise else 1
        call = "conv_transpose2d" if o.kind == "transposed" else "conv2d"
        return f"F.{call}({x}, w, {common}, dilation={o.dilation}, groups={groups})"

    def figure(self) -> "Figure":
        from labkit import plots  # matplotlib is imported when a figure is asked for

        row, column = self.pixel
        shown = self._channels_of_sum()
        o = self.operation
        return plots.convolution(
            self.input.numpy(),
            self.output.numpy(),
            window=o.window(self.input, row, column)[shown].numpy(),
            kernel=None if o.pools else self.kernel[shown].numpy(),
            pixel=self.pixel,
            channel=self._output_channel(),
            places=(o.places(row), o.places(column)),
            bright=self._like_a_picture(),
            pooling=o.kind if o.pools else None,
            title=self._finding(),
        )

    # ---- what is sent

    def everything(self) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
        state, arrays = self._state()
        fixed = {
            "pictures": PICTURES,
            "pieces": PIECES,
            "limits": LIMITS,
            "step": STEP,
            "kernels": [[name, LABELS[name]] for name in KERNELS],
            "singles": SINGLE,
            "kinds": list(WORDS.items()),
            "modes": MODES,
        }
        return {**state, **fixed}, arrays, {}

    def _show(self) -> None:
        self.update(*self._state())
        self.say(self._describe())

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        height, width = self.input.shape[1:]
        state = {
            **asdict(self.operation),
            "picture": self._picture_name,
            "colours": self.colours,
            "coloured": len(self._picture) == 3,
            "piece": self.piece,
            "place": self._place,
            "kernel": self.kernel_name,
            "angle": self.angle,
            "wavelength": self.wavelength,
            "pixel": self.pixel,
            "channel": self.channel,
            "formula": self.operation.formula(height),
            "weights": 0 if self.operation.pools else self.kernel.numel(),
            "like": "picture" if self._like_a_picture() else "signed",
            "code": self.code,
            "finding": self._finding(),
            "reach": float(self.whole.abs().max()),
        }
        arrays = {
            "photo": _bytes(self._picture.permute(1, 2, 0), 0, 1),
            "input": self.input.numpy(),
            "weight": self.kernel.numpy(),
            "output": self.output.numpy(),
            "whole": _bytes(self.whole, *self._scale(self.whole)),
        }
        return state, arrays

    # ---- what the browser asks for

    def on_set(self, **changes: Any) -> None:
        self.set(**changes)

    def on_edit(self, row: int, column: int, value: float, channel: int | None = None) -> None:
        self.edit(row, column, value, channel)

    def on_move(self, row: int, column: int) -> None:
        self.move(row, column)

    def on_look(self, row: int, column: int, channel: int | None = None) -> None:
        self.look(row, column, channel)

    def on_upload(self, name: str, height: int, width: int, buffers: Sequence[Any]) -> None:
        """A picture as the page has read and scaled it: RGB bytes, row by row."""
        if not (1 <= height <= LARGEST and 1 <= width <= LARGEST):
            raise DataError(f"Expected a picture of at most {LARGEST} pixels a side, received {width}x{height}.")
        pixels = np.frombuffer(bytes(buffers[0]), np.uint8)
        if pixels.size != 3 * height * width:
            raise DataError(f"Expected {3 * height * width} bytes for a picture, received {pixels.size}.")
        self.set(picture=pixels.reshape(height, width, 3))
        self._picture_name = name
        self._show()

    def on_unreadable(self, name: str) -> None:
        raise DataError(f"Expected a picture that this browser can read (PNG, JPEG, WebP ...), received {name!r}.")

    # ---- the computation

    def _settle(
        self,
        picture: Any,
        kernel: Any,
        colours: str,
        piece: int,
        angle: float,
        wavelength: float,
        options: dict[str, Any],
    ) -> None:
        """Compute with these settings, and only then keep them: what cannot be computed changes nothing."""
        before = {name: self.__dict__[name] for name in _SETTLED if name in self.__dict__}
        try:
            if picture is not None:
                self._picture, self._picture_name, self._place = *_picture(picture), None
            if colours not in COLOURS:
                raise SettingError(f"Expected colours of {', '.join(COLOURS)}, received {colours!r}.")
            shortest = min(self._picture.shape[1:])
            if piece not in range(4, min(shortest, PIECES[-1]) + 1):
                raise SettingError(
                    f"Expected a piece of 4 to {min(shortest, PIECES[-1])} pixels a side, received {piece!r}."
                )
            pools = options["kind"] in ("max", "average")
            self.colours = "grey" if len(self._picture) == 1 else colours
            if pools and self.colours == "together":
                self.colours = "separate"  # pooling never sums over channels
            self.piece, self.angle, self.wavelength = piece, float(angle), float(wavelength)
            if options["kind"] == "transposed":
                options["mode"] = "zeros"
            if options["kind"] == "average":
                options["dilation"] = 1
            self.operation = Operation(**{**options, "depthwise": self.colours == "separate"})
            self._weigh(getattr(self, "kernel_name", "") if kernel is None else kernel)
            self._compute()
        except Exception:
            self.__dict__.update(before)
            raise

    def _weigh(self, given: Any) -> None:
        """The kernel (channels, size, size) for the operation: made anew, or an own one fitted to the size."""
        size, channels = self.operation.size, 1 if self.colours == "grey" else 3
        if self.operation.pools:
            self.kernel = torch.ones(channels, size, size)
            self.kernel_name = given if isinstance(given, str) else "own"
            return
        if isinstance(given, str) and given != "own":
            one = kernel(given, size, self.angle, self.wavelength)
            share = channels if self.colours == "together" else 1
            self.kernel, self.kernel_name = (one / share).expand(channels, size, size).clone(), given
            return
        own = _fitted(self.kernel if isinstance(given, str) else _own(given), size)
        self.kernel = own.clone() if len(own) == channels else own.mean(0).expand(channels, size, size).clone()
        self.kernel_name = "own"

    def _compute(self) -> None:
        coloured = self._picture.mean(0, keepdim=True) if self.colours == "grey" else self._picture
        rows, columns = coloured.shape[1] - self.piece, coloured.shape[2] - self.piece
        row, column = _busiest(coloured, self.piece) if self._place is None else self._place
        self._place = (min(max(int(row), 0), rows), min(max(int(column), 0), columns))
        row, column = self._place
        self.input = coloured[:, row : row + self.piece, column : column + self.piece].contiguous()
        weight = None if self.operation.pools else self.kernel
        self.output = self.operation(self.input, weight)
        self.whole = self.operation(coloured, weight)
        self.channel = min(self.channel, len(self.input) - 1)
        height, width = self.output.shape[1:]
        self.pixel = (min(self.pixel[0], height - 1), min(self.pixel[1], width - 1))

    def _centre(self) -> None:
        height, width = self.output.shape[1:]
        self.pixel = (height // 2, width // 2)

    def _like_a_picture(self) -> bool:
        """Whether the output is brightness again: pooled, or weighted by a kernel with the sum 1."""
        if self.operation.pools:
            return True
        sums = self.kernel.sum((1, 2)) if self.operation.depthwise else self.kernel.sum()
        return bool(((sums - 1).abs() < 1e-3).all()) and self.operation.kind == "convolution"

    def _scale(self, values: Tensor) -> tuple[float, float]:
        if self._like_a_picture():
            return 0.0, 1.0
        most = float(values.abs().max()) or 1.0
        return -most, most

    def _output_channel(self) -> int:
        return self.channel if len(self.output) > 1 else 0

    def _channels_of_sum(self) -> list[int]:
        """The channels of the input that are summed into the output pixel."""
        return list(range(len(self.input))) if self.colours == "together" else [self.channel]

    # ---- in words

    def _finding(self) -> str:
        o = self.operation
        (_, height, width), (outputs, h, w) = self.input.shape, self.output.shape
        what = WORDS[o.kind] if o.pools else f"{LABELS[self.kernel_name]}, {o.size}×{o.size}"
        name = f"{what}: " if o.kind != "transposed" else f"{what}, transposed: "
        many = f"{len(self.input)}×" if len(self.input) > 1 else ""
        return f"{name}{many}{height}×{width} becomes {f'{outputs}×' if outputs > 1 else ''}{h}×{w}"

    def _describe(self) -> str:
        o, (row, column) = self.operation, self.pixel
        words = f"{self._finding()}. Picture: {self._picture_name}. Window {o.size} by {o.size}, stride {o.stride}, "
        words += f"padding {o.padding} ({o.mode}), dilation {o.dilation}. Size along a side: {o.formula(self.piece)}. "
        value = float(self.output[self._output_channel(), row, column])
        window = o.window(self.input, row, column)[self._channels_of_sum()]
        made = {"max": "the largest of", "average": "the mean of"}.get(o.kind, "the sum of products of")
        seen = "its window" if o.pools else "its window and the kernel"
        count = int(torch.isfinite(window).sum())
        return f"{words}The output in row {row}, column {column} is {value:.3g}, {made} {count} values: {seen}."


def _picture(given: Any) -> tuple[Tensor, str]:
    """(channels, H, W) in 0..1 with 1 or 3 channels, and its name."""
    if isinstance(given, str):
        if given not in PICTURES:
            raise SettingError(f"Expected a picture of {', '.join(PICTURES)} or an array, received {given!r}.")
        if given != "car":
            return photo(given), given
        drawn = objects(n=40, size=64, seed=1)
        return drawn.inputs[int((drawn.targets == (drawn.classes or ()).index("car")).nonzero()[0])], given
    values = torch.as_tensor(np.array(given) if not isinstance(given, Tensor) else given.detach().cpu())
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim == 2:
        values = values[None]
    if values.ndim == 3 and values.shape[0] not in (1, 3) and values.shape[2] in (1, 3):
        values = values.permute(2, 0, 1)
    fits = values.ndim == 3 and all(4 <= side <= LARGEST for side in values.shape[1:])
    if not fits or values.shape[0] not in (1, 3):
        raise DataError(
            f"Expected a picture (H, W), (3, H, W) or (H, W, 3) of 4 to {LARGEST} pixels a side, "
            f"received the shape {tuple(values.shape)}."
        )
    scaled = values.float() / 255 if values.dtype == torch.uint8 else values.float()
    if not bool(torch.isfinite(scaled).all()) or scaled.min() < 0 or scaled.max() > 1:
        raise DataError("Expected a picture with values from 0 to 1 (or bytes from 0 to 255); others were received.")
    return scaled.contiguous(), "your picture"


def _own(given: Any) -> Tensor:
    """A kernel that somebody wrote, as (channels, size, size)."""
    try:
        values = torch.as_tensor(given, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        raise SettingError(f"Expected a kernel's name or numbers, received {type(given).__name__}.") from None
    values = values[None] if values.ndim == 2 else values
    square = values.ndim == 3 and values.shape[1] == values.shape[2] and len(values) in (1, 3)
    if not square or not 1 <= values.shape[1] <= LIMITS["size"][1] or not bool(torch.isfinite(values).all()):
        raise SettingError(
            f"Expected finite numbers (size, size) or (3, size, size) with a size up to {LIMITS['size'][1]} for a "
            f"kernel, received the shape {tuple(values.shape)}."
        )
    return values


def _fitted(values: Tensor, size: int) -> Tensor:
    """A kernel with zeros added around it, or its middle, as the size asks."""
    missing = size - values.shape[1]
    before, after = missing // 2, missing - missing // 2
    return torch.nn.functional.pad(values, (before, after, before, after))


def _busiest(picture: Tensor, side: int) -> tuple[int, int]:
    """The upper left pixel of the piece whose values differ most."""
    grey = picture.mean(0)[None]
    mean, square = (torch.nn.functional.avg_pool2d(values, side, 1) for values in (grey, grey**2))
    spread = (square - mean**2)[0]
    row, column = divmod(int(spread.argmax()), spread.shape[1])
    return row, column


def _bytes(values: Tensor, low: float, high: float) -> np.ndarray:
    """For the eye: 0 to 255 from `low` to `high`."""
    return ((values - low) / (high - low) * 255).round().clamp(0, 255).byte().numpy()
