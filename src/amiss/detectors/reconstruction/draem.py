"""DRAEM: defects are drawn into normal images; one network takes them out again, another says where they were."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amiss.background.codec import Decoder, Encoder
from amiss.background.unet import UNet
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Between, Count, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import held_pixels
from amiss.statistics.reduce import smooth_upsample
from amiss.statistics.residual import WeightedResidual
from amiss.synthesis.images import procedural_images
from amiss.synthesis.perlin import perlin_mask
from amiss.training import train

FOCUS = 2.0
"""Exponent of the focal loss: pixels that are told right with confidence count little."""

FAINTEST = 0.2
"""Least share of the foreign texture inside a drawn defect."""


def _falling(done: float) -> float:
    """The full rate, a fifth of it from 80 % of the run on, and a fifth of that from 90 %."""
    return 1.0 if done < 0.8 else 0.2 if done < 0.9 else 0.04


class DRAEM(Detector):
    """Two networks: the first rebuilds the normal image under a drawn defect, the second compares both and marks it.

    Background model:
        Into half of the normal images of a step a defect is drawn: inside a mask of Perlin noise the image is mixed
        with a foreign texture, which makes up between a fifth and all of it. A reconstructive network, an autoencoder
        without bridges, is trained to give back the normal image, by mean squared difference and SSIM; a
        discriminative one, a U-Net, sees both images and is trained to tell the pixels of the mask, by the focal loss.

    Statistic:
        The probability of a defect at each pixel, smoothed.

    Assumes:
        Real defects look foreign where they are, as drawn ones do. What is missing, or in the wrong place, but looks
        normal by itself, is not drawn, and seen little.

    Args:
        textures: A folder of images of anything else, or "procedural" for images that Amiss draws.
        texture_count: Textures that are kept to draw from.
        clean: Share of the images of a step that no defect is drawn into.
        code: Numbers of the reconstructive network's code, per place.
        levels: How often both networks halve the image.
        width: Channels of the finest level of both.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of Adam; it falls to a fifth at 80 % and again at 90 % of the steps.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, images that are too small, or a folder without images.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Scoring: about 200 `width`^2 multiply-adds per pixel; a step of learning three times that per image. Drawing
        takes 5 ms per image, and 25 ms per procedural texture once.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = DRAEM(**DRAEM.card.presets["tiny"] | {"steps": 3}).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Zavrtanik, Kristan and Skocaj, "DRAEM: a discriminatively trained reconstruction embedding for surface anomaly
        detection", ICCV 2021, arXiv 2108.07610.
        Differs from the paper: textures are images that Amiss draws, with random flips and gains instead of three of
        ten changes (the paper takes photographs of the Describable Textures Dataset, to be given as `textures`); normal
        images are not turned; a Gaussian instead of a mean filter of 21 x 21 pixels; the default networks are narrower
        and trained for fewer steps.
    """

    card: ClassVar[Card] = Card(
        name="draem",
        family="reconstruction",
        title="DRAEM",
        paper="Zavrtanik et al., DRAEM: a discriminatively trained reconstruction embedding",
        url="https://arxiv.org/abs/2108.07610",
        year=2021,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {"code": 1024, "width": 64, "steps": 19_600, "rate": 1e-4, "texture_count": 5000, "batch": 8},
            "tiny": {
                "texture_count": 24,
                "code": 16,
                "levels": 2,
                "width": 8,
                "steps": 50,
                "batch": 4,
                "rate": 1e-2,
                "smoothing": 8.0,
            },
        },
    )

    textures: str = "procedural"
    texture_count: Count = 300
    clean: Annotated[float, Between(0, 1, "left")] = 0.5
    code: Count = 128
    levels: Count = 4
    width: Count = 16
    steps: Count = 2000
    batch: Count = 4
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 7.0

    def build(self, *, pretrained: bool) -> None:
        self.encoder = Encoder(self.width, levels=self.levels, code=self.code, bottleneck=False)
        self.decoder = Decoder(self.width, levels=self.levels, code=self.code, bottleneck=False)
        self.discriminative = UNet(6, 2, width=self.width, levels=self.levels)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.residual.check_size(*images[0].shape[:2])
        strange = self._strange(images, int(rng.integers(2**31)))
        networks = nn.ModuleList([self.encoder, self.decoder, self.discriminative])
        with (
            held_pixels(images, progress, device=self.device) as pixels,
            held_pixels(strange, progress, device=self.device) as textures,
        ):

            def loss(step: int, draw: np.random.Generator) -> Tensor:
                batch = pixels.draw(self.batch, draw)
                return self.training_loss(batch, *self.spoil(batch, textures.draw(self.batch, draw), draw))

            train(
                networks,
                torch.optim.Adam(networks.parameters(), lr=self.rate),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=_falling,
                clip=1.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    @property
    def residual(self) -> WeightedResidual:
        """What the reconstructive network lowers."""
        return WeightedResidual("l2+ssim")

    def _strange(self, images: Images, seed: int) -> Images:
        """Images of anything else, of the size of the normal ones."""
        height, width = images[0].shape[:2]
        if self.textures == "procedural":
            return procedural_images(self.texture_count, (height, width), seed)
        found = Images(self.textures, size=(height, width))
        chosen = np.random.default_rng(seed).permutation(len(found))[: self.texture_count]
        return found.subset(np.sort(chosen))

    def spoil(self, batch: Tensor, textures: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Defects drawn into some of the normal images (N, 3, H, W), and their masks (N, H, W): 1 inside."""
        size, masks = (batch.shape[2], batch.shape[3]), []
        for _ in range(len(batch)):
            none = np.zeros(size, bool)
            masks.append(none if rng.random() < self.clean else perlin_mask(size, rng))
        mask = torch.from_numpy(np.stack(masks)).to(batch)
        flips = [axis for axis in (2, 3) if rng.random() < 0.5]
        gain, share = (
            torch.from_numpy(rng.uniform(low, high, (len(batch), 1, 1, 1))).to(batch)
            for low, high in ((0.6, 1.4), (FAINTEST, 1.0))
        )
        foreign = (textures.flip(flips) * gain).clamp(0, 1)
        inside = (share * mask[:, None]).to(batch)
        return batch + inside * (foreign - batch), mask

    def training_loss(self, normal: Tensor, spoilt: Tensor, mask: Tensor) -> Tensor:
        """Of images (N, 3, H, W) before and after defects were drawn, and the masks (N, H, W) of these."""
        rebuilt, scores = self.both(spoilt)
        return self.residual(normal, rebuilt) + focal(scores, mask)

    def both(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The image rebuilt, (N, 3, H, W), and scores of normal and defective at each pixel, (N, 2, H, W)."""
        rebuilt = self.decoder(self.encoder(batch), (batch.shape[2], batch.shape[3]))
        return rebuilt, self.discriminative(torch.cat([rebuilt, batch], dim=1))

    def statistic(self, batch: Tensor) -> Tensor:
        probability = self.both(batch)[1].softmax(dim=1)[:, 1]
        return smooth_upsample(probability, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)


def focal(scores: Tensor, mask: Tensor) -> Tensor:
    """Focal loss of scores of two classes (N, 2, H, W) and the truth (N, H, W), 0 or 1: a scalar.

    Source: Lin, Goyal, Girshick, He and Dollar, "Focal loss for dense object detection", ICCV 2017.

    Example:
        >>> float(focal(torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4))) == float(0.25 * torch.tensor(2.0).log())
        True
    """
    missed = F.cross_entropy(scores, mask.long(), reduction="none")  # -log p of the true class
    return ((1 - (-missed).exp()) ** FOCUS * missed).mean()
