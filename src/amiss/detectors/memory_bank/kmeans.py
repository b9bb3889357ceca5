"""k-means: a dictionary of typical normal patches, and the distance to the nearest of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.kmeans import KMeans, spread_seeds
from amiss.background.memory_bank import add_bank, bank_distances, fill_bank
from amiss.background.reservoir import Reservoir
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Count, Smoothing, Stages
from amiss.detectors.detector import BATCH, Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.features.cache import cached_features
from amiss.statistics.reduce import smooth_upsample

_SEEDS = 20
"""Patches from which each first centroid is chosen."""


class Dictionary(Detector):
    """Centroids of normal patches; a patch is as strange as it is far from those it resembles most.

    Background model:
        Every patch of every normal image is described by the features of several stages of a frozen network, brought
        to the grid of the finest. k-means by mini-batches finds `centroids` typical ones: it begins with a k-means++
        choice from a random sample, and sees all images `passes` times, every time in another order.

    Statistic:
        Mean Euclidean distance of each patch to its `neighbours` nearest centroids, enlarged to the image and
        smoothed.

    Assumes:
        What is normal somewhere is normal everywhere, and normal patches lie in round groups of like width: k-means
        puts many centroids where patches are many, and rare normal patches are far from all of them.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        centroids: Vectors kept.
        passes: How often every image is seen.
        neighbours: m, the centroids over which the distance is averaged.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage.

    Cost:
        Learning: `passes` x h w D M multiply-adds per image, and 80 M^2 D for the first choice; 40 M D numbers of
        memory for that, then (M + 2 D) h w for each of 8 images; 4 h w D bytes of disk per image while it lasts.
        Scoring: h w D M multiply-adds and h w M numbers per image besides the network. State: M D numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = Dictionary(**Dictionary.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Napoletano, Piccoli and Schettini, "Anomaly detection in nanofibrous materials by CNN-based self-similarity",
        Sensors 18(1), 2018, doi 10.3390/s18010209.
        Differs from the paper: features of the whole image's maps instead of one pass of the network for every
        small crop, so each patch has seen its surroundings; no reduction by principal components; centroids
        themselves instead of the patches nearest to them; many more of them.
    """

    card: ClassVar[Card] = Card(
        name="kmeans",
        family="memory_bank",
        title="CNN feature dictionary (k-means)",
        paper="Napoletano et al., Anomaly detection in nanofibrous materials by CNN-based self-similarity",
        url="https://doi.org/10.3390/s18010209",
        year=2018,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "file:resnet18.safetensors", "stages": (16,), "centroids": 10},
            "tiny": {"backbone": "tiny-random", "stages": (4, 8), "centroids": 50, "smoothing": 8.0},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16)
    centroids: Count = 1000
    passes: Count = 3
    neighbours: Count = 1
    smoothing: Smoothing = 4.0
    center: Tensor = buffer()
    bank: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        add_bank(self, sum(self.features.channels))

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        with cached_features(self.features, self.features.key(), images, progress) as cache:
            reservoir = Reservoir(_SEEDS * self.centroids, rng)
            for maps in cache.batches():
                reservoir.add(_vectors(maps).flatten(0, 2))
            sample = reservoir.sample()
            del reservoir
            model = KMeans(sample[spread_seeds(sample, self.centroids, rng)])
            del sample
            for done in range(self.passes):
                order = rng.permutation(len(cache))
                for start in range(0, len(cache), BATCH):
                    model.add(_vectors(cache.batch(order[start : start + BATCH])).flatten(0, 2))
                progress("k-means", done + 1, self.passes)
        fill_bank(self, model.centroids)

    def statistic(self, batch: Tensor) -> Tensor:
        distances = bank_distances(self, _vectors(self.features(batch)), self.neighbours)  # (N, h, w, m)
        return smooth_upsample(distances.mean(dim=3), (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)


def _vectors(maps: Sequence[Tensor]) -> Tensor:
    """Feature maps of some images to patch descriptors (N, h, w, D)."""
    return patch_descriptors(maps).permute(0, 2, 3, 1)
