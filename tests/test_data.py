"""Dataset, the toy sets against their published formulas, digits, and drawings read as digits."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from labkit.data import Dataset, digits, ink_to_digit, toy
from labkit.data.dataset import PartMasks
from labkit.errors import DataError, SettingError


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- Dataset


def test_inputs_become_float32_and_whole_targets_classes():
    ds = Dataset([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], classes=["same", "different"])
    assert ds.inputs.dtype == torch.float32
    assert ds.targets.dtype == torch.int64
    assert ds.task == "classification"
    assert ds.classes == ("same", "different")
    x, y = ds[1]
    assert x.tolist() == [0.0, 1.0]
    assert y.item() == 1
    assert [int(y) for _, y in ds] == [0, 1, 1, 0]
    assert Dataset(np.zeros((2, 3), np.float64), np.array([True, False])).inputs.dtype == torch.float32


def test_real_targets_are_regression_and_a_column():
    ds = Dataset(np.zeros((3, 2)), [0.5, 1.0, 2.0])
    assert ds.task == "regression"
    assert ds.targets.shape == (3, 1)
    assert ds.classes is None


def test_token_ids_stay_whole_numbers():
    assert Dataset(torch.zeros(2, 5, dtype=torch.int64), [0, 1]).inputs.dtype == torch.int64


def test_works_in_a_torch_data_loader():
    loader = torch.utils.data.DataLoader(toy("gauss", n=10), batch_size=4)
    assert [len(y) for _, y in loader] == [4, 4, 2]


def test_repr_is_one_short_line():
    ds = Dataset(np.zeros((4, 3, 8, 8)), [0, 1, 2, 0], masks={"wheel": np.zeros((4, 8, 8), bool)})
    assert repr(ds) == "Dataset(4 examples of 3 x 8 x 8, 3 classes, 1 masks)"
    assert repr(toy("plane", n=5)) == "Dataset(5 examples of 2, 1 real target(s))"


PICTURES = np.zeros((2, 1, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": np.zeros((3, 2)), "targets": [0, 1]}, "3 inputs and 2 targets"),
        ({"inputs": np.zeros((0, 2)), "targets": []}, "at least one example"),
        ({"inputs": np.zeros((2, 2)), "targets": []}, "at least one target"),
        ({"inputs": [[0.0], [np.nan]], "targets": [0, 1]}, "first in example 1"),
        ({"inputs": [[0.0], [1e300]], "targets": [0, 1]}, "NaN or infinite in float32"),
        ({"inputs": [[0.0], [1.0]], "targets": [0.0, np.inf]}, "finite targets"),
        ({"inputs": np.zeros((2, 2), np.uint8), "targets": [0, 1]}, "inputs / 255"),
        ({"inputs": np.zeros((2, 2), complex), "targets": [0, 1]}, "Expected numbers as inputs"),
        ({"inputs": torch.zeros(2, 2, dtype=torch.complex64), "targets": [0, 1]}, "complex"),
        ({"inputs": [["a"], ["b"]], "targets": [0, 1]}, "Expected numbers as inputs"),
        ({"inputs": [[1, 2], [3]], "targets": [0, 1]}, "Expected numbers as inputs"),
        ({"inputs": np.zeros((2, 2)), "targets": [0, -1]}, "from 0 on; received -1"),
        ({"inputs": np.zeros((2, 2)), "targets": [[0], [1]]}, r"shape \(2, 1\)"),
        ({"inputs": np.zeros((2, 2)), "targets": [0, 2], "classes": ["a", "b"]}, "0 to 1 .* received 2"),
        ({"inputs": np.zeros((2, 2)), "targets": [0, 1], "classes": ["a", "a"]}, "different class names"),
        ({"inputs": np.zeros((2, 2)), "targets": [0, 1], "classes": "ab"}, "list of different"),
        ({"inputs": np.zeros((2, 2)), "targets": [0.0, 1.0], "classes": ["a", "b"]}, "regression"),
        ({"inputs": np.zeros((2, 2)), "targets": [0, 1], "masks": {"a": np.zeros((2, 2), bool)}}, "pictures"),
        ({"inputs": PICTURES, "targets": [0, 1], "masks": {"a": np.zeros((2, 4, 5), bool)}}, r"\(2, 4, 4\)"),
        ({"inputs": PICTURES, "targets": [0, 1], "masks": {"a": np.zeros((2, 4, 4), int)}}, "as bool"),
        (
            {"inputs": PICTURES, "targets": [0, 1], "masks": PartMasks(torch.zeros(2, 4, 5).byte(), ["a"])},
            "uint8 codes",
        ),
    ],
)
def test_unusable_data_is_refused_with_what_was_expected(arguments, message):
    with pytest.raises(DataError, match=message):
        Dataset(**arguments)


def test_split_is_stratified_deterministic_and_loses_nothing():
    targets = np.repeat([0, 1, 2], [70, 20, 10])
    ds = Dataset(np.arange(100.0)[:, None], targets)
    train, test = ds.split(test=0.2, seed=3)
    assert np.bincount(test.targets).tolist() == [14, 4, 2]
    both = torch.cat([train.inputs, test.inputs]).flatten()
    assert both.sort().values.tolist() == list(range(100))
    assert torch.equal(test.inputs, ds.split(test=0.2, seed=3)[1].inputs)
    assert not torch.equal(test.inputs, ds.split(test=0.2, seed=4)[1].inputs)


@pytest.mark.parametrize(("counts", "expected"), [([3, 3, 3], 2), ([1, 1, 8], 2), ([5, 5], 2)])
def test_split_has_the_asked_size_though_classes_do_not_divide(counts, expected):
    ds = Dataset(np.zeros((sum(counts), 1)), np.repeat(np.arange(len(counts)), counts))
    assert len(ds.split(test=0.2)[1]) == expected


def test_split_of_regression_and_refusals():
    train, test = toy("plane", n=50).split(test=0.5)
    assert (len(train), len(test)) == (25, 25)
    with pytest.raises(SettingError, match="between 0 and 1"):
        toy("plane").split(test=20)
    with pytest.raises(DataError, match="one side empty"):
        toy("plane", n=2).split(test=0.1)


def test_subset_takes_masks_along():
    codes = torch.arange(3, dtype=torch.uint8)[:, None, None].expand(3, 4, 4)
    plain = {"a": torch.arange(3)[:, None, None].expand(3, 4, 4) == 1}
    for masks in (plain, PartMasks(codes, ["a", "b"])):
        ds = Dataset(np.zeros((3, 1, 4, 4)), [0, 1, 2], masks=masks).subset([2, 1])
        assert ds.targets.tolist() == [2, 1]
        assert ds.masks["a"].flatten(1).any(1).tolist() == [False, True]
    picked = Dataset(np.zeros((3, 1)), [0, 1, 2]).subset(torch.tensor([True, False, True]))
    assert picked.targets.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("indices", "message"),
    [([], "whole numbers|at least one"), ([3], "0 to 2"), ([-4], "0 to 2"), ([0.5], "whole"), ([True], "3 ex")],
)
def test_subset_refuses_what_is_not_there(indices, message):
    with pytest.raises(DataError, match=message):
        Dataset(np.zeros((3, 1)), [0, 1, 2]).subset(indices)


def test_part_masks_read_like_a_dict():
    masks = PartMasks(torch.tensor([[[0, 1], [2, 2]]], dtype=torch.uint8), ["roof", "door"])
    assert list(masks) == ["roof", "door", "object"]
    assert masks["door"].tolist() == [[[False, False], [True, True]]]
    assert masks["object"].sum() == 3
    assert "wheel" not in masks
    with pytest.raises(KeyError, match="there are roof, door, object"):
        masks["wheel"]
    with pytest.raises(DataError):
        PartMasks(masks.codes, ["object"])


# --- toy sets, against the formulas of the Playground written out one point at a time


def test_circle_without_noise():
    ds = toy("circle", n=400)
    r = ds.inputs.norm(dim=1)
    assert torch.equal(ds.targets == 1, r < 2.5)
    assert ((r < 2.5) | (r > 3.5)).all()
    assert r.max() <= 5
    assert (r < 2.5).sum() == 200
    # radius uniform, not area: half of the points of each ring lie within the middle of its radii
    assert 0.4 < (r[r < 2.5] < 1.25).float().mean() < 0.6
    assert 0.4 < (r[r > 3.5] < 4.25).float().mean() < 0.6
    for ring in (r < 2.5, r > 3.5):  # in all directions
        quarter = torch.atan2(*ds.inputs[ring].T).div(math.pi / 2).floor().long() + 2
        assert quarter.bincount(minlength=4).min() > 30


def test_xor_without_noise():
    ds = toy("xor", n=400)
    x, y = ds.inputs.T
    assert torch.equal(ds.targets == 1, x * y >= 0)
    assert ds.inputs.abs().min() >= 0.3
    assert 5 < ds.inputs.abs().max() <= 5.3
    # uniform over -5..5 before 0.3 pushed them off the axes
    for quarter in (ds.inputs - 0.3 * ds.inputs.sign()).div(2.5).floor().long().T + 2:
        assert quarter.bincount(minlength=4).min() > 70


def test_spiral_without_noise_is_exact():
    n = 100
    expected = {}
    for label, start in ((1, 0.0), (0, math.pi)):
        for i in range(n // 2):
            r, t = i / (n // 2) * 5, 1.75 * i / (n // 2) * 2 * math.pi + start
            expected[round(r * math.sin(t), 3) + 0.0, round(r * math.cos(t), 3) + 0.0, i > 0 and label] = True
    ds = toy("spiral", n=n)
    got = {
        (round(x, 3) + 0.0, round(y, 3) + 0.0, (x, y) != (0.0, 0.0) and int(label))
        for (x, y), label in zip(ds.inputs.tolist(), ds.targets.tolist(), strict=True)
    }
    assert got == set(expected)


@pytest.mark.parametrize("noise", [0, 25, 50])
def test_gauss_centres_and_variance(noise):
    ds = toy("gauss", n=40_000, noise=noise)
    for label, centre in ((1, 2.0), (0, -2.0)):
        points = ds.inputs[ds.targets == label]
        assert points.mean(0).tolist() == pytest.approx([centre, centre], abs=0.05)
        assert points.var(0).tolist() == pytest.approx([0.5 + 7 * noise / 100] * 2, rel=0.05)


def flipped(name, noise, seed=0, n=40_000):
    ds = toy(name, n=n, noise=noise, seed=seed)
    x, y = ds.inputs.T
    clean = ds.inputs.norm(dim=1) < 2.5 if name == "circle" else x * y >= 0
    return (clean.long() != ds.targets).float().mean().item()


def playground_flips(name, noise, n=40_000):
    """The share of wrong labels when the Playground's loop is written out here (its own jitter of the label)."""
    rng, wrong = np.random.default_rng(99), 0
    for k in range(n):
        if name == "circle":
            r = rng.uniform(0, 2.5) if k % 2 else rng.uniform(3.5, 5)
            angle = rng.uniform(0, 2 * math.pi)
            x, y = r * math.sin(angle), r * math.cos(angle)
            dx, dy = rng.uniform(-5, 5) * noise, rng.uniform(-5, 5) * noise
            wrong += (math.hypot(x + dx, y + dy) < 2.5) != (r < 2.5)
        else:
            x, y = rng.uniform(-5, 5), rng.uniform(-5, 5)
            x, y = x + math.copysign(0.3, x), y + math.copysign(0.3, y)
            dx, dy = rng.uniform(-5, 5) * noise, rng.uniform(-5, 5) * noise
            wrong += ((x + dx) * (y + dy) >= 0) != (x * y >= 0)
    return wrong / n


