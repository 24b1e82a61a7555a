"""What verdicts.json says of the methods is what the checks find now, and the figures of boards and curves."""

import json

import numpy as np
import pytest

from labkit import data, plots, saliency, zoo
from labkit.errors import SettingError
from labkit.saliency import verdict


@pytest.fixture(scope="module")
def again():
    """The quick ones, on the same pictures."""
    ds = data.objects(n=verdict.measured()["on"]["pictures"])
    quick = ("gradient", "input_x_gradient", "edge", "grad_cam")
    return verdict.measure(zoo.load("objects_cnn"), ds, "objects_cnn", quick)


def test_what_is_kept_is_what_is_found_now(again):
    kept = verdict.measured()
    assert set(kept["methods"]) == set(saliency.METHODS)
    assert again["on"] | {"versions": None} == kept["on"] | {"versions": None}
    for method, checks in again["methods"].items():
        for check, value in checks.items():
            assert value == pytest.approx(kept["methods"][method][check], rel=0.05, abs=0.01), (method, check)


def test_verdicts_say_what_the_checks_are_known_to_say():
    found = verdict.measured()["methods"]
    assert found["gradient"]["input_shift"] < 0.001 < found["input_x_gradient"]["input_shift"]
    assert found["edge"]["randomized"] == 1 > found["guided_backprop"]["randomized"] > found["gradient"]["randomized"]
    assert found["grad_cam"]["grid"] > 0.3 and found["integrated_gradients"]["deletion"] < found["random"]["deletion"]
    assert any("Stays" in line for line in saliency.verdicts("gradient"))
    assert any("does not ask" in line for line in saliency.verdicts("edge"))
    assert any("more than the network" in line for line in saliency.verdicts("guided_backprop"))
    with pytest.raises(SettingError, match="magic"):
        saliency.verdicts("magic")


def test_verdicts_are_plain_and_say_how_they_were_made():
    on = verdict.measured()["on"]
    assert on["model"] == "objects_cnn" and on["seed"] == 0 and set(on["versions"]) == {"torch", "numpy"}
    assert json.loads(verdict.FILE.read_text(encoding="utf-8")) == verdict.measured()


def test_the_leaderboards_figure():
    mean = np.array([[0.9, 0.5], [0.2, np.nan], [0.95, 0.1]])
    figure = plots.leaderboard(mean, ["gradient", "grad_cam", "edge"], ["AUC", "deletion"], ["higher", "lower"],
                               mean / 10, ("edge",), 7)  # fmt: skip
    assert figure.alt.startswith("Best of 3 methods over 7 pictures, controls left out: ")
    assert figure.alt.endswith("AUC gradient 0.900; deletion gradient 0.500.")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gradient", "grad cam", "edge"]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "AUC\n↑ higher\nis better",
        "deletion\n↓ lower\nis better",
    ]
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    assert np.allclose(shown, [[0.7 / 0.75, 0], [0, np.nan], [1, 1]], equal_nan=True)
    assert len(axes.patches) == 2  # a frame for each score
    words = [text.get_text() for text in axes.texts]
    assert "none" in words and "controls" in words and "0.900\n± 0.0900" in words
    first = plots.leaderboard(mean, ["edge", "grad_cam", "gradient"], ["AUC", "deletion"], ["higher", "lower"],
                              controls=("edge",))  # fmt: skip
    assert [label.get_text() for label in first.axes[0].get_yticklabels()] == ["grad cam", "gradient", "edge"]
    figure.savefig("/dev/null", format="png", dpi=20)


def test_the_randomisations_figure():
    curves = {"gradient": np.array([[0.5, 0.7], [0.2, np.nan]]), "edge": np.ones((2, 2))}
    maps = {name: np.zeros((3, 4, 4)) for name in curves}
    figure = plots.randomization(curves, ["output", "conv1"], "rank", maps)
    assert figure.alt.endswith("once conv1 is drawn anew: gradient 0.200, edge 1.00")
    lines = figure.axes[0].lines
    assert np.allclose(lines[0].get_ydata(), [1, 0.6, 0.2]) and np.allclose(lines[1].get_ydata(), 1)
    assert [axes.get_title() for axes in figure.axes[1:4]] == ["trained", "output", "conv1"]
    assert len(figure.axes) == 7 and len(plots.randomization(curves, ["output", "conv1"]).axes) == 1
