"""PCA: the directions that normal patches use, and what of a patch lies outside of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.gaussian import Gaussian
from amiss.background.subspace import Subspace
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import OddCount, OneOf, Share, Smoothing, Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.reduce import smooth_upsample

MEASURES = ("reconstruction", "likelihood")


class PCA(ByBlocks):
    """A subspace of normal patches; a patch is as strange as what the subspace cannot reconstruct of it.

    Background model:
        Principal component analysis of the features at all positions of all normal images. The first k axes are kept,
        as many as hold the share `variance` of the variance.

    Statistic:
        With `measure` "reconstruction", the squared length of what lies outside of the subspace,
        ``|x - m|^2 - |P (x - m)|^2``. It is measured along the axes that are left out, which loses no digits to a
        difference of large numbers. With "likelihood", minus the logarithm of the Gaussian density within the
        subspace, which sees nothing outside of it. Enlarged to the image and smoothed.

    Assumes:
        What is normal somewhere is normal everywhere, and defects need directions that normal patches do not.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged first, in cells; 1 does not average.
        variance: Share of the variance that the subspace holds, in (0, 1). Close to 1 nothing is left to see.
        measure: "reconstruction" or "likelihood".
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or patches that do not vary.

    Cost:
        Learning: h w D^2 multiply-adds per image; 5 D^2 float64 numbers whatever the number of images, and 3 h w D for
        each of a batch of 8. Scoring: h w D (D - k) multiply-adds per image besides the network, h w D k for the
        likelihood. State: as many numbers as multiply-adds per patch, and D.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = PCA(**PCA.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Ahuja, Ndiour, Kalyanpur and Tickoo, "Probabilistic modeling of deep features for out-of-distribution and
        adversarial detection", 2019, arXiv 1909.11786 (DFM).
        Differs from the paper: it takes the features of the whole image for one vector; here every position is a
        sample, so that the covariance is summed in one pass, position plays no role, and the error is a map.
    """

    card: ClassVar[Card] = Card(
        name="pca",
        family="distribution",
        title="PCA (DFM)",
        paper="Ahuja et al., Probabilistic modeling of deep features for out-of-distribution detection",
        url="https://arxiv.org/abs/1909.11786",
        year=2019,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "file:wide_resnet50_2.safetensors", "stages": (16,), "neighbourhood": 3},
            "tiny": {"backbone": "tiny-random", "stages": (4, 8), "variance": 0.9, "smoothing": 8.0},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)
    neighbourhood: OddCount = 1
    variance: Share = 0.97
    measure: Annotated[str, OneOf(*MEASURES)] = "reconstruction"
    smoothing: Smoothing = 4.0
    mean: Tensor = buffer()
    projection: Tensor = buffer()
    offset: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("projection", torch.zeros(dimension, 0))
        self.register_buffer("offset", torch.zeros(()))

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        gaussian = Gaussian(len(self.mean))
        for batch in self.batches(images.subset(block), "features", progress):
            gaussian.add(self.describe(batch))
        return gaussian.state()

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        gaussian = Gaussian(len(self.mean))
        for state in states:
            gaussian.merge(Gaussian.of_state(state))
        subspace = Subspace.of(gaussian, self.variance)
        self.mean = subspace.mean.float()
        if self.measure == "reconstruction":
            self.projection, self.offset = subspace.rest().float(), torch.zeros(())
        else:
            self.projection = (subspace.whitening() / math.sqrt(2)).float()
            kept = subspace.variance[: subspace.kept]
            self.offset = (0.5 * (2 * math.pi * kept).log().sum()).float()

    def statistic(self, batch: Tensor) -> Tensor:
        projected = (self.describe(batch) - self.mean) @ self.projection  # (N, h, w, D - k), or k
        strange = projected.square().sum(dim=-1) + self.offset
        return smooth_upsample(strange, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """Patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood).permute(0, 2, 3, 1)