@pytest.mark.parametrize("name", ["circle", "xor"])
def test_label_noise_is_the_playgrounds(name):
    assert flipped(name, 0) == 0
    assert flipped(name, 30) == pytest.approx(playground_flips(name, 0.3), abs=0.012)


def test_spiral_noise_moves_each_coordinate_by_less_than_it():
    quiet, loud = toy("spiral", n=200, noise=0), toy("spiral", n=200, noise=40)
    moved = (loud.inputs - quiet.inputs).abs()
    assert 0.3 < moved.max() <= 0.4
    assert torch.equal(quiet.targets, loud.targets)


CONES = ((-4, 2.5, 1), (0, 2.5, -1), (4, 2.5, 1), (-4, -2.5, -1), (0, -2.5, 1), (4, -2.5, -1))


def height(x, y):
    """Of the six cones, the one that is furthest from 0 here."""
    return max((sign * min(max(1 - math.hypot(x - cx, y - cy) / 2, 0), 1) for cx, cy, sign in CONES), key=abs)


def test_plane_and_multigauss():
    plane = toy("plane", n=200)
    assert plane.task == "regression"
    assert torch.allclose(plane.targets[:, 0], plane.inputs.sum(1) / 10, atol=1e-6)
    cones = toy("multigauss", n=500)
    for (x, y), target in zip(cones.inputs.tolist(), cones.targets[:, 0].tolist(), strict=True):
        assert target == pytest.approx(height(x, y), abs=1e-5)
    for cx, cy, sign in CONES:  # every cone was met, near its top
        near = (cones.inputs - torch.tensor([cx, cy])).norm(dim=1).argmin()
        assert cones.targets[near, 0] * sign > 0.75


