"""`smooth_upsample` against torch's bilinear interpolation followed by SciPy's Gaussian filter."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from amiss.statistics.reduce import smooth_upsample


def two_steps(grid: torch.Tensor, size: tuple[int, int], sigma: float) -> np.ndarray:
    large = torch.nn.functional.interpolate(grid[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return np.stack([gaussian_filter(one.double().numpy(), sigma, mode="reflect") for one in large])


@pytest.mark.parametrize(("grid", "size"), [((16, 16), (64, 64)), ((8, 13), (63, 97)), ((32, 24), (256, 192))])
@pytest.mark.parametrize("smoothing", [0.0, 4.0, 12.0])
def test_equals_interpolation_then_filter(grid: tuple[int, int], size: tuple[int, int], smoothing: float) -> None:
    scores = torch.rand(2, *grid, generator=torch.Generator().manual_seed(0))
    found = smooth_upsample(scores, size, smoothing=smoothing).numpy()
    wanted = two_steps(scores, size, smoothing * min(size) / 256)
    assert found.shape == (2, *size)
    np.testing.assert_allclose(found, wanted, atol=2e-6)  # the border included
    np.testing.assert_allclose(found[:, 8:-8, 8:-8], wanted[:, 8:-8, 8:-8], atol=2e-6)


def test_a_constant_stays_constant_and_nothing_overshoots() -> None:
    flat = smooth_upsample(torch.full((1, 7, 9), 2.5), (56, 72), smoothing=4.0)
    torch.testing.assert_close(flat, torch.full((1, 56, 72), 2.5))
    grid = torch.rand(1, 7, 9, generator=torch.Generator().manual_seed(0))
    large = smooth_upsample(grid, (56, 72), smoothing=4.0)
    assert grid.min() - 1e-6 <= large.min() <= large.max() <= grid.max() + 1e-6


def test_a_grid_of_one_cell() -> None:
    assert smooth_upsample(torch.ones(1, 1, 1), (5, 3), smoothing=4.0).shape == (1, 5, 3)
