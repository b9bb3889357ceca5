"""MuSc: unlabelled images score one another; what is strange in one is found in few of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.mutual import SHARE, distances_to_each, mean_of_nearest
from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, NotEmpty, OddCount, Share, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, on_deepest_grid, patch_descriptors
from amiss.statistics.reduce import smooth_upsample

FEWEST = 3
"""Images that are needed: one, its own copy among the witnesses, and another."""


class MuSc(Detector):
    """Each patch is held against the patches of many unlabelled images; what few of them show is strange.

    Background model:
        The patches of up to `witnesses` unlabelled images, drawn at random, good and defective ones alike: the stages
        of a frozen network on the grid of the deepest one, each with mean 0 and deviation 1, averaged over a square of
        cells, once for each of the `neighbourhoods`.

    Statistic:
        The distance of a patch to the nearest patch of each witness; of these the mean over the `share` of the
        witnesses nearest to it. The very nearest is left out, since it may be the image itself. Averaged over the
        neighbourhoods, enlarged to the image and smoothed.

    Assumes:
        Most images show, at most places, something normal, and defects differ from one another: a defect that a third
        of the images share is normal to this method. Parts of several kinds must each be shown by more than a `share`
        of the images. What is rare is strange, also where it is good.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; of a vision transformer: numbers of its layers. The deepest sets the grid.
        neighbourhoods: Odd widths of the squares over which features are averaged, in cells.
        witnesses: Most images that are kept, at least 3.
        share: Share of the witnesses whose distances are averaged, in (0, 1).
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, fewer than three images, or images
            that do not vary.

    Cost:
        With R witnesses of K cells and B neighbourhoods: B R K^2 D multiply-adds and B R K (K + D) numbers per image
        besides the network; 2.3 billion with 100 witnesses of 256 x 256 pixels. State: B R K D numbers, 40 MB.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = MuSc(**MuSc.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Li, Huang, Xue and Zhou, "MuSc: zero-shot industrial anomaly classification and segmentation with mutual scoring
        of the unlabeled images", ICLR 2024, arXiv 2401.16753.
        Differs from the paper: images need not be those that were learned from, so an artefact can score new ones; the
        nearest witness is left out always, not only the image itself. The stages of the embedded convolutional network
        stand side by side, standardised, where the paper averages scores over four layers of a CLIP of 518 pixels. The
        image scores are not corrected by those of similar images.
    """

    card: ClassVar[Card] = Card(
        name="musc",
        family="zero_shot",
        title="MuSc",
        paper="Li et al., MuSc: zero-shot industrial anomaly classification and segmentation with mutual scoring of "
        "the unlabeled images",
        url="https://arxiv.org/abs/2401.16753",
        year=2024,
        learning=Learning.ONE_PASS,
        learns_from=LearnsFrom.UNLABELLED,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "hf:openai/clip-vit-large-patch14-336",
                "stages": (6, 12, 18, 24),
                "neighbourhoods": (1, 3, 5),
                "witnesses": 200,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "neighbourhoods": (1, 3),
                "witnesses": 16,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (8, 16)
    neighbourhoods: Annotated[Sequence[OddCount], NotEmpty] = (1, 3)
    witnesses: Annotated[int, AtLeast(FEWEST)] = 100
    share: Share = SHARE
    smoothing: Smoothing = 4.0
    patches: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        self.standardising = Standardising(dimension)
        self.register_buffer("patches", torch.zeros(len(self.neighbourhoods), 0, 0, dimension))

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        if len(images) < FEWEST:
            raise InputError(f"there must be at least {FEWEST} unlabelled images to compare, got {len(images)}")
        chosen = np.sort(rng.permutation(len(images))[: self.witnesses])
        batches = [self.gather(batch) for batch in self.batches(images.subset(chosen), "features", progress)]
        learn_standardising([self.standardising], ([batch] for batch in batches))
        described = [self.describe(batch) for batch in batches]
        self.patches = torch.stack([torch.cat(parts) for parts in zip(*described, strict=True)])  # (B, R, K, D)

    def gather(self, batch: Tensor) -> Tensor:
        """The stages of a batch (N, 3, H, W) side by side on the grid of the deepest, (N, D, h, w)."""
        return torch.cat(on_deepest_grid(self.features(batch)), dim=1)

    def describe(self, gathered: Tensor) -> list[Tensor]:
        """Standardised patches (N, h w, D) of what was gathered, for each of the neighbourhoods."""
        normal = self.standardising(gathered)
        return [
            patch_descriptors([normal], neighbourhood=width).flatten(2).movedim(1, 2) for width in self.neighbourhoods
        ]

    def statistic(self, batch: Tensor) -> Tensor:
        gathered = self.gather(batch)
        each = [
            mean_of_nearest(distances_to_each(queries, witnesses), self.share, without=1)
            for queries, witnesses in zip(self.describe(gathered), self.patches, strict=True)
        ]
        grid = torch.stack(each).mean(dim=0).reshape(-1, *gathered.shape[2:])
        return smooth_upsample(grid, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)
