"""A uniform random sample of a stream of vectors, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor

from amiss.core.checks import check_count


class Reservoir:
    """Keeps `capacity` of the vectors that go by, every subset of that size equally likely; all while there are fewer.

    Every vector draws a number, and those with the largest numbers stay. So the sample does not depend on how the
    stream is cut into batches, nor into blocks of which each has a reservoir of its own.

    Args:
        capacity: Most vectors kept.
        rng: Where the numbers are drawn, one a vector; of PCG64, NumPy's default.

    Cost:
        capacity x (D + 2) numbers, whatever the length of the stream; twice as many in `sample`, and half as many more
        for a moment while it fills.

    Example:
        >>> reservoir = Reservoir(3, np.random.default_rng(0))
        >>> for batch in torch.arange(100.0).reshape(10, 10, 1):
        ...     reservoir.add(batch)
        >>> reservoir.seen, tuple(reservoir.sample().shape)
        (100, (3, 1))
    """

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self.capacity = check_count("capacity", capacity)
        self.seen = 0
        self._rng = rng
        self._keys = np.zeros(0)
        self._arrival = np.zeros(0, np.int64)
        self._vectors = torch.zeros(0, 0)

    def add(self, vectors: Tensor) -> None:
        """Let a batch (B, D) go by."""
        keys = self._rng.random(len(vectors))
        arrival = np.arange(self.seen, self.seen + len(vectors))
        self.seen += len(vectors)
        self._take(vectors, keys, arrival)

    def skip(self, count: int) -> None:
        """Let vectors go by that another reservoir of this stream has taken: what comes next draws as in one stream."""
        if count:
            cast(np.random.PCG64, self._rng.bit_generator).advance(count)  # a draw is one step
        self.seen += count

    def state(self) -> dict[str, Tensor]:
        """What is kept, for `merge`; not copied."""
        vectors = self._vectors[: len(self._keys)]
        return {"vectors": vectors, "keys": torch.from_numpy(self._keys), "arrival": torch.from_numpy(self._arrival)}

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Take in the `state` of a reservoir of another part of the stream: in any order the same sample."""
        vectors, keys, arrival = state["vectors"], state["keys"].numpy(), state["arrival"].numpy()
        self.seen = max(self.seen, int(arrival.max(initial=-1)) + 1)
        if len(self._keys) == 0 and len(keys) <= self.capacity:
            self._vectors, self._keys, self._arrival = vectors, keys, arrival
        else:
            self._take(vectors, keys, arrival)

    def _take(self, vectors: Tensor, keys: np.ndarray, arrival: np.ndarray) -> None:
        filled = len(self._keys)
        room = self.capacity - filled
        if room > 0:
            self._make_room(filled + len(vectors[:room]), vectors)
            self._vectors[filled : filled + len(vectors[:room])] = vectors[:room]
            self._keys = np.concatenate([self._keys, keys[:room]])
            self._arrival = np.concatenate([self._arrival, arrival[:room]])
            vectors, keys, arrival = vectors[room:], keys[room:], arrival[room:]
        self._exchange(vectors, keys, arrival)

    def sample(self) -> Tensor:
        """What is kept, (min(seen, capacity), D), in the order of arrival."""
        return self._vectors[torch.from_numpy(np.argsort(self._arrival))]

    def _make_room(self, count: int, like: Tensor) -> None:
        """Room for `count` vectors; it doubles, so that filling it copies each vector about once."""
        if count > len(self._vectors) or len(self._vectors) == 0:
            grown = like.new_empty(min(self.capacity, max(count, 2 * len(self._vectors))), like.shape[1])
            if len(self._vectors) > 0:
                grown[: len(self._vectors)] = self._vectors
            self._vectors = grown

    def _exchange(self, vectors: Tensor, keys: np.ndarray, arrival: np.ndarray) -> None:
        """Of kept and new vectors, keep those with the largest keys, each new one in the place of one that leaves."""
        kept = len(self._keys)
        order = np.argsort(np.concatenate([self._keys, keys]))
        staying = order[len(order) - kept :]
        entering = staying[staying >= kept] - kept
        leaving = np.setdiff1d(np.arange(kept), staying)
        self._vectors[torch.from_numpy(leaving)] = vectors[torch.from_numpy(entering)]
        self._keys[leaving], self._arrival[leaving] = keys[entering], arrival[entering]


def sample_block(batches: Iterable[Tensor], capacity: int, start: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """The `state` of the reservoir of one block of a stream of images.

    Args:
        batches: Vectors of the images of the block, (N, n, D), n of each.
        capacity: Most vectors kept.
        start: Images before the block.
        rng: As it was before the first image of all.
    """
    reservoir = Reservoir(capacity, rng)
    for batch in batches:
        if reservoir.seen == 0:
            reservoir.skip(start * batch.shape[1])
        reservoir.add(batch.flatten(0, 1))
    return reservoir.state()


def kept_of(vectors: Tensor, seen: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """The `state` of a reservoir that has kept these (M, D) of so many: what is known is which stayed, not why.

    The numbers that they drew are drawn anew: the M largest of `seen` uniform ones, from the largest on.
    """
    count = len(vectors)
    below = np.arange(max(seen, count), max(seen, count) - count, -1)  # of those that are left
    keys = np.exp(np.cumsum(np.log(1 - rng.random(count)) / below))  # (M,), descending
    arrival = np.arange(-count, 0)
    return {
        "vectors": vectors,
        "keys": torch.from_numpy(rng.permutation(keys)),
        "arrival": torch.from_numpy(arrival),
    }


def merged_sample(states: Iterable[Mapping[str, Tensor]], capacity: int) -> Tensor:
    """The sample of the whole stream from the reservoirs of its blocks, (min(seen, capacity), D)."""
    reservoir = Reservoir(capacity, np.random.default_rng())  # which draws nothing
    for state in states:
        reservoir.merge(state)
    return reservoir.sample()
