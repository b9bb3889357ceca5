"""A uniform random sample of a stream of vectors, in bounded memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from amiss.core.checks import check_count


class Reservoir:
    """Keeps `capacity` of the vectors that go by, every subset of that size equally likely; all while there are fewer.

    Every vector draws a number, and those with the largest numbers stay. So the sample does not depend on how the
    stream is cut into batches.

    Args:
        capacity: Most vectors kept.
        rng: Where the numbers are drawn, one a vector.

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
