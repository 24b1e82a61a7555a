"""BackpropView's Python side, without a browser: what is shown is the model's, what is changed reaches it."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from page import Page
from torch import nn

import labkit
from labkit.errors import DataError, DivergedError, SettingError
from labkit.models import MLP, LeNet
from labkit.widgets import BackpropView


def small(loss="mse", n=4, seed=0, activation=nn.Tanh):
    torch.manual_seed(seed)
    outputs = 1 if loss == "mse" else 3
    model = nn.Sequential(nn.Linear(2, 2), activation(), nn.Linear(2, outputs))
    targets = torch.randn(n) if loss == "mse" else torch.randint(outputs, (n,))
    return BackpropView(model, torch.randn(n, 2), targets)


def pictures():
    torch.manual_seed(0)
    return BackpropView(LeNet(seed=0), torch.randn(3, 1, 8, 8), torch.tensor([0, 3, 9]), lr=0.05)


def do(view, action, /, **details):
    """Ask as the page does; returns what went wrong, or None."""
    view.receive({"kind": "do", "action": action, "ticket": 1, **details})
    return view.error


def flat(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def number_of(page, key):
    return [node["id"] for node in page.state["structure"]["nodes"]].index(key)


# What is shown


@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_page_gets_the_models_numbers_and_autograds(loss, minibatch):
    view = small(loss)
    view.example, view.minibatch = 2, minibatch
    page = Page(view)
    x, y = view.batch
    assert len(x) == (4 if minibatch else 1)
    value = view._loss(view.model(x), y)
    value.backward()
    assert page.state["loss"] == pytest.approx(value.item())
    nodes = page.state["structure"]["nodes"]
    for k, node in enumerate(nodes):
        if node["kind"] in ("weight", "bias"):
            name, _, index = node["id"].rstrip("]").partition("[")
            place = tuple(map(int, index.split(",")))
            parameter = view.model.get_parameter(name)
            assert page.arrays["values"][k] == parameter[place].item()
            assert page.arrays["gradients"][k] == pytest.approx(parameter.grad[place].item(), abs=1e-6)
            assert page.arrays["after"][k] == pytest.approx((parameter - 0.1 * parameter.grad)[place].item(), abs=1e-7)
        if node["kind"] == "input":
            assert page.arrays["values"][k] == view.inputs[2].tolist()[int(node["id"][2])]
    z = [number_of(page, f"0[{i}]") for i in range(2)]
    assert page.arrays["values"][z] == pytest.approx(view.model[0](view.inputs)[2].detach().numpy(), abs=1e-6)


@pytest.mark.parametrize("detail", ["node", "layer"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_film_brings_every_number(loss, detail):
    view = small(loss)
    view.minibatch = True
    page = Page(view)
    structure = page.state["structure"]
    beats, captions = structure["beats"][detail], page.state["captions"][detail]
    assert len(beats) == len(captions) and all(captions)
    order = [stage for stage, _ in beats]
    assert order == sorted(order, key=["forward", "loss", "backward", "update"].index)
    seen = {stage: {k for name, nodes in beats if name == stage for k in nodes} for stage in dict.fromkeys(order)}
    for k, node in enumerate(structure["nodes"]):
        given = node["kind"] in ("weight", "bias", "target", "class")
        assert given or k in seen["forward"] | seen["loss"], node["id"]
        assert node["kind"] == "class" or k in seen["backward"], node["id"]
        assert (node["kind"] in ("weight", "bias")) == (k in seen["update"])
    # a number comes after those that it is computed from, and a gradient after those that it comes from
    first = {stage: {} for stage in ("value", "gradient")}
    for at, (stage, nodes) in enumerate(beats):
        for k in nodes:
            first["gradient" if stage == "backward" else "value"].setdefault(k, at)
    for parent, child in structure["links"]:
        if structure["nodes"][parent]["kind"] in ("input", "product", "sum", "activation"):
            assert first["value"][parent] <= first["value"][child]
            assert first["gradient"][child] <= first["gradient"][parent]


def test_captions_are_the_arithmetic():
    """ŷ = tanh(0.55), the example of the text: x = 2, w = 0.5, b = -0.45, y = 1."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[0].bias.fill_(-0.45)
    view = BackpropView(model, [[2.0]], [1.0])
    out = math.tanh(0.55)
    slope = 2 * (out - 1) * (1 - out**2)
    assert Page(view).state["captions"]["node"] == [
        "The example: x = 2.00",
        "w₁₁·x = 0.500 · 2.00 = 1.00",
        "z = 1.00 − 0.450 = 0.550",
        "ŷ = tanh(0.550) = 0.501",
        "ŷ−y = 0.501 − 1.00 = −0.499",
        "L = (ŷ−y)² = (−0.499)² = 0.249",
        "∂L/∂L = 1: backward begins at the loss",
        "∂L/∂(ŷ−y) = ∂L/∂L · 2(ŷ−y) = 1.00 · (−0.999) = −0.999",
        "∂L/∂ŷ = ∂L/∂(ŷ−y) · 1 = −0.999 · 1 = −0.999",
        "∂L/∂z = ∂L/∂ŷ · tanh′(z) = −0.999 · 0.749 = −0.749",
        "∂L/∂w₁₁ = ∂L/∂z · x = −0.749 · 2.00 = −1.50",
        "∂L/∂b = ∂L/∂z · 1 = −0.749 · 1 = −0.749",
        "∂L/∂x = ∂L/∂z · w₁₁ = −0.749 · 0.500 = −0.374",
        "w₁₁ − η · ∂L/∂w₁₁ = 0.500 − 0.1 · (−1.50) = 0.650",
        "b − η · ∂L/∂b = −0.450 − 0.1 · (−0.749) = −0.375",
    ]
    assert view.node("w₁₁")["gradient"] == pytest.approx(2 * slope)


