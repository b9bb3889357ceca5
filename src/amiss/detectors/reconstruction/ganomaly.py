"""GANomaly: an image is rebuilt and encoded again; the two codes of a strange image differ."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.codec import Decoder, Encoder
from amiss.background.discriminator import Discriminator, told_apart
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import held_pixels
from amiss.statistics.difference import squared_distance
from amiss.statistics.reduce import smooth_upsample
from amiss.training import Turn, train

SETTLED = 1e-5
"""Loss of the discriminator below which it takes no more steps: it has won, and teaches nothing."""


class GANomaly(Detector):
    """Encoder, decoder and a second encoder; the code of an image and that of its rebuilt form agree for normal ones.

    Background model:
        An encoder E gives a code z at each place of an image x, a decoder D the image y = D(z), and a second encoder F
        the code of y. They are trained on normal images to lower ``adversarial |f(x) - f(y)|^2 + contextual |x - y| +
        latent |z - F(y)|^2`` (means), where f are the last features of a discriminator, which is trained in turn to
        tell x from y.

    Statistic:
        ``|z - F(y)|^2``, the mean over the numbers of the code at each place, enlarged to the image and smoothed.

    Assumes:
        The decoder gives back something normal for whatever code, so that a strange image changes its code on the way.
        A change too fine for the grid of the code is not seen.

    Args:
        adversarial: Weight of the discriminator's features.
        contextual: Weight of the absolute difference of the images.
        latent: Weight of the squared difference of the codes.
        code: Numbers of the code per place.
        levels: How often the encoders halve the image: a place of the code is ``2^levels`` pixels wide.
        width: Channels of the first level; up to four times as many further in.
        steps: Training steps, of both sides.
        batch: Images per step.
        rate: Learning rate of Adam, of both sides.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, or images that are too small for the levels.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Three halves of `ConvolutionalAutoencoder` in scoring, and twice that in learning.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = GANomaly(**GANomaly.card.presets["tiny"] | {"steps": 5}).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Akcay, Atapour-Abarghouei and Breckon, "GANomaly: semi-supervised anomaly detection via adversarial training",
        ACCV 2018, arXiv 1805.06725.
        Differs from the paper: the code keeps its places, so that there is a map; the paper has one code per image of
        32 x 32 pixels, and its scores are brought to [0, 1] over the test set, which no one has on a line. When the
        discriminator has won it rests, where the authors' code draws it anew. "paper" has the paper's weights, width
        and rate.
    """

    card: ClassVar[Card] = Card(
        name="ganomaly",
        family="reconstruction",
        title="GANomaly",
        paper="Akcay et al., GANomaly: semi-supervised anomaly detection via adversarial training",
        url="https://arxiv.org/abs/1805.06725",
        year=2018,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {"code": 100, "width": 64, "steps": 3000, "batch": 64, "smoothing": 0.0, "rate": 2e-4},
            "tiny": {"code": 4, "levels": 2, "width": 8, "steps": 60, "batch": 8, "rate": 2e-3, "smoothing": 8.0},
        },
    )

    adversarial: Annotated[float, AtLeast(0)] = 1.0
    contextual: Annotated[float, Positive] = 50.0
    latent: Annotated[float, Positive] = 1.0
    code: Count = 32
    levels: Count = 4
    width: Count = 16
    steps: Count = 1500
    batch: Count = 8
    rate: Annotated[float, Positive] = 2e-4
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.encoder = Encoder(self.width, levels=self.levels, code=self.code, bottleneck=False)
        self.decoder = Decoder(self.width, levels=self.levels, code=self.code, bottleneck=False)
        self.again = Encoder(self.width, levels=self.levels, code=self.code, bottleneck=False)
        self.discriminator = Discriminator(self.width, levels=self.levels, normalise=True)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        generator = nn.ModuleList([self.encoder, self.decoder, self.again])
        with held_pixels(images, progress, device=self.device) as pixels:
            train(
                nn.ModuleList([generator, self.discriminator]),
                torch.optim.Adam(generator.parameters(), lr=self.rate, betas=(0.5, 0.999)),
                lambda step, draw: self.generator_loss(pixels.draw(self.batch, draw)),
                before=[
                    Turn(
                        torch.optim.Adam(self.discriminator.parameters(), lr=self.rate, betas=(0.5, 0.999)),
                        lambda step, draw: self.discriminator_loss(pixels.draw(self.batch, draw)),
                    )
                ],
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                clip=10.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def rebuild(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Code, rebuilt image and its code."""
        code = self.encoder(batch)
        image = self.decoder(code, (batch.shape[2], batch.shape[3]))
        return code, image, self.again(image)

    def generator_loss(self, batch: Tensor) -> Tensor:
        """What encoder, decoder and second encoder lower."""
        code, image, again = self.rebuild(batch)
        seen = (self.discriminator.features(batch) - self.discriminator.features(image)).square().mean()
        loss: Tensor = self.adversarial * seen + self.contextual * (batch - image).abs().mean()
        return loss + self.latent * (code - again).square().mean()

    def discriminator_loss(self, batch: Tensor) -> Tensor:
        """What the discriminator lowers; without a slope once it has won."""
        with torch.no_grad():
            made = self.rebuild(batch)[1]
        loss = told_apart(self.discriminator(batch), self.discriminator(made))
        return loss if float(loss.detach()) > SETTLED else 0 * loss

    def statistic(self, batch: Tensor) -> Tensor:
        code, _, again = self.rebuild(batch)
        return smooth_upsample(
            squared_distance(code, again), (batch.shape[2], batch.shape[3]), smoothing=self.smoothing
        )
