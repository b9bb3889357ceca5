"""CutPaste at every position: a network learns to tell normal patches from those of pasted pieces."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from amiss.background.classifier import class_optimiser
from amiss.background.pasting import KINDS, PastedEmbedding, spoilt
from amiss.background.reservoir import Reservoir
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Between, Count, OddCount, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train


class CutPasteMap(Detector):
    """A layer trained to tell normal patches from those of pasted pieces, and how far its answer is from usual.

    Background model:
        Features of a frozen network at each position, in units of normal patches. Each normal image is shown as it is,
        with a patch pasted (2 to 15 % of its area, cut from another place of it) and with a scar (a thin piece,
        turned), `versions` times. A hidden layer and three logits learn to tell the positions of normal images from
        those that lie in a pasted patch, and in a scar. Then a Gaussian, with the shrinkage of Ledoit and Wolf, of the
        hidden layer on the positions of normal images.

    Statistic:
        Mahalanobis distance of the hidden layer to that Gaussian at each position, enlarged to the image and smoothed.

    Assumes:
        What is normal somewhere is normal everywhere, and defects break an image up somewhat as pasted pieces do. A
        piece pasted on a plain surface can hardly be seen, and nothing is learned from it.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged first, in cells; 1 does not average.
        versions: Patches and scars drawn for each normal image.
        hidden: Numbers of the hidden layer.
        dropout: Share of the numbers set to 0 in training, in [0, 1).
        steps: Training steps.
        patches: Positions of each of the three kinds per step.
        samples: Positions kept to draw those from, as many of each kind, out of all images at random.
        rate: Learning rate of AdamW at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or images whose positions all have the
            same features (images that are all alike do vary from position to position).
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With D features and E `hidden`: the network runs 1 + 2 `versions` times per normal image; a step takes 9
        `patches` D E multiply-adds, scoring h w (D E + E^2) per image besides the network; `samples` D numbers while
        learning. State: D E + E^2 numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = CutPasteMap(**CutPasteMap.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Li, Sohn, Yoon and Pfister, "CutPaste: self-supervised learning for anomaly detection and localization", CVPR
        2021, arXiv 2104.04015, section 2.4: the patch model.
        Differs from the paper: a frozen network looks at the whole image, and a layer on its features at each position
        learns; the paper trains a ResNet-18 on crops of 64 x 64 pixels, and runs it on every fourth. Which positions
        lie in a piece is known, and told. The covariance is shrunk.
    """

    card: ClassVar[Card] = Card(
        name="cutpaste_map",
        family="self_supervised",
        title="CutPaste at every position",
        paper="Li, Sohn, Yoon and Pfister, CutPaste: self-supervised learning for anomaly detection and localization",
        url="https://arxiv.org/abs/2104.04015",
        year=2021,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:resnet18.safetensors",
                "stages": (4, 8, 16),
                "versions": 32,
                "hidden": 512,
                "steps": 20_000,
                "rate": 1e-3,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "neighbourhood": 1,
                "versions": 2,
                "hidden": 16,
                "steps": 60,
                "patches": 128,
                "samples": 3000,
                "rate": 1e-2,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)
    neighbourhood: OddCount = 3
    versions: Count = 4
    hidden: Count = 128
    dropout: Annotated[float, Between(0, 1, "left")] = 0.2
    steps: Count = 1000
    patches: Count = 512
    samples: Count = 60_000
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.embedding = PastedEmbedding(sum(self.features.channels), self.hidden, dropout=self.dropout)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        kinds = self._kinds(images, rng, progress)
        train(
            self.embedding.head,
            class_optimiser(self.embedding.head, self.rate),
            self.embedding.told_apart(kinds, self.patches),
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            clip=1.0,
            checkpoint=self.checkpoint,
            progress=progress,
        )
        self.embedding.fit_gaussian(kinds[0])

    @torch.no_grad()
    def _kinds(self, images: Images, rng: np.random.Generator, progress: Progress) -> list[Tensor]:
        """Positions of normal images, those in patches and those in scars, (n, D) each."""
        kept = [Reservoir(max(1, self.samples // KINDS), rng) for _ in range(KINDS)]
        for batch in self.batches(images, "features", progress):
            kept[0].add(self.describe(batch).flatten(0, 2).cpu())
            for _ in range(self.versions):
                for reservoir, (changed, masks) in zip(kept[1:], spoilt(batch, rng), strict=True):
                    cells = self.describe(changed)  # (N, h, w, D)
                    reservoir.add(cells[covered(masks, (cells.shape[1], cells.shape[2]))].cpu())
        return [reservoir.sample().to(self.device) for reservoir in kept]

    def statistic(self, batch: Tensor) -> Tensor:
        cells = self.describe(batch)
        distances = self.embedding(cells.flatten(0, 2)).reshape(cells.shape[:3])
        return smooth_upsample(distances, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """Patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood).permute(0, 2, 3, 1)


def covered(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cells (N, h, w) of which a piece covers at least half as much as of the cell that it covers most.

    Args:
        masks: (N, H, W), 1 inside.
        grid: h and w.

    Example:
        >>> covered(torch.tensor([[[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]]), (1, 3))
        tensor([[[ True,  True, False]]])
    """
    shares = F.interpolate(masks[:, None], grid, mode="area")[:, 0]
    return shares >= shares.amax(dim=(1, 2), keepdim=True) / 2
