"""SPADE: normal images that look alike, and the distance of each patch to the nearest of their patches."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.coreset import k_center_greedy
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Count, OneOf, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.knn import nearest, nearest_distance_of_each
from amiss.statistics.reduce import smooth_upsample

_IMAGE_SCORES = ("pixels", "retrieval")


class SPADE(Detector):
    """Retrieve similar normal images; a patch is strange when none of them shows its like anywhere.

    Background model:
        Each normal image is described as a whole by the features of stage `pooled` of a frozen network, averaged
        over all positions, and in detail by those of `stages`, brought to the grid of the finest. Up to `gallery`
        images are kept: a greedy k-centre coreset of the averaged vectors, so that no image is unlike all kept.

    Statistic:
        The `neighbours` images nearest in the averaged features are retrieved. Each patch gets its Euclidean
        distance to the nearest patch of any of them; the map is enlarged to the image and smoothed.
        With `image_score` = "retrieval" each map is then scaled so that its maximum is the paper's image score, the
        mean distance to the retrieved images; with "pixels" it is left alone, and its maximum is the image score.

    Assumes:
        For every normal image there are kept ones that show the same, turned the same way. Position within the
        image plays no role.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages that are compared; the finest sets the grid.
        pooled: Stride of the stage that is averaged to retrieve images.
        gallery: Images kept.
        neighbours: K, the images retrieved.
        image_score: "pixels" or "retrieval", see above.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage.

    Cost:
        With G = min(gallery, number of images) and P = h w. Learning: one vector per image in memory, and the chosen
        G images go through the network twice; what they give is held once. Scoring: K P^2 D multiply-adds per image
        besides the network, the most of all memory banks: 1.6 billion by default, and P (P + 3 D) numbers. State:
        G P D numbers, 31 MB by default; 29 MB per image in "paper" at 256 x 256.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = SPADE(**SPADE.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Cohen and Hoshen, "Sub-image anomaly detection with deep pyramid correspondences", 2020, arXiv 2005.02357.
        Differs from the paper: the whole image, no centre crop; one nearest patch, and distances instead of their
        squares; of many training images only a coreset is kept. The image score is the maximum of the map, so that
        one threshold serves image and pixels; the paper's own takes part by scaling the map.
    """

    card: ClassVar[Card] = Card(
        name="spade",
        family="memory_bank",
        title="SPADE",
        paper="Cohen and Hoshen, Sub-image anomaly detection with deep pyramid correspondences",
        url="https://arxiv.org/abs/2005.02357",
        year=2020,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (4, 8, 16),
                "gallery": 1_000_000,
                "neighbours": 50,
                "image_score": "retrieval",
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "pooled": 16,
                "gallery": 12,
                "neighbours": 4,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16)
    pooled: Count = 32
    gallery: Count = 50
    neighbours: Count = 10
    image_score: Annotated[str, OneOf(*_IMAGE_SCORES)] = "pixels"
    smoothing: Smoothing = 4.0
    center: Tensor = buffer()
    images: Tensor = buffer()
    patch_center: Tensor = buffer()
    patches: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        strides = tuple(sorted({*self.stages, self.pooled}))
        self.features = FeatureExtractor(self.backbone, strides, pretrained=pretrained)
        channels = dict(zip(strides, self.features.channels, strict=True))
        dimension = sum(channels[stride] for stride in self.stages)
        self.register_buffer("center", torch.zeros(channels[self.pooled]))
        self.register_buffer("images", torch.zeros(0, channels[self.pooled]))
        self.register_buffer("patch_center", torch.zeros(dimension))
        self.register_buffer("patches", torch.zeros(0, 0, dimension))

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        whole = torch.cat([self.describe(batch)[0] for batch in self.batches(images, "features", progress)])
        chosen = k_center_greedy(whole, self.gallery, first=int(rng.integers(len(whole))), progress=progress)
        self.center = whole[chosen].mean(dim=0)
        self.images = whole[chosen] - self.center
        self.patches = self._gather(images.subset(chosen.numpy()), progress)  # (G, P, D)
        self.patch_center = self.patches.mean(dim=(0, 1))
        self.patches -= self.patch_center

    def _gather(self, images: Images, progress: Progress) -> Tensor:
        """The patches of all of some images (G, P, D), held once."""
        gathered, done = torch.zeros(0, 0, 0), 0
        for batch in self.batches(images, "gallery", progress):
            patches = self.describe(batch)[1].flatten(1, 2)  # (N, P, D)
            if done == 0:
                gathered = patches.new_empty(len(images), *patches.shape[1:])
            gathered[done : done + len(patches)] = patches
            done += len(patches)
        return gathered

    def statistic(self, batch: Tensor) -> Tensor:
        whole, patches = self.describe(batch)
        queries = (patches - self.patch_center).flatten(1, 2)  # (N, P, D)
        distances, retrieved = nearest(whole - self.center, self.images, self.neighbours)  # (N, K)
        distance = nearest_distance_of_each(queries, self.patches[retrieved[:, 0]])  # (N, P)
        for rank in range(1, retrieved.shape[1]):  # one image at a time: memory grows with P^2, not with K
            distance = torch.minimum(distance, nearest_distance_of_each(queries, self.patches[retrieved[:, rank]]))
        grid = distance.reshape(-1, *patches.shape[1:3])  # (N, h, w)
        found = smooth_upsample(grid, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)
        if self.image_score == "pixels":
            return found
        peak = found.amax(dim=(1, 2)).clamp(min=torch.finfo(found.dtype).tiny)
        return found * (distances.mean(dim=1) / peak)[:, None, None]

    def describe(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of whole images (N, C) and of their patches (N, h, w, D), of a batch (N, 3, H, W)."""
        maps = dict(zip(self.features.strides, self.features(batch), strict=True))
        patches = patch_descriptors([maps[stride] for stride in self.stages])
        return maps[self.pooled].mean(dim=(2, 3)), patches.permute(0, 2, 3, 1)