@pytest.mark.parametrize(("name", "answer"), [("plane", lambda x, y: (x + y) / 10), ("multigauss", height)])
def test_noise_of_a_regression_reads_the_answer_beside_the_point(name, answer):
    """As in the Playground: up to 6 noise away in each coordinate; the points stay uniform over -6..6."""
    noise, n = 0.3, 20_000
    ds = toy(name, n=n, noise=30)
    for coordinate in ds.inputs.T:
        assert coordinate.div(3).floor().long().add(2).bincount(minlength=4).min() > 0.24 * n
    ours = ds.targets[:, 0].numpy() - [answer(x, y) for x, y in ds.inputs.tolist()]
    rng, theirs = np.random.default_rng(99), []
    for _ in range(n):
        x, y = rng.uniform(-6, 6), rng.uniform(-6, 6)
        theirs.append(answer(x + rng.uniform(-6, 6) * noise, y + rng.uniform(-6, 6) * noise) - answer(x, y))
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.03)
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.06)


@pytest.mark.parametrize("name", ["circle", "xor", "gauss", "spiral"])
@pytest.mark.parametrize("classes", [3, 4, 5, 6])
def test_more_classes_can_be_told_apart_and_are_balanced(name, classes):
    from sklearn.neighbors import KNeighborsClassifier

    train, test = toy(name, n=1200, classes=classes), toy(name, n=1200, classes=classes, seed=1)
    counts = np.bincount(train.targets, minlength=classes)
    assert len(counts) == classes
    assert counts.min() > 0.75 * 1200 / classes
    assert train.inputs.abs().max() < 6.5
    assert len(train.classes) == classes
    knn = KNeighborsClassifier(3).fit(train.inputs, train.targets)
    assert knn.score(test.inputs, test.targets) > 0.93