@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_lines_of_pytorch_give_the_numbers(loss, minibatch):
    view = small(loss)
    view.example, view.minibatch = 1, minibatch
    x, y = view.batch
    names = {"model": view.model, "x": x, "y": y, "torch": torch, "F": F}
    for node in view._picture.structure["nodes"]:
        card, data = view._picture.open(node["id"]), view.node(node["id"])
        assert torch.as_tensor(eval(card["code"][0], names)).item() == pytest.approx(data["value"], abs=1e-6), node[
            "id"
        ]
        if len(card["code"]) > 1:
            *before, last = card["code"][1].split("; ")
            exec("; ".join(before), names)
            assert float(eval(last, names)) == pytest.approx(data["gradient"], abs=1e-6), node["id"]
        else:
            assert node["id"] in ("y", "L", "L_example", "exp_sum", "log", "pick") or node["kind"] in ("exp", "square")


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_everything_shown_agrees(loss, activation):
    view = small(loss, activation=activation)
    for view.minibatch in (False, True):
        assert view.check() < 1e-5
    node = view.node("2.weight[0,1]")
    assert node["autograd"] == pytest.approx(node["gradient"], rel=1e-4)
    assert node["finite_difference"] == pytest.approx(node["gradient"], rel=1e-5)
    assert view.node("0.product[0,0]")["autograd"] is None


def test_a_wrong_chain_rule_would_be_noticed():
    view = small()
    view._picture.graph.gradients[3] += 0.01
    assert view.check() > 0.005


# What is changed


@pytest.mark.parametrize("kind", ["scalar", "tensor"])
def test_the_answer_brings_the_caption_that_is_seen_and_the_others_follow(kind):
    view = small()
    view.kind = kind
    view.show("loss")
    page = Page(view)
    detail, beat = page.state["seek"]["detail"], page.state["seek"]["beat"]
    before, sent = page.state["captions"], []
    view.send = lambda content, buffers: (page.receive(content, buffers), sent.append(dict(page.state)))
    assert do(view, "edit", key="x[0]", value=3.0) is None
    first, last = sent[0], sent[-1]["captions"]
    assert first["answered"] == 1 and first["captions"] == {detail: {str(beat): last[detail][beat]}}
    assert last == Page(view).state["captions"] and last[detail][beat] != before[detail][beat]


