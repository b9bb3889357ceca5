"""DN2: one vector per image, and the distance to the nearest normal images."""

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
from amiss.core.progress import Progress
from amiss.core.ranges import Count
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor


class DN2(ByBlocks):
    """Normal images as single vectors; an image is as strange as it is far from those it resembles most.

    Background model:
        Each normal image is described by the features of one stage of a frozen network, averaged over all
        positions. Up to `bank_size` images are kept, drawn at random when there are more.

    Statistic:
        Mean squared Euclidean distance to the `neighbours` nearest normal images: one number per image, no map.

    Assumes:
        A defect changes what the image shows as a whole. A small one drowns in the average.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stage: Stride of the stage that is averaged.
        bank_size: Images kept.
        neighbours: k, the images over which the distance is averaged.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage.

    Cost:
        Learning: one pass, 2 M (D + 1) numbers of memory. Scoring: D M multiply-adds per image besides the network,
        next to nothing. State: M D numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = DN2(**DN2.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).image.shape
        (2,)

    References:
        Bergman, Cohen and Hoshen, "Deep nearest neighbor anomaly detection", 2020, arXiv 2002.10445.
        Differs from the paper: the whole image, no centre crop. The default takes the embedded network and up to 5,000
        images; the preset "paper" the paper's ResNet-101 and a bank for every image.
    """

    card: ClassVar[Card] = Card(
        name="dn2",
        family="memory_bank",
        title="DN2",
        paper="Bergman, Cohen and Hoshen, Deep nearest neighbor anomaly detection",
        url="https://arxiv.org/abs/2002.10445",
        year=2020,
        learning=Learning.ONE_PASS,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"backbone": "file:resnet101.safetensors", "bank_size": 1_000_000},
            "tiny": {"backbone": "tiny-random", "stage": 8},
        },
    )

    backbone: str = "efficientnet-lite0"
    stage: Count = 32
    bank_size: Count = 5000
    neighbours: Count = 2
    center: Tensor = buffer()
    bank: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, (self.stage,), pretrained=pretrained)
        add_bank(self, *self.features.channels)

    def known(self, images: Images, count: int, rng: np.random.Generator) -> State:
        return kept_of(self.bank + self.center, count, rng)

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        batches = self.batches(images.subset(block), "features", progress)
        return sample_block((self.describe(batch)[:, None] for batch in batches), self.bank_size, block.start, rng)

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        fill_bank(self, merged_sample(states, self.bank_size))

    def statistic(self, batch: Tensor) -> Tensor:
        distances = bank_distances(self, self.describe(batch), self.neighbours)  # (N, k)
        return distances.square().mean(dim=1)

    def describe(self, batch: Tensor) -> Tensor:
        """One vector per image (N, D) of a batch (N, 3, H, W)."""
        (features,) = self.features(batch)
        pooled: Tensor = features.mean(dim=(2, 3))
        return pooled
