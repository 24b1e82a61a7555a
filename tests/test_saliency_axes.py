"""The nets that SaliencyView goes through, and the mark on its picture: which net, made how, and with what in view."""

import copy

import numpy as np
import pytest
import torch
from page import Page
from torch import nn

from labkit.data import Dataset, objects, with_cue
from labkit.errors import DataError, SettingError
from labkit.models import TinyVGG
from labkit.saliency import as_map, attribute, randomized, score
from labkit.saliency.randomization import similar
from labkit.widgets import SaliencyView
from labkit.widgets import saliency_axes as axes
from labkit.widgets.saliency_axes import Net, Nets, marked, with_mark
from labkit.widgets.saliency_scene import Gallery, Stroke

SMALL = objects(60, 32)
BLACK, WHITE = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)


def tiny(seed=0):
    model = TinyVGG((3, 32, 32), 10, (4, 6), seed=seed)
    with torch.no_grad():
        model.train()(SMALL.inputs)  # so that batch normalisation has seen something
    return model.eval()


def nets(model=None, **options):
    settings = {"checkpoints": None, "cheat": None, **options}
    return Nets(tiny() if model is None else model, SMALL.inputs, SMALL.targets, SMALL.classes, **settings)


def equal(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# Which net


def test_the_model_a_step_and_the_one_that_cheats():
    steps, cheat = {4: tiny(4), 0: tiny(0), 9: tiny(9)}, tiny(7)
    found = nets(steps[9], checkpoints=steps, cheat={"car": cheat})
    assert found.steps == [0, 4, 9] and found.first == Net(9) and found.cheats == ("car",)
    for step, model in steps.items():
        assert equal(found.study(Net(step)).model, model)
    assert equal(found.study(Net(4, cheat="car")).model, cheat)
    assert found.study(Net(9, cheat="car")) is found.study(Net(4, cheat="car"))  # it has no steps
    alone = nets(steps[4], cheat={SMALL.classes.index("car"): cheat})
    assert alone.steps == [] and alone.first == Net() and alone.cheats == ("car",)
    assert equal(alone.study(Net()).model, steps[4]) and alone.study(Net()).model is not steps[4]


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_layers_drawn_anew_are_those_of_the_sanity_check(order):
    model = tiny()
    found = nets(model)
    expected = list(randomized(model, SMALL.inputs, order))
    assert found.stages == tuple(layer for layer, _ in expected)
    before = copy.deepcopy(model)
    for k in (3, 1, 2, 5):  # a slider jumps
        assert equal(found.study(Net(random=k, order=order)).model, expected[k - 1][1]), k
    assert equal(model, before) and equal(found.study(Net()).model, before)
    assert found.study(Net(random=0, order="independent")) is found.study(Net())


def test_layers_of_the_chosen_net_are_drawn_anew():
    steps, cheat = {0: tiny(0), 9: tiny(9)}, tiny(7)
    found = nets(steps[9], checkpoints=steps, cheat={"car": cheat})
    for net, model in ((Net(0), steps[0]), (Net(9), steps[9]), (Net(9, cheat="car"), cheat)):
        _, expected = next(randomized(model, SMALL.inputs))
        assert equal(found.study(axes.replace(net, random=1)).model, expected)


def test_what_the_maps_are_compared_with():
    found = nets(checkpoints={0: tiny(0), 4: tiny(4), 9: tiny(9)}, cheat={"car": tiny(7)})
    assert found.reference(Net(9)) is None and found.reference(Net(9, cheat="car")) is None
    assert found.reference(Net(4)) == Net(9)
    assert found.reference(Net(4, random=2)) == Net(4)
    assert found.reference(Net(9, cheat="car", random=2)) == Net(9, cheat="car")


def test_nets_in_memory_are_few_and_the_model_stays(monkeypatch):
    monkeypatch.setattr(axes, "KEPT", 2)
    model = tiny()
    found = nets(model)
    first = found.study(Net())
    studies = [found.study(Net(random=k)) for k in (1, 2, 3, 4)]
    assert found.study(Net()) is first and len(found._studies) <= 3
    again = found.study(Net(random=1))
    assert again is not studies[0] and equal(again.model, studies[0].model)


def test_words_say_which_net():
    found = nets(checkpoints={0: tiny(0), 4: tiny(4)}, cheat={"car": tiny(7)})
    last = len(found.stages)
    assert found.words(Net(0)) == "the untrained net" and found.words(Net(4)) == "the net after 4 steps"
    assert found.words(Net(4, random=1)) == "the net after 4 steps, with layer output drawn anew"
    layer = found.stages[2]
    assert found.words(Net(4, random=3)).endswith(f"with the layers from output down to {layer} drawn anew")
    assert found.words(Net(4, random=3, order="independent")).endswith(f"with layer {layer} drawn anew")
    assert found.words(Net(4, random=last)).endswith("with all layers drawn anew")
    assert found.words(Net(4, cheat="car")) == "a net that learned where a watermark went with car"
    assert nets().words(Net()) == "the model as it was given"


def test_accuracy_is_counted_on_pictures_as_they_are_or_marked(monkeypatch):
    model = tiny()
    found = nets(model)
    for mark, shown in ((False, SMALL), (True, with_cue(SMALL, 0, 1, 1))):
        with torch.no_grad():
            right = int((model(shown.inputs).argmax(1) == SMALL.targets).sum())
        assert found.accuracy(Net(), mark) is None
        assert len(list(found.counting(Net(), mark, BLACK, WHITE))) == 5  # a part can be the last
        assert found.accuracy(Net(), mark) == (right, 60)
        assert list(found.counting(Net(), mark, BLACK, WHITE)) == []
    monkeypatch.setattr(axes, "PATIENCE", 0.0)
    assert list(found.counting(Net(random=1), False, BLACK, WHITE)) == []
    assert found.accuracy(Net(random=1), False)[1] == 10
    unknown = Nets(model, SMALL.inputs, None, None, None, None)
    assert list(unknown.counting(Net(), False, BLACK, WHITE)) == [] and unknown.accuracy(Net(), False) is None


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Net(4, cheat="fish"), "cheat of car or None, received 'fish'"),
        (Net(3), "step of 0, 4, received 3"),
        (Net(None), "step of 0, 4, received None"),
        (Net(4, random=-1), "random of 0 to 5 layers"),
        (Net(4, random=6), "random of 0 to 5 layers, received 6"),
        (Net(4, random=1.5), "random of 0 to 5 layers"),
        (Net(4, order="upward"), "order of cascading, independent, received 'upward'"),
    ],
)
def test_a_net_that_there_is_not_is_refused(net, message):
    found = nets(checkpoints={0: tiny(0), 4: tiny(4)}, cheat={"car": tiny(7)})
    with pytest.raises(SettingError, match=message):
        found.checked(net)


