"""RIAD: squares of an image are taken out and drawn anew from what surrounds them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amiss.background.unet import UNet
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, NotEmpty, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.pixels import held_pixels
from amiss.statistics.reduce import smooth_upsample
from amiss.statistics.residual import WeightedResidual
from amiss.statistics.similarity import ms_gms
from amiss.training import cosine, train


class RIAD(Detector):
    """A network draws what was cut out of an image; where it draws something else, the image is strange.

    Background model:
        An image is divided into squares of k x k pixels, which are dealt out at random to `sets` sets. For each set its
        squares are made black, and a U-Net draws the whole image from what is left; of each drawing only the squares
        that were missing are kept, and together they make up an image that no pixel was copied into. The U-Net is
        trained on normal images to lower ``mean squared difference + (1 - SSIM) + (1 - MS-GMS)`` between this image
        and the true one, for one k of `squares` per step.

    Statistic:
        1 - MS-GMS (gradient magnitudes on four scales) between the image and the one drawn, averaged over all k;
        smoothed. The sets are the same ones for every image of a size.

    Assumes:
        What is normal follows from its surroundings, at the scale of the squares. A defect that is larger than the
        largest square is drawn from its own inside. A change of colour without an edge is seen at its border only.

    Args:
        squares: Sides k of the squares, in pixels.
        sets: Sets that the squares are dealt out to; each drawing lacks one of them.
        width: Channels of the U-Net's finest level.
        levels: How often the U-Net halves the image.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, or images that are too small for the levels or for four scales.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Scoring: ``sets * len(squares)`` passes of the U-Net, 12 in the default preset, of about 165 `width`^2
        multiply-adds per pixel. A step of learning: three times `sets` passes per image.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = RIAD(**RIAD.card.presets["tiny"] | {"steps": 3}).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Zavrtanik, Kristan and Skocaj, "Reconstruction by inpainting for visual anomaly detection", Pattern Recognition
        112, 2021.
        Differs from the paper: the sets are drawn once for each k, so that an image has one score; no early stop; the
        rate falls; a Gaussian instead of a mean filter of 21 x 21 pixels; the gradient magnitudes are those of the mean
        of the colours, without a median filter. The default U-Net is narrower and trained for fewer steps.
    """

    card: ClassVar[Card] = Card(
        name="riad",
        family="reconstruction",
        title="RIAD",
        paper="Zavrtanik et al., Reconstruction by inpainting for visual anomaly detection",
        url="https://doi.org/10.1016/j.patcog.2020.107706",
        year=2021,
        learning=Learning.GRADIENT,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {"width": 64, "steps": 16_800, "batch": 4, "rate": 1e-4, "smoothing": 7.0},
            "tiny": {
                "squares": (2, 4),
                "sets": 2,
                "width": 8,
                "levels": 3,
                "steps": 60,
                "batch": 2,
                "rate": 5e-3,
                "smoothing": 12.0,
            },
        },
    )

    squares: Annotated[Sequence[Count], NotEmpty] = (2, 4, 8, 16)
    sets: Annotated[int, AtLeast(2)] = 3
    width: Count = 16
    levels: Count = 4
    steps: Count = 1200
    batch: Count = 2
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 7.0

    def build(self, *, pretrained: bool) -> None:
        self.network = UNet(3, 3, width=self.width, levels=self.levels)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        residual = WeightedResidual("l2+ssim+ms_gms")
        residual.check_size(*images[0].shape[:2])
        with held_pixels(images, progress, device=self.device) as pixels:

            def loss(step: int, draw: np.random.Generator) -> Tensor:
                batch = pixels.draw(self.batch, draw)
                square = self.squares[int(draw.integers(len(self.squares)))]
                masks = deal((batch.shape[2], batch.shape[3]), square, self.sets, int(draw.integers(2**31)))
                return residual(batch, self.inpaint(batch, masks[None])[0])

            train(
                self.network,
                torch.optim.Adam(self.network.parameters(), lr=self.rate, weight_decay=1e-5),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                clip=1.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def inpaint(self, batch: Tensor, masks: NDArray[np.float32]) -> Tensor:
        """Images drawn (K, N, 3, H, W) of images (N, 3, H, W), one for each way of dealing: its sets (K, S, H, W)."""
        missing = torch.from_numpy(masks).to(batch)[:, :, None, None]  # (K, S, 1, 1, H, W)
        holed = (batch * (1 - missing)).flatten(0, 2)  # (K S N, 3, H, W)
        drawn: Tensor = self.network(holed).sigmoid().unflatten(0, (*masks.shape[:2], -1))
        return (drawn * missing).sum(dim=1)

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        drawn = self.inpaint(batch, np.stack([_same(size, square, self.sets) for square in self.squares]))
        found = 1 - ms_gms(batch.repeat(len(drawn), 1, 1, 1), drawn.flatten(0, 1))  # (K N, H, W)
        mean = found.reshape(len(drawn), -1, *size).mean(dim=0)
        return smooth_upsample(mean, size, smoothing=self.smoothing)


@lru_cache(maxsize=16)
def _same(size: tuple[int, int], square: int, sets: int) -> NDArray[np.float32]:
    return deal(size, square, sets, seed=0)


def deal(size: tuple[int, int], square: int, sets: int, seed: int) -> NDArray[np.float32]:
    """Squares of an image dealt out to sets of equal size, but for a rest: 1 where a pixel belongs to it, (S, H, W).

    Example:
        >>> masks = deal((6, 9), square=3, sets=2, seed=0)
        >>> masks.shape, bool((masks.sum(axis=0) == 1).all()), masks.sum(axis=(1, 2)).tolist()
        ((2, 6, 9), True, [27.0, 27.0])
    """
    rows, columns = -(-size[0] // square), -(-size[1] // square)
    owner = np.random.default_rng(seed).permutation(np.arange(rows * columns) % sets).reshape(rows, columns)
    pixels = owner.repeat(square, axis=0).repeat(square, axis=1)[: size[0], : size[1]]
    masks: NDArray[np.float32] = (pixels == np.arange(sets)[:, None, None]).astype(np.float32)
    return masks
