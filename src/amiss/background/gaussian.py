"""One Gaussian from running sums that can be merged, with the shrinkage of Ledoit and Wolf."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from amiss.core.errors import InputError
from amiss.statistics.mahalanobis import inverse_root, mahalanobis

_ROUNDING = 1e-6
"""Relative to the size of a vector: what may come from the order of sums in float32."""


class Gaussian:
    """Mean and covariance of D-dimensional vectors, without keeping the vectors.

    Sums of products run in float64 around the mean of what they were taken over. Two Gaussians of separate vectors
    merge into that of all of them (Chan, Golub and LeVeque 1979): each sum is moved to the common mean, then they
    add. So batches, lots or machines may be combined in any order, to rounding.

    Besides count, mean and ``sum of y y^T`` (y a vector minus the mean), ``sum of |y|^2 y`` and ``sum of |y|^4`` are
    kept: what the Ledoit-Wolf intensity needs, and what makes those sums movable in turn.

    Args:
        dimension: D.

    Cost:
        D^2 multiply-adds a vector; D^2 + 2 D float64 numbers, whatever the number of vectors. While n of them are taken
        in, 5 D^2 + 3 n D.

    Example:
        >>> first, second = Gaussian(2), Gaussian(2)
        >>> first.add(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        >>> second.add(torch.tensor([[1.0, 3.0]]))
        >>> first.merge(second).mean.tolist()
        [1.0, 1.0]
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64)
        self._scatter = torch.zeros(dimension, dimension, dtype=torch.float64)  # sum of y y^T
        self._third = torch.zeros(dimension, dtype=torch.float64)  # sum of |y|^2 y
        self._fourth = torch.zeros((), dtype=torch.float64)  # sum of |y|^4

    def add(self, vectors: Tensor) -> None:
        """Take in vectors (..., D)."""
        flat = vectors.reshape(-1, len(self.mean)).double()  # (n, D)
        batch = Gaussian(len(self.mean))
        batch.count, batch.mean = len(flat), flat.mean(dim=0)
        centred = flat - batch.mean
        squares = centred.square().sum(dim=1)  # (n,)
        batch._scatter, batch._third = centred.T @ centred, squares @ centred
        batch._fourth = squares.square().sum()
        self.merge(batch)

    def merge(self, other: Gaussian) -> Self:
        """Take in what another Gaussian has seen; it stays as it is."""
        if other.count == 0:
            return self
        count = self.count + other.count
        mean = self.mean + (other.mean - self.mean) * (other.count / count)
        moved = zip(self._around(mean), other._around(mean), strict=True)
        self._scatter, self._third, self._fourth = (one + two for one, two in moved)
        self.count, self.mean = count, mean
        return self

    def state(self) -> dict[str, Tensor]:
        """The sums, for `of_state`."""
        count = torch.tensor(self.count)
        return {
            "count": count,
            "mean": self.mean,
            "scatter": self._scatter,
            "third": self._third,
            "fourth": self._fourth,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The Gaussian whose `state` this is."""
        found = cls(len(state["mean"]))
        found.count, found.mean = int(state["count"]), state["mean"]
        found._scatter, found._third, found._fourth = (state[name] for name in ("scatter", "third", "fourth"))
        return found

    def _around(self, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The sums with `centre` for the mean: y becomes y - d, and the sum of y is zero."""
        d = centre - self.mean
        length, trace, along = d @ d, self._scatter.trace(), self._scatter @ d
        scatter = self._scatter + self.count * torch.outer(d, d)
        third = self._third - trace * d - 2 * along - self.count * length * d
        fourth = self._fourth - 4 * d @ self._third + 4 * d @ along + 2 * length * trace + self.count * length.square()
        return scatter, third, fourth

    def covariance(self) -> Tensor:
        """Unbiased covariance (D, D) float64; of rank at most count - 1.

        Raises:
            InputError: Fewer than two vectors.
        """
        self._check()
        return self._scatter / (self.count - 1)

    def shrinkage(self) -> float:
        """Intensity s in [0, 1] of Ledoit and Wolf (2004).

        ``(1 - s) S + s m I`` with S the covariance (divided by n) and m its mean variance has the least expected
        squared error, estimated for independent vectors.

        Raises:
            InputError: Fewer than two vectors.
        """
        self._check()
        covariance, dimension = self._scatter / self.count, len(self.mean)
        size = covariance.square().sum()
        spread = size - covariance.trace().square() / dimension  # |S - m I|^2
        error = (self._fourth / self.count - size) / self.count  # expected |S - true covariance|^2
        return float((error.clamp_min(0) / spread).clamp_max(1)) if spread > 0 else 0.0

    def shrunk(self) -> Tensor:
        """Covariance shrunk towards a multiple of the identity, (D, D) float64; see `shrinkage`.

        Raises:
            InputError: Fewer than two vectors.
        """
        share = self.shrinkage()
        covariance = self._scatter / self.count
        identity = torch.eye(len(self.mean), dtype=torch.float64)
        return (1 - share) * covariance + share * covariance.trace() / len(self.mean) * identity

    def check_varies(self) -> None:
        """Refuse what no model of normality can be made of.

        Raises:
            InputError: Fewer than two vectors, or vectors that differ by no more than float32 rounds.
        """
        self._check()
        variance, square = self._scatter.trace() / self.count, self.mean.square().sum()
        if variance <= _ROUNDING**2 * square:
            raise InputError(
                f"the features of {self.count} normal patches or images do not vary; give images that differ"
            )

    def _check(self) -> None:
        if self.count < 2:
            raise InputError(f"at least 2 vectors are needed to see how they vary, got {self.count}")


class MahalanobisLayer(nn.Module):
    """The Mahalanobis distance to one Gaussian with Ledoit-Wolf shrinkage, as a part of a detector.

    Args:
        dimension: D.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("whitening", torch.zeros(dimension, dimension))

    def take(self, gaussian: Gaussian) -> None:
        """Mean and shrunk covariance of a Gaussian, from now on.

        Raises:
            InputError: Fewer than two vectors, or vectors that do not vary.
        """
        gaussian.check_varies()
        self.whitening = inverse_root(gaussian.shrunk()).float()
        self.mean = gaussian.mean.float()

    def whiten(self, vectors: Tensor) -> Tensor:
        """(..., D) to coordinates in which normal vectors have mean 0 and covariance I (..., D)."""
        return (vectors - self.mean) @ self.whitening.T

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to distances (...)."""
        return mahalanobis(vectors, self.mean, self.whitening)


class StageGaussians(nn.Module):
    """One Gaussian with Ledoit-Wolf shrinkage for each stage of a network, as a part of a detector.

    Args:
        channels: Features of each stage.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MahalanobisLayer(count) for count in channels)
        self._channels = tuple(channels)

    def gather(self, stream: Iterable[Sequence[Tensor]]) -> dict[str, Tensor]:
        """The sums of a block, of batches that go by once: one (..., C) per stage."""
        sums = [Gaussian(count) for count in self._channels]
        for batch in stream:
            for gaussian, vectors in zip(sums, batch, strict=True):
                gaussian.add(vectors)
        return {f"{number} {name}": tensor for number, one in enumerate(sums) for name, tensor in one.state().items()}

    def fold(self, states: Iterable[Mapping[str, Tensor]]) -> None:
        """Take mean and covariance of all blocks, from what `gather` gave of each.

        Raises:
            InputError: Fewer than two vectors, or vectors that do not vary.
        """
        sums = [Gaussian(count) for count in self._channels]
        for state in states:
            for number, gaussian in enumerate(sums):
                gaussian.merge(Gaussian.of_state(part_of_state(state, f"{number} ")))
        for layer, gaussian in zip(self.layers, sums, strict=True):
            cast(MahalanobisLayer, layer).take(gaussian)

    def forward(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """One (..., C) per stage to the distances of each stage, (...)."""
        return [layer(stage) for layer, stage in zip(self.layers, vectors, strict=True)]


def part_of_state(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What stands under names that begin so, without that beginning.

    Example:
        >>> part_of_state({"a x": torch.tensor(1), "b x": torch.tensor(2)}, "b ")
        {'x': tensor(2)}
    """
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
