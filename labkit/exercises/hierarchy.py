"""Exercises of notebook 07."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.exercises.compare import compare, tensor
from labkit.exercises.exercise import Exercise, Mistake, call

if TYPE_CHECKING:
    from labkit.features import Dissection, TopPatches
    from labkit.plots.figure import Figure

# The units of objects_cnn that are to be named. Each agrees with one part at least twice as well as with any other.
_LAYER = "relu3_2"
_UNITS = {"A": 18, "B": 43, "C": 1, "D": 53}


@cache
def _found() -> tuple[Any, "TopPatches", "Dissection"]:
    """Pictures, the patches of the units in them, and how well every unit agrees with each part."""
    from labkit import data, features, zoo  # a model is loaded when the exercise is tried, not before

    net, ds = zoo.load("objects_cnn"), data.objects(n=200, seed=3)
    return ds, features.top_patches(net, _LAYER, list(_UNITS.values()), ds, k=8), features.dissect(net, _LAYER, ds)


def four_units() -> "Figure":
    """The patches that excite four units of objects_cnn most: A to D of `hierarchy.name_units`."""
    from labkit import plots  # matplotlib is imported when a figure is asked for

    ds, top, _ = _found()
    crops = [top.crops(ds, _LAYER, unit) for unit in _UNITS.values()]
    return plots.patches(crops, top.most[_LAYER].activations, list(_UNITS))


def _name_units(answer: Any) -> None:
    given = call(answer)
    if not isinstance(given, list | tuple) or len(given) != len(_UNITS):
        raise Mistake('Give four names of parts, one for each unit, such as ["door", "flag", "stem", "fin"].')
    found = _found()[2]
    for name, (letter, unit) in zip(given, _UNITS.items(), strict=True):
        if name not in found.parts:
            raise Mistake(f"{letter}: expected one of the parts {', '.join(found.parts)}; received {name!r}.")
        table = found.iou[_LAYER][unit]
        iou = table[found.parts.index(name)]
        if iou == table.max():
            continue
        if unit in found.detectors(_LAYER).get(name, []) or iou > table.max() / 4:
            raise Mistake(
                f"{letter}: it fires near the {name} too, with an IoU of {iou:.2f}. With another part it is "
                f"{table.max():.2f}. What stands in the middle of its patches?"
            )
        raise Mistake(
            f"{letter}: the masks say no. Where it fires and where a {name} is have an IoU of {iou:.2f}. Which part "
            f"do all its patches show?"
        )


def _iou(answer: Any) -> None:
    # Two pictures: the unit fires in six places, the part has five, and they share three. One value is the threshold.
    activation = np.array([[[0.9, 0.8, 0.1], [0.0, 0.7, 0.2]], [[0.6, 0.5, 0.1], [1.2, 0.9, 0.3]]])
    part = np.array([[[1, 1, 0], [0, 0, 0]], [[0, 0, 1], [1, 0, 1]]], dtype=bool)
    threshold = 0.5
    fires, at_least = activation > threshold, activation >= threshold
    both, either = fires & part, fires | part
    areas = fires.sum() + part.sum()
    given = tensor(call(answer, activation.copy(), threshold, part.copy()), "The IoU")
    mistakes = (
        (both.sum(), "That counts the pixels that are in both. Divide by those that are in one of them or in both."),
        (both.sum() / part.sum(), "You divided by the part: a unit that fires everywhere would get 1."),
        (both.sum() / fires.sum(), "You divided by where the unit fires: a single right pixel would get 1."),
        (both.sum() / areas, "In the sum of both areas, what they share counts twice. Divide by the union."),
        (2 * both.sum() / areas, "That is Dice's coefficient: twice what they share, over the sum of both areas."),
        (both.mean(), "You divided by all pixels. Most of them have to do with neither."),
        ((fires == part).mean(), "You counted the pixels where neither is as right. Leave them out."),
        (1 - both.sum() / either.sum(), "That is how much they differ: 1 − IoU."),
        (
            (both.sum((1, 2)) / either.sum((1, 2))).mean(),
            "That is the mean of each picture's IoU. Add up the pixels of all pictures first.",
        ),
        (both.sum((1, 2)) / either.sum((1, 2)), "That is one IoU a picture. Add up the pixels of all pictures first."),
        (
            (at_least & part).sum() / (at_least | part).sum(),
            "You let it fire at the threshold as well. It fires above it: >, not >=.",
        ),
        (100 * both.sum() / either.sum(), "That is a percentage. An IoU goes from 0 to 1."),
    )
    compare("The IoU", given, both.sum() / either.sum(), mistakes)


def _preferred(answer: Any) -> None:
    w, norm = np.array([[0.0, 3.0, -1.0], [2.0, 0.5, -4.0]]), 2.0
    length = float(np.linalg.norm(w))
    right, signs, bright = norm * w / length, np.sign(w), np.maximum(w, 0)
    largest = np.where(np.abs(w) == np.abs(w).max(), norm * signs, 0)
    given = tensor(call(answer, w.copy(), norm), "The picture")
    mistakes = (
        (w, f"The direction is right, but the norm is {length:.3g}. Asked is the best picture of norm {norm:g}."),
        (w / length, f"The direction is right, but the norm is 1. Asked is the best picture of norm {norm:g}."),
        (norm * w, f"The direction is right, but the norm is {norm * length:.3g}. Divide by the norm of w."),
        (norm * w / length**2, "You divided by the square of the norm of w."),
        (norm * w / np.abs(w).sum(), "You divided by the sum of the sizes. The norm is the root of a sum of squares."),
        (-right, "That excites the unit least of all. Turn the sign round."),
        (norm * signs, "Signs alone are best where each pixel has a limit of its own. Here the norm is given."),
        (
            norm * signs / np.linalg.norm(signs),
            "The norm is right, but all pixels are as bright, whether their weight is large or small.",
        ),
        (largest, "You spend all on one pixel. Some of it brings more where other weights are."),
        (
            norm * np.abs(w) / length,
            "Where a weight is negative, a bright pixel makes the sum smaller. Keep the signs.",
        ),
        (norm * bright / np.linalg.norm(bright), "Where a weight is negative, a negative pixel brings something too."),
    )
    compare("The picture", given, right, mistakes)


def _gram_cka(x: Any, y: Any) -> Any:
    return (np.linalg.norm(y.T @ x) ** 2) / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def _cka(answer: Any) -> None:
    x = np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [2.0, 2.0, 5.0], [4.0, 0.0, 1.0]])
    y = np.array([[2.0, 1.0], [5.0, 0.0], [1.0, 3.0], [6.0, 2.0], [4.0, 1.0]])
    a, b = x - x.mean(0), y - y.mean(0)
    right = _gram_cka(a, b)
    across = np.linalg.norm(b.T @ a)
    given = tensor(call(answer, x.copy(), y.copy()), "The CKA")
    mistakes = (
        (_gram_cka(x, y), "The columns are not centred. Take each one's mean over the examples away first."),
        (
            _gram_cka(x - x.mean(), y - y.mean()),
            "You took the mean of all numbers away. Each column has a mean of its own: x.mean(0).",
        ),
        (
            _gram_cka(*(z - z.mean(1, keepdims=True) for z in (x, y))),
            "You centred rows. Centre columns, each over the examples: x.mean(0).",
        ),
        (np.sqrt(right), "You took the root. CKA has none: its norms are of products already."),
        (across / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)), "The norm above is squared: ‖yᵀx‖²."),
        (
            across**2 / (np.linalg.norm(a) * np.linalg.norm(b)),
            "Below stand the norms of xᵀx and of yᵀy, not those of x and y.",
        ),
        (
            across**2 / (np.linalg.norm(a) * np.linalg.norm(b)) ** 2,
            "Below stand the norms of xᵀx and of yᵀy, not the squared norms of x and y.",
        ),
        (across**2, "That is the part above the line. Divide by ‖xᵀx‖ · ‖yᵀy‖."),
        (1 - right, "That is a distance: 1 − CKA."),
    )
    compare("The CKA", given, right, mistakes)


EXERCISES = (
    Exercise(
        name="hierarchy.name_units",
        question="Name the part that each of the units A, B, C and D detects.",
        examine=_name_units,
        hints=(
            "Look for what all patches of a row have in common, though they come from different things.",
            "The strongest place of the unit is in the middle of the patch. Grey lies outside of the picture.",
        ),
        code='def name_units():\n    return ["window", "head", "wheel", "sail"]',
        praise="Right, say the masks: for each, no other part agrees as well with where the unit fires.",
    ),
    Exercise(
        name="hierarchy.iou",
        question="Give the IoU of where the activation is above the threshold and where the part is.",
        examine=_iou,
        hints=(
            "fires = activation > threshold is True or False for each pixel, as the part is.",
            "fires & part is where both are, fires | part where at least one is. Sum over all pictures, then divide.",
        ),
        code=(
            "def iou(activation, threshold, part):\n"
            "    fires = activation > threshold\n"
            "    return (fires & part).sum() / (fires | part).sum()"
        ),
        praise="Right. That is all that dissect computes, for every unit and every part.",
    ),
    Exercise(
        name="hierarchy.preferred",
        question="Give the picture with the given norm for which the sum of w · picture is largest.",
        examine=_preferred,
        hints=(
            "w · x = ‖w‖ ‖x‖ cos(angle). Only the angle is yours to choose.",
            "The angle is 0 where x points as w does. Then make its norm right.",
        ),
        code=("import numpy as np\n\ndef preferred(w, norm):\n    return norm * w / np.linalg.norm(w)"),
        praise="Right: a linear unit's preferred picture is its own weights. Deeper ones have to be asked by gradient.",
    ),
    Exercise(
        name="hierarchy.cka",
        question="Give the linear CKA of x and y, each with a row for each example.",
        examine=_cka,
        hints=(
            "Centre first: x - x.mean(0). Then every product of two layers' columns is in y.T @ x.",
            "np.linalg.norm(y.T @ x) ** 2, over np.linalg.norm(x.T @ x) · np.linalg.norm(y.T @ y).",
        ),
        code=(
            "import numpy as np\n\n"
            "def cka(x, y):\n"
            "    x, y = x - x.mean(0), y - y.mean(0)\n"
            "    size = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)\n"
            "    return np.linalg.norm(y.T @ x) ** 2 / size"
        ),
        praise="Right. Layers of different widths can be compared, as the products are summed over all their units.",
    ),
)
