"""The table of layers against counts by hand, and its picture."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labkit
from labkit import plots
from labkit.activations import capture, layers
from labkit.errors import DataError
from labkit.models import LeNet, TinyVGG


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_counts_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(5 * 6 * 6, 4))
    table = layers(model, draw(2, 3, 6, 6))
    conv, relu, flatten, linear = table
    assert [row.name for row in table] == ["0", "1", "2", "3"]
    assert (conv.kind, conv.input_shape, conv.output_shape) == ("Conv2d", (2, 3, 6, 6), (2, 5, 6, 6))
    assert conv.parameters == 5 * 3 * 9 + 5
    assert conv.flops == 2 * (2 * 5 * 6 * 6) * (3 * 9)  # a product and a sum for each weight and output value
    assert conv.bytes == 4 * 2 * 5 * 6 * 6
    assert (relu.parameters, relu.flops, relu.bytes) == (0, 0, conv.bytes)
    assert (flatten.input_shape, flatten.output_shape) == ((2, 5, 6, 6), (2, 180))
    assert (linear.parameters, linear.flops, linear.bytes) == (180 * 4 + 4, 2 * 2 * 180 * 4, 4 * 2 * 4)
    assert table.parameters == conv.parameters + linear.parameters
    assert table.flops == conv.flops + linear.flops
    assert table.bytes == sum(row.bytes for row in table)
    assert len(table) == 4 and table[1:3] == (relu, flatten)


class Odd(nn.Module):
    """A layer called twice, tied weights, work outside of layers, one never called, tuples, half precision."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.fc, self.lstm = nn.Linear(4, 4), nn.LSTM(4, 4)
        self.out, self.never = nn.Linear(4, 5, bias=False), nn.Linear(9, 9)
        self.out.weight = self.embed.weight
        self.mix = nn.Parameter(torch.eye(4))

    def forward(self, tokens):
        h = self.fc(F.relu(self.fc(self.embed(tokens)))) @ self.mix
        return self.out(self.lstm(h)[0])


def test_what_is_shared_outside_or_not_called():
    model, tokens = Odd(), torch.randint(5, (6,), generator=torch.Generator().manual_seed(0))
    table = layers(model, tokens)
    assert [row.name for row in table] == ["embed", "fc", "fc:2", "lstm", "out"]
    embed, first, second, lstm, out = table
    assert (first.parameters, first.shared, second.parameters, second.shared) == (20, 0, 0, 20)
    assert (embed.parameters, out.parameters, out.shared) == (20, 0, 20)
    assert first.flops == second.flops == 2 * 6 * 4 * 4
    assert lstm.output_shape == ((6, 4), (1, 4), (1, 4)) and lstm.bytes == 4 * (24 + 4 + 4)
    assert table.parameters == sum(value.numel() for value in model.parameters())
    assert table.flops - sum(row.flops for row in table) == 2 * 6 * 4 * 4  # h @ mix
    assert table.not_called == ("never",) and table.not_counted == ("lstm",)
    text = str(table)
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "kind", "input", "output", "parameters", "FLOPs", "bytes"]
    assert lines[4].split() == ["fc:2", "Linear", "6×4", "6×4", "0*", "192", "96"]
    assert lines[5].split(maxsplit=3)[3].startswith("6×4, 1×4, 1×4")
    # 9 · 9 + 9 of the layer that is not called and the 16 of the matrix belong to no row.
    assert lines[7].split() == ["outside", "of", "these", "layers", "106", "192"]
    assert "not called: never" in text and "* shared with a row above" in text
    assert "torch does not count the FLOPs of lstm" in text
    assert len({len(line) for line in lines[2:7]}) == 1  # aligned: the last column ends at one place


def test_bytes_are_those_of_the_precision():
    model = nn.Sequential(nn.Linear(4, 4))
    assert layers(model.double(), draw(2, 4).double())[0].bytes == 8 * 8
    assert layers(model.bfloat16(), draw(2, 4).bfloat16())[0].bytes == 2 * 8


def test_the_html_is_escaped():
    model = nn.Sequential()
    model.add_module("<b>&", nn.Linear(4, 4))
    page = layers(model, draw(2, 4))._repr_html_()
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page
    assert page.count("<tr") == 3 and page.count("<th") == 7
    assert "color" not in page  # the notebook's own colours, light or dark


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    layers(model, draw(3, 4))
    with pytest.raises(DataError):
        layers(model, draw(3, 5))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_names_are_those_of_capture():
    for model, x in ((TinyVGG(), draw(2, 3, 48, 48)), (nn.Linear(3, 2), draw(2, 3)), (nn.LSTM(3, 2), draw(2, 3))):
        names = list(dict.fromkeys(name.partition("[")[0] for name in capture(model, x)))
        assert [row.name for row in layers(model, x)] == names


def rendered(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure


def test_the_picture_shows_what_the_table_says():
    table = layers(LeNet(), draw(2, 1, 8, 8))
    figure = rendered(plots.layers(table.as_data()))
    words = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    for row in table:
        assert {row.name, row.kind} <= set(words)
    assert {"1×8×8", "16×2×2", "64"} <= set(words)
    assert figure.alt == "10 layers, 6.06 k parameters (69% in linear1), 111 k FLOPs (66% in conv2)"
    shares = [float(word.rstrip("%")) for word in words if word.endswith("%") and not word.startswith("<")]
    assert sum(shares) == pytest.approx(200, abs=3)


def test_the_picture_of_odd_models():
    tokens = torch.randint(5, (6,), generator=torch.Generator().manual_seed(0))
    rendered(plots.layers(layers(Odd(), tokens).as_data()))
    figure = rendered(plots.layers(layers(nn.Sequential(nn.Flatten(0)), draw(1, 1)).as_data()))
    assert figure.alt == "1 layer, 0 parameters, 0 FLOPs"
    deep = nn.Sequential(*(nn.Linear(4, 4) for _ in range(40)))
    tall = rendered(plots.layers(layers(deep, draw(2, 4)).as_data()))
    assert len([text for text in tall.axes[0].texts if text.get_text() == "Linear"]) == 40
    named = nn.Sequential()
    named.add_module("a_very_long_name_of_a_layer_$x_$", nn.ReLU())
    shown = rendered(plots.layers(layers(named, draw(2, 4)).as_data())).axes[0].texts
    assert "…e_of_a_layer_$x_$" in [text.get_text() for text in shown]
    with pytest.raises(DataError, match="at least one layer"):
        plots.layers([])


def test_it_is_there_by_name():
    assert labkit.activations.layers is layers