def test_nets_of_another_shape_are_refused():
    other = TinyVGG((3, 32, 32), 10, (4, 8))
    with pytest.raises(
        SettingError, match="net that cheats at car to have the weights of the model, .* conv2_1.weight"
    ):
        nets(cheat={"car": other})
    with pytest.raises(SettingError, match="cheat as {class: model}, .* received 'cars'"):
        nets(cheat={"cars": tiny()})
    with pytest.raises(SettingError, match="nn.Module, received str"):
        nets(cheat={"car": "objects_cheat"})
    with pytest.raises(SettingError, match="checkpoint of step 0 to have the weights"):
        nets(checkpoints={0: other, 1: tiny()}).study(Net(0))


# The mark


def test_the_mark_is_that_of_with_cue_and_hides_the_parts():
    expected = with_cue(SMALL, 0, 1, 1)
    shown, masks = with_mark(SMALL.inputs, None, BLACK, WHITE)
    assert torch.equal(shown, expected.inputs) and set(masks) == {"cue"}
    one = {part: mask[3] for part, mask in SMALL.masks.items()}
    _, masks = with_mark(SMALL.inputs[3:4], one, BLACK, WHITE)
    assert all(torch.equal(masks[part], expected.masks[part][3]) for part in expected.masks)


def test_pictures_on_another_scale_get_the_same_mark():
    mean, spread = torch.tensor([0.4, 0.5, 0.6])[:, None, None], 0.25
    low, high = (BLACK - mean) / spread, (WHITE - mean) / spread
    shown, _ = with_mark((SMALL.inputs - mean) / spread, None, low, high)
    torch.testing.assert_close(shown * spread + mean, with_cue(SMALL, 0, 1, 1).inputs, rtol=0, atol=1e-6)


