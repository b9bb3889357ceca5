"""f-AnoGAN: a generator of normal images, and an encoder that finds the one most like a given image."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.discriminator import Discriminator, gradient_penalty
from amiss.background.generator import START, Generator, squeezed
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import Pixels, held_pixels
from amiss.statistics.difference import squared_distance
from amiss.statistics.reduce import resized, smooth_upsample
from amiss.training import Turn, train

PENALTY = 10.0
"""Weight of the critic's gradient penalty, as published."""


class FastAnoGAN(Detector):
    """A generator makes normal images; an encoder maps an image to the code of the most similar one it can make.

    Background model:
        Images are squeezed to `side` x `side` pixels. First a generator G and a critic f are trained against each
        other on normal images, as a Wasserstein GAN with gradient penalty: in each step the critic takes
        `critic_updates` updates, then the generator one. Then an encoder E is trained on normal images, with both held
        fixed, to lower ``|x - G(E(x))|^2 + kappa |f(x) - f(G(E(x)))|^2`` (means, f the critic's last features).

    Statistic:
        The same expression place by place: the squared difference of the colours at each pixel, plus `kappa` times
        that of the features there; enlarged to the image and smoothed.

    Assumes:
        The generator makes all normal images, and nothing else. With few normal images it makes few kinds, and normal
        ones that it does not make are strange. Defects smaller than a pixel of the squeezed image are not seen.

    Args:
        levels: How often a squeezed image is halved to 4 x 4 cells; so `side` is 4 times 2^levels pixels.
        latent: Numbers that an image is made of.
        width: Channels of the finest level of all three networks; up to four times as many further in.
        kappa: Weight of the features.
        critic_updates: Updates of the critic in each step.
        steps: Steps of generator and critic.
        encoder_steps: Steps of the encoder.
        batch: Images per step and update.
        rate: Learning rate of Adam of generator and critic.
        encoder_rate: Learning rate of Adam of the encoder.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With `width` w, about 30 w^2 multiply-adds per pixel of the squeezed image in scoring; a step of learning takes
        10 `critic_updates` times that per image. State: about 1,300 w^2 + 130 w `latent` numbers.

    Example:
        >>> from amiss.testing import toy_part
        >>> tiny = FastAnoGAN.card.presets["tiny"] | {"steps": 2, "encoder_steps": 2}
        >>> detector = FastAnoGAN(**tiny).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Schlegl, Seeboeck, Waldstein, Langs and Schmidt-Erfurth, "f-AnoGAN: fast unsupervised anomaly detection with
        generative adversarial networks", Medical Image Analysis 54, 2019.
        Differs from the paper: the whole image squeezed, not patches of 64 x 64 pixels cut from it; plain
        convolutions in place of residual blocks; colours. The features' term is kept at its places, so that the map
        holds all of the statistic.
    """

    card: ClassVar[Card] = Card(
        name="f_anogan",
        family="reconstruction",
        title="f-AnoGAN",
        paper="Schlegl et al., f-AnoGAN: fast unsupervised anomaly detection with generative adversarial networks",
        url="https://doi.org/10.1016/j.media.2019.01.010",
        year=2019,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {
                "width": 64,
                "steps": 20_000,
                "encoder_steps": 10_000,
                "batch": 64,
                "smoothing": 0.0,
                "rate": 1e-4,
            },
            "tiny": {
                "levels": 2,
                "latent": 8,
                "width": 8,
                "critic_updates": 1,
                "steps": 60,
                "encoder_steps": 120,
                "batch": 8,
                "rate": 2e-3,
                "encoder_rate": 5e-3,
                "smoothing": 12.0,
            },
        },
    )

    levels: Count = 4
    latent: Count = 128
    width: Count = 32
    kappa: Annotated[float, AtLeast(0)] = 1.0
    critic_updates: Count = 5
    steps: Count = 1500
    encoder_steps: Count = 1500
    batch: Count = 16
    rate: Annotated[float, Positive] = 1e-4
    encoder_rate: Annotated[float, Positive] = 5e-4
    smoothing: Smoothing = 8.0

    @property
    def side(self) -> int:
        """Side of the squeezed images, in pixels."""
        return START << self.levels

    def build(self, *, pretrained: bool) -> None:
        levels = self.levels
        self.generator = Generator(self.latent, width=self.width, levels=levels)
        self.critic = Discriminator(self.width, levels=levels, normalise=False)
        self.encoder = nn.Sequential(
            Discriminator(self.width, levels=levels, normalise=True).body,
            nn.Conv2d(self.width * min(2 ** (levels - 1), 4), self.latent, START),
            nn.Flatten(),
        )

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        first, second = (int(seed) for seed in rng.integers(2**31, size=2))
        with held_pixels(images, progress, device=self.device) as pixels:
            self._train_pair(pixels, first, progress)
            for parameter in (*self.generator.parameters(), *self.critic.parameters()):
                parameter.requires_grad_(False)
            train(
                self.encoder,
                torch.optim.Adam(self.encoder.parameters(), lr=self.encoder_rate),
                lambda step, draw: self.residual(self._draw(pixels, draw)).mean(),
                steps=self.encoder_steps,
                seed=second,
                stage="encoder",
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def _train_pair(self, pixels: Pixels, seed: int, progress: Progress) -> None:
        """Generator and critic, against each other."""

        def critic_loss(step: int, draw: np.random.Generator) -> Tensor:
            return self.critic_loss(self._draw(pixels, draw))

        def generator_loss(step: int, draw: np.random.Generator) -> Tensor:
            real: Tensor = self.critic(self.generator(self._codes(self.batch)))
            return -real.mean()

        critic, generator = (
            torch.optim.Adam(network.parameters(), lr=self.rate, betas=(0.0, 0.9))
            for network in (self.critic, self.generator)
        )
        train(
            nn.ModuleList([self.generator, self.critic]),
            generator,
            generator_loss,
            before=[Turn(critic, critic_loss, times=self.critic_updates)],
            steps=self.steps,
            seed=seed,
            stage="generator",
            checkpoint=self.checkpoint,
            progress=progress,
        )

    def _draw(self, pixels: Pixels, draw: np.random.Generator) -> Tensor:
        return squeezed(pixels.draw(self.batch, draw), self.side)

    def _codes(self, count: int) -> Tensor:
        return torch.randn(count, self.latent, device=self.device)

    def critic_loss(self, real: Tensor) -> Tensor:
        """Minus the distance of real and made images as the critic sees it, and the penalty of its slope."""
        with torch.no_grad():
            made = self.generator(self._codes(len(real)))
        apart: Tensor = self.critic(made).mean() - self.critic(real).mean()
        return apart + PENALTY * gradient_penalty(self.critic, real, made)

    def residual(self, small: Tensor) -> Tensor:
        """The statistic (N, side, side) of squeezed images (N, 3, side, side), not smoothed."""
        made = self.generator(self.encoder(small))
        seen = squared_distance(self.critic.features(small), self.critic.features(made))  # (N, 4, 4)
        found: Tensor = squared_distance(small, made) + self.kappa * resized(seen[:, None], small.shape[2:])[:, 0]
        return found

    def statistic(self, batch: Tensor) -> Tensor:
        found = self.residual(squeezed(batch, self.side))
        return smooth_upsample(found, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)
