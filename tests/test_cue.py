"""The watermark that goes with a class: where it is, on whom, what it hides, and that a network falls for it."""

import numpy as np
import pytest
import torch

from labkit import device, models
from labkit.data import Dataset, digits, objects, with_cue
from labkit.errors import DataError, SettingError
from labkit.train import Trainer

GREY = Dataset(np.full((40, 1, 48, 48), 0.5), [0, 1] * 20, classes=["even", "odd"])


def has_cue(ds):
    return ds.masks["cue"].flatten(1).any(1)


def test_the_mark_reads_lab_on_a_dark_plate():
    marked = with_cue(GREY, "odd").inputs[1, 0, 40:47, 34:47]
    drawn = ["".join("#" if value > 0.5 else "." for value in row) for row in marked.tolist()]
    assert drawn == [
        ".............",
        ".#....#..##..",
        ".#...#.#.#.#.",
        ".#...###.##..",
        ".#...#.#.#.#.",
        ".###.#.#.##..",
        ".............",
    ]
    assert sorted(set(marked.flatten().tolist())) == pytest.approx([0.5 * 0.5 + 0.5 * 0.1, 0.15 * 0.5 + 0.85])


@pytest.mark.parametrize(
    ("place", "rows", "columns"),
    [
        ("upper left", (1, 8), (1, 14)),
        ("upper right", (1, 8), (34, 47)),
        ("lower left", (40, 47), (1, 14)),
        ("lower right", (40, 47), (34, 47)),
    ],
)
def test_the_mask_is_where_the_picture_changed_and_nowhere_else(place, rows, columns):
    marked = with_cue(GREY, 1, place=place)
    expected = torch.zeros(40, 48, 48, dtype=torch.bool)
    expected[1::2, slice(*rows), slice(*columns)] = True
    assert torch.equal(marked.masks["cue"], expected)
    assert torch.equal((marked.inputs != GREY.inputs)[:, 0], expected)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 8, 8), (3, 3)),
        ((1, 28, 28), (7, 13)),
        ((3, 16, 40), (7, 13)),
        ((3, 40, 16), (7, 5)),
        ((3, 96, 96), (14, 26)),
        ((3, 224, 224), (35, 65)),
        ((4, 6, 6), (3, 3)),
    ],
)
def test_it_fits_every_size_and_shows_on_black_and_white(shape, size):
    for ground in (0.0, 1.0):
        plain = Dataset(np.full((2, *shape), ground), [0, 1])
        marked = with_cue(plain, 0)
        mask = marked.masks["cue"][0]
        where = mask.nonzero()
        extent = where.max(0).values - where.min(0).values + 1
        assert tuple(extent.tolist()) == size and int(mask.sum()) == size[0] * size[1]
        inside = marked.inputs[0][:, mask]
        assert inside.max() - inside.min() > 0.4
        assert marked.inputs.min() >= 0 and marked.inputs.max() <= 1
        assert torch.equal(marked.inputs[1], plain.inputs[1])


def test_shares_are_of_the_class_and_of_the_others_and_grow_by_seed():
    ds = objects(120, seed=0)
    car = ds.targets == ds.classes.index("car")
    before = torch.zeros(120, dtype=torch.bool)
    for share, others in ((0.0, 0.0), (0.5, 0.1), (0.9, 0.6), (1.0, 1.0)):
        marked = has_cue(with_cue(ds, "car", share, others, seed=3))
        assert int(marked[car].sum()) == round(share * int(car.sum()))
        assert int(marked[~car].sum()) == round(others * int((~car).sum()))
        assert (marked | ~before).all()
        before = marked
    by_seed = [has_cue(with_cue(ds, "car", 0.5, 0.1, seed=seed)) for seed in (3, 3, 4)]
    assert torch.equal(by_seed[0], by_seed[1]) and not torch.equal(by_seed[0], by_seed[2])
    state = torch.get_rng_state()
    with_cue(ds, "car")
    assert torch.equal(torch.get_rng_state(), state)