def test_a_dragged_number_reaches_the_model_and_comes_back_in_one_message():
    view = small()
    page = Page(view)
    before, kinds = page.messages, len(page.kinds)
    assert do(view, "edit", key="0.weight[1,0]", value=0.75) is None
    assert page.messages == before + 2 and page.kinds[kinds:] == ["update", "push", "update"]  # the last: captions
    assert view.model[0].weight[1, 0].item() == 0.75
    assert page.arrays["values"][number_of(page, "0.weight[1,0]")] == 0.75
    assert page.state["loss"] == pytest.approx(F.mse_loss(view.model(view.inputs[:1]), view.targets[:1]).item())
    do(view, "edit", key="x[1]", value=-1.5)
    do(view, "edit", key="y[0]", value=2)
    assert view.inputs[0, 1] == -1.5 and view.targets[0, 0] == 2
    view.set("b⁽²⁾", 0.5)
    assert view.model[2].bias.item() == 0.5
    assert "structure" not in page.state or view.check() < 1e-5


def test_an_open_card_follows():
    view = small()
    page = Page(view)
    do(view, "open", key="0.weight[0,0]")
    first = page.state["opened"]
    assert first["title"].startswith("Weight w⁽¹⁾₁₁") and first["check"]["agrees"]
    do(view, "edit", key="x[0]", value=3.0)
    assert page.state["opened"]["check"]["chain"] != first["check"]["chain"]
    assert page.state["opened"]["check"]["autograd"] == pytest.approx(page.state["opened"]["check"]["chain"], rel=1e-4)
    do(view, "open", key=None)
    assert page.state["opened"] is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("0.weight[0,0]", float("nan"), "a number"),
        ("0.weight[0,0]", 1e9, "at most"),
        ("0.weight[0,0]", "much", "a number"),
        ("0[1]", 1.0, "computed"),
        ("nothing", 1.0, "id or label"),
        ("y", 5, "0 to 2"),
        ("y", -1, "0 to 2"),
    ],
)
def test_a_change_that_cannot_be_is_refused(key, value, words):
    view = small("cross_entropy")
    before, targets = flat(view.model), view.targets.clone()
    assert words in do(view, "edit", key=key, value=value)
    assert torch.equal(flat(view.model), before) and torch.equal(view.targets, targets)
    assert do(view, "edit", key="0.weight[0,0]", value=0.5) is None


@pytest.mark.parametrize("minibatch", [False, True])
def test_a_step_is_what_the_update_showed(minibatch):
    view = small()
    view.minibatch = minibatch
    page = Page(view)
    shown = {node["id"]: page.arrays["after"][k] for k, node in enumerate(page.state["structure"]["nodes"])}
    twin = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    twin.load_state_dict(view.model.state_dict())
    x, y = view.batch
    F.mse_loss(twin(x), y).backward()
    torch.optim.SGD(twin.parameters(), 0.1).step()
    assert do(view, "take") is None
    assert torch.allclose(flat(view.model), flat(twin), atol=1e-7)
    assert shown["0.weight[1,1]"] == view.model[0].weight[1, 1].item()
    assert view.steps == page.state["steps"] == 1
    view.step(30)
    assert view.losses[-1] < view.losses[0] and len(view.losses) == 31
    assert page.state["seek"]["beat"] == 0


def test_a_step_that_diverges_changes_nothing_and_says_so():
    view = small()
    view.lr = 1e6
    with pytest.raises(DivergedError):
        view.step(50)
    assert torch.isfinite(flat(view.model)).all()
    view.reset()
    assert view.steps == 0 and view.error is None


def test_reset_is_the_start():
    view = small()
    start, inputs = flat(view.model), view.inputs.clone()
    view.step(3)
    view.set("x[0]", 9.0)
    do(view, "reset")
    assert torch.equal(flat(view.model), start) and torch.equal(view.inputs, inputs)
    assert (view.steps, view.losses) == (0, [])


def test_what_a_cell_changes_is_drawn():
    view = small()
    page = Page(view)
    view._notice()
    messages = page.messages
    view._notice()
    assert page.messages == messages
    with torch.no_grad():
        view.model[0].bias.fill_(0.25)
    view.inputs[0, 0] = 0.125
    view._notice()
    assert page.arrays["values"][number_of(page, "0.bias[1]")] == 0.25
    assert page.arrays["values"][number_of(page, "x[0]")] == 0.125
    view.inputs[0, 0] = float("nan")
    view._notice()
    assert "NaN" in page.state["error"]


