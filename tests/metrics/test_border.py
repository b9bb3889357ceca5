"""The rim: a sixteenth of the shorter side, counted by hand."""

import numpy as np
import pytest

from amiss.metrics.border import peaks_on_rim, rim_area, rim_width


@pytest.mark.parametrize(("size", "width"), [((256, 256), 16), ((64, 320), 4), ((10, 10), 1), ((1, 1), 1)])
def test_width_and_area_are_those_of_a_counted_rim(size: tuple[int, int], width: int) -> None:
    assert rim_width(*size) == width
    rows, columns = np.indices(size)
    from_border = np.minimum.reduce([rows, size[0] - 1 - rows, columns, size[1] - 1 - columns])
    assert rim_area(*size) == pytest.approx((from_border < width).mean())


@pytest.mark.parametrize(
    ("place", "on_rim"), [((0, 0), True), ((15, 100), True), ((16, 100), False), ((239, 255), True)]
)
def test_where_the_peak_lies(place: tuple[int, int], on_rim: bool) -> None:
    scores = np.zeros((256, 256), np.float32)
    scores[place] = 1
    assert peaks_on_rim(scores) == on_rim


def test_a_peak_that_is_inside_too_is_not_on_the_rim() -> None:
    assert not peaks_on_rim(np.zeros((64, 64), np.float32))
    assert peaks_on_rim(np.zeros((2, 2), np.float32))
