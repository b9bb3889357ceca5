"""CutPaste: a network learns to tell normal images from the same with a piece pasted, and a Gaussian of its answer."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.classifier import class_optimiser
from amiss.background.pasting import PastedEmbedding, spoilt
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Between, Count, Positive, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, spreads
from amiss.features.patches import SPREADS
from amiss.training import cosine, train


class CutPaste(Detector):
    """A layer trained to tell normal images from the same with a patch or a scar, and how far its answer is from usual.

    Background model:
        Mean and deviation over the image of each channel of a frozen network, in units of normal images. Each normal
        image is shown as it is, with a patch pasted (2 to 15 % of its area, cut from another place of it) and with a
        scar (a thin piece, turned), `versions` times. A hidden layer and three logits learn to tell which. Then a
        Gaussian, with the shrinkage of Ledoit and Wolf, of the hidden layer on the normal images as they are.

    Statistic:
        Mahalanobis distance of the hidden layer to that Gaussian: one number per image, no map; `cutpaste_map` has one.

    Assumes:
        Defects break an image up somewhat as pasted pieces do. A piece pasted on a plain surface can hardly be seen,
        and nothing is learned from it. A small defect must move the averages over the image.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages.
        versions: Patches and scars drawn for each normal image.
        hidden: Numbers of the hidden layer.
        dropout: Share of the numbers set to 0 in training, in [0, 1).
        steps: Training steps.
        batch: Images of each of the three kinds per step.
        rate: Learning rate of AdamW at the start; it falls to 0 along a cosine.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With D numbers of the network and E `hidden`: the network runs 1 + 2 `versions` times per normal image; a step
        takes 9 `batch` D E multiply-adds, scoring D E + E^2 per image besides the network. State: D E + E^2 numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = CutPaste(**CutPaste.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).image.shape
        (2,)

    References:
        Li, Sohn, Yoon and Pfister, "CutPaste: self-supervised learning for anomaly detection and localization", CVPR
        2021, arXiv 2104.04015.
        Differs from the paper: the network stays frozen, and a hidden layer on its averages learns, so that learning
        takes minutes on two cores; the paper trains a whole ResNet-18. Pieces are drawn `versions` times for each
        image, not anew in each step. Normal images are not moved or recoloured. The covariance is shrunk.
    """

    card: ClassVar[Card] = Card(
        name="cutpaste",
        family="self_supervised",
        title="CutPaste",
        paper="Li, Sohn, Yoon and Pfister, CutPaste: self-supervised learning for anomaly detection and localization",
        url="https://arxiv.org/abs/2104.04015",
        year=2021,
        learning=Learning.GRADIENT,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:resnet18.safetensors",
                "stages": (32,),
                "versions": 32,
                "hidden": 512,
                "steps": 20_000,
                "batch": 32,
                "rate": 1e-3,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "versions": 2,
                "hidden": 16,
                "steps": 60,
                "batch": 8,
                "rate": 1e-2,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)
    versions: Count = 4
    hidden: Count = 128
    dropout: Annotated[float, Between(0, 1, "left")] = 0.2
    steps: Count = 1000
    batch: Count = 32
    rate: Annotated[float, Positive] = 1e-3

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.embedding = PastedEmbedding(SPREADS * sum(self.features.channels), self.hidden, dropout=self.dropout)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        kinds = self._kinds(images, rng, progress)
        train(
            self.embedding.head,
            class_optimiser(self.embedding.head, self.rate),
            self.embedding.told_apart(kinds, self.batch),
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
        """Vectors of the normal images, of those with patches and of those with scars, (n, D) each."""
        normal, patches, scars = list[Tensor](), list[Tensor](), list[Tensor]()
        for batch in self.batches(images, "features", progress):
            normal.append(self.describe(batch))
            for _ in range(self.versions):
                (patched, _), (scarred, _) = spoilt(batch, rng)
                patches.append(self.describe(patched))
                scars.append(self.describe(scarred))
        return [torch.cat(kind) for kind in (normal, patches, scars)]

    def statistic(self, batch: Tensor) -> Tensor:
        distances: Tensor = self.embedding(self.describe(batch))
        return distances

    def describe(self, batch: Tensor) -> Tensor:
        """One vector per image, (N, D), of a batch (N, 3, H, W)."""
        return torch.cat([spreads(feature) for feature in self.features(batch)], dim=1)