def test_the_model_is_the_callers_and_the_data_are_copies():
    model, inputs, targets = nn.Sequential(nn.Linear(2, 1)), torch.ones(2, 2), torch.ones(2)
    view = BackpropView(model, inputs, targets)
    view.set("x[0]", 5.0)
    view.step()
    assert view.model is model and inputs[0, 0] == 1
    assert view.targets.shape == (2, 1)


# Where the film stands


def test_show_and_what_the_page_tells():
    view = small()
    page = Page(view)
    beats = page.state["structure"]["beats"]["node"]
    for stage in ("forward", "loss", "backward", "update"):
        view.show(stage)
        at = page.state["seek"]["beat"]
        assert beats[at][0] == stage and (at + 1 == len(beats) or beats[at + 1][0] != stage)
    view.show(3)
    assert page.state["seek"]["beat"] == 3 and f"Beat 4 of {len(beats)}, forward" in view.text
    number = page.state["seek"]["number"]
    do(view, "at", beat=5, detail="layer")
    assert "Beat 6 of" in view.text and page.state["seek"]["number"] == number  # the page is there already
    assert do(view, "at", beat=5, detail="other")
    for wrong in (-1, 999, "middle"):
        with pytest.raises(SettingError, match="forward"):
            view.show(wrong)


def test_figures():
    view = small("cross_entropy")
    for stage in ("forward", "loss", "backward", "update"):
        view.show(stage)
        assert view.figure().alt
    texts = [text.get_text() for text in view.figure().axes[0].texts]
    assert any(text.startswith("◂") for text in texts) and "Σe" in texts
    view.show(0)
    texts = [text.get_text() for text in view.figure().axes[0].texts]
    assert not any(text.startswith("◂") for text in texts)
    view = pictures()
    view.show("update")
    figure = view.figure()
    assert "conv1" in figure.axes[1].get_title() and "Update" in figure.alt


# Layer by layer


def test_any_model_is_shown_layer_by_layer():
    view = pictures()
    view.example, view.minibatch = 1, True
    page = Page(view)
    assert view.kind == page.state["kind"] == "tensor" and "Conv2d" in page.state["why_not_scalar"]
    captured = labkit.activations.capture(view.model, view.inputs, gradients=True, target=view.targets)
    for name, value in captured.items():
        assert np.array_equal(page.arrays[f"value {name}"], value[1].numpy())
        assert np.array_equal(page.arrays[f"gradient {name}"], captured.gradients[name][1].numpy())
    for name, value in captured.parameter_gradients.items():
        parameter = view.model.get_parameter(name).detach()
        assert np.array_equal(page.arrays[f"value {name}"], parameter.numpy())
        assert np.array_equal(page.arrays[f"gradient {name}"], value.numpy())
        assert np.allclose(page.arrays[f"after {name}"], (parameter - 0.05 * value).numpy(), atol=1e-7)
    view.step()
    assert np.array_equal(page.arrays["value conv1.weight"], view.model.conv1.weight.detach().numpy())


def test_a_cell_can_be_opened_and_changed():
    view = pictures()
    page = Page(view)
    assert do(view, "open", key="conv1[2,3,4]") is None
    card = page.state["opened"]
    assert card["value"] == pytest.approx(view.model.conv1(view.inputs)[0, 2, 3, 4].item(), abs=1e-6)
    assert "Conv2d" in card["title"] and card["lines"][1][1]
    assert do(view, "open", key="L") is None
    assert page.state["opened"]["value"] == pytest.approx(page.state["loss"])
    assert do(view, "open", key="conv1.weight[0,0,1,1]") is None
    check = page.state["opened"]["check"]
    assert check["agrees"] and check["chain"] == pytest.approx(check["autograd"], rel=1e-3, abs=1e-6)
    do(view, "edit", key="conv1.weight[0,0,1,1]", value=0.5)
    assert view.model.conv1.weight[0, 0, 1, 1].item() == 0.5 and page.state["opened"]["value"] == 0.5
    do(view, "edit", key="x[0,3,3]", value=0.25)
    assert view.inputs[0, 0, 3, 3] == 0.25
    for wrong in ("conv1[99,0,0]", "conv1[0]", "nothing[0]", "conv1[a]"):
        assert "Expected" in do(view, "open", key=wrong)
    assert view.check() < 1e-5


