"""How unusual a vector is among normal ones, by one of three densities: a Gaussian, nearest neighbours, a sphere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from amiss.background.gaussian import Gaussian, MahalanobisLayer
from amiss.background.kernel_machine import KernelMachine, solve_one_class, sphere_gram
from amiss.statistics.kernel import create_kernel, natural_gamma
from amiss.statistics.knn import nearest_distance

DENSITIES = ("mvg", "knn", "svdd")
"""Mahalanobis distance; distance to the nearest normal vector; squared distance from a sphere in a kernel's space."""

KERNEL, DEGREE = "polynomial", 2
"""Of the sphere, as `svdd` has by default."""


class Density(nn.Module):
    """One of `DENSITIES`, over whitened vectors: mean 0 and covariance I over the normal ones, with shrinkage.

    Args:
        kind: One of `DENSITIES`.
        dimension: D.
        nu: Share of the normal vectors that may lie outside the sphere, in (0, 1); "svdd" only.
    """

    bank: Tensor
    rest: Tensor

    def __init__(self, kind: str, dimension: int, *, nu: float) -> None:
        super().__init__()
        self.kind, self.nu = kind, nu
        self.normal = MahalanobisLayer(dimension)
        if kind == "knn":
            self.register_buffer("bank", torch.zeros(0, dimension))
        if kind == "svdd":
            self.machine = KernelMachine(dimension, kernel=KERNEL, degree=DEGREE)
            self.register_buffer("rest", torch.zeros(()))  # |c|^2 - R^2

    @torch.no_grad()
    def learn(self, vectors: Tensor) -> None:
        """Take normal vectors (n, D).

        Raises:
            InputError: Fewer than two, or vectors that do not vary.
        """
        device, vectors = vectors.device, vectors.cpu()
        gaussian = Gaussian(vectors.shape[1])
        gaussian.add(vectors)
        self.cpu()
        self.normal.take(gaussian)
        white = self.normal.whiten(vectors)
        if self.kind == "knn":
            self.bank = white
        if self.kind == "svdd":
            self._enclose(white.double())
        self.to(device)

    def _enclose(self, vectors: Tensor) -> None:
        gamma = natural_gamma(KERNEL, vectors)
        gram = create_kernel(KERNEL, gamma, DEGREE)(vectors, vectors)
        solution = solve_one_class(sphere_gram(gram), self.nu)
        centre = solution.weights @ gram @ solution.weights
        self.machine.take(vectors, solution.weights, gamma=gamma)
        self.rest = (centre - (solution.energy - 2 * solution.level)).float()

    def forward(self, vectors: Tensor) -> Tensor:
        """How unusual vectors (N, D) are, (N,)."""
        if self.kind == "mvg":
            distances: Tensor = self.normal(vectors)
            return distances
        white = self.normal.whiten(vectors)
        if self.kind == "knn":
            return nearest_distance(white, self.bank)
        outside: Tensor = self.machine.kernel.of_itself(white) - 2 * self.machine(white) + self.rest
        return outside
