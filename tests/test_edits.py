"""Pictures erased, painted and moved: against what is written out by hand."""

import pytest
import torch

from labkit.errors import DataError
from labkit.saliency.edits import moved, moved_mask, replaced, shifted

PICTURE = torch.arange(12.0).reshape(1, 1, 3, 4)


def test_a_part_is_replaced_by_its_share():
    share = torch.tensor([[0, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 0, 0]])
    found = replaced(PICTURE, share, torch.tensor(-2.0).reshape(1, 1, 1))
    assert found[0, 0].tolist() == [[0, 1, 2, 3], [4, -2, 2, 7], [8, 9, 10, 11]]
    assert torch.equal(replaced(PICTURE, share * 0, PICTURE + 1), PICTURE)
    assert torch.equal(replaced(PICTURE, share * 0 + 1, PICTURE + 1), PICTURE + 1)


def test_a_shift_brings_zeros_in():
    assert shifted(PICTURE, (1, -2))[0, 0].tolist() == [[0, 0, 0, 0], [2, 3, 0, 0], [6, 7, 0, 0]]
    assert shifted(PICTURE, (-1, 1))[0, 0].tolist() == [[0, 4, 5, 6], [0, 8, 9, 10], [0, 0, 0, 0]]
    assert torch.equal(shifted(PICTURE, (0, 0)), PICTURE)
    for far in ((3, 0), (-7, 0), (0, 4), (0, -9)):
        assert not shifted(PICTURE, far).any()


def test_a_part_is_laid_elsewhere_and_its_mask_goes_along():
    share = torch.zeros(3, 4)
    share[0, 0] = share[0, 1] = 1
    found = moved(PICTURE + 1, share, (2, 2), torch.zeros(1, 1, 1))
    assert found[0, 0].tolist() == [[0, 0, 3, 4], [5, 6, 7, 8], [9, 10, 1, 2]]
    mask = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.bool)
    # The first goes along, the second stays, the third is covered by what has no part.
    assert moved_mask(mask, share, (2, 2)).int().tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]


def test_shares_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"Expected a share of each pixel \(3, 4\), received shape \(4, 3\)"):
        replaced(PICTURE, torch.zeros(4, 3), PICTURE)
    with pytest.raises(DataError, match="received 0 to 2"):
        moved(PICTURE, torch.tensor([[0.0, 2, 0, 0]] * 3), (0, 0), PICTURE)
