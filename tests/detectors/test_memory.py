"""What the `Cost` of the memory banks promises: how the peak of learning grows with what is kept."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from amiss.background.kmeans import spread_seeds
from amiss.background.reservoir import Reservoir
from amiss.core.images import Images
from amiss.registry import create

Peak = Callable[[Callable[[], object]], int]


def test_the_peak_is_that_of_the_tensors_alive_at_a_time(peak_bytes: Peak) -> None:
    def work() -> None:
        one = torch.zeros(1000, 100)
        other = one + 1
        del one
        torch.mm(other.T, other)

    assert peak_bytes(work) == pytest.approx(2 * 4 * 1000 * 100, abs=100)


def noise(count: int, side: int) -> Images:
    rng = np.random.default_rng(0)
    return Images([rng.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(count)], size=(side, side))


@pytest.mark.parametrize(
    ("method", "setting", "values", "numbers", "others"),
    [
        ("knn", "bank_size", (25_000, 50_000), 2 * (20 + 1), {}),
        ("spade", "gallery", (100, 190), 16 * 16 * 20 + 100, {}),
        ("simplenet", "samples", (25_000, 50_000), 2 * (20 + 1), {"steps": 1, "patches": 8}),
    ],
)
def test_learning_takes_what_the_cost_says(
    peak_bytes: Peak, method: str, setting: str, values: tuple[int, int], numbers: int, others: dict
) -> None:
    """The peak of a fit to 200 images with 16 x 16 patches of 20 numbers grows by so many numbers a thing kept."""
    images = noise(200, 64)
    few, many = (
        peak_bytes(lambda value=value: create(method, "tiny", **{setting: value, **others}).fit(images))
        for value in values
    )
    assert 0 < (many - few) / (values[1] - values[0]) <= 4 * numbers


def test_a_reservoir_holds_its_capacity_once_and_its_sample_once_more(peak_bytes: Peak) -> None:
    capacity, batches = 6000, torch.randn(20, 1000, 30).unbind()
    reservoir = Reservoir(capacity, np.random.default_rng(0))

    def fill() -> None:
        for batch in batches:
            reservoir.add(batch)

    once = 4 * capacity * 30
    assert peak_bytes(fill) <= 1.7 * once  # the room is doubled, up to the capacity
    assert peak_bytes(reservoir.sample) <= 1.1 * once


def test_seeds_are_spread_without_a_copy_of_the_points(peak_bytes: Peak) -> None:
    points = torch.randn(40_000, 50)
    assert peak_bytes(lambda: spread_seeds(points, 4, np.random.default_rng(0))) < 0.5 * points.nbytes
