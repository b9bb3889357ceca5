"""Windows and their spreading against loops over pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amiss.core.errors import InputError
from amiss.statistics.windows import cut_windows, spread_windows, window_starts


@settings(max_examples=100, deadline=None)
@given(window=st.integers(1, 20), longer=st.integers(0, 60), data=st.data())
def test_every_pixel_is_covered_and_no_window_comes_twice(window: int, longer: int, data: st.DataObject) -> None:
    length, stride = window + longer, data.draw(st.integers(1, window))
    starts = window_starts(length, window, stride)
    assert starts == sorted(set(starts))
    assert {start + step for start in starts for step in range(window)} == set(range(length))


def test_windows_are_pieces_of_the_image() -> None:
    batch = torch.rand(2, 3, 20, 13)
    windows = cut_windows(batch, 6, 4)
    tops, lefts = window_starts(20, 6, 4), window_starts(13, 6, 4)
    assert windows.shape == (2, len(tops), len(lefts), 3, 6, 6)
    for a, top in enumerate(tops):
        for b, left in enumerate(lefts):
            assert torch.equal(windows[:, a, b], batch[:, :, top : top + 6, left : left + 6])


@pytest.mark.parametrize(("window", "stride"), [(6, 4), (8, 8), (5, 1), (20, 3)])
def test_spreading_equals_a_loop_over_windows(window: int, stride: int) -> None:
    height, width = 27, 21
    tops, lefts = window_starts(height, window, stride), window_starts(width, window, stride)
    scores = np.random.default_rng(0).standard_normal((2, len(tops), len(lefts)))
    side = 1 - np.abs((np.arange(window) + 0.5) / (window / 2) - 1)
    total, weights = np.zeros((2, height, width)), np.zeros((height, width))
    for a, top in enumerate(tops):
        for b, left in enumerate(lefts):
            place = (slice(top, top + window), slice(left, left + window))
            weights[place] += np.outer(side, side)
            for n in range(2):
                total[n][place] += scores[n, a, b] * np.outer(side, side)
    found = spread_windows(torch.from_numpy(scores), (height, width), window, stride)
    np.testing.assert_allclose(found.numpy(), total / weights, atol=1e-6)


def test_half_overlap_is_linear_interpolation_between_the_centres() -> None:
    scores = np.random.default_rng(0).standard_normal(7)
    found = spread_windows(torch.from_numpy(scores)[None, :, None], (64, 16), 16, 8)[0, :, 0]
    np.testing.assert_allclose(found.numpy(), np.interp(np.arange(64) + 0.5, 8 + 8 * np.arange(7), scores), atol=1e-6)


def test_equal_windows_give_an_even_map() -> None:
    found = spread_windows(torch.full((1, 4, 4), 3.0), (28, 28), 7, 7)
    torch.testing.assert_close(found, torch.full((1, 28, 28), 3.0))


def test_a_window_that_does_not_fit() -> None:
    with pytest.raises(InputError, match=r"at least 32 pixels wide and high, the size of a window, got 20"):
        cut_windows(torch.zeros(1, 3, 64, 20), 32, 16)
