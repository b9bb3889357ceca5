"""Autoencoder and Gaussian mixture: an image, or each place of it, is as strange as its code is unlikely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.codec import Decoder, Encoder
from amiss.background.mixture import COVARIANCES
from amiss.background.patch_mixture import PatchMixture
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Count, NotEmpty, OneOf, Positive, Share, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import held_pixels
from amiss.statistics.difference import squared_distance
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train


class AutoencoderMixture(Detector):
    """The code of an autoencoder of normal images, and a mixture of Gaussians of the codes of normal images.

    Background model:
        A convolutional encoder halves the image `levels` times and keeps `code` numbers per place, or of the whole
        image with `bottleneck`; a decoder rebuilds the image. Both are trained on normal images to lower the mean
        squared difference. Then a mixture of K Gaussians is fitted to the codes of normal images, by expectation
        maximisation in float64, in principal axes that hold the share `variance`, each scaled to variance 1. Among
        several K the one with the least Bayesian information criterion on held-out images is taken.

    Statistic:
        Minus the logarithm of the mixture's density: of the code at each place, enlarged to the image and smoothed.
        With `bottleneck`: of the code of the whole image, one number and no map. The decoder takes no part.

    Assumes:
        The code of a strange image is strange. Nothing makes it so: the encoder has learned to keep what normal images
        differ in, and a defect outside of that leaves the code ordinary. What is normal somewhere is normal everywhere.
        A change much finer than a place of the code, 2^`levels` pixels, is seen little.

    Args:
        bottleneck: One code for the whole image, and one score; else one per place, and a map.
        code: Numbers of the code, per place.
        levels: How often the encoder halves the image.
        width: Channels of the first level; up to four times as many further in.
        steps: Training steps of the autoencoder.
        batch: Images per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        variance: Share of the variance of the codes that the projection holds, in (0, 1).
        components: Candidates for K; a single one, or one number, is taken as it is.
        covariance: "full" or "diagonal".
        regularisation: Variance added to every direction of every component, > 0; 1 is the variance of all codes along
            an axis.
        samples: Codes drawn for the mixture.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, images that are too small for the levels, codes that do not vary
            (with `bottleneck`: a single image, or images that are all the same), or fewer than three images to choose K
            with.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Scoring: half of `ConvolutionalAutoencoder`, and D k + K k^2 multiply-adds of the mixture per place.
        Learning: that of `ConvolutionalAutoencoder`; then, for each candidate, up to 100 steps of 2 `samples` K k^2.

    Example:
        >>> from amiss.testing import toy_part
        >>> tiny = AutoencoderMixture.card.presets["tiny"]
        >>> detector = AutoencoderMixture(**tiny | {"steps": 5}).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        The two steps that Zong, Song, Min, Cheng, Lumezanu, Cho and Chen, "Deep autoencoding Gaussian mixture model for
        unsupervised anomaly detection", ICLR 2018, compare theirs with.
        Differs from the paper: images and convolutions where it has tables and layers; the number of components is
        chosen. "paper" is one code per image, with the code of the published `ConvolutionalAutoencoder`.
    """

    card: ClassVar[Card] = Card(
        name="autoencoder_gmm",
        family="reconstruction",
        title="Autoencoder and Gaussian mixture",
        paper="Zong et al., Deep autoencoding Gaussian mixture model for unsupervised anomaly detection",
        url="https://openreview.net/forum?id=BJJLHbb0-",
        year=2018,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {
                "bottleneck": True,
                "code": 500,
                "levels": 5,
                "steps": 15_600,
                "batch": 128,
                "rate": 2e-4,
                "variance": 0.9,
                "components": (1, 2, 4),
                "covariance": "diagonal",
                "regularisation": 0.1,
                "width": 32,
            },
            "tiny": {
                "code": 8,
                "levels": 2,
                "width": 8,
                "steps": 60,
                "batch": 8,
                "rate": 5e-3,
                "components": (2, 4),
                "covariance": "diagonal",
                "samples": 500,
                "smoothing": 8.0,
            },
        },
    )

    bottleneck: bool = False
    code: Count = 16
    levels: Count = 4
    width: Count = 16
    steps: Count = 2000
    batch: Count = 8
    rate: Annotated[float, Positive] = 1e-3
    variance: Share = 0.999
    components: Count | Annotated[Sequence[Count], NotEmpty] = (4, 8, 16, 32)
    covariance: Annotated[str, OneOf(*COVARIANCES)] = "full"
    regularisation: Annotated[float, Positive] = 0.01
    samples: Count = 10_000
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        vars(self)["card"] = replace(type(self).card, localises=not self.bottleneck)
        self.encoder = Encoder(self.width, levels=self.levels, code=self.code, bottleneck=self.bottleneck)
        self.decoder = Decoder(self.width, levels=self.levels, code=self.code, bottleneck=self.bottleneck)
        self.mixture = PatchMixture(self.code)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        with held_pixels(images, progress, device=self.device) as pixels:
            train(
                nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder}),
                torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=self.rate),
                lambda step, draw: self.training_loss(pixels.draw(self.batch, draw)),
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                clip=1.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )
        self.mixture.learn(
            self._codes(images.subset(rng.permutation(len(images))), progress),
            len(images),
            (self.components,) if isinstance(self.components, int) else self.components,
            rng,
            variance=self.variance,
            samples=self.samples,
            covariance=self.covariance,
            regularisation=self.regularisation,
            progress=progress,
        )

    def training_loss(self, batch: Tensor) -> Tensor:
        """Mean squared difference of normal images (N, 3, H, W) from what was rebuilt of them."""
        return squared_distance(batch, self.decoder(self.encoder(batch), (batch.shape[2], batch.shape[3]))).mean()

    @torch.no_grad()
    def _codes(self, images: Images, progress: Progress) -> Iterator[Tensor]:
        """Codes of all places, (N, h w, code), batch by batch."""
        for batch in self.batches(images, "codes", progress):
            yield self.describe(batch).flatten(1, 2).cpu()

    def describe(self, batch: Tensor) -> Tensor:
        """Codes (N, h, w, code) of a batch (N, 3, H, W)."""
        code: Tensor = self.encoder(batch)
        return code.permute(0, 2, 3, 1)

    def statistic(self, batch: Tensor) -> Tensor:
        strange: Tensor = self.mixture(self.describe(batch))  # (N, h, w)
        if self.bottleneck:
            return strange[:, 0, 0]
        return smooth_upsample(strange, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)
