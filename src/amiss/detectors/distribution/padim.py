"""PaDiM: a Gaussian at every position, and the Mahalanobis distance to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.gaussian_field import GaussianField
from amiss.core.card import Card, Learning
from amiss.core.checks import check_count, check_real
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.mahalanobis import mahalanobis_field
from amiss.statistics.reduce import smooth_upsample


class PaDiM(Detector):
    """A Gaussian of network features at every position; a patch is as strange as it is far from its own Gaussian.

    Background model:
        Features of several stages of a frozen network, brought to the grid of the finest; a random choice of
        `dimension` channels; mean and covariance at each position over the normal images, plus `regularisation` on
        the diagonal.

    Statistic:
        Mahalanobis distance at each position, enlarged to the picture and smoothed.

    Assumes:
        Parts lie at the same place and turned the same way in every picture.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        dimension: Number of channels drawn; all when there are no more.
        regularisation: Variance added to every channel, as a share of the mean variance of the drawn channels; > 0.
        smoothing: Gaussian on the map, in pixels of a picture whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, a single normal image, or scoring
            at another size than that of the learned field.

    Cost:
        Learning: 8 h w D^2 bytes and h w D^2 multiply-adds an image, nothing grows with the number of images.
        Scoring: h w D^2 multiply-adds an image besides the network. State: h w (D^2 + D) numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = PaDiM(**PaDiM.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Defard et al., "PaDiM: a patch distribution modeling framework for anomaly detection and localization",
        ICPR 2020 workshops, arXiv 2011.08785.
        Differs from the paper: the whole picture, no centre crop; coarser stages are enlarged bilinearly; the
        regularisation is relative to the features' variance (the paper adds 0.01), so that it means the same for any
        network; sums and factorisation in float64.
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
    channels: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(
        self,
        *,
        backbone: str = "efficientnet-lite0",
        stages: Sequence[int] = (8, 16),
        dimension: int = 100,
        regularisation: float = 0.01,
        smoothing: float = 4.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.stages = tuple(stages)
        self.dimension = dimension
        self.regularisation = regularisation
        self.smoothing = smoothing

    def build(self, *, pretrained: bool) -> None:
        check_count("dimension", self.dimension)
        check_real("smoothing", self.smoothing, least=0)
        if check_real("regularisation", self.regularisation) <= 0:
            raise InputError(f"regularisation = {self.regularisation} arrived; a number above 0 is expected")
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.register_buffer("channels", torch.zeros(0, dtype=torch.long))
        self.register_buffer("mean", torch.zeros(0, 0, 0))
        self.register_buffer("whitening", torch.zeros(0, 0, 0, 0))

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        total = sum(self.features.channels)
        drawn = np.sort(rng.permutation(total)[: self.dimension])
        self.channels = torch.from_numpy(drawn)
        field: GaussianField | None = None
        for batch in self.batches(images, "features", progress):
            descriptors = self.describe(batch)  # (N, D, h, w)
            grid, vectors = descriptors.shape[2:], descriptors.flatten(2).transpose(1, 2)  # (N, P, D)
            field = field or GaussianField(vectors.shape[1], vectors.shape[2])
            field.add(vectors)
        if field is None or field.count < 2:
            raise InputError("padim needs at least 2 normal images to see how they vary; 1 arrived")
        progress("gaussians", 0, 1)
        variance = field.variance().mean().item()
        self.mean = field.mean.float().reshape(*grid, -1)  # (h, w, D)
        whitening = field.whitening(self.regularisation * variance)  # (P, D, D)
        self.whitening = whitening.reshape(*grid, *whitening.shape[1:])  # (h, w, D, D)
        progress("gaussians", 1, 1)

    def statistic(self, batch: Tensor) -> Tensor:
        descriptors = self.describe(batch)  # (N, D, h, w)
        grid, learned = tuple(descriptors.shape[2:]), tuple(self.mean.shape[:2])
        if grid != learned:
            raise InputError(
                f"a picture of {grid} feature cells arrived; {learned} were learned: score at the same size"
            )
        vectors = descriptors.flatten(2).transpose(1, 2)  # (N, P, D)
        distance = mahalanobis_field(vectors, self.mean.flatten(0, 1), self.whitening.flatten(0, 1))  # (N, P)
        return smooth_upsample(distance.reshape(-1, *grid), (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """The drawn channels (N, D, h, w) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch))[:, self.channels]
