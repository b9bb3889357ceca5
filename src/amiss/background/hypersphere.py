"""A small sphere around what a network makes of normal images: Deep SVDD's background model, hard or soft."""

from __future__ import annotations

import torch
from torch import Tensor, nn

APART = 0.1
"""Least distance of the centre's coordinates from 0: a network can give 0 everywhere by having no weights."""

WARM_UP = 0.1
"""Share of the training before the radius follows the distances."""


class Hypersphere(nn.Module):
    """A centre that stays where the untrained network puts normal images, and a radius.

    The network that is trained to draw normal images to the centre can do so for every image, strange ones as well, if
    it may give a constant: through bias terms, through affine normalisation, through activations that saturate, or
    because the centre is 0. It must have none of the first three; the last is seen to here.

    Args:
        dimension: Numbers that the network gives, D.
        nu: Share of the normal vectors that may lie outside, in (0, 1), and then the radius is part of the loss; None
            for the hard form, which has no radius.

    Example:
        >>> sphere = Hypersphere(2, nu=0.25)
        >>> sphere.place(torch.tensor([[1.0, 0.02], [3.0, -0.06]]))
        >>> sphere.centre
        tensor([ 2.0000, -0.1000])
        >>> sphere.fit_radius(sphere.distances(torch.tensor([[2.0, 0.9], [2.0, 1.9], [2.0, 2.9], [2.0, 3.9]])))
        >>> round(float(sphere.radius), 4)
        3.0
    """

    centre: Tensor
    radius: Tensor

    def __init__(self, dimension: int, *, nu: float | None) -> None:
        super().__init__()
        self.nu = nu
        self.register_buffer("centre", torch.zeros(dimension))
        self.register_buffer("radius", torch.zeros(()))

    @torch.no_grad()
    def place(self, vectors: Tensor) -> None:
        """Put the centre at the mean of vectors (N, D), each coordinate at least `APART` from 0."""
        mean = vectors.mean(dim=0)
        sign = torch.where(mean < 0, -1.0, 1.0)
        self.centre = torch.where(mean.abs() < APART, APART * sign, mean)

    def distances(self, vectors: Tensor) -> Tensor:
        """Squared distances (...) of vectors (..., D) to the centre."""
        return (vectors - self.centre).square().sum(dim=-1)

    @torch.no_grad()
    def fit_radius(self, distances: Tensor) -> None:
        """The radius that minimises the soft loss of these squared distances (N,): at most a share `nu` lies outside.

        The loss falls with R as long as more than `nu` N of them are outside, and rises after that: so the radius is
        the order statistic of rank N - floor(nu N).
        """
        if self.nu is not None:
            ordered = distances.flatten().sort().values
            outside = int(self.nu * len(ordered) + 1e-9)
            self.radius = ordered[len(ordered) - 1 - outside].sqrt()

    def training_loss(self, distances: Tensor, done: float) -> Tensor:
        """`loss` of a batch's squared distances (N,), when a share `done` of the training is over; the radius follows
        the distances once the network has warmed up."""
        if done >= WARM_UP:
            self.fit_radius(distances.detach())
        return self.loss(distances)

    def loss(self, distances: Tensor) -> Tensor:
        """Of squared distances (N,): their mean; or R^2 plus 1 / nu times the mean of what lies beyond it."""
        if self.nu is None:
            return distances.mean()
        squared = self.radius.square()
        return squared + (distances - squared).clamp_min(0).mean() / self.nu
