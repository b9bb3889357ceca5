"""GMM: a mixture of Gaussians of normal patches, and how unlikely a patch is under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.border_level import BorderLevel
from amiss.background.mixture import COVARIANCES
from amiss.background.patch_mixture import PatchMixture
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, NotEmpty, OddCount, OneOf, Positive, Share, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.reduce import smooth_upsample


class GMM(Detector):
    """A mixture of Gaussians of normal patches; a patch is as strange as it is unlikely.

    Background model:
        The features at all positions of all normal images are projected to their first principal axes, as many as hold
        the share `variance`, and scaled to variance 1 along each. A mixture of K Gaussians is fitted to `samples` of
        them, drawn at random, by expectation maximisation in float64. Among several K the one with the least Bayesian
        information criterion on patches of held-out images is taken, and fitted again to all of the sample.

    Statistic:
        Minus the logarithm of the mixture's density at each position, brought near the border to the level inside
        (`amiss.background.border_level`), enlarged to the image and smoothed.

    Assumes:
        What is normal somewhere is normal everywhere. Normal patches are of a few kinds, each a cloud around its mean:
        materials, edges, background.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged first, in cells; 1 does not average.
        variance: Share of the variance that the projection holds, in (0, 1). Close to 1, for defects show in directions
            that normal patches hardly use.
        components: Candidates for K; a single one, or one number, is taken as it is.
        covariance: "full" or "diagonal"; full ones need few dimensions and many samples.
        regularisation: Variance added to every direction of every component, > 0; 1 is the variance of all patches
            along an axis.
        samples: Patches drawn.
        level_images: Normal images from which the level near the border is learned; 0 leaves scores as they are.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, patches that do not vary, or fewer
            than three normal images to choose K with.

    Cost:
        With k dimensions after the projection. Learning: one pass of h w D^2 multiply-adds per image; then, for each
        candidate, up to 100 steps of 2 `samples` K k^2. Memory 10 D^2 + (2 D + 10 k + 2 K) `samples` numbers, whatever
        the number of images. Then `level_images` images are scored. Scoring: h w (D k + K k^2) multiply-adds per image
        besides the network, K k in place of K k^2 with diagonal covariances. State: D k + K k^2 numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = GMM(**GMM.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977. Schwarz,
        "Estimating the dimension of a model", 1978.
        Differs from the paper: the criterion takes the mean log-likelihood of held-out images, since patches of one
        image depend on each other and the likelihood of those that were fitted is too high. The level near the border
        is ours; "paper" does without.
    """

    card: ClassVar[Card] = Card(
        name="gmm",
        family="distribution",
        title="Gaussian mixture",
        paper="Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM algorithm",
        url="https://doi.org/10.1111/j.2517-6161.1977.tb01600.x",
        year=1977,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (8, 16),
                "neighbourhood": 3,
                "variance": 0.95,
                "components": (16, 32, 64),
                "level_images": 0,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "components": (2, 4),
                "samples": 500,
                "covariance": "full",
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (16, 32)
    neighbourhood: OddCount = 1
    variance: Share = 0.999
    components: Count | Annotated[Sequence[Count], NotEmpty] = (4, 8, 16, 32)
    covariance: Annotated[str, OneOf(*COVARIANCES)] = "diagonal"
    regularisation: Annotated[float, Positive] = 0.1
    samples: Count = 10_000
    level_images: Annotated[int, AtLeast(0)] = 32
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.mixture = PatchMixture(sum(self.features.channels))
        self.border = BorderLevel()

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        shuffled = images.subset(rng.permutation(len(images)))
        self.mixture.learn(
            (self.describe(batch).flatten(1, 2) for batch in self.batches(shuffled, "features", progress)),
            len(images),
            (self.components,) if isinstance(self.components, int) else self.components,
            rng,
            variance=self.variance,
            samples=self.samples,
            covariance=self.covariance,
            regularisation=self.regularisation,
            progress=progress,
        )
        if self.level_images > 0:
            chosen = images.subset(np.sort(rng.permutation(len(images))[: self.level_images]))
            self.border.learn(self.mixture(self.describe(batch)) for batch in self.batches(chosen, "border", progress))

    def statistic(self, batch: Tensor) -> Tensor:
        strange = self.border(self.mixture(self.describe(batch)))
        return smooth_upsample(strange, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """Patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood).permute(0, 2, 3, 1)
