"""Scores of maps against truth: hand-computed cases, scikit-learn's AUC, SciPy's blur, planted truth."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from torch import nn

from labkit import saliency
from labkit.errors import DataError, SettingError

RNG = np.random.default_rng(0)


def test_a_map_is_the_sum_over_the_channels():
    values = torch.tensor([[[[1.0, -2.0]], [[-3.0, 4.0]]]])
    assert torch.equal(saliency.as_map(values), torch.tensor([[[4.0, 6.0]]]))
    assert torch.equal(saliency.as_map(values, signed=True), torch.tensor([[[-2.0, 2.0]]]))
    rows = torch.tensor([[1.0, -2.0]])
    assert torch.equal(saliency.as_map(rows), rows.abs()) and torch.equal(saliency.as_map(rows, signed=True), rows)
    with pytest.raises(DataError, match="finite"):
        saliency.as_map(torch.full((1, 3, 2, 2), float("nan")))
    with pytest.raises(DataError, match="channels"):
        saliency.as_map(torch.zeros(3))


def test_scores_by_hand():
    mask = torch.tensor([[[True, True, False], [False, False, False]]])
    values = torch.tensor([[[5.0, 1.0, 2.0], [0.0, 1.0, 1.0]]])
    found = saliency.score(values, mask, sigma=0)
    assert found["pointing"].item() == 1 and found["mass"].item() == pytest.approx(6 / 10)
    assert found["top_k"].item() == 1 / 2  # 5 and 2 are the two highest
    # 5 is above all four; 1 is below 2, ties twice, is above 0: (4 + 0 + 1/2 + 1/2 + 1) / 8
    assert found["auc"].item() == pytest.approx(6 / 8)
    spread = torch.stack([values / 4, -values / 2, values / 4], dim=1)  # three channels, of which magnitudes count
    for name, value in saliency.score(spread, mask, sigma=0).items():
        assert value.dtype == torch.float64 and torch.allclose(value, found[name])


def test_a_blur_finds_the_densest_place():
    """One pixel is the highest, a field beside it holds more."""
    values = torch.zeros(1, 24, 24)
    values[0, 3, 3] = 2
    values[0, 12:18, 12:18] = 1
    mask = values == 1
    assert saliency.score(values, mask, sigma=0)["pointing"].item() == 0
    assert saliency.score(values, mask)["pointing"].item() == 1  # 2 places of 24


def test_the_blur_is_scipys():
    maps = RNG.random((3, 12, 20))
    expected = np.stack([gaussian_filter(one, 1.7, mode="reflect") for one in maps])
    assert np.allclose(saliency.scores.blurred(maps, 1.7), expected)
    assert np.allclose(saliency.scores.blurred(maps), np.stack([gaussian_filter(one, 1.0) for one in maps]))
    assert saliency.scores.blurred(maps, 0) is maps


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_auc_is_scikit_learns_with_and_without_ties(levels):
    maps = torch.from_numpy(RNG.integers(0, levels, (20, 9, 8)).astype(np.float32))
    mask = torch.from_numpy(RNG.random((20, 9, 8)) < RNG.uniform(0.1, 0.9, (20, 1, 1)))
    expected = [roc_auc_score(m.flatten(), v.flatten()) for m, v in zip(mask, maps, strict=True)]
    assert np.allclose(saliency.score(maps, mask)["auc"], expected)


def test_a_map_that_is_the_same_everywhere_gets_what_chance_gets():
    mask = torch.zeros(2, 12, 12, dtype=torch.bool)
    mask[0, :3, :4] = mask[1, 5:, :] = True
    share = mask.flatten(1).double().mean(1)
    found = saliency.score(torch.full((2, 3, 12, 12), 0.3), mask)
    for name in ("pointing", "mass", "top_k"):
        assert torch.allclose(found[name], share), name
    assert torch.allclose(found["auc"], torch.full((2,), 0.5, dtype=torch.float64))


def test_ties_in_top_k_count_by_chance():
    """Two of four that tie are in the mask; one of them is still needed beside the highest."""
    values = torch.tensor([[[3.0, 1, 1, 1, 1, 0]]])
    mask = torch.tensor([[[True, True, False, False, False, False]]])
    assert saliency.score(values, mask)["top_k"].item() == pytest.approx((1 + 1 / 4) / 2)


def test_what_says_nothing_has_no_score():
    mask = torch.zeros(3, 6, 6, dtype=torch.bool)
    mask[0, 2:4, 2:4] = True
    mask[2] = True
    values = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    values[0] = 0
    for name, value in saliency.score(values, mask).items():
        assert value.isnan().all(), name


def test_planted_truth():
    """A model that reads one square only: its gradient lies there and nowhere else."""
    weight = torch.zeros(2, 3, 16, 16)
    weight[1, :, 4:9, 6:11] = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    linear = nn.Linear(3 * 16 * 16, 2)
    linear.weight.data = weight.flatten(1)
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    mask = (weight[1, 0] > 0).expand(4, 16, 16)
    found = saliency.score(saliency.attribute(nn.Sequential(nn.Flatten(), linear), x, 1, "gradient"), mask)
    for name, value in found.items():
        assert torch.allclose(value, torch.ones(4, dtype=torch.float64)), name


def test_scores_refuse_what_does_not_fit():
    values, mask = torch.rand(2, 3, 6, 6), torch.ones(2, 6, 6, dtype=torch.bool)
    with pytest.raises(DataError, match="bool"):
        saliency.score(values, mask.float())
    with pytest.raises(DataError, match="like the attribution's places"):
        saliency.score(values, mask[:, :5])
    with pytest.raises(DataError, match="finite"):
        saliency.score(values.log().log(), mask)
    with pytest.raises(DataError, match="1 values"):
        saliency.score(torch.where(torch.arange(72).reshape(2, 6, 6) == 5, torch.inf, 1.0), mask)
    with pytest.raises(SettingError, match="sigma=-1"):
        saliency.score(values, mask, sigma=-1)
    with pytest.raises(SettingError, match="nan"):
        saliency.score(values, mask, sigma=float("nan"))


def test_every_score_says_what_it_is():
    for name, one in saliency.SCORES.items():
        assert one.label and one.formula and one.source, name
    assert set(saliency.score(torch.rand(1, 6, 6), torch.eye(6, dtype=torch.bool)[None])) == {
        name for name, one in saliency.SCORES.items() if one.needs == "mask"
    }