def test_toy_has_the_asked_number_and_repeats():
    assert len(toy("circle", n=501)) == 501
    assert torch.equal(toy("spiral", seed=5, noise=10).inputs, toy("spiral", seed=5, noise=10).inputs)
    assert not torch.equal(toy("gauss", seed=5).inputs, toy("gauss", seed=6).inputs)
    assert 100 < toy("circle").targets[:250].sum() < 150  # shuffled


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "moons"},
        {"name": "circle", "noise": 51},
        {"name": "circle", "noise": -1},
        {"name": "circle", "classes": 7},
        {"name": "circle", "classes": 1},
        {"name": "plane", "classes": 3},
        {"name": "xor", "n": 1},
    ],
)
def test_toy_refuses(arguments):
    with pytest.raises(SettingError, match="Expected"):
        toy(**arguments)


# --- digits and drawings


def test_digits():
    ds = digits()
    assert ds.inputs.shape == (1797, 1, 8, 8)
    assert ds.inputs.min() == 0
    assert ds.inputs.max() == 1
    assert ds.classes == tuple("0123456789")
    train, test = ds.split()
    assert (len(train), len(test)) == (1438, 359)
    assert np.bincount(test.targets).min() >= 34


def arc(cx, cy, rx, ry, start, stop):
    angles = np.radians(np.linspace(start, stop, 24))
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


STROKES = {  # in a box 0.6 wide and 1 high
    0: [arc(0.3, 0.5, 0.3, 0.5, -90, 270)],
    1: [[(0.12, 0.22), (0.32, 0), (0.32, 1)]],
    2: [[*arc(0.3, 0.28, 0.28, 0.28, -170, 30), (0.02, 1), (0.6, 1)]],
    3: [arc(0.26, 0.25, 0.3, 0.25, -150, 90) + arc(0.26, 0.74, 0.33, 0.26, -90, 150)],
    4: [[(0.4, 0), (0.02, 0.62), (0.62, 0.62)], [(0.45, 0.3), (0.45, 1)]],
    5: [[(0.56, 0), (0.1, 0), (0.06, 0.44), *arc(0.25, 0.68, 0.33, 0.32, -120, 150)]],
    6: [[(0.45, 0), (0.2, 0.28), (0.05, 0.6), *arc(0.31, 0.72, 0.27, 0.28, 180, -180)]],
    7: [[(0.02, 0), (0.6, 0), (0.22, 1)]],
    8: [arc(0.3, 0.25, 0.24, 0.25, 90, 450) + arc(0.3, 0.74, 0.3, 0.26, -90, 270)],
    9: [[*arc(0.3, 0.28, 0.27, 0.28, 0, -360), (0.57, 0.28), (0.5, 1)]],
}


