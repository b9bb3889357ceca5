"""CFLOW-AD: a normalising flow of single feature vectors that knows where in the image it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from amiss.background.flow import Flow, perceptron, surprise
from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Count, MultipleOf, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor
from amiss.features.cache import CachedFeatures, cached_features
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train


class CFlow(Detector):
    """The density of a feature vector given its position; a patch is as strange as it is unlikely there.

    Background model:
        Features of several stages of a frozen network, each channel brought to mean 0 and standard deviation 1. On each
        stage a normalising flow of single vectors: `couplings` affine couplings whose networks also read the position,
        as sines and cosines of row and column (`position` numbers). A step of training takes `fibres` vectors of each
        stage, from `batch` images, and lowers ``-log sigmoid(log p / C)``.

    Statistic:
        Half the mean of z^2 over the channels of the noise z that a vector becomes; with `log_determinant`, all of
        minus the log density in nats per channel. Each stage is brought to mean 0 and standard deviation 1 over the
        normal images that no step of training has seen, a tenth of them and one at least; then enlarged to the image,
        smoothed and averaged.

    Assumes:
        Parts lie roughly at the same place, or look alike everywhere. The flow sees one cell at a time.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages, each with a flow of its own.
        couplings: Couplings of each flow.
        hidden: Width of the hidden layer of their networks, as a multiple of what they read.
        position: Numbers that describe a position; a multiple of 4.
        clamp: Largest absolute logarithm of a scale in one coupling.
        affine: Let each coupling also scale and shift every channel by learned numbers, as the blocks of known
            implementations do.
        steps: Training steps.
        batch: Images per step.
        fibres: Vectors a step and stage; no more than those images have.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        log_determinant: Score the whole log density as the paper does; it says less about strangeness than its first
            term alone (see docs/theory/flows.md).
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, a single normal image, or normal
            images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Learning: features on disk (see `amiss.features.cache`), then for each step and stage 3 x `fibres` x
        `couplings` x hidden (C / 2 + `position`) (3 C / 2 + `position`) multiply-adds. Scoring: a third of that for
        each cell.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = CFlow(**CFlow.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Gudovskiy et al., "CFLOW-AD: real-time unsupervised anomaly detection with localization via conditional
        normalizing flows", WACV 2022, arXiv 2107.12571.
        Differs from the paper: features are standardised first, and the log-determinant is left out of the score. The
        paper turns log densities into probabilities by the largest values of the test set and adds those; here nothing
        is learned from test images, and logarithms are averaged, which do not saturate. Positions are measured in
        thirty-seconds of the shorter side, whatever the grid. The last step is kept, and one input size serves all
        products, where the paper chooses 128, 256 or 512 for each. The preset "paper" takes as many steps of 256
        vectors as the authors' code does at stride 8 with 209 images of 256 x 256, in 25 x 8 epochs; there coarser
        stages take fewer. Gradients are clipped, and the rate falls to 0 without a slow start. The scale of a channel
        is an exponential, not a softplus.
    """

    card: ClassVar[Card] = Card(
        name="cflow",
        family="distribution",
        title="CFLOW-AD",
        paper="Gudovskiy et al., CFLOW-AD: real-time unsupervised anomaly detection with localization",
        url="https://arxiv.org/abs/2107.12571",
        year=2022,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (8, 16, 32),
                "affine": True,
                "batch": 32,
                "fibres": 256,
                "steps": 153_600,
                "rate": 2e-4,
                "log_determinant": True,
                "smoothing": 0.0,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "couplings": 4,
                "position": 16,
                "steps": 60,
                "batch": 4,
                "fibres": 256,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16)
    couplings: Count = 8
    hidden: Annotated[float, Positive] = 2.0
    position: Annotated[Count, MultipleOf(4)] = 128
    clamp: Annotated[float, Positive] = 1.9
    affine: bool = False
    steps: Count = 400
    batch: Count = 16
    fibres: Count = 2048
    rate: Annotated[float, Positive] = 1e-3
    log_determinant: bool = False
    smoothing: Smoothing = 4.0
    level: Tensor = buffer()
    spread: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        nets = [perceptron(self.hidden)] * self.couplings
        self.standardising = nn.ModuleList(Standardising(channels) for channels in self.features.channels)
        self.flows = nn.ModuleList(
            Flow(channels, nets, clamp=self.clamp, conditions=self.position, affine=self.affine)
            for channels in self.features.channels
        )
        self.register_buffer("level", torch.zeros(len(self.stages)))
        self.register_buffer("spread", torch.ones(len(self.stages)))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        if len(images) < 2:
            raise InputError(f"cflow needs at least 2 normal images, one of them for its scale, got {len(images)}")
        order = rng.permutation(len(images))
        aside = max(1, len(images) // 10)
        with cached_features(self.features, self.features.key(), images, progress, device=self.device) as cache:
            learn_standardising(self.standardising, cache.batches())
            self._train(cache, order[aside:], rng, progress)
            self._learn_scale(cache, order[:aside])

    def _train(
        self, cache: CachedFeatures, chosen: NDArray[np.intp], rng: np.random.Generator, progress: Progress
    ) -> None:
        def loss(step: int, rng: np.random.Generator) -> Tensor:
            features = cache.batch(rng.choice(chosen, size=self.batch))
            return torch.stack([self._loss(*stage, rng) for stage in self._stages(features)]).mean()

        train(
            self.flows,
            torch.optim.Adam(self.flows.parameters(), lr=self.rate),
            loss,
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            clip=1.0,
            checkpoint=self.checkpoint,
            progress=progress,
        )

    def _loss(self, flow: nn.Module, fibres: Tensor, places: Tensor, rng: np.random.Generator) -> Tensor:
        """The paper's loss on a random choice of the vectors (P, C) with their positions (P, K)."""
        drawn = torch.from_numpy(rng.permutation(len(fibres))[: self.fibres]).to(fibres.device)
        return -logsigmoid(-surprise(*flow(fibres[drawn], places[drawn]))).mean()

    @torch.no_grad()
    def _learn_scale(self, cache: CachedFeatures, chosen: NDArray[np.intp]) -> None:
        """Mean and standard deviation of each stage's map over some normal images."""
        parts = [self.grids(cache.batch([index])) for index in chosen]
        stages = [torch.cat([one.flatten() for one in maps]) for maps in zip(*parts, strict=True)]
        self.level = torch.stack([values.mean() for values in stages])
        self.spread = torch.stack([values.std().clamp_min(1e-6) for values in stages])

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        maps = self.grids(self.features(batch))
        large = [smooth_upsample(one, size, smoothing=self.smoothing) for one in maps]
        return torch.stack(
            [(one - level) / spread for one, level, spread in zip(large, self.level, self.spread, strict=True)]
        ).mean(dim=0)

    def grids(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What is scored, in nats per channel: one (N, h, w) per stage, from one (N, C, h, w) per stage."""
        shapes = [(-1, *feature.shape[2:]) for feature in features]
        return [
            self._score(*flow(fibres, places)).reshape(shape)
            for (flow, fibres, places), shape in zip(self._stages(features), shapes, strict=True)
        ]

    def _score(self, z: Tensor, log_determinant: Tensor) -> Tensor:
        return surprise(z, log_determinant) if self.log_determinant else 0.5 * z.square().mean(dim=1)

    def _stages(self, features: Sequence[Tensor]) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
        """Of each stage: flow, standardised vectors (N h w, C), positions (N h w, K)."""
        for flow, standardising, feature in zip(self.flows, self.standardising, features, strict=True):
            count, _, height, width = feature.shape
            fibres = standardising(feature).movedim(1, -1).flatten(0, 2)
            places = encode_positions(height, width, self.position).to(feature).expand(count, -1, -1).flatten(0, 1)
            yield flow, fibres, places


def encode_positions(height: int, width: int, dimension: int) -> Tensor:
    """Sines and cosines of row and column of each cell of a grid.

    Rows and columns are measured in thirty-seconds of the shorter side, from the border to the middle of the cell, so
    that one place of an image has one code on every grid. Wavelengths go from 2 pi to 20,000 pi geometrically.

    Args:
        height: h.
        width: w.
        dimension: K, a multiple of 4: a quarter each for sine and cosine of rows and of columns.

    Returns:
        (h w, K).

    Example:
        >>> encode_positions(2, 3, 8).shape
        torch.Size([6, 8])
    """
    unit = 32 / min(height, width)
    quarter = dimension // 4
    rates = torch.exp(torch.arange(quarter) * (-math.log(1e4) / quarter))  # (K / 4,)
    rows = ((torch.arange(height) + 0.5) * unit)[:, None] * rates  # (h, K / 4)
    columns = ((torch.arange(width) + 0.5) * unit)[:, None] * rates
    of_rows = torch.cat([rows.sin(), rows.cos()], dim=1)[:, None].expand(-1, width, -1)
    of_columns = torch.cat([columns.sin(), columns.cos()], dim=1)[None].expand(height, -1, -1)
    return torch.cat([of_rows, of_columns], dim=2).flatten(0, 1)
