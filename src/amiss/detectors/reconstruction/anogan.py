"""AnoGAN: a generator of normal patches, and a search for the code whose patch is most like a given one."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.discriminator import Discriminator, told_apart
from amiss.background.generator import START, Generator, squeezed
from amiss.background.pull_back import forward_kept, pull_back
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Between, Count, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import Pixels, held_pixels
from amiss.statistics.reduce import resized, smooth_upsample
from amiss.training import Turn, train

STILL = 1e-12
"""Added to the length of a slope, so that a search at a minimum stays there."""


class AnoGAN(Detector):
    """A generator makes normal patches out of random numbers; a patch that it cannot make, however long one searches
    for the numbers, is strange.

    Background model:
        Images are squeezed to `tiles` x `tiles` squares of `side` x `side` pixels. A generator G and a discriminator f
        are trained against each other on squares cut at random from normal images: in each step the discriminator
        learns to tell them from G(z) with z drawn from N(0, I), then the generator to be taken for them.

    Statistic:
        For each square x, z starts at 0 and takes `search_steps` steps down the slope of the residual ``(1 - share)
        |x - G(z)| + share |f(x) - f(G(z))|`` (means; f the discriminator's last features), each of a length that falls
        from `search_rate` to 0 along a cosine. The statistic is the residual that is left, place by place: the absolute
        difference of the colours at each pixel and that of the features there, put together to the image and smoothed.

    Assumes:
        The generator makes all normal patches, and nothing else, and the search finds them. With few normal images it
        makes few kinds, and normal patches that it does not make are strange. Published figures are among the lowest of
        all methods here; `f_anogan` finds the code in one pass of a network. Defects smaller than a pixel of the
        squeezed image are not seen.

    Args:
        levels: How often a square is halved to 4 x 4 cells; so `side` is 4 times 2^levels pixels.
        tiles: Squares along each side of an image; 1 for the whole image as one.
        latent: Numbers that a square is made of.
        width: Channels of the finest level of both networks; up to four times as many further in.
        share: Weight of the features, in [0, 1]; the pixels have the rest.
        search_steps: Steps of the search for each image.
        search_rate: Length of its first step.
        steps: Training steps of both networks.
        batch: Squares per step, of each network.
        rate: Learning rate of Adam, of both networks.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Slow by nature: each image takes `search_steps` passes of both networks forward and back. With `width` w, 30 w^2
        multiply-adds per pixel of the squeezed image and step: 8 billion for an image in the default preset, some
        seventy times `f_anogan`. The graph holds each step, since slopes are plain tensor operations here, 90 nodes per
        step; exporting it takes 2 s of CPU time per step. State: about 850 w^2 + 64 w `latent` numbers.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = AnoGAN(**AnoGAN.card.presets["tiny"] | {"steps": 2}).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Schlegl, Seeboeck, Waldstein, Schmidt-Erfurth and Langs, "Unsupervised anomaly detection with generative
        adversarial networks to guide marker discovery", IPMI 2017, arXiv 1703.05921.
        Differs from the paper: the search starts at z = 0, not at random, so that an image has one score; its steps
        have a length of their own, where the paper uses Adam; squares do not overlap; colours. The features' term is
        kept at its places, so that the map holds all of the statistic. "paper" has its patches of 64 x 64 pixels out
        of 256 x 256, and its 500 steps: hours for a test set, and a graph too long to be practical.
    """

    card: ClassVar[Card] = Card(
        name="anogan",
        family="reconstruction",
        title="AnoGAN",
        paper="Schlegl et al., Unsupervised anomaly detection with generative adversarial networks to guide marker "
        "discovery",
        url="https://arxiv.org/abs/1703.05921",
        year=2017,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {
                "tiles": 4,
                "width": 64,
                "search_steps": 500,
                "steps": 20_000,
                "batch": 64,
                "smoothing": 0.0,
                "rate": 2e-4,
            },
            "tiny": {
                "levels": 3,
                "latent": 8,
                "width": 8,
                "search_steps": 3,
                "search_rate": 2.0,
                "steps": 100,
                "batch": 8,
                "rate": 2e-3,
                "smoothing": 12.0,
            },
        },
    )

    levels: Count = 4
    tiles: Count = 1
    latent: Count = 64
    width: Count = 32
    share: Annotated[float, Between(0, 1, "both")] = 0.1
    search_steps: Count = 60
    search_rate: Annotated[float, Positive] = 1.0
    steps: Count = 1500
    batch: Count = 16
    rate: Annotated[float, Positive] = 2e-4
    smoothing: Smoothing = 8.0

    @property
    def side(self) -> int:
        """Side of a square, in pixels."""
        return START << self.levels

    def build(self, *, pretrained: bool) -> None:
        self.generator = Generator(self.latent, width=self.width, levels=self.levels)
        self.discriminator = Discriminator(self.width, levels=self.levels, normalise=True)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        generator, discriminator = (
            torch.optim.Adam(network.parameters(), lr=self.rate, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        )
        with held_pixels(images, progress, device=self.device) as pixels:
            train(
                nn.ModuleList([self.generator, self.discriminator]),
                generator,
                lambda step, draw: self.generator_loss(),
                before=[Turn(discriminator, lambda step, draw: self.discriminator_loss(self._draw(pixels, draw)))],
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def _draw(self, pixels: Pixels, draw: np.random.Generator) -> Tensor:
        """Squares of normal images, cut at random, (N, 3, side, side)."""
        small = squeezed(pixels.draw(self.batch, draw), self.tiles * self.side)
        places = draw.integers(small.shape[2] - self.side + 1, size=(len(small), 2)).tolist()
        cut = [
            image[:, top : top + self.side, left : left + self.side]
            for image, (top, left) in zip(small, places, strict=True)
        ]
        return torch.stack(cut)

    def _made(self) -> Tensor:
        made: Tensor = self.generator(torch.randn(self.batch, self.latent, device=self.device))
        return made

    def generator_loss(self) -> Tensor:
        """Least where the discriminator takes what is made for real; its slope does not vanish while it does not."""
        return nn.functional.softplus(-self.discriminator(self._made())).mean()

    def discriminator_loss(self, real: Tensor) -> Tensor:
        """Cross-entropy of telling squares (N, 3, side, side) of normal images from made ones."""
        with torch.no_grad():
            made = self._made()
        return told_apart(self.discriminator(real), self.discriminator(made))

    def search(self, squares: Tensor) -> Tensor:
        """Codes (N, latent) whose squares are most like those given, (N, 3, side, side)."""
        code, seen = squares.new_zeros(squares.shape[0], self.latent), self.discriminator.features(squares)
        for step in range(self.search_steps):
            slope = self._slope(squares, seen, code)
            length = slope.square().sum(dim=1, keepdim=True).sqrt() + STILL
            code = code - self.search_rate * 0.5 * (1 + math.cos(math.pi * step / self.search_steps)) * slope / length
        return code

    def _slope(self, squares: Tensor, seen: Tensor, code: Tensor) -> Tensor:
        """Slope of each residual's mean with respect to its code, (N, latent)."""
        plain, given = forward_kept(self.generator.body, code[:, :, None, None])
        made = plain.sigmoid()
        found, given_again = forward_kept(self.discriminator.body, made)
        pixels = (1 - self.share) * (made - squares).sign() / squares[0].numel()
        features = self.share * (found - seen).sign() / seen[0].numel()
        slope = pixels + pull_back(self.discriminator.body, given_again, features)
        return pull_back(self.generator.body, given, slope * made * (1 - made))[:, :, 0, 0]

    def residual(self, squares: Tensor, code: Tensor) -> Tensor:
        """The statistic (N, side, side) of squares (N, 3, side, side) and codes (N, latent), not smoothed."""
        made = self.generator(code)
        seen = (self.discriminator.features(squares) - self.discriminator.features(made)).abs().mean(dim=1)
        pixels: Tensor = (squares - made).abs().mean(dim=1)
        return (1 - self.share) * pixels + self.share * resized(seen[:, None], pixels.shape[1:])[:, 0]

    def statistic(self, batch: Tensor) -> Tensor:
        tiles, side = self.tiles, self.side
        small = squeezed(batch, tiles * side).reshape(-1, 3, tiles, side, tiles, side)
        squares = small.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)  # (N tiles tiles, 3, side, side)
        found = self.residual(squares, self.search(squares)).reshape(-1, tiles, tiles, side, side)
        whole = found.permute(0, 1, 3, 2, 4).reshape(-1, tiles * side, tiles * side)
        return smooth_upsample(whole, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)
