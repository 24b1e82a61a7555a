"""Attributions against closed forms, and a model that is given back untouched."""

import pytest
import torch
from torch import nn

from labkit import saliency
from labkit.errors import DataError, SettingError
from labkit.models import LeNet


class Quadratic(nn.Module):
    """f0 = w·x, f1 = Σ w x²: gradients and path integrals are known."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

    def forward(self, x):
        return torch.stack([x @ self.weight, (x**2) @ self.weight], dim=1)


X = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 4.0]])
W = torch.tensor([1.0, -2.0, 3.0])


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("gradient", 0, W.expand(2, 3)),
        ("gradient", 1, 2 * W * X),
        ("integrated_gradients", 0, W * X),
        ("integrated_gradients", 1, W * X**2),
        ("gradient", torch.tensor([0, 1]), torch.stack([W, 2 * W * X[1]])),
    ],
)
def test_closed_forms(method, target, expected):
    result = saliency.attribute(Quadratic(), X, target, method=method)
    assert result.shape == X.shape and result.dtype == X.dtype
    assert torch.allclose(result, expected, atol=1e-4)


def test_integrated_gradients_are_complete():
    """They add up to f(x) - f(0) (Sundararajan et al. 2017, proposition 1)."""
    model = LeNet().eval()
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    result = saliency.attribute(model, x, 4)
    difference = (model(x) - model(torch.zeros_like(x)))[:, 4]
    error = (result.sum((1, 2, 3)) - difference).abs()
    assert (error <= 0.01 * result.abs().sum((1, 2, 3))).all()


@pytest.mark.parametrize("method", saliency.METHODS)
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back(method, fails):
    model = LeNet()
    model.relu2.eval()
    model.conv1.weight.requires_grad_(False)
    model.output.bias.grad = torch.ones(10)
    x = torch.rand(2, 1, 8, 8)
    if fails and saliency.METHODS[method].family != "control":  # they do not ask the model
        with pytest.raises(DataError, match="0 to 9"):
            saliency.attribute(model, x, 10, method=method)
    else:
        saliency.attributed(model, x, 1, method=method)
    assert model.training and model.conv1.training and not model.relu2.training
    assert not model.conv1.weight.requires_grad and model.conv2.weight.requires_grad
    assert torch.equal(model.output.bias.grad, torch.ones(10)) and model.conv2.weight.grad is None
    assert not x.requires_grad and x.grad is None
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())


def test_unknown_method():
    with pytest.raises(SettingError, match="gradient, integrated_gradients"):
        saliency.attribute(Quadratic(), X, 0, method="magic")
