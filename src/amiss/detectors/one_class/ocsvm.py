"""One-class SVM: a boundary around normal patches, held by a few of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.border_level import BorderLevel
from amiss.background.gaussian import MahalanobisLayer
from amiss.background.kernel_machine import KernelMachine, solve_one_class
from amiss.background.sums_and_sample import merge_sums_and_sample, sums_and_sample
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OddCount, OneOf, Share, Smoothing, Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.kernel import KERNELS, create_kernel, natural_gamma
from amiss.statistics.reduce import smooth_upsample


class OneClassSVM(ByBlocks):
    """A boundary around normal patches; a patch is as strange as it is far beyond it.

    Background model:
        The features at all positions of all normal images, whitened by their mean and covariance. Of `samples` of them,
        drawn at random, a plane in the kernel's space parts nearly all from the origin, as far from it as possible. At
        most the share `nu` lies on the origin's side. The plane is a weighted sum of its support vectors.

    Statistic:
        ``rho - sum of a_i k(x_i, x)`` at each position, enlarged to the image and smoothed: how far beyond the
        boundary, 0 on it. Kernels have length 1, ``k(x, y) / sqrt(k(x, x) k(y, y))``, which changes nothing for "rbf".
        Near the border of the image, scores are brought to the level inside, see `amiss.background.border_level`.

    Assumes:
        What is normal somewhere is normal everywhere. Up to `nu` of the normal patches may be strange.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged first, in cells; 1 does not average.
        kernel: "polynomial", or "rbf" with the median distance of the patches for its width.
        degree: Degree of the polynomial.
        nu: Share of the patches that may lie beyond the boundary, in (0, 1).
        samples: Patches drawn: learning takes the square of it in memory.
        level_images: Normal images from which the level near the border is learned; 0 leaves distances as they are.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or patches that do not vary.
        MissingExtraError: Learning without scikit-learn.

    Cost:
        With n `samples` and M support vectors, from nu n to n: about 2.5 nu n = 100 in the default. Learning: one pass
        of h w D^2 multiply-adds per image, then about a second for n = 4000, growing with n^2; 10 D^2 + 2 n D + 7 n^2
        numbers, whatever the number of images. Then `level_images` images are scored. Scoring: h w (D^2 + M D)
        multiply-adds and h w M numbers per image besides the network. State: D^2 + M D numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = OneClassSVM(**OneClassSVM.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Schoelkopf, Platt, Shawe-Taylor, Smola and Williamson, "Estimating the support of a high-dimensional
        distribution", Neural Computation 13, 2001. Solver: scikit-learn's LIBSVM. Kernels of length 1: Graf, Smola and
        Borer, "Classification in a normalized feature space using support vector machines", 2003.
        Differs from the paper: patches as a network sees them instead of pixels, whitened. A polynomial kernel is
        brought to length 1: without that it grows with x, and what is far from all normal patches would lie on their
        side of the plane. The level near the border is ours; "paper" does without.
    """

    card: ClassVar[Card] = Card(
        name="ocsvm",
        family="one_class",
        title="One-class SVM",
        paper="Schoelkopf et al., Estimating the support of a high-dimensional distribution",
        url="https://doi.org/10.1162/089976601750264965",
        year=2001,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (8, 16),
                "kernel": "rbf",
                "nu": 0.05,
                "level_images": 0,
            },
            "tiny": {"backbone": "tiny-random", "stages": (4, 8), "samples": 500, "smoothing": 8.0},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)
    neighbourhood: OddCount = 3
    kernel: Annotated[str, OneOf(*KERNELS)] = "polynomial"
    degree: Count = 2
    nu: Share = 0.01
    samples: Annotated[int, AtLeast(2)] = 4000
    level_images: Annotated[int, AtLeast(0)] = 32
    smoothing: Smoothing = 4.0
    level: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        self.normal = MahalanobisLayer(dimension)
        self.machine = KernelMachine(dimension, kernel=self.kernel, degree=self.degree)
        self.border = BorderLevel()
        self.register_buffer("level", torch.zeros(()))

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        batches = self.batches(images.subset(block), "features", progress)
        vectors = (self.describe(batch).flatten(1, 2) for batch in batches)
        return sums_and_sample(vectors, self.samples, block.start, rng)

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        gaussian, sample = merge_sums_and_sample(states, self.samples)
        self.normal.take(gaussian)
        patches = self.normal.whiten(sample).double()  # (n, D)
        gamma = natural_gamma(self.kernel, patches)
        kernel = create_kernel(self.kernel, gamma, self.degree)
        shrink = kernel.of_itself(patches).rsqrt()  # (n,)
        solution = solve_one_class(kernel(patches, patches) * shrink[:, None] * shrink, self.nu)
        self.machine.take(patches, solution.weights * shrink, gamma=gamma)
        self.level = torch.tensor(solution.level).float()
        if self.level_images > 0:
            chosen = images.subset(np.sort(rng.permutation(len(images))[: self.level_images]))
            self.border.learn(self.distances(batch) for batch in self.batches(chosen, "border", progress))

    def statistic(self, batch: Tensor) -> Tensor:
        distance = self.border(self.distances(batch))  # (N, h, w)
        return smooth_upsample(distance, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def distances(self, batch: Tensor) -> Tensor:
        """How far each patch of a batch (N, 3, H, W) lies beyond the plane, (N, h, w)."""
        return self.beyond(self.normal.whiten(self.describe(batch)))

    def beyond(self, patches: Tensor) -> Tensor:
        """How far whitened patches (..., D) lie beyond the plane, (...): 0 on it, negative on the normal side."""
        distance: Tensor = self.level - self.machine(patches) * self.machine.kernel.of_itself(patches).rsqrt()
        return distance

    def describe(self, batch: Tensor) -> Tensor:
        """Patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood).permute(0, 2, 3, 1)
