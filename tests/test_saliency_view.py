"""SaliencyView's Python side and its static twin: what is sent is what labkit.saliency computes."""

import copy
import threading

import numpy as np
import pytest
import torch
from page import Page
from torch import nn

from labkit import plots, saliency
from labkit.data import Dataset, digits, objects
from labkit.errors import DataError, SettingError
from labkit.models import LeNet, TinyVGG
from labkit.saliency import METHODS, as_map, attribute, attributed, baseline, score
from labkit.saliency.edits import moved_mask
from labkit.widgets import SaliencyView, saliency_study
from labkit.widgets import saliency as module
from labkit.widgets.assets import module as script

FEW = ("gradient", "integrated_gradients", "grad_cam")
SMALL = objects(12, 32)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "IDLE", 0.0)


@pytest.fixture(scope="module")
def model():
    made = TinyVGG((3, 32, 32), 10, (4, 6))
    with torch.no_grad():
        made.train()(SMALL.inputs)  # so that batch normalisation has seen something
    return made.eval()


def settled(model, ds=SMALL, methods=FEW, **options):
    view = SaliencyView(model, ds, methods, **options)
    page = Page(view)
    view.wait()
    assert view.error is None
    return view, page


def do(view, action, buffers=(), **details) -> None:
    view.receive({"kind": "do", "action": action, "ticket": 1, **details}, buffers)


def sent(page, method) -> np.ndarray:
    """The map as the page has it."""
    return page.arrays[f"map.{method}"].astype(np.float32) * page.state["tiles"][method]["reach"]


