"""Kernels: inner products of vectors after a map into a space of many dimensions that is never computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from amiss.core.checks import check_choice
from amiss.core.errors import InputError

KERNELS = ("polynomial", "rbf")
"""Names that `create_kernel` knows."""


class Kernel(ABC):
    """k(x, y), the inner product of the images of x and y."""

    @abstractmethod
    def __call__(self, vectors: Tensor, others: Tensor) -> Tensor:
        """k of each of (..., D) with each of (M, D), as (..., M). M x D multiply-adds a vector."""

    @abstractmethod
    def of_itself(self, vectors: Tensor) -> Tensor:
        """k(x, x), the squared length of the image: (..., D) to (...)."""


@dataclass(frozen=True)
class RBF(Kernel):
    """Radial basis function ``exp(-gamma |x - y|^2)``: every image has length 1.

    Args:
        gamma: Above 0, in one over the vectors' unit squared.

    Example:
        >>> kernel = RBF(torch.tensor(0.5))
        >>> kernel(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 0.0]])).log()
        tensor([[-2.]])
    """

    gamma: Tensor

    def __call__(self, vectors: Tensor, others: Tensor) -> Tensor:
        return (-self.gamma * squared_distances(vectors, others)).exp()

    def of_itself(self, vectors: Tensor) -> Tensor:
        return torch.ones_like(vectors[..., 0])


@dataclass(frozen=True)
class Polynomial(Kernel):
    """``(gamma x.y + 1)^degree``: the image holds all monomials up to that degree, and its length grows with x.

    Args:
        gamma: Above 0, in one over the vectors' unit squared.
        degree: At least 1.

    Example:
        >>> kernel = Polynomial(torch.tensor(1.0), degree=2)
        >>> kernel(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]]))
        tensor([[36.]])
    """

    gamma: Tensor
    degree: int

    def __call__(self, vectors: Tensor, others: Tensor) -> Tensor:
        return (self.gamma * (vectors @ others.T) + 1) ** self.degree

    def of_itself(self, vectors: Tensor) -> Tensor:
        return (self.gamma * vectors.square().sum(dim=-1) + 1) ** self.degree


def create_kernel(name: str, gamma: Tensor, degree: int) -> Kernel:
    """The kernel with this name; `degree` is for the polynomial.

    Raises:
        InputError: Unknown name.
    """
    check_choice("kernel", name, KERNELS)
    return RBF(gamma) if name == "rbf" else Polynomial(gamma, degree)


def natural_gamma(name: str, vectors: Tensor) -> Tensor:
    """The gamma that suits the spread of vectors (n, D).

    For "rbf" one over the median squared distance of all pairs (the median heuristic): half of the pairs have a kernel
    below 1/e. For "polynomial" one over the mean squared length: gamma x.x is 1 on average.

    Raises:
        InputError: Vectors that do not vary, or a single one.

    Cost:
        n^2 D multiply-adds and n^2 numbers; n D for the polynomial.

    Example:
        >>> natural_gamma("rbf", torch.tensor([[0.0], [1.0], [3.0]]))
        tensor(0.2500)
    """
    if name == "polynomial":
        spread = vectors.square().sum(dim=1).mean()
    else:
        row, column = torch.triu_indices(len(vectors), len(vectors), offset=1)
        pairs = squared_distances(vectors, vectors)[row, column]
        spread = pairs.median() if len(pairs) else torch.zeros(())
    if not spread > 0:
        raise InputError(
            f"vectors must vary, since their spread sets the kernel's width, got {len(vectors)} equal ones"
        )
    return 1 / spread


def squared_distances(vectors: Tensor, others: Tensor) -> Tensor:
    """``|x - y|^2`` of each of (..., D) with each of (M, D), as (..., M).

    From ``|x|^2 + |y|^2 - 2 x.y``: to about 1e-6 of the squared lengths in float32, so centre the vectors first.
    """
    lengths = vectors.square().sum(dim=-1, keepdim=True) + others.square().sum(dim=-1)
    return (lengths - 2 * (vectors @ others.T)).clamp_min(0)
