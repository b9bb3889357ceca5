"""Variational autoencoder: a density of normal images with a code that is a distribution."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.codec import Decoder, Encoder
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OneOf, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import held_pixels
from amiss.statistics.difference import squared_distance
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train

STATISTICS = ("reconstruction", "kl", "gradient")

WIDEST = 10.0
"""Largest absolute logarithm of a code's variance: keeps its exponential finite."""


class VariationalAutoencoder(Detector):
    """Images are drawn from codes that are drawn from a normal distribution; a bound on their density says how likely.

    Background model:
        An encoder gives the mean m and variance s^2 of a code z, a decoder the image that it means. Both are trained on
        normal images to lower minus the evidence lower bound, per number of the image: ``|x - D(z)|^2 / (2
        deviation^2)`` with z drawn from N(m, s^2), plus `beta` times ``KL(N(m, s^2) | N(0, 1)) = (m^2 + s^2 - 1 -
        log s^2) / 2`` summed over the code.

    Statistic:
        At z = m. "reconstruction": the mean squared difference of the colours, pixel by pixel. "kl": the divergence at
        each place of the code (without `bottleneck`), enlarged to the image: how far the code is from the codes of
        normal images. "gradient": the mean absolute slope of the bound with respect to the colours of each pixel: how
        the image would have to change to become likelier. All are smoothed.

    Assumes:
        What `ConvolutionalAutoencoder` does. Rebuilt images are blurred, so that fine normal texture is a residual as
        well. A `beta` too large makes the code say nothing. "kl" is the weakest of the three by far: a strange image
        may well have an ordinary code.

    Args:
        statistic_of: "reconstruction", "kl" or "gradient". The last needs gradients in scoring: it has no graph, and
            runs in torch at four times the cost.
        deviation: Standard deviation of the noise of a pixel around what the code means, in [0, 1] units.
        beta: Weight of the divergence.
        bottleneck: One code for the whole image; else one per place.
        code: Numbers of the code, per place.
        levels: How often the encoder halves the image.
        width: Channels of the first level; up to four times as many further in.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, "kl" with a bottleneck, or images that are too small for the levels.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        That of `ConvolutionalAutoencoder`.

    Example:
        >>> from amiss.testing import toy_part
        >>> tiny = VariationalAutoencoder.card.presets["tiny"]
        >>> detector = VariationalAutoencoder(**tiny | {"steps": 5}).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv 1312.6114. The statistics: Zimmerer,
        Isensee, Petersen, Kohl and Maier-Hein, "Unsupervised anomaly localization using variational auto-encoders",
        MICCAI 2019, arXiv 1907.02796.
        Differs from the paper: the residual is squared, and its noise has one fixed deviation. The gradient is taken
        at the code's mean, not averaged over draws, so that an image has one score. "paper" has the sizes of the
        second paper's network as far as its text gives them.
    """

    card: ClassVar[Card] = Card(
        name="vae",
        family="reconstruction",
        title="Variational autoencoder",
        paper="Zimmerer et al., Unsupervised anomaly localization using variational auto-encoders",
        url="https://arxiv.org/abs/1907.02796",
        year=2019,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {"statistic_of": "gradient", "code": 256, "width": 16, "steps": 15_600, "batch": 64, "rate": 1e-4},
            "tiny": {
                "bottleneck": False,
                "code": 4,
                "levels": 3,
                "width": 8,
                "steps": 100,
                "batch": 8,
                "rate": 5e-3,
                "smoothing": 8.0,
            },
        },
    )

    statistic_of: Annotated[str, OneOf(*STATISTICS)] = "reconstruction"
    deviation: Annotated[float, Positive] = 0.1
    beta: Annotated[float, AtLeast(0)] = 1.0
    bottleneck: bool = True
    code: Count = 100
    levels: Count = 5
    width: Count = 16
    steps: Count = 2000
    batch: Count = 8
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    def check_together(self) -> None:
        if self.statistic_of == "kl" and self.bottleneck:
            raise InputError('statistic_of must not be "kl" with a bottleneck, whose code has no places')

    def build(self, *, pretrained: bool) -> None:
        vars(self)["card"] = replace(type(self).card, exportable=self.statistic_of != "gradient")
        self.encoder = Encoder(self.width, levels=self.levels, code=2 * self.code, bottleneck=self.bottleneck)
        self.decoder = Decoder(self.width, levels=self.levels, code=self.code, bottleneck=self.bottleneck)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        with held_pixels(images, progress, device=self.device) as pixels:
            train(
                nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder}),
                torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=self.rate),
                lambda step, draw: self.bound(pixels.draw(self.batch, draw), sample=True).mean(),
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                clip=1.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def encode(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes, each (N, code, h, w)."""
        mean, log_variance = self.encoder(batch).chunk(2, dim=1)
        return mean, log_variance.clamp(-WIDEST, WIDEST)

    def bound(self, batch: Tensor, *, sample: bool) -> Tensor:
        """Minus the evidence lower bound of images (N, 3, H, W), per number of an image and without constants, (N,)."""
        mean, log_variance = self.encode(batch)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if sample else mean
        error = (batch - self.decoder(code, (batch.shape[2], batch.shape[3]))).square().flatten(1)
        missed: Tensor = error.mean(dim=1) / (2 * self.deviation**2)
        apart: Tensor = divergence(mean, log_variance).flatten(1).sum(dim=1) / error.shape[1]
        return missed + self.beta * apart

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        if self.statistic_of == "kl":
            found = divergence(*self.encode(batch))
        elif self.statistic_of == "gradient":
            found = self._slope(batch)
        else:
            found = squared_distance(batch, self.decoder(self.encode(batch)[0], size))
        return smooth_upsample(found, size, smoothing=self.smoothing)

    def _slope(self, batch: Tensor) -> Tensor:
        """Mean absolute slope of the bound at each pixel, (N, H, W), times the numbers of an image."""
        with torch.enable_grad():
            pixels = batch.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.bound(pixels, sample=False).sum(), pixels)
        return slope.abs().mean(dim=1) * slope[0].numel()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, variance) from N(0, 1), summed over axis 1: (N, C, h, w) to (N, h, w)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
