"""Hand-made features against skimage's own call, against pictures whose edges are known, and against counted pixels."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2hsv
from skimage.feature import hog
from skimage.filters import sobel_h, sobel_v

from labkit.data import digits, handmade, objects
from labkit.errors import DataError, SettingError


@pytest.fixture(scope="module")
def pictures():
    return objects(n=6, size=40, seed=2).inputs.numpy()


def ramp(degrees, side=16):
    """A picture that grows in one direction, the y axis pointing down."""
    y, x = np.mgrid[:side, :side] / side
    angle = np.radians(degrees)
    return (0.5 + 0.3 * (x * np.cos(angle) + y * np.sin(angle)))[None, None].astype(np.float32)


def test_hog_is_skimages(pictures):
    features, names = handmade.hog(pictures)
    for picture, row in zip(pictures, features, strict=True):
        expected = hog(picture.transpose(1, 2, 0), 9, (8, 8), (2, 2), channel_axis=2)
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert features.shape == (6, 4 * 4 * 4 * 9) == (6, len(names)) and features.dtype == np.float32
    assert len(set(names)) == len(names)
    assert names[9 * 4 * 4 + 9 * 2 + 1] == "gradient 30° in cell 2,0 of block 1,0"
    grey, _ = handmade.hog(digits().inputs[:3], cell=4)
    np.testing.assert_allclose(grey[1], hog(digits().inputs[1, 0].numpy(), 9, (4, 4), (2, 2)), atol=1e-6)


@pytest.mark.parametrize(("degrees", "bin_"), [(10, 0), (50, 2), (90, 4), (130, 6), (170, 8)])
def test_the_gradients_direction_is_the_bin_that_the_name_says(degrees, bin_):
    """In the middle of the picture, where the border's missing gradients do not count."""
    x = ramp(degrees, 48)
    centre = handmade.cells(x)[0, 2, 2]
    assert centre.argmax() == bin_ and centre[bin_] > 0.99 * centre.sum()
    features, names = handmade.hog(x)
    place = names.index(f"gradient {degrees}° in cell 2,2 of block 2,2")
    assert features[0, place] > 0.1
    assert handmade.cells(x).sum() == pytest.approx(1, abs=1e-4)


def test_cells_of_a_plain_picture_are_nothing():
    assert (handmade.cells(np.full((1, 3, 16, 16), 0.4)) == 0).all()


def test_colours_are_counted_pixels(pictures):
    features, names = handmade.colours(pictures, hues=6, levels=3)
    assert names[1] == "hue 0.17 to 0.33" and names[6] == "saturation 0.00 to 0.33" and len(names) == 12
    for picture, row in zip(pictures, features, strict=True):
        hsv = rgb2hsv(picture.transpose(1, 2, 0)).reshape(-1, 3).T
        counted = [np.histogram(v, bins, (0, 1))[0] / len(v) for v, bins in zip(hsv, (6, 3, 3), strict=True)]
        np.testing.assert_allclose(row, np.concatenate(counted), atol=1e-6)


def test_colours_of_a_picture_painted_by_hand():
    picture = np.zeros((1, 3, 4, 4), np.float32)
    picture[0, 0, :2] = 1  # half of it bright red, the other half black
    features, names = handmade.colours(picture)
    shares = {name: value for name, value in zip(names, features[0], strict=True) if value}
    assert shares == {
        "hue 0.00 to 0.12": 1.0,
        "saturation 0.00 to 0.25": 0.5,
        "saturation 0.75 to 1.00": 0.5,
        "brightness 0.00 to 0.25": 0.5,
        "brightness 0.75 to 1.00": 0.5,
    }


