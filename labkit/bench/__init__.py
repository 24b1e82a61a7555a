"""What the lab promises about speed and size, measured: `labkit bench`.

A figure is measured several times in one run; two things that are compared take turns (A B A B ...), so that both see
the same machine. The value is the median, the spread is the least and the most.
"""

from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A promise: at most (or at least) `limit`. `where` names what measures it: "file:function" in this folder."""

    name: str
    what: str
    limit: float
    unit: str
    where: str
    at_least: bool = False

    @property
    def target(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}"


@dataclass(frozen=True)
class Result:
    """What was measured of a figure, each sample in the figure's unit."""

    figure: Figure
    samples: list[float]

    @property
    def value(self) -> float:
        return median(self.samples)

    @property
    def met(self) -> bool:
        limit = self.figure.limit
        return self.value >= limit if self.figure.at_least else self.value <= limit

    def __str__(self) -> str:
        figure, value = self.figure, f"{self.value:.3g} {self.figure.unit}"
        spread = f"({min(self.samples):.3g} to {max(self.samples):.3g})"
        verdict = "met" if self.met else "NOT MET"
        return f"{figure.name:25}{value:>12} {spread:22}{figure.target:>14}  {verdict:9}{figure.what}"

    def as_data(self) -> dict[str, Any]:
        return {
            "name": self.figure.name,
            "what": self.figure.what,
            "value": self.value,
            "unit": self.figure.unit,
            "target": self.figure.target,
            "met": self.met,
            "low": min(self.samples),
            "high": max(self.samples),
            "samples": self.samples,
        }


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("import", "`import labkit`, over bare Python", 50, "ms", "imports:milliseconds"),
        Figure("import_heavy", "of torch, numpy ... loaded by `import labkit`", 0, "modules", "imports:heavy"),
        Figure("objects", "objects at 48 x 48 drawn, one core", 500, "/s", "pictures:drawn_a_second", at_least=True),
        Figure("objects_95", "until a TinyVGG reads 95 % of unseen objects", 120, "s", "pictures:seconds_to_95"),
        Figure("loop_cnn", "Trainer's time over a plain loop's, small CNN", 0.85, "x", "training:loop_cnn"),
        Figure("loop_mlp", "Trainer's time over a plain loop's, MLP", 0.85, "x", "training:loop_mlp"),
        Figure("view_cnn", "time with a live view over without, small CNN", 1.06, "x", "browser:view_cnn"),
        Figure("view_mlp", "time with a live view over without, tiny MLP", 1.06, "x", "browser:view_mlp"),
        Figure("frames_cnn", "frames drawn, small CNN", 29, "/s", "browser:frames_cnn", at_least=True),
        Figure("frames_mlp", "frames drawn, tiny MLP", 29, "/s", "browser:frames_mlp", at_least=True),
        Figure("ensemble", "64 MLPs at once over training them in turn", 12, "x", "ensemble:faster", at_least=True),
        Figure("ensemble_steps", "one model's steps, 64 at once", 30, "k/s", "ensemble:model_steps", at_least=True),
        Figure("first_frame", "from the cell's start to the first drawn frame", 3, "s", "browser:first_frame"),
        Figure("pause_idle", "pause click to training stopped", 50, "ms", "browser:pause_idle"),
        Figure("pause_busy", "the same while another cell computes", 100, "ms", "browser:pause_busy"),
        Figure("playground_frame_default", "epoch, losses, maps, packing", 5, "ms", "playground:frame_default"),
        Figure("playground_frame_6x8", "the same, 6 layers of 8, 7 features", 12, "ms", "playground:frame_6x8"),
        Figure(
            "playground_fps_default", "frames drawn at full speed", 30, "/s", "playground:fps_default", at_least=True
        ),
        Figure(
            "playground_fps_6x8", "the same, 6 layers of 8, 7 features", 30, "/s", "playground:fps_6x8", at_least=True
        ),
        Figure("playground_click", "click or drag to its effect drawn", 50, "ms", "playground:click"),
        Figure("playground_click_playing", "the same while it trains", 50, "ms", "playground:click_playing"),
        Figure("playground_first", "from the cell's start to the first drawn frame", 3, "s", "playground:first"),
        Figure("capture", "all layers captured, over the bare pass, small CNN", 1.3, "x", "activations:capture_cnn"),
        Figure("top_patches", "units of 4 layers, 5,000 pictures, over a bare pass", 1.5, "x", "features:top_patches"),
        Figure("backprop_drag", "a number dragged to all others redrawn", 50, "ms", "backprop:drag"),
        Figure("layer_change", "LayerView: click to all maps redrawn, TinyVGG 64 x 64", 100, "ms", "layer:change"),
        Figure("features_open", "FeatureView: cell's start to patches on the wall", 2, "s", "feature_view:opened"),
        Figure("saliency_change", "SaliencyView: click to quick maps redrawn", 200, "ms", "saliency_view:change"),
        Figure("landscape_mlp", "41 x 41 losses of an MLP on 500 points", 0.15, "s", "landscape:mlp"),
        Figure("landscape_cnn", "21 x 21 losses of a small CNN on 256 pictures", 2.5, "s", "landscape:cnn"),
        Figure("gradient_flow", "time with the flow probe over without, 20 layers", 1.1, "x", "flow:gradient_flow"),
        Figure("optimize", "16 preferred pictures over a plain loop's time", 0.6, "x", "optimize:over_plain"),
        Figure("optimize_seconds", "the same by the clock", 3, "s", "optimize:by_the_clock"),
        Figure(
            "optimize_activation",
            "channels excited at least as much as by the plain loop",
            16,
            "of 16",
            "optimize:excited_channels",
            at_least=True,
        ),
        Figure("leaderboard", "12 methods x 100 pictures x 6 scores, 48 x 48", 120, "s", "saliency_board:seconds"),
        Figure("saliency_gradient", "gradient of 16 pictures over captum's time", 1.05, "x", "saliency:gradient"),
        Figure(
            "saliency_input_x_gradient",
            "input x gradient of 16 pictures over captum's time",
            1.05,
            "x",
            "saliency:input_x_gradient",
        ),
        Figure(
            "saliency_guided_backprop",
            "guided backpropagation of 16 pictures over captum's time",
            1.05,
            "x",
            "saliency:guided_backprop",
        ),
        Figure(
            "saliency_deconvolution",
            "deconvolution of 16 pictures over captum's time",
            1.05,
            "x",
            "saliency:deconvolution",
        ),
        Figure("saliency_deep_lift", "DeepLift of 16 pictures over captum's time", 1.05, "x", "saliency:deep_lift"),
        Figure("saliency_lrp", "LRP of 16 pictures over captum's time", 1.05, "x", "saliency:lrp"),
        Figure("saliency_grad_cam", "Grad-CAM of 16 pictures over captum's time", 1.05, "x", "saliency:grad_cam"),
        Figure(
            "saliency_guided_grad_cam",
            "guided Grad-CAM of 16 pictures over captum's time",
            1.05,
            "x",
            "saliency:guided_grad_cam",
        ),
        Figure("saliency_occlusion", "occlusion over captum's at its best", 1.05, "x", "saliency:occlusion"),
        Figure(
            "saliency_integrated_gradients",
            "integrated gradients over captum's at its best",
            1.05,
            "x",
            "saliency:integrated_gradients",
        ),
        Figure(
            "saliency_integrated_gradients_default",
            "captum's time at its defaults over ours",
            2.5,
            "x",
            "saliency:integrated_gradients_default",
            at_least=True,
        ),
        Figure("memory", "the kernel's memory after notebook 00", 700, "MB", "browser:memory"),
        Figure("hierarchy_memory", "the kernel's memory after notebook 07", 900, "MB", "browser:hierarchy_memory"),
        Figure("hierarchy_seconds", "notebook 07 from top to bottom", 60, "s", "browser:hierarchy_seconds"),
        Figure("saliency_memory", "the kernel's memory after notebook 10", 900, "MB", "browser:saliency_memory"),
        Figure("saliency_seconds", "notebook 10 from top to bottom", 60, "s", "browser:saliency_seconds"),
    )
}


def measure(name: str) -> Result:
    """Measure one figure of FIGURES; seconds to a minute."""
    figure = FIGURES[name]
    file, function = figure.where.split(":")
    return Result(figure, getattr(import_module(f"labkit.bench.{file}"), function)())
