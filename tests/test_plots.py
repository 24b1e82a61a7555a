"""Figures from arrays: what they show is what they were given."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from labkit import plots
from labkit.plots.look import number
from labkit.plots.training import smooth, training_text

STEP = np.arange(1, 41)
RUN = {
    "name": "A",
    "step": STEP,
    "loss": 2 / STEP,
    "eval_step": np.array([0, 20, 40]),
    "test_loss": np.array([2.0, 0.5, 0.25]),
    "train_accuracy": np.array([0.1, 0.8, 0.97]),
    "test_accuracy": np.array([0.1, 0.7, 0.94]),
}


def lines(axes):
    return [line for line in axes.lines if np.size(line.get_xdata()) > 1]


def rendered(figure: Figure) -> np.ndarray:
    """Drawn to pixels: warnings are errors, so what does not fit or has no glyph fails here."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_smoothing_is_the_weighted_mean_so_far():
    values, weight = np.array([3.0, 1, 4, 1, 5]), 0.8
    for i in range(5):
        weights = weight ** np.arange(i, -1, -1)
        assert smooth(values, weight)[i] == pytest.approx((weights * values[: i + 1]).sum() / weights.sum())
    np.testing.assert_array_equal(smooth(values, 0), values)
    gap = smooth(np.array([1.0, np.nan, 1.0]), 0.5)
    assert np.isnan(gap[1])
    assert gap[2] == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.9412, "0.941"), (1, "1.00"), (-12, "\N{MINUS SIGN}12.0"), (0.00123, "0.00123"), (1.234e-5, "1.2e-5"),
     (999.4, "999"), (999.6, "1.00 k"), (3.4e6, "3.40 M"), (float("nan"), "NaN"), (float("-inf"), "\N{MINUS SIGN}∞")],
)  # fmt: skip
def test_numbers_are_written_as_in_the_views(value, text):
    assert number(value) == text


def test_training_shows_its_columns_and_says_the_finding():
    figure = plots.training([RUN])
    loss, accuracy = figure.axes
    raw, smoothed, test = lines(loss)
    np.testing.assert_array_equal(raw.get_ydata(), RUN["loss"])
    np.testing.assert_allclose(smoothed.get_ydata(), smooth(RUN["loss"], 0.9))
    np.testing.assert_array_equal(test.get_ydata(), RUN["test_loss"])
    assert (smoothed.get_linestyle(), test.get_linestyle()) == ("-", "--")
    assert [line.get_linestyle() for line in lines(accuracy)] == ["-", "--"]
    assert figure.get_suptitle() == "Test accuracy 0.940 after 40 steps"
    rendered(figure)


def test_of_two_runs_the_active_one_has_the_accent():
    figure = plots.training([RUN, {**RUN, "name": "B", "loss": 1 / STEP}], active=1)
    colours = {line.get_color() for line in lines(figure.axes[0])}
    assert colours == {"#0b6bb8", "#70757a"}
    np.testing.assert_array_equal(lines(figure.axes[0])[2].get_ydata(), 1 / STEP)
    assert lines(figure.axes[0])[2].get_color() == "#0b6bb8"
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "A test" in words
    assert "B training" in words
    heights = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    assert min(np.diff(heights)) >= 0.084  # labels do not overlap
    rendered(figure)


def test_without_accuracy_there_is_one_panel_and_without_rows_a_sentence():
    assert len(plots.training([{"name": "A", "step": STEP, "loss": 1 / STEP}], log=True).axes) == 1
    figure = plots.training([{"name": "A", "step": np.array([]), "loss": np.array([])}])
    assert figure.get_suptitle() == "A network about to train"
    rendered(figure)
    assert training_text({"step": STEP, "loss": 1 / STEP}) == "Training loss 0.0250 after 40 steps"


def test_a_wall_marks_wrong_ones_by_more_than_colour():
    pictures = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    figure = plots.predictions(
        pictures, np.array([1, 0, 2]), np.array([1, 2, 2]), ["cat", "dog", "hen"], np.full(3, 0.5)
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.split("\n")[0] for title in titles] == ["✓ dog", "✗ cat (hen)", "✓ hen"]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), pictures[1])
    assert figure.get_suptitle() == "2 of 3 right"
    rendered(figure)
    rendered(plots.predictions(np.zeros((9, 4, 4, 3), np.uint8), np.zeros(9, int), np.zeros(9, int)))


def test_pictures_side_by_side():
    images = np.random.default_rng(0).random((12, 1, 4, 4))
    figure = plots.pictures(images, names=range(12))
    assert [axes.get_title() for axes in figure.axes[:12]] == [str(k) for k in range(12)]
    np.testing.assert_array_equal(figure.axes[11].images[0].get_array(), images[11, 0])
    colours = plots.pictures(np.zeros((2, 3, 4, 5)))
    assert colours.axes[0].images[0].get_array().shape == (4, 5, 3)
    rendered(figure)


def test_a_figure_shows_itself_with_its_finding_in_words():
    figure = plots.training([RUN])
    bundle = figure._repr_mimebundle_()
    assert bundle["text/plain"] == "Figure: Test accuracy 0.940 after 40 steps"
    assert 'alt="Test accuracy 0.940 after 40 steps"' in bundle["text/html"]
    assert "data:image/png;base64," in bundle["text/html"]


def test_a_drawing_with_its_reading():
    ink = np.zeros((16, 16), np.uint8)
    ink[4:12, 8] = 255
    evidence = np.zeros((8, 8))
    evidence[2, 3], evidence[5, 5] = -0.5, 0.25
    figure = plots.drawing(ink, ink[::2, ::2] / 255, np.array([0.1, 0.7, 0.2]), ["x", "y", "z"], evidence)
    picture, _, heat, bars = figure.axes
    np.testing.assert_array_equal(picture.images[0].get_array(), ink)
    assert heat.images[0].get_clim() == (-0.5, 0.5)  # symmetric about zero, and its range is printed
    assert "\N{MINUS SIGN}0.500 (against) to 0.500 (for)" in heat.get_title()
    assert [bar.get_width() for bar in bars.patches] == [0.1, 0.7, 0.2]
    assert figure.get_suptitle() == "The model reads y, probability 0.700"
    rendered(figure)
    assert len(plots.drawing(ink).axes) == 1


def test_plots_need_no_torch_and_open_no_window():
    code = "import sys, labkit.plots; print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
    assert matplotlib.get_backend()