def test_edges_are_sobels_size_by_field(pictures):
    features, names = handmade.edges(pictures, grid=3)
    for picture, row in zip(pictures, features, strict=True):
        grey = picture.mean(0)
        size = np.hypot(sobel_h(grey), sobel_v(grey)) / np.sqrt(2)
        inner = (slice(1, -1), slice(1, -1))
        np.testing.assert_allclose(handmade.edge_picture(picture[None])[0][inner], size[inner], atol=1e-6)
        whole = handmade.edge_picture(picture[None])[0]
        assert row[0] == pytest.approx(whole.mean(), abs=1e-6) and row[1] == pytest.approx(whole.std(), abs=1e-6)
        assert row[names.index("edges in field 1,2")] == pytest.approx(whole[14:27, 27:].mean(), abs=1e-6)
    assert features.shape == (6, 11)


def test_describe_joins_them(pictures):
    features, names = handmade.describe(pictures)
    parts = [handmade.hog(pictures), handmade.colours(pictures), handmade.edges(pictures)]
    np.testing.assert_array_equal(features, np.concatenate([values for values, _ in parts], axis=1))
    assert names == parts[0][1] + parts[1][1] + parts[2][1]
    grey, grey_names = handmade.describe(digits().inputs[:2], cell=2)
    assert grey.shape == (2, len(grey_names)) == (2, 9 * 4 * 9 + 18)


def test_edge_filters_answer_most_to_an_edge_of_their_direction():
    filters = handmade.edge_filters(turns=6)
    np.testing.assert_allclose((filters**2).sum((1, 2)), 1, atol=1e-6)
    answers = [[(f * ramp(degrees, 5)[0, 0]).sum() for f in filters] for degrees in range(0, 180, 30)]
    assert np.argmax(answers, axis=1).tolist() == list(range(6))
    np.testing.assert_allclose(handmade.edge_filters(2, 3)[1], handmade.edge_filters(2, 3)[0].T, atol=1e-7)


def test_edge_share_of_edges_of_others_and_of_chance():
    np.testing.assert_allclose(handmade.edge_share(7 * handmade.edge_filters(turns=7)), 1, atol=1e-5)
    plain, spot = np.ones((5, 5)), np.outer([0, 1, 2, 1, 0], [0, 1, 2, 1, 0])
    np.testing.assert_allclose(handmade.edge_share([plain, spot, 0 * plain]), 0, atol=1e-6)
    chance = np.random.default_rng(0).normal(size=(4000, 3, 5, 5))
    assert handmade.edge_share(chance).mean() == pytest.approx(2 / 25, abs=0.005)
    across, down = handmade.edge_filters(2)
    assert handmade.edge_share(np.stack([across, 2 * down, 0 * down])[None])[0] == pytest.approx(1, abs=1e-5)
    half = across + (plain / 5).astype(np.float32)
    assert handmade.edge_share(half[None])[0] == pytest.approx(0.5, abs=1e-5)


def test_takes_tensors_and_leaves_them(pictures):
    x = torch.from_numpy(pictures.copy())
    for features in (handmade.hog, handmade.colours, handmade.edges):
        np.testing.assert_array_equal(features(x)[0], features(pictures)[0])
        assert np.isfinite(features(x)[0]).all()
    np.testing.assert_array_equal(x.numpy(), pictures)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: handmade.hog(x[0]), DataError, r"\(n, 1 or 3, H, W\); received \(3, 40, 40\)"),
        (lambda x: handmade.hog(255 * x), DataError, "Divide bytes by 255"),
        (lambda x: handmade.edges(x * np.nan), DataError, "from 0 to 1; received nan"),
        (lambda x: handmade.hog(x, cell=21), SettingError, "2 to 20 pixels.*received cell=21"),
        (lambda x: handmade.cells(x, orientations=0), SettingError, "received orientations=0"),
        (lambda x: handmade.colours(x[:, :1]), DataError, "red, green and blue"),
        (lambda x: handmade.colours(x, hues=0), SettingError, "received hues=0"),
        (lambda x: handmade.edges(x, grid=41), SettingError, "1 to 40 fields"),
        (lambda x: handmade.edge_filters(side=4), SettingError, "odd side"),
        (lambda x: handmade.edge_share(x[0, 0]), DataError, r"square filters .* received \(40, 40\)"),
    ],
)
def test_what_cannot_be_used_is_refused(pictures, call, error, message):
    with pytest.raises(error, match=message):
        call(pictures)
