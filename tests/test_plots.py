"""Figures from arrays: what they show is what they were given."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve

from labkit import plots
from labkit.plots.look import CLASSES, DIVERGING, number
from labkit.plots.playground import FEATURES, playground_text
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


def playground(kind="binary", test=True, **changes):
    """What plots.playground is given, of two features and hidden layers of 3 and 2 neurons."""
    rng = np.random.default_rng(0)
    outputs = 3 if kind == "classes" else 1
    targets = {"binary": np.tile([-1, 1], 10), "classes": np.arange(20) % 3, "regression": rng.uniform(-1, 1, 20)}[kind]
    points = np.column_stack([rng.uniform(-5, 5, (20, 2)), targets])
    given = {
        "layers": [("tanh", 3), ("relu", 2), ("output", outputs)],
        "maps": rng.integers(0, 256, (5 + outputs, 100, 100), np.uint8),
        "reach": np.array([1, 1, 1, 2.5, 4] + [1] * outputs, np.float32),
        "features": ["x1", "sin_x2"],
        "feature_maps": rng.integers(0, 256, (2, 100, 100), np.uint8),
        "weights": [rng.normal(size=shape) for shape in ((3, 2), (2, 3), (outputs, 2))],
        "kind": kind,
        "train": points,
        "test": points[:8] + [0.1, 0, 0] if test else None,
        "history": {"epoch": np.arange(4), "train_loss": np.array([0.5, 0.2, 0.1, 0.015]),
                    "test_loss": np.array([0.6, 0.3, 0.2, 0.021]), "test_accuracy": np.array([0.5, 0.6, 0.7, 0.99])},
    }  # fmt: skip
    if kind == "classes":
        given |= {
            "decision": rng.integers(0, 3, (100, 100), np.uint8),
            "confidence": np.full((100, 100), 255, np.uint8),
        }
    return given | changes


def test_the_playground_shows_its_network_its_output_and_its_losses():
    given = playground()
    figure = plots.playground(**given)
    network, output, losses = figure.axes
    shown = [image.get_array() for image in network.images]
    np.testing.assert_array_equal(shown[:2], given["feature_maps"])
    np.testing.assert_array_equal(shown[2:], given["maps"])
    np.testing.assert_allclose(output.images[0].get_array(), given["maps"][5] / 127.5 - 1)
    assert output.images[0].get_extent() == [-6, 6, -6, 6]
    assert output.images[0].origin == "upper"  # the first row is y = 6
    words = [text.get_text() for text in network.texts]
    assert words[0] == "features"
    assert {"tanh", "relu", "output", "x₁", "sin x₂"} <= set(words)
    train, test = lines(losses)
    np.testing.assert_array_equal(train.get_ydata(), given["history"]["train_loss"])
    assert (train.get_linestyle(), test.get_linestyle()) == ("-", "--")
    assert figure.get_suptitle() == figure.alt == "Test loss 0.0210, accuracy 0.990 after 3 epochs"
    rendered(figure)


def test_links_are_as_wide_as_their_weights_and_the_range_is_printed():
    weights = [np.array([[1.0, -4], [0, 2]]), np.array([[-1.0, 2]])]
    maps, reach = np.zeros((3, 9, 9), np.uint8), np.array([2, 3, 1], np.float32)
    figure = plots.playground(
        **playground(layers=[("relu", 2), ("output", 1)], weights=weights, maps=maps, reach=reach)
    )
    network = figure.axes[0]
    first = network.collections[0]
    by_size = [0, 1, 2, -4]  # the strongest is drawn last, on top
    assert first.get_linewidths() == pytest.approx([0.4 + abs(w) for w in by_size])
    colours = first.get_colors()
    for weight, (red, _, blue, _) in zip(by_size, colours, strict=True):
        assert (blue > red) == (weight > 0) or weight == 0
    goals = [path.vertices[-1][1] for path in first.get_paths()]
    assert goals[3] == goals[1] > goals[2]  # -4 and 1 lead to the upper neuron, 2 to the lower one
    caption = network.texts[-1].get_text()
    assert "up to 4.00" in caption
    assert "±1.00 to ±3.00" in caption


@pytest.mark.parametrize("test", [True, False])
def test_points_of_two_classes_differ_by_marker_and_stand_where_they_are(test):
    given = playground(test=test)
    output = plots.playground(**given).axes[1]
    groups = [c for c in output.collections if len(c.get_offsets())]
    assert len(groups) == (6 if test else 2)  # those of the test have a rim
    assert [len(group.get_facecolors()) > 0 for group in groups] == [True, True, False, False, False, False][
        : len(groups)
    ]
    for group, label in zip(groups, (-1, 1, -1, -1, 1, 1), strict=False):
        points = given["train"] if group in groups[:2] else given["test"]
        np.testing.assert_allclose(group.get_offsets(), points[points[:, 2] == label, :2])
    shapes = [len(group.get_paths()[0].vertices) for group in groups[:2]]
    assert shapes[0] != shapes[1]
    names = [text.get_text() for text in output.get_legend().get_texts()]
    assert names == ["\N{MINUS SIGN}1", "+1", *(["training", "test"] if test else [])]


def test_a_playground_of_classes_or_values():
    given = playground("classes")
    figure = plots.playground(**given, classes=["cat", "dog", "hen"])
    network, output, _ = figure.axes
    colours = output.images[0].get_array()
    assert colours.shape == (100, 100, 3)
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 3  # all are sure
    assert network.images[-1].get_array().shape == (100, 100, 3)  # a probability in its class's colour
    assert [text.get_text() for text in output.get_legend().get_texts()][:3] == ["cat", "dog", "hen"]
    rendered(figure)

    given = playground("regression", history={"epoch": [0], "train_loss": [0.4], "test_loss": [0.5]})
    figure = plots.playground(**given)
    points = figure.axes[1].collections[0]
    np.testing.assert_allclose(points.get_facecolors(), DIVERGING(0.5 + given["train"][:, 2] / 2))
    assert figure.alt == "A network about to train"
    rendered(figure)


def test_any_network_of_the_playground_fits():
    for widths in ((), (16,) * 8):
        layers = [*(("leaky_relu", width) for width in widths), ("output", 6)]
        sizes = [7, *widths, 6]
        figure = plots.playground(**playground(
            "classes", layers=layers, maps=np.zeros((sum(sizes[1:]), 10, 10), np.uint8), reach=np.ones(sum(sizes[1:])),
            features=list(FEATURES), feature_maps=np.zeros((7, 10, 10), np.uint8), history=None,
            weights=[np.zeros((b, a)) for a, b in zip(sizes, sizes[1:], strict=False)],
        ))  # fmt: skip
        rendered(figure)
        network = figure.axes[0]
        boxes = [image.get_extent() for image in network.images]
        for i, (left, right, low, high) in enumerate(boxes):
            assert right - left == pytest.approx(high - low)
            for other_left, other_right, other_low, other_high in boxes[i + 1 :]:
                assert left >= other_right or right <= other_left or low >= other_high or high <= other_low


@pytest.mark.parametrize(
    ("history", "text"),
    [
        ({}, "A network about to train"),
        ({"epoch": [0, 1], "train_loss": [1, 0.5]}, "Training loss 0.500 after 1 epoch"),
        ({"epoch": [0, 1.5], "test_loss": [1, 0.25]}, "Test loss 0.250 after 1.5 epochs"),
        (
            {"epoch": [1200], "test_loss": [0.1], "test_accuracy": [1.0]},
            "Test loss 0.100, accuracy 1.00 after 1,200 epochs",
        ),
    ],
)
def test_the_playgrounds_finding(history, text):
    assert playground_text(history) == text


def test_a_surface_with_its_points():
    x, y = np.meshgrid(np.linspace(-6, 6, 40), -np.linspace(-6, 6, 40))
    points, targets = np.array([[1.0, 2], [-3, 0], [4, 4]]), np.array([1, 0, 1])
    figure = plots.surface(2 * np.tanh(x), points, targets, title="It reads x₁")
    axes = figure.axes[0]
    assert axes.images[0].get_clim() == pytest.approx((-2, 2), abs=0.01)  # symmetric about zero, and printed
    assert axes.get_title() == "Colour: what it answers, orange \N{MINUS SIGN}2.00 to blue 2.00"
    assert figure.alt == figure.get_suptitle() == "It reads x₁"
    orange, blue = (c for c in axes.collections if len(c.get_offsets()))
    np.testing.assert_array_equal(orange.get_offsets(), points[targets == 0])
    np.testing.assert_array_equal(blue.get_offsets(), points[targets == 1])
    np.testing.assert_array_equal(  # -1 and 1 are the same two classes
        plots.surface(x, points, 2.0 * targets - 1).axes[0].collections[0].get_offsets(), orange.get_offsets()
    )
    rendered(figure)
    values = plots.surface(x, points, np.array([0.5, -0.2, 0.1])[:, None]).axes[0].collections[0]
    np.testing.assert_allclose(values.get_facecolors(), DIVERGING(0.5 + np.array([0.5, -0.2, 0.1]) / 12))
    several = plots.surface(
        np.stack([x > 2, x < -2, np.abs(x) <= 2]) * 1.0, points, np.array([2, 1, 0]), ["a", "b", "c"]
    )
    colours = several.axes[0].images[0].get_array()
    assert colours.shape == (40, 40, 3)
    for class_, column in enumerate((39, 0, 20)):  # each region is nearest to its own class's colour
        far = [np.abs(colours[0, column] - to_rgb(colour)).sum() for colour in CLASSES[:3]]
        assert np.argmin(far) == class_
    assert [text.get_text() for text in several.axes[0].get_legend().get_texts()] == ["a", "b", "c"]
    rendered(several)
    rendered(plots.surface(np.zeros((5, 5))))


def test_a_quantity_by_layer_of_several_networks():
    fades, dies = 10.0 ** -np.arange(6), np.array([0.5, np.inf, 0, 0, 0, 0])
    figure = plots.by_layer({"fades": fades, "dies": dies}, "size of the gradient")
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    first, second = lines(axes)
    np.testing.assert_array_equal(first.get_xdata(), [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(first.get_ydata(), fades)
    np.testing.assert_array_equal(second.get_ydata(), [0.5] + 5 * [np.nan])  # a gap, not a line down to nothing
    assert first.get_marker() != second.get_marker()
    assert {text.get_text() for text in axes.texts} == {"fades", "dies"}
    assert figure.alt == (
        "Size of the gradient from the first layer to the last: fades from 1.00 to 1.0e-5, dies from 0.500 to 0"
    )
    rendered(figure)


def test_plots_need_no_torch_and_open_no_window():
    code = "import sys, labkit.plots; print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
    assert matplotlib.get_backend()


# Hand-made features


def test_handmade_draws_a_stroke_along_the_edge_of_each_direction():
    cells = np.zeros((2, 3, 4))
    cells[1, 2, 0], cells[0, 0, 3] = 0.5, 0.25  # gradients at 22.5 and 157.5 degrees
    edges, hues = np.random.default_rng(0).random((16, 24)), np.array([0.25, 0.75])
    figure = plots.handmade(np.zeros((3, 16, 24)), cells, edges, hues, maps=np.zeros((9, 4, 4)))
    rendered(figure)
    shown, strokes, edge, bars = figure.subfigs[0].axes
    np.testing.assert_array_equal(edge.images[0].get_array(), edges)
    assert [bar.get_height() for bar in bars.patches] == [0.25, 0.75]
    segments = np.array(strokes.collections[0].get_segments())
    along = segments[:, 1] - segments[:, 0]
    np.testing.assert_allclose(segments.mean(1), [[4, 4], [20, 12]])  # the middles of cells (0, 0) and (1, 2)
    np.testing.assert_allclose(np.degrees(np.arctan2(along[:, 1], along[:, 0])) % 180, [67.5, 112.5])
    np.testing.assert_allclose(np.hypot(*along.T), [0.48 * 8, 0.96 * 8])
    assert len([axes for axes in figure.subfigs[1].axes if axes.images]) == 9
    assert figure.alt == (
        "A picture, its oriented gradients in 2 by 3 cells, its edges, the shares of its hues (most: 0.750), and 9 "
        "feature maps of a network."
    )


def test_handmade_without_colours_or_maps():
    figure = plots.handmade(np.zeros((1, 8, 8)), np.zeros((2, 2, 9)), np.zeros((8, 8)))
    rendered(figure)
    assert len(figure.axes) == 3 and figure.alt == "A picture, its oriented gradients in 2 by 2 cells, its edges."


def test_filters_are_scaled_one_by_one_about_zero():
    signed, colour = np.array([[[-2.0, 1.0]], [[0.0, 0.0]]]), np.full((1, 3, 1, 2), -4.0)
    colour[0, 0, 0, 1] = 2
    figure = plots.filters({"one": signed, "many colours": colour})
    rendered(figure)
    one, many = ([axes.images[0] for axes in part.axes if axes.images] for part in figure.subfigs)
    assert [image.get_clim() for image in one] == [(-2, 2), (-1, 1)]
    np.testing.assert_allclose(many[0].get_array(), [[[0, 0, 0], [0.75, 0, 0]]])
    assert figure.alt == "Filters: 2, one; 1, many colours."


def test_precision_recall_shows_the_curve_and_its_average():
    fraud, score = np.array([0, 0, 1, 1, 0]), np.array([0.1, 0.4, 0.35, 0.8, 0.7])
    precision, recall, _ = precision_recall_curve(fraud, score)
    average = average_precision_score(fraud, score)
    figure = plots.precision_recall({"a": (precision, recall)}, base=0.4, chosen={"a": (0.5, 1.0)})
    rendered(figure)
    line, point, base = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), recall)
    np.testing.assert_array_equal(line.get_ydata(), precision)
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (1.0, 0.5)
    assert base.get_ydata()[0] == 0.4
    assert figure.alt == (
        f"Precision over recall; average precision: a {average:.3f}, alarms at random 0.400. "
        "At its threshold, a has precision 0.500 and recall 1.00."
    )


@pytest.mark.parametrize("count", [1, 3, 5, 6])
def test_the_wall_of_maps_has_no_empty_axes(count):
    maps = {f"method {i}": np.full((4, 4), i + 1.0) for i in range(count)}
    figure = plots.saliency(np.zeros((4, 4), np.uint8), maps, "What is seen")
    assert [bool(axes.images) for axes in figure.axes if axes.axison] == [True] * (count + 1)