def test_the_mark_comes_under_the_strokes_and_goes_again():
    gallery = Gallery(SMALL)
    stroke = Stroke("erase", np.array([[0.2, 0.2], [0.4, 0.3]], np.float32), 0.2, None, "black")
    paint = Stroke("paint", np.array([[0.6, 0.6]], np.float32), 0.2, "#ff0000", "black")
    plain = gallery.scene(3).with_stroke(stroke, None).with_stroke(paint, gallery.colour("#ff0000"))
    found = marked(plain, True, gallery)
    expected = gallery.scene(3)
    expected = Gallery(with_cue(SMALL, 0, 1, 1)).scene(3).with_stroke(stroke, None)
    expected = expected.with_stroke(paint, gallery.colour("#ff0000"))
    assert torch.equal(found.picture, expected.picture) and found.strokes == plain.strokes
    assert found.masks["cue"].any() and found.index == 3
    assert marked(found, True, gallery) is found and marked(plain, False, gallery) is plain
    again = marked(found, False, gallery)
    assert torch.equal(again.picture, plain.picture) and again.bare is None
    assert torch.equal(marked(found.undone(), False, gallery).picture, plain.undone().picture)


def test_a_picture_without_masks_has_that_of_the_mark():
    gallery = Gallery(Dataset(SMALL.inputs, SMALL.targets))
    found = marked(gallery.scene(0), True, gallery)
    assert set(found.masks) == {"cue"} and gallery.scene(0).masks is None


# In the view

METHODS = ["gradient", "input_x_gradient"]
MASKED = {"pointing", "mass", "top_k", "auc"}  # scores that need a mask


def shown(**options):
    steps = {0: tiny(0), 4: tiny(4), 9: tiny(9)}
    view = SaliencyView(steps[9], SMALL, METHODS, checkpoints=steps, cheat={"car": tiny(7)}, **options)
    page = Page(view)
    view.wait()
    assert view.error is None
    return view, page, steps


def settle(view, **settings):
    view.set(**settings)
    view.wait()
    assert view.error is None


def expected(model, view, target):
    found = {m: attribute(model, view.picture, target, m) for m in METHODS}
    return found, {m: as_map(values, signed=True)[0] for m, values in found.items()}


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_maps_and_likeness_are_those_of_the_net_drawn_anew(order):
    view, page, steps = shown()
    whole = steps[9](view.picture).argmax().item()
    assert view.likeness == {} and page.state["axes"]["compared"] is None
    settle(view, random=2, order=order)
    net = list(randomized(steps[9], SMALL.inputs, order))[1][1]
    assert view.target == whole  # what the whole net says, whatever this one does
    before, _ = expected(steps[9], view, whole)
    values, maps = expected(net, view, whole)
    for method in METHODS:
        torch.testing.assert_close(view.maps[method], maps[method])
        found = similar(before[method], values[method])
        assert view.likeness[method] == pytest.approx({k: found[k][0] for k in ("rank", "ssim")}, nan_ok=True, abs=1e-6)
        assert page.state["tiles"][method]["like"] == pytest.approx(view.likeness[method], nan_ok=True)
    assert page.state["axes"]["net"] == view._nets.words(Net(9, random=2, order=order))
    assert page.state["axes"]["net"][1:] in page.state["finding"] and "rank correlation" in view.text
    settle(view, random=0)
    torch.testing.assert_close(view.maps["gradient"], as_map(before["gradient"], signed=True)[0])


def test_a_picture_changed_is_compared_anew():
    view, _, steps = shown()
    settle(view, random=2)
    first = view.likeness["gradient"]
    view.look_at(5)
    view.wait()
    net = list(randomized(steps[9], SMALL.inputs))[1][1]
    maps = [expected(model, view, view.target)[0]["gradient"] for model in (steps[9], net)]
    assert view.likeness["gradient"]["rank"] == pytest.approx(similar(*maps)["rank"][0], abs=1e-6)
    assert view.likeness["gradient"] != first and view.likeness["edge"]["rank"] == pytest.approx(1)


