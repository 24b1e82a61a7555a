"""Published architectures with random weights, as transformers has them: what people bring to the lab.

They return dicts of outputs rather than tensors. A backbone of torchvision or timm returns plain tensors.
"""

import copy

import pytest
import torch
import transformers
from torch import nn

from labkit import data, features, saliency
from labkit.activations import capture, layers
from labkit.errors import UnsuitableError
from labkit.models import LeNet

SIZE = 32


def resnet():
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return transformers.ResNetForImageClassification(config)


def vit():
    config = transformers.ViTConfig(
        image_size=SIZE, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    return transformers.ViTForImageClassification(config)


def mobilenet():
    config = transformers.MobileNetV2Config(image_size=SIZE, depth_multiplier=0.35)
    return transformers.MobileNetV2ForImageClassification(config)


def convnext():
    config = transformers.ConvNextV2Config(image_size=SIZE, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1])
    return transformers.ConvNextV2ForImageClassification(config)


class Plain(nn.Module):
    """As torchvision and timm have them: a tensor is returned, and one ReLU in place is called several times."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu, self.pool, self.fc = nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 2)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)) + x)
        return self.fc(self.pool(x).flatten(1))


# A layer in the middle with its number of channels, and the output layer.
MODELS = {
    "resnet": (resnet, "resnet.encoder.stages.1.layers.0", 16, "classifier.1"),
    "vit": (vit, "vit.encoder.layer.1.intermediate", 24, "classifier"),
    "mobilenet": (mobilenet, "mobilenet_v2.layer.3", 16, "classifier"),
    "convnext": (convnext, "convnextv2.encoder.stages.1.layers.0.act", 48, "classifier"),
    "plain": (Plain, "relu:2", 8, "fc"),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def brought(request):
    make, *rest = request.param
    torch.manual_seed(0)
    return make(), *rest


@pytest.fixture(scope="module")
def pictures():
    return data.objects(n=24, size=SIZE, seed=0)


def test_layers_are_found_by_running(brought, pictures):
    model, _, _, output = brought
    before = copy.deepcopy(model.state_dict())
    x = pictures.inputs[:2]
    captured = capture(model, x, gradients=True, target=torch.tensor([0, 1]))
    assert [row.name for row in layers(model, x)] == list(captured)
    assert captured[output].shape == (2, 2)
    logits = captured.output if isinstance(captured.output, torch.Tensor) else captured.output.logits
    torch.testing.assert_close(captured[output], logits)
    torch.testing.assert_close(captured.loss, nn.functional.cross_entropy(logits, torch.tensor([0, 1])))
    model.zero_grad()
    result = copy.deepcopy(model)(x)  # in training mode, as it was when it was captured
    loss = nn.functional.cross_entropy(
        result if isinstance(result, torch.Tensor) else result.logits, torch.tensor([0, 1])
    )
    torch.testing.assert_close(captured.loss, loss.detach())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_units_and_classes_have_preferred_pictures(brought):
    model, layer, channels, output = brought
    model.train()
    units = [0, channels - 1, features.neuron(1), features.direction(torch.ones(channels))]
    start, *_, last = features.optimizing(model, layer, units, size=SIZE, steps=24)
    assert last.images.shape == (4, 3, SIZE, SIZE)
    assert (last.activations > start.activations).all()
    start, *_, classes = features.optimizing(model, output, [0, 1], size=SIZE, steps=24)
    assert (classes.activations > start.activations).all()
    *_, whole = features.optimizing(model, "model", [0, 1], size=SIZE, steps=24)  # its logits are found in the dict
    torch.testing.assert_close(whole.images, classes.images, atol=1e-3, rtol=0)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_preferred_pictures_are_the_outputs_own(brought):
    """The score is the very value that the model itself gives in evaluation mode."""
    model, layer, channels, _ = brought
    model.eval()
    *_, last = features.optimizing(model, layer, [2], size=SIZE, steps=4)
    name = next(name for name in capture(model, last.images, [layer.split(":")[0]]) if name.startswith(layer))
    values = capture(model, last.images, [layer.split(":")[0]])[name][0]
    if values.ndim == 2:  # tokens, the class token first
        expected = values[1:, 2].mean()
    else:
        expected = (values[2] if values.shape[0] == channels else values[..., 2]).mean()
    torch.testing.assert_close(last.activations[0], expected)


def test_top_patches_dissection_and_similarity(brought, pictures):
    model, layer, channels, output = brought
    model.eval()
    found = features.top_patches(model, [layer, output], None, pictures, k=3)
    assert found.most[layer].examples.shape == (channels, 3) and found.most[output].examples.shape == (2, 3)
    with torch.no_grad():
        result = model(pictures.inputs)
    logits = result if isinstance(result, torch.Tensor) else result.logits
    best = logits.topk(3, dim=0)
    torch.testing.assert_close(torch.as_tensor(found.most[output].activations), best.values.T, atol=1e-4, rtol=1e-4)
    table = features.dissect(model, [layer], pictures)
    assert table.iou[layer].shape == (channels, len(pictures.masks) - 1)  # all but "object"
    alike = features.similarity(model, [layer, output], pictures)
    assert alike.cka.shape == (2, 2) and alike.cka.diagonal() == pytest.approx(1, abs=1e-3)


# Saliency. The methods that a model has no rules for, with what it is that they have none for.
REFUSED = {
    ("vit", "deep_lift"): "attention, layer normalisation",
    ("convnext", "deep_lift"): "layer normalisation",
    ("convnext", "lrp"): "a quotient of two values",
}
# Options that make the slow ones quick.
FEW = {"occlusion": {"window": 8, "stride": 8}, "rise": {"masks": 40}, "kernel_shap": {"segments": 8, "samples": 40}}


@pytest.mark.parametrize("name", [*MODELS, "grey"])
def test_every_method_gives_a_map_or_says_why_not(name, pictures):
    torch.manual_seed(0)
    model = LeNet() if name == "grey" else MODELS[name][0]()
    x = pictures.inputs[:2, :1, 12:20, 12:20] if name == "grey" else pictures.inputs[:2]
    before = copy.deepcopy(model.state_dict())
    for method in saliency.METHODS:
        verdict = saliency.examine(model, x, method)
        options = {} if name == "grey" else FEW.get(method, {})
        if (name, method) in REFUSED:
            with pytest.raises(UnsuitableError, match=REFUSED[name, method]) as raised:
                saliency.attributed(model, x, 1, method, **options)
            assert verdict.refusal == str(raised.value)
            continue
        assert verdict.refusal is None, method
        found = saliency.attributed(model, x, 1, method, **options)
        assert found.values.shape == x.shape and torch.isfinite(found.values).all(), method
        silent = any("zero everywhere" in note for note in found.notes)
        assert silent or found.values.flatten(1).any(1).all(), method
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_layers_for_class_activation_maps_are_those_whose_places_count(brought, pictures):
    model, layer, _, output = brought
    named = saliency.cam_layers(model, pictures.inputs[:1])
    assert output not in named and set(named) <= set(capture(model.eval(), pictures.inputs[:1]))
    maps = [saliency.attributed(model, pictures.inputs[:2], 1, "layer_cam", chosen) for chosen in (None, named[-1])]
    assert torch.equal(maps[0].values, maps[1].values)
    found = saliency.attributed(model, pictures.inputs[:2], 1, "layer_cam", layer)
    if layer.startswith("vit"):  # the class token alone is read after this layer
        assert not found.values.any() and "zero everywhere for 2 of 2" in found.notes[0]
    else:
        assert found.values.flatten(1).any(1).all() and not found.notes
