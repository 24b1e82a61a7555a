"""Figures of what units look for: what is drawn and what their text says."""

import numpy as np
import pytest

from labkit import plots
from labkit.errors import DataError


def test_patches_are_rows_of_crops_with_their_activations():
    rng = np.random.default_rng(0)
    crops = [rng.random((3, 3, 5, 5)), rng.random((2, 1, 9, 9)) + 0.4]
    figure = plots.patches(crops, [np.array([2.0, 1.0, 0.5]), np.array([7.0, -1.0])], ["wheel", "edge"])
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 5 and shown[0].shape == (5, 5, 3) and shown[3].shape == (9, 9)
    assert np.allclose(shown[0], crops[0][0].transpose(1, 2, 0)) and shown[3].max() == 1
    labels = [axes.get_xlabel() for axes in figure.axes if axes.images]
    assert labels == ["2.00", "1.00", "0.500", "7.00", "\N{MINUS SIGN}1.00"]
    assert "wheel 2.00 to 0.500; edge 7.00 to \N{MINUS SIGN}1.00" in figure.alt and "most" in figure.alt
    with pytest.raises(DataError, match="a name for each unit"):
        plots.patches(crops, [np.zeros(3)], ["wheel"])


def test_a_dissection_shows_the_best_units_and_parts_first():
    iou = np.array([[0.01, 0.02, 0.0], [0.3, 0.0, 0.01], [0.02, 0.0, 0.1]])
    figure = plots.dissection(iou, ["wheel", "door", "roof"], "relu3")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["wheel", "roof"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "0"]
    assert np.allclose(axes.images[0].get_array(), iou[[1, 2, 0]][:, [0, 2]].T)
    assert [patch.get_xy() for patch in axes.patches] == [(-0.5, -0.5), (0.5, 0.5)]
    assert figure.alt == (
        "2 of 3 units of relu3 detect a part (IoU 0.04 or more); unit 1 agrees best, with wheel, 0.300"
    )
    nothing = plots.dissection(iou / 10, ["wheel", "door", "roof"])
    assert nothing.alt.startswith("0 of 3 units detect") and not nothing.axes[0].patches


def test_detectors_are_counted_by_layer_and_network():
    trained = {"a": np.array([[0.5, 0.0], [0.0, 0.01]]), "b": np.array([[0.5, 0.0], [0.0, 0.04]])}
    figure = plots.detectors({"trained": trained, "untrained": {name: 0 * t for name, t in trained.items()}})
    assert [bar.get_height() for bar in figure.axes[0].patches] == [50, 100, 0, 0]
    assert "trained: 1 of 2 in a, 2 of 2 in b; untrained: 0 of 2 in a, 0 of 2 in b" in figure.alt


def test_similarity_names_the_most_and_least_alike():
    cka = np.array([[1, 0.8, 0.2], [0.8, 1, 0.5], [0.2, 0.5, 1]])
    figure = plots.similarity(cka, ["a", "b", "c"])
    assert np.allclose(figure.axes[0].images[0].get_array(), cka)
    assert figure.alt == "CKA: most alike a and b 0.800; least a and c 0.200"
    assert "0.50" in [text.get_text() for text in figure.axes[0].texts]
    other = plots.similarity(cka[:2], ["a", "b"], ["x", "y", "z"], names=("trained", "untrained"))
    assert other.alt == "CKA: most alike a and x 1.00; least a and z 0.200"
    assert other.axes[0].get_xlabel() == "untrained"


def test_similarity_over_steps_says_from_when_a_layer_stays_alike():
    cka = np.array([[0.2, 0.1, 0.95], [0.95, 0.3, 0.95], [0.97, 0.89, 0.92]])
    figure = plots.similarity_over_steps(cka, np.array([0, 10, 20]), ["early", "late", "first"])
    assert [tuple(line.get_ydata()) for line in figure.axes[0].lines] == [tuple(column) for column in cka.T]
    assert figure.alt.endswith("early 10, late never, first 0")


def test_an_embedding_says_how_well_classes_part():
    points = np.array([[0, 0], [0, 1], [5, 5], [5, 6]], float)
    figure = plots.embedding({"early": points[[0, 2, 1, 3]], "late": points}, np.array([0, 0, 1, 1]), ["cat", "dog"])
    assert figure.alt.endswith("early 0%, late 100%")
    drawn = [np.asarray(part.get_offsets()) for part in figure.axes[1].collections]
    assert np.array_equal(np.concatenate(drawn), points)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cat", "dog"]
    many = plots.embedding({"a": np.random.default_rng(0).random((24, 2))}, np.arange(24) % 12)
    looks = {(tuple(p.get_facecolor()[0]), p.get_paths()[0].vertices.tobytes()) for p in many.axes[0].collections}
    assert len(looks) == 12