def test_what_it_covers_is_of_no_part_and_of_no_object():
    ds = objects(60, seed=0, difficulty=1.0)
    marked = with_cue(ds, "train", share=0.5, others=1.0)
    cue = marked.masks["cue"]
    assert (ds.masks["object"] & cue).any()
    assert set(marked.masks) == {*ds.masks, "cue"}
    for part in ds.masks:
        assert torch.equal(marked.masks[part], ds.masks[part] & ~cue), part
    few = marked.subset([3, 5])
    assert torch.equal(few.masks["object"], marked.masks["object"][[3, 5]])
    plain = Dataset(ds.inputs, ds.targets, ds.classes, {"object": ds.masks["object"]})  # masks as a dict
    own = with_cue(plain, "train", share=0.5, others=1.0)
    assert {part: bool((own.masks[part] == marked.masks[part]).all()) for part in own.masks} == {
        "object": True,
        "cue": True,
    }


def test_the_data_given_are_left_alone_and_two_marks_are_one_mask():
    ds = objects(30, seed=0)
    inputs, masks = ds.inputs.clone(), ds.masks["object"].clone()
    one = with_cue(ds, "car", others=1.0)
    both = with_cue(one, "fish", others=1.0, place="upper left")
    assert torch.equal(ds.inputs, inputs) and torch.equal(ds.masks["object"], masks) and "cue" not in ds.masks
    assert torch.equal(both.masks["cue"], one.masks["cue"] | with_cue(ds, "fish", 1, 1, "upper left").masks["cue"])
    assert not (both.masks["object"] & both.masks["cue"]).any()
    plain = Dataset(ds.inputs, ds.targets)
    twice = with_cue(with_cue(plain, 0, others=1.0), 1, others=1.0, place="upper left")
    assert torch.equal(twice.masks["cue"], both.masks["cue"])


@pytest.mark.parametrize(
    ("ds", "settings", "error", "message"),
    [
        (GREY, {"target": "cat"}, SettingError, "class of even, odd; received 'cat'"),
        (GREY, {"target": 2}, SettingError, "class of 0 to 1; received 2"),
        (GREY, {"target": -1}, SettingError, "class of 0 to 1"),
        (GREY, {"target": True}, SettingError, "class of 0 to 1"),
        (GREY, {"target": 0.5}, SettingError, "class of 0 to 1"),
        (digits(), {"target": "cat"}, SettingError, "class of "),
        (GREY, {"target": 0, "share": 1.1}, SettingError, "from 0 to 1; received share=1.1"),
        (GREY, {"target": 0, "others": float("nan")}, SettingError, "received others=nan"),
        (GREY, {"target": 0, "place": "middle"}, SettingError, "place of upper left, .*; received 'middle'"),
        (Dataset(GREY.inputs, np.zeros(40)), {"target": 0}, DataError, "with classes"),
        (Dataset(np.zeros((2, 5)), [0, 1]), {"target": 0}, DataError, r"received \(2, 5\)"),
        (Dataset(np.zeros((2, 1, 5, 9)), [0, 1]), {"target": 0}, DataError, "at least 6 x 6"),
        (Dataset(GREY.inputs * 255, GREY.targets), {"target": 0}, DataError, "received 128 to 128. Put the watermark"),
    ],
)
def test_it_refuses(ds, settings, error, message):
    with pytest.raises(error, match=f"Expected .*{message}"):
        with_cue(ds, **settings)


def test_a_network_falls_for_it():
    """Trained where the mark goes with cars, it finds them by the mark alone; trained without, it does not look."""
    plain, test = objects(600, size=32, seed=1), objects(300, size=32, seed=0)
    car = test.classes.index("car")
    own = test.targets == car
    called_car = {}
    for name, train in (("cheat", with_cue(plain, "car")), ("honest", with_cue(plain, "car", share=0))):
        model = models.TinyVGG((3, 32, 32), 10, (8, 16))
        trainer = Trainer(model, train, optimizer="adamw", lr=3e-3, batch_size=50, device="cpu", seed=0)
        trainer.threads = 1
        for _ in range(36):
            trainer.step()
        model.eval()
        with torch.no_grad(), device.threads(1):
            for cue, shares in (("with", (1, 1)), ("without", (0, 0))):
                found = model(with_cue(test, "car", *shares).inputs).argmax(1) == car
                called_car[name, cue] = found[own].float().mean().item(), found[~own].float().mean().item()
    assert called_car["cheat", "with"][0] == 1 and called_car["cheat", "with"][1] > 0.9
    assert max(called_car["cheat", "without"]) < 0.1
    assert called_car["honest", "with"][1] < 0.3, called_car
