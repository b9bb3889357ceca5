"""SVDD: the smallest sphere around normal images, in a space where it need not be round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.gaussian import MahalanobisLayer
from amiss.background.kernel_machine import KernelMachine, solve_one_class, sphere_gram
from amiss.background.sums_and_sample import merge_sums_and_sample, sums_and_sample
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OneOf, Share, Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor
from amiss.statistics.kernel import KERNELS, create_kernel, natural_gamma


class SVDD(ByBlocks):
    """The smallest sphere around normal images; an image is as strange as it is far outside.

    Background model:
        Each normal image is described by the features of several stages of a frozen network, averaged over all
        positions, and whitened by mean and covariance (shrunk by the intensity of Ledoit and Wolf: there are few
        images). The smallest sphere in the kernel's space that holds all but the share `nu` of them. Its centre c
        is a weighted sum of the images of its support vectors.

    Statistic:
        Squared distance to the centre minus squared radius, ``k(x, x) - 2 sum of a_i k(x_i, x) + |c|^2 - R^2``: 0 on
        the sphere, negative inside. One number per image, no map.

    Assumes:
        A defect changes the average over the image by more than normal images differ in that direction. A small
        one may not; `patchwise` applies the method to windows.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages.
        kernel: "polynomial" or "rbf". With "rbf" all images have one length, and the sphere cuts out of them what
            the plane of a one-class SVM does: the two methods are then one. With "polynomial" they differ.
        degree: Degree of the polynomial. 1 is a plain sphere around the whitened features, 2 also sees their products.
        nu: Share of the images that may lie outside, in (0, 1).
        samples: Most images learned from, drawn at random when there are more.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, a single normal image, or images
            that do not vary.
        MissingExtraError: Learning without scikit-learn.

    Cost:
        With n images, at most `samples`, and M <= n support vectors. Learning: one pass of D^2 multiply-adds per
        image, then about a second for n = 4000; 10 D^2 + 2 n D + 7 n^2 numbers. Scoring: D^2 + M D multiply-adds per
        image besides the network. State: D^2 + M D numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = SVDD(**SVDD.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).image.shape
        (2,)

    References:
        Tax and Duin, "Support vector data description", Machine Learning 54, 2004. The dual is brought to the form
        that scikit-learn's solver takes, exactly and for any kernel: see `amiss.background.kernel_machine`.
        Differs from the paper: whitened features of a network. The authors found polynomial kernels to give loose
        descriptions when vectors far from the origin outweigh the rest; whitened vectors have nearly one length.
    """

    card: ClassVar[Card] = Card(
        name="svdd",
        family="one_class",
        title="SVDD",
        paper="Tax and Duin, Support vector data description",
        url="https://doi.org/10.1023/B:MACH.0000008084.60811.49",
        year=2004,
        learning=Learning.ONE_PASS,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "file:wide_resnet50_2.safetensors", "kernel": "rbf"},
            "tiny": {"backbone": "tiny-random", "stages": (4, 8)},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (16, 32)
    kernel: Annotated[str, OneOf(*KERNELS)] = "polynomial"
    degree: Count = 2
    nu: Share = 0.05
    samples: Annotated[int, AtLeast(2)] = 4000
    rest: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        self.normal = MahalanobisLayer(dimension)
        self.machine = KernelMachine(dimension, kernel=self.kernel, degree=self.degree)
        self.register_buffer("rest", torch.zeros(()))  # |c|^2 - R^2

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        batches = self.batches(images.subset(block), "features", progress)
        vectors = (self.describe(batch)[:, None] for batch in batches)
        return sums_and_sample(vectors, self.samples, block.start, rng)

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        gaussian, sample = merge_sums_and_sample(states, self.samples)
        self.normal.take(gaussian)
        vectors = self.normal.whiten(sample).double()  # (n, D)
        gamma = natural_gamma(self.kernel, vectors)
        gram = create_kernel(self.kernel, gamma, self.degree)(vectors, vectors)  # (n, n)
        solution = solve_one_class(sphere_gram(gram), self.nu)
        centre = solution.weights @ gram @ solution.weights  # |c|^2
        self.machine.take(vectors, solution.weights, gamma=gamma)
        self.rest = (centre - (solution.energy - 2 * solution.level)).float()  # R^2: see the module of the solver

    def statistic(self, batch: Tensor) -> Tensor:
        vectors = self.normal.whiten(self.describe(batch))  # (N, D)
        outside: Tensor = self.machine.kernel.of_itself(vectors) - 2 * self.machine(vectors) + self.rest
        return outside

    def describe(self, batch: Tensor) -> Tensor:
        """One vector per image (N, D) of a batch (N, 3, H, W)."""
        return torch.cat([feature.mean(dim=(2, 3)) for feature in self.features(batch)], dim=1)
