"""The graph of numbers: its values against the model's, its gradients against autograd's, node by node."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from labkit.activations import capture
from labkit.activations.graph import finite_difference, read_model, scalar_graph
from labkit.errors import DataError, SettingError

ACTIVATIONS = [
    nn.Tanh(), nn.ReLU(), nn.Sigmoid(), nn.LeakyReLU(0.2), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.ELU(1.5),
    nn.Softplus(2.0),
]  # fmt: skip
LOSSES = {"mse": nn.functional.mse_loss, "cross_entropy": nn.functional.cross_entropy}


def make(activation, loss="mse", outputs=2, n=3, seed=0):
    """A random network 3 - 2 - 3 - outputs with data."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 2), activation, nn.Linear(2, 3, bias=False), activation, nn.Linear(3, outputs))
    y = torch.randn(n, outputs) if loss == "mse" else torch.randint(outputs, (n,))
    return model, torch.randn(n, 3), y


def by_torch(graph):
    """The same computation with torch's own operations and autograd: (values, gradients), (nodes, n)."""
    made = []
    for k, node in enumerate(graph.nodes):
        a = [made[parent] for parent in node.parents]
        if node.is_leaf:
            value = torch.tensor(graph.values[k], requires_grad=True)
        elif node.kind == "product":
            value = a[0] * a[1]
        elif node.kind == "sum":
            value = sum(a)
        elif node.kind == "activation":
            functions = {"tanh": torch.tanh, "ReLU": torch.relu, "σ": torch.sigmoid, "SiLU": nn.functional.silu}
            value = functions[node.function](a[0])
        elif node.kind in ("difference", "cross_entropy"):
            value = a[0] - a[1]
        elif node.kind == "square":
            value = a[0] ** 2
        elif node.kind == "mean":
            value = sum(a) / len(a)
        elif node.kind == "batch_mean":
            value = a[0].mean().expand(len(a[0])) * torch.ones(len(a[0]))
        elif node.kind == "exp":
            value = torch.exp(a[0] - torch.stack(a).max(0).values.detach())
        elif node.kind == "log":
            value = a[0].log()
        elif node.kind == "pick":
            stacked = torch.stack(a[1:])
            value = stacked[a[0].long(), torch.arange(len(a[0]))] - stacked.max(0).values.detach()
        value.retain_grad()
        made.append(value)
    made[-1][0].backward()
    values = np.stack([value.detach().numpy() for value in made])
    # L stands once for each example of a batch, its gradient in the first only.
    gradients = [np.full(values.shape[1], np.nan) if value.grad is None else value.grad.numpy() for value in made]
    gradients[-1] = np.ones(values.shape[1])
    return values, np.stack(gradients)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_values_and_gradients_are_the_models_and_autograds(activation, n, loss):
    model, x, y = make(activation, loss, n=n)
    graph = scalar_graph(model, x, y, loss)
    captured = capture(model, x, gradients=True, target=y, loss=LOSSES[loss])
    for example in range(n):
        values, gradients = read_model(graph, captured, LOSSES[loss], y, example)
        mine = np.array([graph.gradient(k, example) for k in range(len(graph.nodes))])
        read = ~np.isnan(values)
        assert np.allclose(graph.values[read, example], values[read], rtol=1e-5, atol=1e-6)
        read = ~np.isnan(gradients)
        assert np.allclose(mine[read], gradients[read], rtol=1e-5, atol=1e-6)
        # what the model has a tensor of was read: parameters, inputs, sums, activations, the loss, targets
        kinds = {node.kind for node, seen in zip(graph.nodes, read, strict=True) if seen}
        assert kinds >= {"weight", "bias", "input", "sum", "activation"}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3], ids=str)
