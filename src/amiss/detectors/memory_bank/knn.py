"""Nearest patch: a random sample of normal patches, and the distance to the nearest of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from torch import Tensor

from amiss.background.memory_bank import add_bank, bank_distances, fill_bank
from amiss.background.reservoir import kept_of, merged_sample, sample_block
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress, silent
from amiss.core.ranges import Count, Smoothing, Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.reduce import smooth_upsample


class NearestPatch(ByBlocks):
    """Normal patches drawn at random; a patch is as strange as it is far from those it resembles most.

    Background model:
        Every patch of every normal image is described by the features of several stages of a frozen network, brought
        to the grid of the finest. Of all of them, `bank_size` drawn at random are kept.

    Statistic:
        Mean Euclidean distance of each patch to its `neighbours` nearest bank vectors, enlarged to the image and
        smoothed. The smaller the density of normal patches, the larger the distance to the k-th nearest: its logarithm
        is, up to a factor and a constant, an estimate of minus that of the density (Loftsgaarden and Quesenberry 1965).

    Assumes:
        What is normal somewhere is normal everywhere: position plays no role. What is rare among normal patches may
        be missing from the sample, and then raises false alarms; `patchcore` keeps it.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        bank_size: Vectors kept, whatever the number of images; all while there are fewer.
        neighbours: k, the vectors over which the distance is averaged.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage.

    Cost:
        Learning: one pass, 2 M (D + 1) numbers of memory, no arithmetic besides the network. Scoring: h w D M
        multiply-adds and h w M numbers per image besides the network. State: M D numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = NearestPatch(**NearestPatch.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Cover and Hart, "Nearest neighbor pattern classification", IEEE Transactions on Information Theory 13, 1967.
        As the baseline of anomaly segmentation: Bergmann et al., "Uninformed students", CVPR 2020, arXiv 1911.02357,
        and Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022, arXiv 2106.08265.
        Differs from the paper: Bergmann et al. compare the pixels of 50,000 normalised patches; here, as since Roth
        et al., features of a network. Features are centred on the bank's mean, which changes no distance.
    """

    card: ClassVar[Card] = Card(
        name="knn",
        family="memory_bank",
        title="Nearest patch (k-NN)",
        paper="Cover and Hart, Nearest neighbor pattern classification",
        url="https://doi.org/10.1109/TIT.1967.1053964",
        year=1967,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "file:wide_resnet50_2.safetensors", "bank_size": 50_000},
            "tiny": {"backbone": "tiny-random", "stages": (4, 8), "bank_size": 500, "smoothing": 8.0},
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (8, 16)
    bank_size: Count = 20_000
    neighbours: Count = 1
    smoothing: Smoothing = 4.0
    center: Tensor = buffer()
    bank: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        add_bank(self, sum(self.features.channels))

    def known(self, images: Images, count: int, rng: np.random.Generator) -> State:
        patches = self.describe(next(self.batches(images.subset([0]), "features", silent))).shape[1:3].numel()
        return kept_of(self.bank + self.center, count * patches, rng)

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        batches = self.batches(images.subset(block), "features", progress)
        return sample_block((self.describe(batch).flatten(1, 2) for batch in batches), self.bank_size, block.start, rng)

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        fill_bank(self, merged_sample(states, self.bank_size))

    def statistic(self, batch: Tensor) -> Tensor:
        distances = bank_distances(self, self.describe(batch), self.neighbours)  # (N, h, w, k)
        return smooth_upsample(distances.mean(dim=3), (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """Patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch)).permute(0, 2, 3, 1)
