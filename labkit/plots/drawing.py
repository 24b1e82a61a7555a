"""A drawing, what the model sees of it, and what it says."""

from collections.abc import Sequence

import numpy as np

from labkit.plots.figure import Figure
from labkit.plots.look import ACCENT, DIVERGING, GREY, SOFT, number, picture


def drawing(
    ink: np.ndarray,
    tensor: np.ndarray | None = None,
    probabilities: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    evidence: np.ndarray | None = None,
) -> Figure:
    """ink: (H, W) uint8, 0 is paper; tensor: (h, w) what the model is given; probabilities: (classes,), 0 to 1;

    evidence: (h, w) signed attribution of the most probable class. Whatever is None is left out.
    """
    parts = [name for name, part in (("ink", ink), ("tensor", tensor), ("evidence", evidence)) if part is not None]
    widths = [1.0] * len(parts) + ([1.3] if probabilities is not None else [])
    figure = Figure(figsize=(2.4 * sum(widths), 2.9), layout="constrained", facecolor="white")
    axes = iter(figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0])

    figure.alt = "A drawing"
    part = next(axes)
    picture(part, ink, cmap="gray_r", vmin=0, vmax=255)
    part.set_title("Drawing", fontsize=10)
    if tensor is not None:
        part = next(axes)
        picture(part, tensor, cmap="gray_r", vmin=0, vmax=1)
        part.set_title(f"What the model sees\n{tensor.shape[0]}×{tensor.shape[1]} pixels", fontsize=10)
    if evidence is not None:
        part = next(axes)
        most = float(np.abs(evidence).max()) or 1.0
        picture(part, evidence, cmap=DIVERGING, vmin=-most, vmax=most)
        part.set_title(f"Evidence\n{number(-most)} (against) to {number(most)} (for)", fontsize=10)
    if probabilities is not None:
        part = next(axes)
        best = int(np.argmax(probabilities))
        names = [str(name) for name in classes] if classes else [str(k) for k in range(len(probabilities))]
        part.barh(names, probabilities, color=[ACCENT if k == best else GREY for k in range(len(names))])
        part.invert_yaxis()
        part.set_xlim(0, 1)
        part.set_title("Probability of each class", fontsize=10)
        part.tick_params(colors=SOFT, length=0, labelsize=9)
        for spine in part.spines.values():
            spine.set_visible(False)
        part.text(probabilities[best] + 0.02, best, number(float(probabilities[best])), va="center", fontsize=9)
        figure.alt = f"The model reads {names[best]}, probability {number(float(probabilities[best]))}"
        figure.suptitle(figure.alt, fontsize=12, fontweight="bold")
    return figure
