"""One Gaussian of all vectors of a stream, and a random sample of them, by blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from torch import Tensor

from amiss.background.gaussian import Gaussian, part_of_state
from amiss.background.reservoir import Reservoir


def sums_and_sample(
    batches: Iterable[Tensor], capacity: int, start: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """What one block of a stream of images leaves of both.

    Args:
        batches: Vectors of the images of the block, (N, n, D), n of each; at least one batch.
        capacity: Most vectors of the sample.
        start: Images before the block.
        rng: As it was before the first image of all.
    """
    reservoir, gaussian = Reservoir(capacity, rng), Gaussian(0)
    for batch in batches:
        if reservoir.seen == 0:
            reservoir.skip(start * batch.shape[1])
            gaussian = Gaussian(batch.shape[2])
        vectors = batch.flatten(0, 1)
        gaussian.add(vectors)
        reservoir.add(vectors)
    return gaussian.state() | {f"sample {name}": tensor for name, tensor in reservoir.state().items()}


def merge_sums_and_sample(states: Iterable[Mapping[str, Tensor]], capacity: int) -> tuple[Gaussian, Tensor]:
    """Both of the whole stream, from what its blocks have left; the sample is (n, D)."""
    gaussian, reservoir = Gaussian(0), Reservoir(capacity, np.random.default_rng())  # which draws nothing
    for state in states:
        one = Gaussian.of_state(state)
        gaussian = one if gaussian.count == 0 else gaussian.merge(one)
        reservoir.merge(part_of_state(state, "sample "))
    return gaussian, reservoir.sample()