def test_every_node_agrees_with_the_same_computation_in_torch(activation, n, loss):
    graph = scalar_graph(*make(activation, loss, n=n, seed=1), loss)
    values, gradients = by_torch(graph)
    assert np.allclose(graph.values, values, rtol=1e-12)
    real = np.array([node.kind != "class" for node in graph.nodes])
    assert np.allclose(graph.gradients[real], gradients[real], rtol=1e-9, atol=1e-12)
    assert np.isnan(graph.gradients[~real]).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_finite_differences_find_the_same_gradient(activation, loss):
    model, x, y = make(activation, loss, n=2, seed=5)
    graph = scalar_graph(model, x, y, loss)
    for k, node in enumerate(graph.nodes):
        found = finite_difference(graph, k, model, x, y, LOSSES[loss], example=1)
        if node.kind == "class":
            assert math.isnan(found)
        else:
            assert found == pytest.approx(graph.gradient(k, 1), rel=1e-5, abs=1e-8), node.id


def test_at_a_kink_there_is_no_finite_difference():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    x, y = torch.ones(1, 1), torch.ones(1, 1)
    graph = scalar_graph(model, x, y)
    assert math.isnan(finite_difference(graph, graph.find("0.weight[0,0]"), model, x, y, LOSSES["mse"]))
    assert finite_difference(graph, graph.find("y"), model, x, y, LOSSES["mse"]) == pytest.approx(2)


