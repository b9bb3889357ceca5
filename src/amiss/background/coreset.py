"""Greedy k-centre: the few vectors that leave no other vector far away; of a pool, and of a stream."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from amiss.core.checks import check_count
from amiss.core.progress import Progress, silent

POOL = 256
"""Points that one round looks at: the farthest ones, among which the next centres are."""

ROOM = 2**18
"""Vectors that a `StreamingCoreset` holds: those of 256 images of 256 x 256 pixels at stride 8."""

_BLOCK = 2048  # points a product: what it writes stays in the processor's cache


def k_center_greedy(points: Tensor, count: int, *, first: int, progress: Progress = silent) -> Tensor:
    """Choose `count` points, each the one farthest from those chosen before (Gonzalez 1985).

    The covering radius (largest distance of any point to its nearest chosen one) is at most twice the best possible.
    The result is that of the plain greedy loop, up to the order of equals, but most of the loop is put off: distances
    only shrink, so what was the farthest point outside of a pool stays a bound for all of them. As long as the farthest
    point of the pool lies beyond it, it is the farthest of all. The centres that a pool gives are then compared with
    all points at once, in one product instead of one a centre.

    Args:
        points: (N, D), float32 or float64.
        count: Number of points to choose; all of them when there are no more.
        first: Index of the first chosen point; it is kept.
        progress: Reports the stage "coreset".

    Returns:
        Indices of the chosen points in the order of their choice, (min(count, N),).

    Cost:
        N x count x D multiply-adds. Memory N x (D + 2) numbers.
    """
    total = min(check_count("count", count), len(points))
    points = points - points.mean(dim=0)  # changes no distance, saves digits
    squares = points.square().sum(dim=1)  # (N,)
    nearest = points.new_full(
        (len(points),), torch.inf
    )  # squared distance to the nearest chosen point; -1: chosen itself
    chosen = new = torch.tensor([first])
    while True:
        _bring_nearer(nearest, points, squares, new)
        progress("coreset", len(chosen), total)
        if len(chosen) == total:
            return chosen
        new = _farthest(points, squares, nearest, total - len(chosen))
        chosen = torch.cat([chosen, new])


def _bring_nearer(nearest: Tensor, points: Tensor, squares: Tensor, new: Tensor) -> None:
    """Take new centres into account, in place."""
    centres, half = points[new], squares[new] / 2
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        closeness = torch.addmm(half, points[rows], centres.T, beta=-1).amax(dim=1)
        distance = (squares[rows] - 2 * closeness).clamp_min_(0)
        torch.minimum(nearest[rows], distance, out=nearest[rows])
    nearest[new] = -1.0


def _farthest(points: Tensor, squares: Tensor, nearest: Tensor, most: int) -> Tensor:
    """The next choices of the greedy loop, at least one, as far as the farthest points tell; (n,)."""
    size = min(POOL, len(points))
    far = nearest.topk(min(size + 1, len(points)))
    pool, within = far.indices[:size], far.values[:size].clone()
    bound = float(far.values[size]) if len(far.values) > size else -1.0
    some = points[pool]
    between = (squares[pool, None] + squares[pool] - 2 * some @ some.T).clamp_min_(0)  # (size, size)
    picked = [0]
    while True:
        torch.minimum(within, between[picked[-1]], out=within)
        within[picked] = -1.0
        best = int(within.argmax())
        if len(picked) == most or float(within[best]) < bound or len(picked) == size:
            return pool[picked]
        picked.append(best)


class StreamingCoreset:
    """Greedy k-centre of a stream, by merge and reduce: memory does not grow with its length.

    What arrives is gathered until `room` is full; then the greedy choice reduces it to `reserve` times `count` vectors,
    which stay for the next round. A stream that fits into the room gives what the greedy choice from all of it gives.
    In a longer one, what was let go lies near something that was kept, and so on: the covering radius grows a little
    with every reduction. So a stream may as well come by blocks, each reduced on its own.

    Args:
        count: Vectors to choose in the end.
        dimension: D.
        rng: Draws the first choices.
        projection: What vectors are multiplied by for the search, see `draw_projection`; None for nothing.
        room: Vectors that are held.
        reserve: Vectors that a reduction leaves, as a multiple of `count`.

    Cost:
        Memory: `room` x (D + 2 numbers of the projection + 2) numbers. Arithmetic: see `k_center_greedy`, once for
        every `room` vectors and with `reserve` x `count`.
    """

    def __init__(
        self,
        count: int,
        dimension: int,
        rng: np.random.Generator,
        *,
        projection: Tensor | None = None,
        room: int = ROOM,
        reserve: int = 4,
    ) -> None:
        self.count, self.rng, self.seen = check_count("count", count), rng, 0
        self.kept = check_count("reserve", reserve) * count
        self._room = max(room, 2 * self.kept)
        self._held, self._origins = torch.zeros(0, dimension), torch.zeros(0, dtype=torch.long)
        self._filled = 0
        self._projection = projection

    def add(self, vectors: Tensor, origin: int = 0) -> None:
        """Take over vectors (n, D), and the number of the image they come from."""
        self.seen += len(vectors)
        self._take(vectors, torch.full((len(vectors),), origin))

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Take over the `state` of a coreset of another part of the stream."""
        vectors, origins = state["vectors"], state["origins"]
        self.seen += int(state["seen"])
        if self._filled == 0 and len(vectors) <= self._room:
            self._held, self._origins, self._filled = vectors, origins, len(vectors)
        else:
            self._take(vectors, origins)

    def state(self) -> dict[str, Tensor]:
        """What is held, for `merge`; not copied."""
        held = slice(0, self._filled)
        return {"vectors": self._held[held], "origins": self._origins[held], "seen": torch.tensor(self.seen)}

    def reduce(self) -> None:
        """Leave `reserve` times `count` vectors, unless they are fewer."""
        if self._filled > self.kept:
            self._reduce()

    def choose(self, progress: Progress = silent) -> tuple[Tensor, Tensor]:
        """The chosen vectors (min(count, n), D) in the order of their choice, and their origins (min(count, n),)."""
        chosen = self._choose(self.count, progress)
        return self._held[chosen], self._origins[chosen]

    def _take(self, vectors: Tensor, origins: Tensor) -> None:
        self._make_room()
        while len(vectors) > 0:
            here = slice(self._filled, min(self._filled + len(vectors), self._room))
            taken = here.stop - here.start
            self._held[here], self._origins[here] = vectors[:taken], origins[:taken]
            self._filled += taken
            vectors, origins = vectors[taken:], origins[taken:]
            if len(vectors) > 0:
                self._reduce()

    def _make_room(self) -> None:
        """Pages that nothing is written to cost nothing."""
        if len(self._held) < self._room:
            held, origins = self._held[: self._filled], self._origins[: self._filled]
            self._held = held.new_empty(self._room, held.shape[1])
            self._origins = origins.new_empty(self._room)
            self._held[: self._filled], self._origins[: self._filled] = held, origins

    def _reduce(self) -> None:
        chosen = self._choose(self.kept, silent)
        self._filled = len(chosen)
        self._held[: self._filled], self._origins[: self._filled] = self._held[chosen], self._origins[chosen]

    def _choose(self, count: int, progress: Progress) -> Tensor:
        pool = self._held[: self._filled]
        points = pool if self._projection is None else pool @ self._projection
        return k_center_greedy(points, count, first=int(self.rng.integers(len(pool))), progress=progress)


def draw_projection(dimension: int, numbers: int, rng: np.random.Generator) -> Tensor | None:
    """A random matrix (D, numbers) that keeps distances nearly; None where it would make vectors no shorter."""
    if not 0 < numbers < dimension:
        return None
    return torch.from_numpy(rng.standard_normal((dimension, numbers)) / np.sqrt(numbers)).float()