def check(view, page, model, x, mask, target, signed=True, **asked) -> None:
    """Each map and score that the page has is the one of these calls."""
    for method, tile in page.state["tiles"].items():
        needs = METHODS[method]
        words = {"against": asked.get("against")}
        if needs.baseline:
            words["baseline"] = asked.get("baseline", "black")
        values = attributed(model, x, target, method, asked.get("layer") if needs.layer else None, **words).values
        expected = as_map(values, signed)
        assert tile["status"] == "shown", (method, tile)
        np.testing.assert_allclose(view.maps[method], expected[0], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(sent(page, method), expected[0], atol=6e-4 * float(expected.abs().max()))
        found = {name: float(value[0]) for name, value in score(expected, mask[None]).items()}
        for name, value in found.items():
            assert tile["scores"][name] == pytest.approx(value, abs=1e-6, nan_ok=True)


def test_maps_scores_and_probabilities_are_those_of_the_room(model):
    view, page = settled(model)
    x, mask = SMALL.inputs[:1], SMALL.masks["object"][0]
    chances = model(x)[0].softmax(0).detach()
    np.testing.assert_allclose(page.arrays["probabilities"], chances, rtol=1e-5)
    assert page.state["target"] == view.target == int(chances.argmax())
    assert view.methods == [*FEW, "edge", "centre", "random"]
    assert [tuple(one["verdicts"]) for one in page.state["methods"]] == [*map(saliency.verdicts, view.methods)]
    check(view, page, model, x, mask, view.target)
    np.testing.assert_array_equal(page.arrays["mask"], mask)
    assert page.state["settings"]["part"] == "object" and page.state["masked"] and page.state["doing"] == ""

    layer = page.state["layers"][0]
    do(view, "set", index=3, target=2, against=7, layer=layer, baseline="blur", signed=False)
    view.wait()
    x, mask = SMALL.inputs[3:4], SMALL.masks["object"][3]
    check(view, page, model, x, mask, 2, signed=False, against=7, layer=layer, baseline="blur")
    assert f"why {SMALL.classes[2]} and not {SMALL.classes[7]}" in view.text
    assert "Best by mass in the mask: " in view.text and "Controls: Edge " in view.text
    # Another part's mask: the scores follow, nothing is computed again.
    part = next(p for p in page.state["parts"] if p != "object" and SMALL.masks[p][3].any())
    answers = dict(view._study.answers)
    view.set(part=part)
    check(view, page, model, x, SMALL.masks[part][3], 2, signed=False, against=7, layer=layer, baseline="blur")
    view.wait()
    assert all(view._study.answers[name] is answer for name, answer in answers.items())
    hidden = next(p for p in page.state["parts"] if not SMALL.masks[p][3].any())
    view.set(part=hidden)
    assert page.state["masked"] is False and not page.state["tiles"]["gradient"]["scores"].get("mass")


def test_the_picture_is_erased_blurred_painted_and_moved(model):
    view, page = settled(model)
    x, mask = SMALL.inputs[:1], SMALL.masks["object"][0]
    view.set(baseline="mean")
    points = np.array([[0.3, 0.3], [0.6, 0.4], [0.6, 0.8]], np.float32)
    do(view, "stroke", [points[:1].tobytes()], begin=True, tool="erase", width=0.2)
    do(view, "stroke", [points[1:].tobytes()], begin=False, tool="erase", width=0.2)
    erased = view.picture
    assert page.state["edits"] == 1  # one stroke, however many messages it came in
    view.undo()
    view.edit("erase", points, 0.2)
    assert torch.equal(view.picture, erased) and not torch.equal(erased, x)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[10, 10] = inside[13, 19] = inside[25, 19] = True  # the middles of the stroke's ends
    mean = baseline(x, "mean")
    torch.testing.assert_close(erased[..., inside], mean[..., inside])
    assert torch.equal(erased[..., :5, :], x[..., :5, :])
    view.wait()
    check(view, page, model, erased, mask, view.target, baseline="mean")
    np.testing.assert_allclose(page.arrays["before"], model(x)[0].softmax(0).detach(), rtol=1e-5)
    assert "changed" in view.text

    view.edit("blur", [[0.1, 0.9]], 0.3)
    torch.testing.assert_close(view.picture[..., 28, 3], baseline(erased, "blur")[..., 28, 3])
    view.edit("paint", [[0.9, 0.1]], 0.2, "#ff8000")
    torch.testing.assert_close(view.picture[0, :, 3, 28], torch.tensor([1.0, 128 / 255, 0]))
    before = view.picture
    view.edit("move", [[0.25, 0.5], [0.75, 0.25]], 0.4)
    torch.testing.assert_close(view.picture[0, :, 8, 24], before[0, :, 16, 8])
    torch.testing.assert_close(view.picture[0, :, 16, 8], baseline(before, "mean")[0, :, 16, 8])
    disc = torch.zeros(32, 32)
    places = torch.arange(32) + 0.5
    disc[((places[:, None] - 16) ** 2 + (places - 8) ** 2).sqrt() < 0.4 * 16] = 1
    np.testing.assert_array_equal(page.arrays["mask"], moved_mask(mask, disc, (-8, 16)))
    view.wait()
    check(view, page, model, view.picture, torch.tensor(page.arrays["mask"]).bool(), view.target, baseline="mean")
    for _ in range(3):
        do(view, "undo")
    assert torch.equal(view.picture, erased)
    do(view, "reset")
    assert torch.equal(view.picture, x) and page.state["edits"] == 0
    do(view, "undo")  # nothing is left to undo
    assert page.state["error"] is None


def test_a_newer_change_ends_what_takes_long(model, monkeypatch):
    started, answered = threading.Event(), threading.Event()

    def slow(model, x, target, method, *args, **more):
        if method == "occlusion" and not answered.is_set():
            started.set()
            answered.wait(30)  # until the picture has been changed
            more["progress"](1, 2)
            raise AssertionError("it went on")
        return attributed(model, x, target, method, *args, **more)

    monkeypatch.setattr(saliency_study, "attributed", slow)
    view = SaliencyView(model, SMALL, ["gradient", "occlusion"])
    page = Page(view)
    assert started.wait(30)
    changing = threading.Thread(target=lambda: view.edit("erase", [[0.5, 0.5]], 0.4))
    changing.start()
    with view._changes:
        assert view._changes.wait_for(lambda: view._ticket > 0, 30)
    answered.set()
    changing.join()
    view.wait()
    check(view, page, model, view.picture, SMALL.masks["object"][0], view.target)


def test_slow_methods_on_request_only(model):
    view, page = settled(model, methods=["gradient", "occlusion"])
    view.set(idle=False)
    view.look_at(1)
    view.wait()
    assert page.state["tiles"]["gradient"]["status"] == "shown"
    assert page.state["tiles"]["occlusion"]["status"] == "on request"
    assert "map.occlusion" in page.arrays and page.state["tiles"]["occlusion"]["reach"] is None  # of another picture
    assert "Not computed yet: Occlusion." in view.text
    do(view, "compute", method="occlusion")
    view.wait()
    check(view, page, model, SMALL.inputs[1:2], SMALL.masks["object"][1], view.target)
    view.edit("erase", [[0.5, 0.5]])
    view.wait()
    tile = page.state["tiles"]["occlusion"]
    assert tile["status"] == "on request" and tile["reach"] is not None and not tile["scores"]  # of before the change


def test_one_method_from_near_is_also_scored_by_deletion(model):
    view, page = settled(model)
    do(view, "open", method="integrated_gradients")
    view.wait()
    x, target = SMALL.inputs[:1], view.target
    for method in ("integrated_gradients", "edge"):
        values = attribute(model, x, target, method)
        for name in ("deletion", "insertion"):
            expected = float(getattr(saliency, name)(model, x, target, values)[0])
            assert page.state["tiles"][method]["scores"][name] == pytest.approx(expected, abs=1e-5)
    assert "deletion" not in page.state["tiles"]["gradient"]["scores"]
    names = {"labkit": __import__("labkit"), "model": model, "view": view}
    made = eval(page.state["call"], names)  # what the view tells to recompute it by
    torch.testing.assert_close(as_map(made, signed=True)[0], view.maps["integrated_gradients"])
    do(view, "open", method=None)
    assert page.state["opened"] is None and page.state["call"] == ""


def test_what_a_model_breaks_is_said_on_the_tile():
    class Monster(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Linear(64, 3)

        def forward(self, x):
            return self.rows(x.flatten(1))

    view, page = settled(Monster(), digits().inputs[:5])
    tile = page.state["tiles"]["grad_cam"]
    assert tile["status"] == "refused" and "Expected" in tile["why"] and tile["reach"] is None
    assert page.state["tiles"]["gradient"]["status"] == "shown" and page.state["layers"] == []
    assert "Not for this model: Grad-CAM" in view.text


def test_one_channel_without_masks_and_classes():
    ds = digits()
    model = LeNet()
    view, page = settled(model, Dataset(ds.inputs[:9], ds.targets[:9]))
    assert page.state["parts"] == [] and not page.state["masked"] and page.arrays["picture"].shape == (8, 8)
    target, x = view.target, ds.inputs[:1]
    assert "class" in page.state["finding"] and "Best by deletion: " in view.text
    for method in view.methods:
        expected = float(saliency.deletion(model, x, target, attribute(model, x, target, method))[0])
        assert page.state["tiles"][method]["scores"]["deletion"] == pytest.approx(expected, abs=1e-5)
    view.edit("paint", [[0.5, 0.5]], 0.3)
    assert float(view.picture[0, 0, 4, 4]) > 0.98 > float(ds.inputs[0, 0, 4, 4])


def test_errors_are_clear_and_leave_everything_as_it_was(model):
    with pytest.raises(SettingError, match=r"Expected an nn.Module, received str"):
        SaliencyView("model", SMALL)
    with pytest.raises(SettingError, match=r"Expected methods of gradient, .*received 'grad'"):
        SaliencyView(model, SMALL, ["grad"])
    with pytest.raises(DataError, match=r"Expected pictures \(n, channels, height, width\)"):
        SaliencyView(model, Dataset(torch.rand(5, 4), torch.arange(5)))
    with pytest.raises(DataError, match=r"Expected inputs that fit the model"):
        SaliencyView(model, digits())
    with pytest.raises(DataError, match="NaN"):
        SaliencyView(model, torch.full((2, 3, 32, 32), float("nan")))
    view, page = settled(model)
    view.edit("erase", [[0.5, 0.5]])
    view.wait()
    state = copy.deepcopy(page.state)
    wrong = [
        ("set", {"target": 10}, (), "Expected target of 0 to 9"),
        ("set", {"baseline": "red"}, (), "Expected baseline of black, mean"),
        ("set", {"index": 99}, (), "Expected a picture of 0 to 11, received 99"),
        ("set", {"size": 3}, (), "Expected settings of target"),
        ("open", {"method": "grad"}, (), "Expected a method of gradient"),
        ("stroke", {"begin": True, "tool": "cut", "width": 0.1}, [np.zeros(2, np.float32)], "Expected a tool of"),
        ("stroke", {"begin": True, "tool": "erase", "width": 9}, [np.zeros(2, np.float32)], "Expected a width of"),
        ("stroke", {"begin": True, "tool": "erase", "width": 0.1}, [b""], "Expected points"),
        (
            "stroke",
            {"begin": True, "tool": "paint", "width": 0.1, "colour": "red"},
            [np.zeros(2, np.float32)],
            "#d22f27",
        ),
    ]
    for action, details, buffers, message in wrong:
        do(view, action, [bytes(b) for b in buffers], **details)
        assert message in page.state["error"]
    view.wait()
    do(view, "open", method=None)
    view.wait()
    for name in ("settings", "edits", "tiles", "finding"):
        assert page.state[name] == state[name]


def test_a_model_that_raises_on_a_picture_leaves_the_former(model):
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            if bool((x[..., 0, 0] > 0.999).all()):
                raise RuntimeError("not this one")
            return self.inner(x)

    view, page = settled(Picky(), methods=["gradient"])
    before = view.picture
    do(view, "stroke", [np.zeros(2, np.float32).tobytes()], begin=True, tool="paint", width=0.2, colour="#ffffff")
    assert "not this one" in page.state["error"] and page.state["edits"] == 0
    view.wait()
    assert torch.equal(view.picture, before) and page.state["tiles"]["gradient"]["status"] == "shown"


def test_the_users_model_and_random_numbers_are_left_alone(model):
    mine = copy.deepcopy(model).train()
    before = copy.deepcopy(mine.state_dict())
    torch.manual_seed(5)
    view, _ = settled(mine, methods=None)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert all(torch.equal(before[name], value) for name, value in mine.state_dict().items())
    assert all(m.training and not m._forward_hooks for m in mine.modules())
    assert all(p.requires_grad and p.grad is None for p in mine.parameters())
    assert set(view.maps) == set(METHODS)


def test_a_reloaded_page_gets_everything_and_the_figure_says_it(model):
    view, page = settled(model)
    view.edit("move", [[0.5, 0.5], [0.6, 0.5]], 0.3)
    view.wait()
    again = Page(view)
    assert again.state.keys() >= page.state.keys() - {"answered"}
    for name in ("settings", "tiles", "finding", "edits"):
        assert again.state[name] == page.state[name]
    for name, array in page.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    figure = view.figure()
    assert figure.alt.startswith("The model says ") and "mass: Gradient " in figure.alt
    with pytest.raises(DataError, match="Expected the map of at least one method"):
        plots.saliency(page.arrays["picture"], {}, "nothing")
    with pytest.raises(DataError, match=r"Expected Edge to be like the picture \(32, 32\), received \(3, 4\)"):
        plots.saliency(page.arrays["picture"], {"Edge": np.zeros((3, 4))}, "small")
    assert "salQueue" in script("saliency")


@pytest.mark.gpu
def test_a_model_on_a_gpu_is_asked_there(model):
    view, page = settled(copy.deepcopy(model).cuda(), methods=[*FEW, "occlusion"], cheat={"car": model})
    for change in ({"index": 2}, {"random": 2}, {"random": 0, "cue": True, "cheat": "car"}):
        do(view, "set", **change)
        view.wait()
        assert view.error is None
        assert {tile["status"] for tile in page.state["tiles"].values()} == {"shown"}