def test_a_hand_computed_step():
    """ŷ = tanh(0.5·2 − 0.45) = tanh(0.55), L = (ŷ − 1)²."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Tanh()).double()
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[0].bias.fill_(-0.45)
    graph = scalar_graph(model, torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    out = math.tanh(0.55)
    slope = 2 * (out - 1) * (1 - out**2)
    found = {node.id: (graph.values[k, 0], graph.gradient(k)) for k, node in enumerate(graph.nodes)}
    expected = {
        "x[0]": (2, slope * 0.5), "0.weight[0,0]": (0.5, slope * 2), "0.product[0,0]": (1, slope),
        "0.bias[0]": (-0.45, slope),
        "0[0]": (0.55, slope), "1[0]": (out, 2 * (out - 1)), "y[0]": (1, -2 * (out - 1)),
        "difference[0]": (out - 1, 2 * (out - 1)), "L": ((out - 1) ** 2, 1),
    }  # fmt: skip
    assert found == {key: pytest.approx(pair, abs=1e-12) for key, pair in expected.items()}


def test_a_value_used_twice_gets_the_sum_over_its_uses():
    graph = scalar_graph(*make(nn.Tanh(), n=1))
    h = graph.find("1[0]")
    uses = graph.uses[h]
    assert [graph.nodes[k].id for k in uses] == ["2.product[0,0]", "2.product[1,0]", "2.product[2,0]"]
    weights = [graph.nodes[k].parents[0] for k in uses]
    handed = sum(graph.gradients[k, 0] * graph.values[w, 0] for k, w in zip(uses, weights, strict=True))
    assert graph.gradient(h) == pytest.approx(handed)


def test_a_parameters_gradient_is_the_sum_over_the_batch():
    model, x, y = make(nn.Tanh(), n=5)
    whole = scalar_graph(model, x, y)
    alone = [scalar_graph(model, x[i : i + 1], y[i : i + 1]) for i in range(5)]
    k, j = whole.find("2.weight[1,0]"), alone[0].find("2.weight[1,0]")
    assert whole.gradient(k) == pytest.approx(np.mean([graph.gradient(j) for graph in alone]))
    assert whole.values[-1, 0] == pytest.approx(np.mean([graph.values[-1, 0] for graph in alone]))


def test_large_logits_do_not_overflow():
    model = nn.Sequential(nn.Linear(1, 3))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1000.0], [0.0], [-1000.0]]))
        model[0].bias.zero_()
    x, y = torch.ones(1, 1), torch.tensor([1])
    graph = scalar_graph(model, x, y, "cross_entropy")
    assert graph.values[-1, 0] == pytest.approx(1000)
    assert [graph.gradient(graph.find(f"0[{i}]")) for i in range(3)] == pytest.approx([1, -1, 0])


def test_flatten_and_identity_change_no_number():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.Identity())
    x, y = torch.randn(2, 2, 2), torch.randn(2, 1)
    graph = scalar_graph(model, x, y)
    assert graph.values[graph.find("ŷ")] == pytest.approx(model(x)[:, 0].detach().numpy(), rel=1e-5)
    k = graph.find("x[3]")
    assert finite_difference(graph, k, model, x, y, LOSSES["mse"], 1) == pytest.approx(graph.gradient(k, 1), rel=1e-5)


def test_names():
    graph = scalar_graph(*make(nn.Tanh(), n=1))
    labels = [node.label for node in graph.nodes]
    assert len(set(labels)) == len(labels)
    assert {"x₁", "w⁽¹⁾₂₃", "b⁽¹⁾₂", "z⁽¹⁾₁", "h⁽²⁾₃", "ŷ₂", "y₁", "L"} <= set(labels)
    single = scalar_graph(nn.Sequential(nn.Linear(2, 1)), torch.ones(1, 2), torch.ones(1, 1), names=["size", "rooms"])
    assert [node.label for node in single.nodes] == [
        "size", "rooms", "w₁₁", "w₁₁·size", "w₁₂", "w₁₂·rooms", "b", "ŷ", "y", "ŷ−y", "L",
    ]  # fmt: skip
    assert single.find("ŷ") == single.find("0[0]")
    with pytest.raises(SettingError, match="0.weight"):
        single.find("nothing")


@pytest.mark.parametrize("loss", LOSSES)
def test_boxes_stand_apart_and_links_lead_to_the_right(loss):
    graph = scalar_graph(*make(nn.Tanh(), loss, n=2), loss)
    places = [(node.column, node.row) for node in graph.nodes]
    for i, (column, row) in enumerate(places):
        assert all(column != c or abs(row - r) >= 1 - 1e-9 for c, r in places[:i]), graph.nodes[i].id
    for k, node in enumerate(graph.nodes):
        assert all(parent < k for parent in node.parents)
        below = {"bias", "target", "class"}
        for parent in node.links:
            other = graph.nodes[parent]
            assert other.column < node.column or (other.column == node.column and other.kind in below)


@pytest.mark.parametrize(
    ("model", "x", "y", "loss", "words"),
    [
        (nn.Linear(2, 1), (1, 2), (1, 1), "mse", "nn.Sequential"),
        (nn.Sequential(nn.Conv2d(1, 1, 2)), (1, 1, 2, 2), (1, 1), "mse", "Conv2d"),
        (nn.Sequential(nn.Linear(2, 1), nn.Dropout()), (1, 2), (1, 1), "mse", "Dropout"),
        (nn.Sequential(nn.Linear(6, 6)), (1, 6), (1, 6), "mse", "at most 32"),
        (nn.Sequential(nn.Linear(2, 1)), (1, 2), (1, 1), "another", "mse or cross_entropy"),
    ],
    ids=["not sequential", "convolution", "dropout", "large", "loss"],
)
def test_what_cannot_be_opened_says_so(model, x, y, loss, words):
    with pytest.raises(SettingError, match=words) as raised:
        scalar_graph(model, torch.ones(x), torch.ones(y), loss)
    assert "tensor view" in str(raised.value)


def test_a_layer_used_twice_cannot_be_opened():
    layer = nn.Linear(2, 2)
    with pytest.raises(SettingError, match="twice"):
        scalar_graph(nn.Sequential(layer, nn.Tanh(), layer), torch.ones(1, 2), torch.ones(1, 2))


def test_data_that_do_not_fit():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(DataError, match=r"\(n, 2\)"):
        scalar_graph(model, torch.ones(1, 3), torch.ones(1, 2))
    with pytest.raises(DataError, match=r"\(1, 2\)"):
        scalar_graph(model, torch.ones(1, 2), torch.ones(1, 1))
    with pytest.raises(DataError, match="0 to 1"):
        scalar_graph(model, torch.ones(1, 2), torch.tensor([2]), "cross_entropy")
    with pytest.raises(SettingError, match="2 names"):
        scalar_graph(model, torch.ones(1, 2), torch.ones(1, 2), names=["one"])