def test_a_scalar_graph_can_be_seen_as_layers_and_back():
    view = small()
    page = Page(view)
    do(view, "open", key="0[1]")
    do(view, "set", view="tensor")
    assert "layers" in page.state["structure"] and page.state["opened"] is None
    assert [layer["name"] for layer in page.state["structure"]["layers"]] == ["0", "1", "2"]
    assert view.figure().alt
    do(view, "set", view="scalar")
    assert "nodes" in page.state["structure"]
    view = pictures()
    with pytest.raises(SettingError, match="tensor view"):
        view.kind = "scalar"


def test_dropout_is_that_of_the_step_and_the_mode_is_left():
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 1)).eval()
    torch.manual_seed(0)
    view = BackpropView(model, torch.randn(3, 4), torch.randn(3))
    view.minibatch = True
    page = Page(view)
    assert not model.training and (page.arrays["value 1"] == 0).any()
    shown = page.arrays["after 0.weight"]
    view.step()
    assert np.array_equal(shown, model[0].weight.detach().numpy())


# Wrong data


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (torch.ones(2, 3), torch.ones(2), "fit the model"),
        (torch.ones(2, 2), torch.ones(3), "as many targets"),
        (torch.tensor([[1.0, float("nan")]]), torch.ones(1), "NaN"),
        (torch.ones(0, 2), torch.ones(0), "1 to 512"),
        (torch.ones(2, 2), torch.ones(2, 3), "shaped like"),
        ([["a", "b"]], [1.0], "numbers"),
        (torch.ones(513, 2), torch.ones(513), "1 to 512"),
    ],
)
def test_wrong_data_say_what_is_wrong(inputs, targets, words):
    with pytest.raises(DataError, match=words):
        BackpropView(nn.Sequential(nn.Linear(2, 1)), inputs, targets)


def test_wrong_settings():
    model = nn.Sequential(nn.Linear(2, 1))
    with pytest.raises(SettingError, match="parameters"):
        BackpropView(nn.Tanh(), torch.ones(1, 2), torch.ones(1))
    with pytest.raises(SettingError, match="torch module first, then inputs and targets; received Tensor"):
        BackpropView(torch.ones(1, 2), torch.ones(1), model)
    with pytest.raises(SettingError, match="loss"):
        BackpropView(model, torch.ones(1, 2), torch.ones(1), loss="other")
    with pytest.raises(SettingError, match="numbers to show"):
        BackpropView(MLP(900, 2, (600,)), torch.ones(1, 900), torch.tensor([0]))
    with pytest.raises(SettingError, match="2 names"):
        BackpropView(model, torch.ones(1, 2), torch.ones(1), names=["a"])
    view = BackpropView(model, torch.ones(2, 2), torch.ones(2), names=["a", "b"])
    assert view.node("a")["value"] == 1
    for name, wrong in (("example", 2), ("example", -1), ("lr", -1), ("lr", math.nan), ("kind", "other")):
        with pytest.raises(SettingError):
            setattr(view, name, wrong)
    with pytest.raises(SettingError, match="1 step"):
        view.step(0)


def test_own_loss_and_targets_of_any_kind():
    view = BackpropView(nn.Sequential(nn.Linear(2, 1)), [[1, 2]], [3], loss=nn.functional.l1_loss)
    assert view.kind == "tensor" and "mse or cross_entropy" in view._why_not_scalar
    assert BackpropView(nn.Sequential(nn.Linear(2, 1)), [[1, 2]], [3], loss=nn.MSELoss()).kind == "scalar"
    view = BackpropView(nn.Sequential(nn.Linear(2, 3)), [[1, 2]], [2])
    assert view.kind == "scalar" and view.node("L")["value"] == pytest.approx(
        F.cross_entropy(view.model(view.inputs), view.targets).item()
    )
