"""The reservoir is a uniform sample, in bounded memory, however the stream is cut."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from amiss.background.reservoir import Reservoir
from amiss.core.errors import InputError


def sample(stream: torch.Tensor, capacity: int, seed: int, cuts: list[int]) -> torch.Tensor:
    reservoir = Reservoir(capacity, np.random.default_rng(seed))
    for batch in torch.split(stream, cuts):
        reservoir.add(batch)
    assert reservoir.seen == len(stream)
    return reservoir.sample()


@pytest.mark.parametrize("capacity", [1, 7, 99, 100, 101])
@pytest.mark.parametrize("cuts", [[1] * 100, [100], [30, 0, 69, 1]])
def test_a_subset_in_order_that_does_not_depend_on_the_cuts(capacity: int, cuts: list[int]) -> None:
    stream = torch.arange(100.0)[:, None].expand(-1, 3)
    found = sample(stream, capacity, 4, cuts)
    assert found.shape == (min(capacity, 100), 3)
    assert (found[1:] > found[:-1]).all()
    torch.testing.assert_close(found, sample(stream, capacity, 4, [10] * 10))


def test_it_is_what_the_largest_draws_choose() -> None:
    """By definition: one number a vector, the largest stay."""
    keys = np.random.default_rng(9).random(50)
    found = sample(torch.arange(50)[:, None], 8, 9, [7] * 7 + [1])
    assert found[:, 0].tolist() == sorted(np.argsort(keys)[-8:].tolist())


def test_every_vector_and_every_pair_is_equally_likely() -> None:
    stream, runs = torch.arange(6)[:, None], 6000
    pairs = np.zeros((6, 6))
    for seed in range(runs):
        one, other = sample(stream, 2, seed, [2, 1, 3])[:, 0].tolist()
        pairs[one, other] += 1
    counts = pairs[np.triu_indices(6, 1)]
    assert counts.sum() == runs
    assert chisquare(counts).pvalue > 1e-3


def test_memory_does_not_grow_with_the_stream() -> None:
    def peak(batches: int) -> int:
        reservoir = Reservoir(200, np.random.default_rng(0))
        tracemalloc.start()
        for _ in range(batches):
            reservoir.add(torch.zeros(500, 4))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reservoir._vectors.shape == (200, 4)
        assert reservoir._vectors.untyped_storage().nbytes() <= 4 * 500 * 4
        return found

    peak(2)
    assert peak(200) < 1.5 * peak(10)


def test_wrong_capacity() -> None:
    with pytest.raises(InputError, match="capacity must be a whole number of at least 1, got 0"):
        Reservoir(0, np.random.default_rng(0))
