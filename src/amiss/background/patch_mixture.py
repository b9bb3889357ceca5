"""A mixture of Gaussians of vectors that go by in batches: their principal axes, a sample of them, and its mixture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.gaussian import Gaussian
from amiss.background.mixture import choose_mixture
from amiss.background.reservoir import Reservoir
from amiss.background.subspace import Subspace
from amiss.core.errors import InputError
from amiss.core.progress import Progress, silent
from amiss.statistics.nll import mixture_nll

HELD_OUT = 0.2
"""Share of the normal images, and of the patches drawn, by which the number of components is chosen."""


class PatchMixture(nn.Module):
    """Minus the log-density of vectors under a Gaussian mixture in whitened principal axes, as a part of a detector.

    Args:
        dimension: D.
    """

    mean: Tensor
    projection: Tensor
    log_weights: Tensor
    means: Tensor
    whitening: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("projection", torch.zeros(dimension, 0))
        self.register_buffer("log_weights", torch.zeros(0))
        self.register_buffer("means", torch.zeros(0, 0))
        self.register_buffer("whitening", torch.zeros(0, 0, 0))

    def learn(
        self,
        stream: Iterable[Tensor],
        images: int,
        components: Sequence[int],
        rng: np.random.Generator,
        *,
        variance: float,
        samples: int,
        covariance: str,
        regularisation: float,
        progress: Progress = silent,
    ) -> None:
        """Learn from the vectors of all normal images, which go by once.

        Args:
            stream: Batches (N, P, D) of the P vectors of N images each, the images in an order drawn at random.
            images: How many images there are.
            components: Candidates for K; where there are several, the images that come first choose.
            rng: Draws the sample and the seeds of the mixtures.
            variance: Share of the variance that the projection holds, in (0, 1).
            samples: Vectors drawn.
            covariance: See `fit_mixture`.
            regularisation: See `fit_mixture`; 1 is the variance of all vectors along an axis.
            progress: See `choose_mixture`.

        Raises:
            InputError: Vectors that do not vary, or fewer than three images to choose K with.
        """
        apart = round(HELD_OUT * images) if len(components) > 1 else 0
        if apart == 0 and len(components) > 1:
            raise InputError(
                f"normal images must be at least 3 to choose among components = {tuple(components)}, got {images}; "
                f"give a single one: components = {components[0]}"
            )
        gaussian = Gaussian(len(self.mean))
        fitted, held_out = (Reservoir(max(1, round(share * samples)), rng) for share in (1 - HELD_OUT, HELD_OUT))
        done = 0
        for batch in stream:
            gaussian.add(batch)
            cut = min(max(apart - done, 0), len(batch))
            held_out.add(batch[:cut].flatten(0, 1))
            fitted.add(batch[cut:].flatten(0, 1))
            done += len(batch)
        subspace = Subspace.of(gaussian, variance)
        self.mean, self.projection = subspace.mean.float(), subspace.whitening().float()
        mixture = choose_mixture(
            self.project(fitted.sample()),
            self.project(held_out.sample()),
            components,
            rng,
            covariance=covariance,
            regularisation=regularisation,
            progress=progress,
        )
        self.log_weights, self.means = mixture.log_weights.float(), mixture.means.float()
        self.whitening = mixture.whitening.float()

    def project(self, vectors: Tensor) -> Tensor:
        """(..., D) to whitened coordinates (..., k)."""
        return (vectors - self.mean) @ self.projection

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to minus the log-density (...)."""
        return mixture_nll(self.project(vectors), self.log_weights, self.means, self.whitening)
