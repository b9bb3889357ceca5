"""FastFlow: a convolutional normalising flow on each stage of a frozen network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.flow import Flow, convolutions, surprise
from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Count, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor
from amiss.features.cache import cached_features
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train


class FastFlow(Detector):
    """A density of the feature maps of a frozen network; a patch is as strange as the noise it becomes is loud.

    Background model:
        Features of each stage of a frozen network, every channel brought to mean 0 and standard deviation 1 over the
        normal images. On each stage an invertible network of `couplings` affine couplings, whose inner convolutions
        are 3x3 and 1x1 in turn, trained to turn normal maps into white noise z: the loss is minus the logarithm of
        the density, ``|z|^2 / 2 - log |det|``.

    Statistic:
        Half the mean of z^2 over the channels, at each position; enlarged to the image, smoothed, and averaged over
        the stages. It is minus the log density without the log-determinant, which measures how much the flow stretches
        space there, and not how far from normal the features are.

    Assumes:
        Neighbourhoods look alike in all normal images, at whatever place.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages, each with a flow of its own.
        couplings: Couplings of each flow.
        hidden: Channels between the two convolutions of a coupling, as a multiple of what they read.
        clamp: Largest absolute logarithm of a scale in one coupling.
        affine: Let each coupling also scale and shift every channel by learned numbers, as the blocks of known
            implementations do.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With `hidden` = 1, a coupling costs 3 C^2 / 4 multiply-adds per cell, and 9 times as many with 3x3 convolutions:
        150 million per image of 256 x 256 in the default preset, and three times that in learning. Features lie on
        disk while learning (see `amiss.features.cache`).

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = FastFlow(**FastFlow.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Yu et al., "FastFlow: unsupervised anomaly detection and localization via 2D normalizing flows", 2021,
        arXiv 2111.07677.
        Differs from the paper: features are standardised by fixed numbers of the channels (known implementations use a
        layer normalisation over the whole map, which fixes the size of the images, and lets a defect change the
        features of all other places). Couplings begin as permutations, and scales are clamped by tanh. Known
        implementations show ``-exp(-z^2 / 2)``, which is 0 in float32 for all strong defects alike; here its logarithm
        is averaged. Gradients are clipped, the rate falls, and the last step is kept. The preset "paper" takes the
        steps of the known recipe, 500 epochs of 224 images in batches of 32; the scale of a channel is an exponential,
        not a softplus. Transformers as backbones, which the paper also measures, are left to `backbone`.
    """

    card: ClassVar[Card] = Card(
        name="fastflow",
        family="distribution",
        title="FastFlow",
        paper="Yu et al., FastFlow: unsupervised anomaly detection and localization via 2D normalizing flows",
        url="https://arxiv.org/abs/2111.07677",
        year=2021,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (4, 8, 16),
                "affine": True,
                "steps": 3500,
                "batch": 32,
                "smoothing": 0.0,
                "rate": 1e-3,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "couplings": 4,
                "steps": 30,
                "batch": 8,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16)
    couplings: Count = 8
    hidden: Annotated[float, Positive] = 1.0
    clamp: Annotated[float, Positive] = 2.0
    affine: bool = False
    steps: Count = 400
    batch: Count = 16
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        nets = [convolutions(1 if number % 2 else 3, self.hidden) for number in range(self.couplings)]
        self.standardising = nn.ModuleList(Standardising(channels) for channels in self.features.channels)
        self.flows = nn.ModuleList(
            Flow(channels, nets, clamp=self.clamp, affine=self.affine) for channels in self.features.channels
        )

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        with cached_features(self.features, self.features.key(), images, progress, device=self.device) as cache:
            learn_standardising(self.standardising, cache.batches())

            def loss(step: int, rng: np.random.Generator) -> Tensor:
                noise = self.whiten(cache.batch(rng.integers(len(cache), size=self.batch)))
                return torch.stack([surprise(z, log_determinant).mean() for z, log_determinant in noise]).mean()

            train(
                self.flows,
                torch.optim.Adam(self.flows.parameters(), lr=self.rate, weight_decay=1e-5),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                clip=1.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        maps = [0.5 * z.square().mean(dim=1) for z, _ in self.whiten(self.features(batch))]  # (N, h, w) per stage
        return torch.stack([smooth_upsample(one, size, smoothing=self.smoothing) for one in maps]).mean(dim=0)

    def whiten(self, features: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Noise (N, C, h, w) and log-determinant (N, h, w) of each stage, from features (N, C, h, w)."""
        stages = zip(self.flows, self.standardising, features, strict=True)
        return [flow(standardising(feature)) for flow, standardising, feature in stages]
