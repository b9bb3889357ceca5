"""A Gaussian at every position, from running sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from amiss.core.errors import InputError
from amiss.statistics.mahalanobis import inverse_root, mahalanobis_field, strip_edges

SUMS = 2**27
"""Bytes of float64 sums that `FieldWhitening.learn` holds at a time."""

_BLOCK = 2**20  # numbers of covariance that are factorised at a time


class GaussianField:
    """Mean and covariance of D-dimensional vectors at each of P positions, without keeping the vectors.

    Sums run in float64 around one vector at each position: a sum of squares around a point close to the mean loses no
    digits when the mean is subtracted. Fields of separate images around the same vectors merge by adding their sums.

    Args:
        positions: P.
        dimension: D.
        origin: The vector at each position, (P, D); the first that is seen when None.

    Cost:
        P x D^2 multiply-adds per image; P x (D^2 + 2 D) float64 numbers, whatever the number of images.
    """

    def __init__(self, positions: int, dimension: int, origin: Tensor | None = None) -> None:
        self.count = 0
        self._origin = None if origin is None else origin.double()
        self._sum = torch.zeros(positions, dimension, dtype=torch.float64)
        self._products = torch.zeros(positions, dimension, dimension, dtype=torch.float64)

    def add(self, vectors: Tensor) -> None:
        """Take in a batch (N, P, D)."""
        vectors = vectors.double()
        if self._origin is None:
            self._origin = vectors[0].clone()
        shifted = (vectors - self._origin).transpose(0, 1)  # (P, N, D)
        self.count += len(vectors)
        self._sum += shifted.sum(dim=1)
        self._products.baddbmm_(shifted.transpose(1, 2), shifted)  # in place: a second (P, D, D) would double the peak

    def merge(self, other: GaussianField) -> Self:
        """Take in what another field around the same vectors has seen; it stays as it is.

        Raises:
            InputError: It is around others.
        """
        if self._origin is None or other._origin is None or not torch.equal(self._origin, other._origin):
            raise InputError("fields to be merged must be around the same vectors, got others")
        self.count += other.count
        self._sum += other._sum
        self._products += other._products
        return self

    def add_sums(self, count: int, total: Tensor, products: Tensor) -> None:
        """Take in the sums of so many vectors, less the origin: (P, D) of themselves, (P, D, D) of their products."""
        self.count += count
        self._sum += total
        self._products += products

    def state(self) -> dict[str, Tensor]:
        """The sums, for `of_state`; not copied."""
        self._check(1)
        sums = {"origin": cast(Tensor, self._origin), "sum": self._sum, "products": self._products}
        return {"count": torch.tensor(self.count), **sums}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The field whose `state` this is, with these very tensors."""
        found = cls(0, state["sum"].shape[1], state["origin"])
        found.count, found._sum, found._products = int(state["count"]), state["sum"], state["products"]
        return found

    @property
    def mean(self) -> Tensor:
        """(P, D) float64."""
        self._check(1)
        return cast(Tensor, self._origin) + self._sum / self.count

    def covariance(self, positions: slice = slice(None)) -> Tensor:
        """Unbiased covariance (P, D, D) float64 at some positions; of rank at most count - 1.

        Raises:
            InputError: Fewer than two vectors.
        """
        self._check(2)
        drift = self._sum[positions] / self.count
        return (self._products[positions] - self.count * drift[:, :, None] * drift[:, None, :]) / (self.count - 1)

    def variance(self) -> Tensor:
        """Diagonal of the covariance (P, D) float64, without the rest of it.

        Raises:
            InputError: Fewer than two vectors.
        """
        self._check(2)
        drift = self._sum / self.count
        return (self._products.diagonal(dim1=1, dim2=2) - self.count * drift.square()) / (self.count - 1)

    def whitening(self, regularisation: float) -> Iterator[tuple[slice, Tensor]]:
        """W (p, D, D) float64 with ``W^T W = (covariance + regularisation * I)^-1``, some positions at a time.

        The regularised covariance is factorised by Cholesky in float64 and W is the inverse of the factor: positive
        definite for any number of images, since rounding (1e-16 relative) is far below any sensible regularisation.

        Args:
            regularisation: Added variance, > 0, in units of the vectors squared.

        Yields:
            The positions, and W there; ascending until all have been.

        Cost:
            Besides the sums about 50 MB, or 6 matrices where a single one is larger than 8 MB.
        """
        positions, dimension = self._sum.shape
        identity = torch.eye(dimension, dtype=torch.float64)
        for part in _slices(positions, max(1, _BLOCK // dimension**2)):
            yield part, inverse_root(self.covariance(part) + regularisation * identity)

    def _check(self, least: int) -> None:
        if self.count < least:
            raise InputError(f"{self.count} vectors per position; at least {least} are needed")


class FieldWhitening(nn.Module):
    """A Gaussian at each of P positions as a part of a detector: means, and triangular whitening matrices.

    Half of a triangular matrix is zeros. Its rows lie in strips of up to 32, each as wide as its longest row: for
    D = 550 that is 53 % of the numbers, in memory and in multiply-adds.

    Args:
        dimension: D.
    """

    mean: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.edges = strip_edges(dimension)
        self.register_buffer("mean", torch.zeros(0, dimension))
        for number, (start, end) in enumerate(self.edges):
            self.register_buffer(f"strip{number}", torch.zeros(0, end - start, end))

    @property
    def grid(self) -> tuple[int, ...]:
        """The grid of the positions learned."""
        return tuple(self.mean.shape[:-1])

    @property
    def strips(self) -> list[Tensor]:
        """The rows of W, (P, rows, columns) each; see `amiss.statistics.mahalanobis.mahalanobis_field`."""
        return [self.get_buffer(f"strip{number}") for number in range(len(self.edges))]

    def learn(
        self,
        passes: Callable[[], Iterable[Tensor]],
        grid: Sequence[int],
        share: float,
        *,
        sums: int = SUMS,
        done: Callable[[int], None] = lambda positions: None,
    ) -> None:
        """Take mean and covariance of vectors that go by once; or several times, for some positions each time.

        Args:
            passes: Begins a pass: batches (N, P, D), the same every time.
            grid: Its product is P; the shape that `mean` gets, so that a saved state tells it.
            share: Variance added to every channel, as a share of the mean over all positions and channels; > 0.
            sums: Bytes of sums that may be held; what needs no more takes a single pass.
            done: Told how many positions are finished.

        Raises:
            InputError: Fewer than two vectors.

        Cost:
            Memory: `sums` bytes, the result, and what `GaussianField.whitening` takes.
        """
        dimension, positions = self.mean.shape[-1], math.prod(grid)
        parts = _slices(positions, max(1, sums // (8 * dimension**2)))
        if len(parts) == 1:
            self.take(_field(passes, parts[0], dimension), grid, share)
            done(positions)
            return
        self._make_room(positions)
        added = share * _variance(passes, positions * dimension).mean().item()
        for part in parts:
            self._take(_field(passes, part, dimension), part, added)  # gone before the next one is made
            done(part.stop)
        self.mean = self.mean.reshape(*grid, dimension)

    def take(self, field: GaussianField, grid: Sequence[int], share: float) -> None:
        """Take mean and covariance of a field; see `learn`.

        Raises:
            InputError: Fewer than two vectors.
        """
        dimension, positions = self.mean.shape[-1], math.prod(grid)
        self._make_room(positions)
        self._take(field, slice(0, positions), share * field.variance().mean().item())
        self.mean = self.mean.reshape(*grid, dimension)

    def field(self, count: int, share: float, origin: Tensor) -> GaussianField:
        """The sums that this has been taken from, to the rounding of float32; see `take`.

        Args:
            count: Vectors at each position.
            share: As it was when they were taken.
            origin: Around which they are to be, (P, D).
        """
        dimension = self.mean.shape[-1]
        mean, origin = self.mean.reshape(-1, dimension).double(), origin.double()
        if origin.shape != mean.shape:
            raise InputError(f"images must have {len(mean)} feature cells, got {len(origin)}: give them the same size")
        covariance = torch.cat([self._regularised(part) for part in _slices(len(mean), max(1, _BLOCK // dimension**2))])
        added = share / (1 + share) * covariance.diagonal(dim1=1, dim2=2).mean()
        covariance.diagonal(dim1=1, dim2=2).sub_(added)
        away = mean - origin  # (P, D)
        found = GaussianField(mean.shape[0], dimension, origin)
        found.add_sums(
            count, count * away, covariance.mul_(count - 1).baddbmm_(away[:, :, None], away[:, None], alpha=count)
        )
        return found

    def _regularised(self, part: slice) -> Tensor:
        """The covariance (p, D, D) float64 with what was added, at some positions."""
        dimension = self.mean.shape[-1]
        whitening = torch.zeros(part.stop - part.start, dimension, dimension, dtype=torch.float64)
        for (start, end), strip in zip(self.edges, self.strips, strict=True):
            whitening[:, start:end, :end] = strip[part].double()
        identity = torch.eye(dimension, dtype=torch.float64).expand_as(whitening)
        root: Tensor = torch.linalg.solve_triangular(whitening, identity, upper=False)  # W^-1
        return root @ root.transpose(1, 2)

    def _make_room(self, positions: int) -> None:
        self.mean = torch.empty(positions, self.mean.shape[-1])
        for number, (start, end) in enumerate(self.edges):
            setattr(self, f"strip{number}", torch.empty(positions, end - start, end))

    def _take(self, field: GaussianField, part: slice, added: float) -> None:
        self.mean[part] = field.mean.float()
        for some, whitening in field.whitening(added):
            here = slice(part.start + some.start, part.start + some.stop)
            for strip, (start, end) in zip(self.strips, self.edges, strict=True):
                strip[here] = whitening[:, start:end, :end].float()

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, P, D) to Mahalanobis distances (N, P)."""
        return mahalanobis_field(vectors, self.mean.flatten(0, -2), self.strips)


def _field(passes: Callable[[], Iterable[Tensor]], part: slice, dimension: int) -> GaussianField:
    """The Gaussians at some positions."""
    field = GaussianField(part.stop - part.start, dimension)
    for vectors in passes():
        field.add(vectors[:, part])
    return field


def _variance(passes: Callable[[], Iterable[Tensor]], numbers: int) -> Tensor:
    """The variance (P x D,) of every number of the vectors."""
    field = GaussianField(numbers, 1)
    for vectors in passes():
        field.add(vectors.flatten(1)[:, :, None])
    return field.variance()


def _slices(count: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