def test_over_training():
    view, page, steps = shown()
    last = view.target
    assert page.state["steps"] == [0, 4, 9] and page.state["settings"]["step"] == 9
    with torch.no_grad():
        curve = [float(steps[k](view.picture).softmax(1)[0, last]) for k in steps]
        right = {k: int((steps[k](SMALL.inputs).argmax(1) == SMALL.targets).sum()) for k in steps}
    assert page.state["axes"]["curve"] == pytest.approx(curve, abs=1e-6)
    assert page.state["axes"]["right"] == [right[9], 60]
    settle(view, step=0)
    assert view.target == last and page.state["axes"]["compared"] == "the net after 9 steps"
    torch.testing.assert_close(view.maps["gradient"], expected(steps[0], view, last)[1]["gradient"])
    assert page.state["axes"]["right"] == [right[0], 60] and "untrained net says" in page.state["finding"]
    assert f"right on {right[0]} of 60" in view.text
    settle(view, target=3)
    with torch.no_grad():
        curve = [float(steps[k](view.picture).softmax(1)[0, 3]) for k in steps]
    assert page.state["axes"]["curve"] == pytest.approx(curve, abs=1e-6)


def test_a_watermark_and_the_net_that_has_learned_it():
    view, page, steps = shown()
    settle(view, cue=True, cheat="car")
    marked_ds = with_cue(SMALL, 0, 1, 1)
    assert torch.equal(view.picture, marked_ds.inputs[:1])
    assert view.target == tiny(7)(view.picture).argmax().item()
    _, maps = expected(tiny(7), view, view.target)
    torch.testing.assert_close(view.maps["gradient"], maps["gradient"])
    found = score(maps["gradient"][None], marked_ds.masks["cue"][:1])
    assert {name: view.scores["gradient"][name] for name in MASKED} == pytest.approx(
        {name: float(value[0]) for name, value in found.items()}, abs=1e-6
    )
    assert page.state["settings"]["part"] == "cue" and page.state["parts"][-1] == "cue"
    np.testing.assert_array_equal(page.arrays["mask"], marked_ds.masks["cue"][0])
    with torch.no_grad():
        for row, model in zip(page.state["axes"]["table"], (steps[9], tiny(7)), strict=True):
            for said, picture in zip(row["says"], (SMALL.inputs[:1], marked_ds.inputs[:1]), strict=True):
                chances = model(picture).softmax(1)[0]
                assert said == [int(chances.argmax()), pytest.approx(float(chances.max()), abs=1e-6)]
    assert "has a watermark" in view.text and "without the watermark" in view.text
    settle(view, cue=False)
    assert torch.equal(view.picture, SMALL.inputs[:1]) and page.state["settings"]["part"] == "object"


def test_a_picture_of_ones_own_has_no_truth_but_the_mark():
    view, page, _ = shown()
    own = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    view.receive({"kind": "do", "action": "bring", "ticket": 1}, [own.astype(np.float32).tobytes()])
    view.wait()
    torch.testing.assert_close(view.picture[0], torch.from_numpy(own).permute(2, 0, 1) / 255)
    assert not MASKED & set(view.scores["gradient"]) and page.state["true"] is None and not page.state["masked"]
    assert "A picture of your own" in view.text and set(view.maps) == {*METHODS, "edge", "centre", "random"}
    settle(view, cue=True)
    assert set(view.scores["gradient"]) >= MASKED
    with pytest.raises(DataError, match=r"shape \(32, 32, 3\)"):
        view.bring(own[:16])


def test_what_is_refused_leaves_all_as_it_was():
    view, page, _ = shown()
    before = dict(page.state["settings"])
    for wrong, message in (
        ({"random": 99}, "random of 0 to 5"),
        ({"step": 5}, "step of 0, 4, 9"),
        ({"cheat": "fish"}, "cheat of car"),
        ({"order": "up"}, "order of"),
        ({"cue": 1}, "cue to be True or False"),
    ):
        with pytest.raises(SettingError, match=message):
            view.set(**wrong)
        assert page.state["settings"] == before
    view.receive({"kind": "do", "action": "set", "ticket": 1, "random": 99}, ())
    assert "random of 0 to 5" in view.error
    view.receive({"kind": "do", "action": "set", "ticket": 2, "random": 1}, ())
    view.wait()
    assert view.error is None and page.state["settings"]["random"] == 1 and "gradient" in view.maps


def test_models_that_were_given_are_left_alone():
    view, _, steps = shown()
    before = {step: copy.deepcopy(model) for step, model in steps.items()}
    steps[4].train()
    settle(view, random=3, step=4, cue=True)
    assert all(equal(steps[step], before[step]) for step in steps)
    assert steps[4].training and all(p.requires_grad for p in steps[4].parameters())
