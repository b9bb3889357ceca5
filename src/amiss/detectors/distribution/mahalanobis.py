"""Mahalanobis: one Gaussian per stage over all normal patches, and a map of the distances to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.gaussian import StageGaussians
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Smoothing, Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor
from amiss.statistics.reduce import smooth_upsample


class Mahalanobis(ByBlocks):
    """One Gaussian of normal patches per stage; a patch is as strange as it is far from all of them together.

    Background model:
        For each of several stages of a frozen network, mean and covariance of the features at all positions of all
        normal images. The covariance is shrunk towards a multiple of the identity by the intensity of Ledoit and Wolf.

    Statistic:
        Mahalanobis distance at each position of each stage, enlarged to the image; the maps of the stages are summed
        and smoothed.

    Assumes:
        What is normal somewhere is normal everywhere, and normal patches form one cloud: a part with several materials
        makes a wide one. The shrinkage is the best for independent patches; those of one image are not, so it comes
        out small.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or patches that do not vary.

    Cost:
        With D features at h w positions, summed over the stages. Learning: h w D^2 multiply-adds per image; 5 D^2
        float64 numbers whatever the number of images, and 3 h w D for each of a batch of 8. Scoring: h w D^2
        multiply-adds per image besides the network. State: D^2 + D numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = Mahalanobis(**Mahalanobis.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Rippel, Mertens and Merhof, "Modeling the distribution of normal data in pre-trained deep features for anomaly
        detection", ICPR 2020, arXiv 2005.14140. Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
        covariance matrices", 2004.
        Differs from the paper: it averages each stage over the image and gives one number per image, as `mvg` does;
        here every position is a sample, which gives a map and many more samples than dimensions. The preset "paper" has
        the paper's network, an EfficientNet-B4 for images of 380 x 380, of which backbones here give the last block of
        each of five resolutions, not all nine blocks.
    """

    card: ClassVar[Card] = Card(
        name="mahalanobis",
        family="distribution",
        title="Mahalanobis",
        paper="Rippel, Mertens and Merhof, Modeling the distribution of normal data in pre-trained deep features",
        url="https://arxiv.org/abs/2005.14140",
        year=2020,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "timm:tf_efficientnet_b4.aa_in1k", "stages": (2, 4, 8, 16, 32)},
            "tiny": {"backbone": "tiny-random", "stages": (4, 8), "smoothing": 8.0},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.gaussians = StageGaussians(self.features.channels)

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        batches = self.batches(images.subset(block), "features", progress)
        return self.gaussians.gather(self.describe(batch) for batch in batches)

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.gaussians.fold(states)

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        distances = self.gaussians(self.describe(batch))  # (N, h, w) per stage
        maps = [smooth_upsample(distance, size, smoothing=self.smoothing) for distance in distances]
        return torch.stack(maps).sum(dim=0)

    def describe(self, batch: Tensor) -> list[Tensor]:
        """Features of a batch (N, 3, H, W) at every position, (N, h, w, C) per stage."""
        return [feature.permute(0, 2, 3, 1) for feature in self.features(batch)]
