"""PaDiM: a Gaussian at every position, and the Mahalanobis distance to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amiss.background.gaussian_field import SUMS, FieldWhitening, GaussianField
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.core.ranges import Count, Positive, Smoothing, Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.features.cache import cached_features
from amiss.features.on_runtime import let_go
from amiss.statistics.reduce import smooth_upsample


class PaDiM(ByBlocks):
    """A Gaussian of network features at every position; a patch is as strange as it is far from its own Gaussian.

    Background model:
        Features of several stages of a frozen network, brought to the grid of the finest; a random choice of
        `dimension` channels; mean and covariance at each position over the normal images, plus `regularisation` on
        the diagonal.

    Statistic:
        Mahalanobis distance at each position, enlarged to the image and smoothed.

    Assumes:
        Parts lie at the same place and turned the same way in every image.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        dimension: Number of channels drawn; all when there are no more.
        regularisation: Variance added to every channel, as a share of the mean variance of the drawn channels; > 0.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, a single normal image, or scoring
            at another size than that of the learned field.

    Cost:
        With S = h w (D^2 / 2 + 16 D), the numbers of triangular matrices. State: S + h w D numbers, 26 MB by default.
        Learning: h w D^2 multiply-adds per image; in memory the state, sums of 8 h w D^2 bytes and about 50 MB,
        whatever the number of images. Sums of more than 134 MB are taken for some positions after the others, with
        features on disk (see `amiss.features.cache`). Scoring: S multiply-adds per image besides the network. The
        preset "paper" at 256 x 256 takes 2.6 GB for its state, 4.0 GB of memory in all (`bench/memory.py`) while
        learning; its graph is too large for ONNX's 2 GiB. At 224 x 224, the paper's crop, the state takes 2.0 GB.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = PaDiM(**PaDiM.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Defard et al., "PaDiM: a patch distribution modeling framework for anomaly detection and localization",
        ICPR 2020 workshops, arXiv 2011.08785.
        Differs from the paper: the whole image, no centre crop of 224 x 224; coarser stages are enlarged bilinearly;
        the regularisation is relative to the features' variance (the paper adds 0.01), so that it means the same for
        any network; sums and factorisation in float64.
    """

    card: ClassVar[Card] = Card(
        name="padim",
        family="distribution",
        title="PaDiM",
        paper="Defard et al., PaDiM: a patch distribution modeling framework",
        url="https://arxiv.org/abs/2011.08785",
        year=2020,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "file:wide_resnet50_2.safetensors", "stages": (4, 8, 16), "dimension": 550},
            "tiny": {"backbone": "tiny-random", "stages": (4, 8), "dimension": 12, "smoothing": 8.0},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16)
    dimension: Count = 100
    regularisation: Annotated[float, Positive] = 0.01
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        for number in range(len(self.stages)):
            self.register_buffer(f"drawn{number}", torch.zeros(0, dtype=torch.long))
        self.gaussians = FieldWhitening(min(self.dimension, sum(self.features.channels)))

    def prepare(self, images: Images, rng: np.random.Generator) -> None:
        if len(images) < 2:
            raise InputError(f"padim needs at least 2 normal images to see how they vary, got {len(images)}")
        drawn = np.sort(rng.permutation(sum(self.features.channels))[: self.dimension])
        self._take_channels(drawn)

    def known(self, images: Images, count: int, rng: np.random.Generator) -> State:
        origin = _vectors(self.draw(self._first(images)))[0]
        return self.gaussians.field(count, self.regularisation, origin).state()

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        first = _vectors(self.draw(self._first(images)))[0]  # (P, D): what all blocks are summed around
        field = GaussianField(first.shape[0], first.shape[1], first)
        for batch in self.batches(images.subset(block), "features", progress):
            field.add(_vectors(self.describe(batch)))
        return field.state()

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        field = GaussianField.of_state(next(states))
        for state in states:
            field.merge(GaussianField.of_state(state))
        self.gaussians.take(field, self._grid(images), self.regularisation)

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        numbers = math.prod(self._grid(images)) * self.gaussians.mean.shape[1] ** 2
        if 8 * numbers <= SUMS:
            super().learn(images, rng, progress)
        else:
            self.prepare(images, rng)
            self._learn_in_passes(images, progress)

    def _learn_in_passes(self, images: Images, progress: Progress) -> None:
        """From features on disk: sums for some positions after the others."""
        grid = self._grid(images)
        with cached_features(self.features, self.features.key(), images, progress) as cache:
            let_go(self)  # the network has done its work, and memory is scarce here
            self.gaussians.learn(
                lambda: (_vectors(self.draw(maps)) for maps in cache.batches(4)),  # few: beside the state
                grid,
                self.regularisation,
                done=lambda done: progress("gaussians", done, math.prod(grid)),
            )

    def _first(self, images: Images) -> list[Tensor]:
        """The feature maps of the first image."""
        maps: list[Tensor] = self.features(next(self.batches(images.subset([0]), "features", silent)))
        return maps

    def _grid(self, images: Images) -> tuple[int, ...]:
        """Cells of the finest stage."""
        return tuple(self._first(images)[0].shape[2:])

    def statistic(self, batch: Tensor) -> Tensor:
        descriptors = self.describe(batch)  # (N, D, h, w)
        grid, learned = tuple(descriptors.shape[2:]), self.gaussians.grid
        if grid != learned:
            raise InputError(f"an image must have {learned} feature cells, got {grid}: score at the same size")
        distance: Tensor = self.gaussians(_vectors(descriptors))  # (N, P)
        return smooth_upsample(distance.reshape(-1, *grid), (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """The drawn channels (N, D, h, w) of a batch (N, 3, H, W)."""
        return self.draw(self.features(batch))

    def draw(self, maps: Sequence[Tensor]) -> Tensor:
        """The drawn channels (N, D, h, w) of feature maps, finest first; only they are brought to one grid."""
        parts = [one[:, drawn] for one, drawn in zip(maps, self.drawn, strict=True)]
        return patch_descriptors([one for number, one in enumerate(parts) if number == 0 or one.shape[1] > 0])

    @property
    def drawn(self) -> list[Tensor]:
        """Numbers of the channels drawn of each stage, ascending."""
        return [self.get_buffer(f"drawn{number}") for number in range(len(self.stages))]

    def _take_channels(self, chosen: NDArray[np.integer]) -> None:
        """Draw these, numbered over all stages, ascending."""
        start = 0
        for number, count in enumerate(self.features.channels):
            here = chosen[(chosen >= start) & (chosen < start + count)] - start
            setattr(self, f"drawn{number}", torch.from_numpy(here))
            start += count


def _vectors(descriptors: Tensor) -> Tensor:
    """(N, D, h, w) to (N, P, D)."""
    return descriptors.flatten(2).transpose(1, 2)
