"""Autoencoder: an image squeezed through a code that has room for normal images only, and how much of it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.codec import Decoder, Encoder
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import held_pixels
from amiss.statistics.reduce import smooth_upsample
from amiss.statistics.residual import WeightedResidual
from amiss.training import cosine, train


class ConvolutionalAutoencoder(Detector):
    """An encoder and a decoder that rebuild normal images through a small code; what is strange does not come through.

    Background model:
        A convolutional encoder halves the image `levels` times and keeps `code` numbers: of the whole image with
        `bottleneck`, else per place. A decoder rebuilds the image. Both are trained on normal images to lower the
        residual between image and rebuilt image, plus `code_penalty` times the mean absolute number of the code.

    Statistic:
        The same residual, pixel by pixel, smoothed. `loss` names what it is made of: "l2" (mean squared difference of
        the colours), "l1", "ssim", "ms_ssim", "cw_ssim" and "ms_gms" (1 minus the similarity), or several joined by
        "+", with `weights`; it is summed over `scales` scales, each half the one before.

    Assumes:
        The code has too little room for defects. With too much of it the network learns to copy, and rebuilds defects
        as well. "l2" does not see a change of texture that keeps the colours, nor a defect as bright as its
        surroundings; the similarities see structure, and little of a mere change of colour. With a `bottleneck` parts
        lie at the same place.

    Args:
        loss: See *Statistic*.
        weights: One number above 0 per name in `loss`; none for equal ones.
        scales: Scales of the pyramid over which the residual is summed.
        bottleneck: Squeeze the whole image into one code: for objects. Else one code per place: for textures.
        code: Numbers of the code, per place.
        code_penalty: Weight of the mean absolute number of the code.
        levels: How often the encoder halves the image.
        width: Channels of the first level; up to four times as many further in.
        patch: Side of the random squares that are trained on, in pixels; 0 for whole images. Scoring takes the whole
            image.
        steps: Training steps.
        batch: Images, or squares, per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, `patch` together with `bottleneck`, or images (or squares) that are
            too small for the levels or for the residual.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With `width` w, about 30 w^2 multiply-adds per pixel of the image in scoring, and three times that in learning
        for each image of each step; the images lie on disk as bytes meanwhile. State: about 1,500 w^2 numbers, and
        ``512 w code`` more with a bottleneck.

    Example:
        >>> from amiss.testing import toy_part
        >>> tiny = ConvolutionalAutoencoder.card.presets["tiny"]
        >>> detector = ConvolutionalAutoencoder(**tiny | {"steps": 5}).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Bergmann, Loewe, Fauser, Sattlegger and Steger, "Improving unsupervised defect segmentation by applying
        structural similarity to autoencoders", 2018, arXiv 1807.02011.
        Differs from the paper: batch normalisation in every level, no augmentation by rotation, colours instead of
        grey, and textures are scored as whole images by a network without bottleneck, not patch by patch. The code is
        published for 8 x 8 maps; maps of other sizes are brought to it. "paper" has its width, code and steps.
    """

    card: ClassVar[Card] = Card(
        name="autoencoder",
        family="reconstruction",
        title="Autoencoder",
        paper="Bergmann et al., Improving unsupervised defect segmentation by applying structural similarity to "
        "autoencoders",
        url="https://arxiv.org/abs/1807.02011",
        year=2018,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {
                "loss": "ssim",
                "code": 500,
                "width": 32,
                "steps": 15_600,
                "batch": 128,
                "smoothing": 0.0,
                "rate": 1e-3,
            },
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

    loss: str = "l2"
    weights: Sequence[Annotated[float, Positive]] = ()
    scales: Count = 1
    bottleneck: bool = True
    code: Count = 100
    code_penalty: Annotated[float, AtLeast(0)] = 0.0
    levels: Count = 5
    width: Count = 16
    patch: Annotated[int, AtLeast(0)] = 0
    steps: Count = 2000
    batch: Count = 8
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    @property
    def residual(self) -> WeightedResidual:
        """How far an image is from what was rebuilt."""
        return WeightedResidual(self.loss, self.weights, self.scales)

    def check_together(self) -> None:
        residual = self.residual
        if self.patch > 0 and self.bottleneck:
            raise InputError("patch must be 0 with a bottleneck, which learns one size, or bottleneck must be False")
        if 0 < self.patch < residual.least:
            raise InputError(f"patch must be at least {residual.least} for loss={self.loss!r}, got {self.patch}")

    def build(self, *, pretrained: bool) -> None:
        self.encoder = Encoder(self.width, levels=self.levels, code=self.code, bottleneck=self.bottleneck)
        self.decoder = Decoder(self.width, levels=self.levels, code=self.code, bottleneck=self.bottleneck)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.residual.check_size(*images[0].shape[:2])
        patch = min(self.patch, *images[0].shape[:2])
        with held_pixels(images, progress, device=self.device) as pixels:
            train(
                nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder}),
                torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=self.rate),
                lambda step, draw: self.training_loss(pixels.draw(self.batch, draw, patch)),
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                clip=1.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def training_loss(self, batch: Tensor) -> Tensor:
        """The residual of normal images (N, 3, H, W), and the penalty of their code."""
        code: Tensor = self.encoder(batch)
        rebuilt = self.decoder(code, (batch.shape[2], batch.shape[3]))
        return self.residual(batch, rebuilt) + self.code_penalty * code.abs().mean()

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        found = self.residual.map(batch, self.decoder(self.encoder(batch), size))
        return smooth_upsample(found, size, smoothing=self.smoothing) if self.smoothing > 0 else found