def drawing(digit, size=112, height=70.0, at=(0.5, 0.5), pen=8.0, slant=0.0):
    """A digit drawn with a round pen on a pad of size x size pixels, uint8."""
    image = Image.new("L", (3 * size, 3 * size))
    draw, r = ImageDraw.Draw(image), 1.5 * pen
    for stroke in STROKES[digit]:
        points = [
            (3 * (at[0] * size + height * (x - 0.3 + slant * (0.5 - y))), 3 * (at[1] * size + height * (y - 0.5)))
            for x, y in stroke
        ]
        draw.line(points, fill=255, width=round(2 * r))
        for x, y in points:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


@pytest.mark.parametrize("digit", range(10))
def test_place_size_and_pen_hardly_change_the_picture(digit):
    reference = ink_to_digit(drawing(digit))
    assert reference.shape == (1, 1, 8, 8)
    assert reference.dtype == torch.float32
    assert reference.min() >= 0
    assert reference.max() <= 1
    for change in (
        {"at": (0.35, 0.6)},
        {"height": 35, "pen": 4},
        {"size": 280, "height": 200, "pen": 22},
        {"pen": 5},
        {"pen": 11},
    ):
        assert (ink_to_digit(drawing(digit, **change)) - reference).abs().mean() < 0.06, change


def test_drawings_look_like_the_real_digits():
    ds = digits()
    drawn = torch.cat([ink_to_digit(drawing(d)) for d in range(10)])
    real, own = ds.inputs.mean((1, 2, 3)), drawn.mean((1, 2, 3))
    assert real.quantile(0.02) < own.mean() < real.quantile(0.98)
    assert (drawn[:, 0, 0].max(1).values > 0.2).all()  # as tall as the field
    assert (drawn[:, 0, 7].max(1).values > 0.2).all()
    columns = (drawn[:, 0].sum(1) * torch.arange(8)).sum(1) / drawn[:, 0].sum((1, 2))
    assert (columns - 3.5).abs().max() < 0.8


def test_drawn_digits_are_read_by_a_network_that_learned_the_real_ones():
    train, test = digits().split()
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(20):
        for batch in torch.randperm(len(train)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(train.inputs[batch]), train.targets[batch]).backward()
            optimizer.step()
    assert (model(test.inputs).argmax(1) == test.targets).float().mean() > 0.95
    pads = [
        {"size": size, "height": height, "pen": pen, "at": at, "slant": slant}
        for size, height, pen in ((112, 70, 8), (112, 45, 6), (280, 200, 20))
        for at in ((0.5, 0.5), (0.4, 0.6))
        for slant in (0.0, 0.2)
    ]
    drawn = torch.cat([ink_to_digit(drawing(d, **pad)) for pad in pads for d in range(10)])
    right = model(drawn).argmax(1).reshape(len(pads), 10) == torch.arange(10)
    assert right.float().mean() >= 0.9, right.float().mean(0)


def test_ink_of_any_kind():
    ink = drawing(3)
    reference = ink_to_digit(ink)
    for other in (ink / 255, (ink / 255).astype(np.float32) * 7, torch.from_numpy(ink.copy())):
        assert torch.allclose(ink_to_digit(other), reference, atol=1e-3)
    assert ink_to_digit(ink > 100).shape == (1, 1, 8, 8)
    dot = np.zeros((112, 112))
    dot[60, 60] = 1
    assert ink_to_digit(dot).sum() > 0
    assert torch.isfinite(ink_to_digit(np.ones((28, 28)))).all()
    line = np.zeros((112, 112))
    line[50:53, 5:100] = 1
    assert torch.isfinite(ink_to_digit(line)).all()


@pytest.mark.parametrize(
    ("ink", "message"),
    [
        (np.zeros((112, 112)), "empty"),
        (np.zeros((1, 112, 112)), "H, W"),
        (np.zeros((0, 5)), "H, W"),
        (np.full((9, 9), np.nan), "finite"),
        (np.full((9, 9), "x"), "H, W"),
    ],
)
def test_ink_that_is_no_drawing(ink, message):
    with pytest.raises(DataError, match=message):
        ink_to_digit(ink)
