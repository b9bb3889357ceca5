"""GEOM in two steps: a classifier of transformations gives the features, and a density of them the score."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.density import DENSITIES, Density
from amiss.background.geometric_classifier import GeometricClassifier
from amiss.background.transformations import Transformation, all_transformations
from amiss.background.unbiased import LEAST_SIDE, contrast_normalised, shrunk
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Between, Count, MultipleOf, OneOf, Positive, Share
from amiss.detectors.detector import Detector
from amiss.training import cosine, train

FEWEST = 4
"""Normal images: two for each half."""


class GEOMFeatures(Detector):
    """The last hidden layer of a classifier of transformations as features of an image, and a density of normal ones.

    Background model:
        Each normal image, shrunk to a square of `side` pixels, less its mean and divided by its mean absolute
        deviation, is shown in every combination of flips, shifts and quarter turns; a small convolutional network
        learns to tell which, from one half of the normal images, drawn at random. Of its last hidden layer on the
        other half, whitened with the shrinkage of Ledoit and Wolf, a density: of images that a network was trained on,
        its features are nearer to one another than those of new images are.

    Statistic:
        "mvg": Mahalanobis distance. "knn": distance to the nearest whitened vector. "svdd": squared distance to the
        centre of the smallest sphere, less its squared radius, in the space of a quadratic kernel. One number per
        image, no map.

    Assumes:
        What tells how a part lies also tells whether it is normal. Small defects are lost in `side` pixels.
        Half of the normal images are enough for either step.

    Args:
        flips: Show images flipped, too.
        turns: Show images turned by 90, 180 and 270 degrees, too.
        shift: Share of the side by which images are moved up, down, left and right, too; 0 for not at all.
        density: "mvg", "knn" or "svdd".
        nu: Share of the normal images that may lie outside the sphere, in (0, 1); for "svdd".
        side: Height and width of the shrunk image, a multiple of 8.
        width: Channels of the first convolution.
        dimension: Numbers of the last hidden layer, the features.
        steps: Training steps.
        batch: Images per step, each in all its transformations.
        rate: Learning rate of AdamW at the start; it falls to 0 along a cosine.

    Raises:
        InputError: A hyper-parameter out of range, no transformations, fewer than four images, or images that do not
            vary.
        DivergedError: Training came to a loss that is not finite.
        MissingExtraError: density="svdd" without scikit-learn.

    Cost:
        With K transformations, 72 by default: about 150 K `side`^2 `width`^2 multiply-adds for each image of each step;
        scoring 50 `side`^2 `width`^2 per image, since only the image as it is is looked at.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = GEOMFeatures(**GEOMFeatures.card.presets["tiny"]).fit(toy_part(16, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).image.shape
        (2,)

    References:
        Golan and El-Yaniv, "Deep anomaly detection using geometric transformations", NeurIPS 2018, arXiv 1805.10917.
        Sohn, Li, Yoon, Jin and Pfister, "Learning and evaluating representations for deep one-class classification",
        ICLR 2021, arXiv 2011.02578, for the two steps.
        Differs from the paper: a small network with three convolutions. Separate halves of the normal images for the
        two steps; the second paper takes all for both. No transformation is dropped, unlike in `geom`: one that cannot
        be told apart adds noise to learning and nothing to the score.
    """

    card: ClassVar[Card] = Card(
        name="geom_features",
        family="self_supervised",
        title="GEOM in two steps",
        paper="Sohn et al., Learning and evaluating representations for deep one-class classification",
        url="https://arxiv.org/abs/2011.02578",
        year=2021,
        learning=Learning.GRADIENT,
        localises=False,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {
                "shift": 0.0,
                "flips": False,
                "width": 64,
                "dimension": 128,
                "steps": 5000,
                "batch": 4,
                "rate": 2e-3,
            },
            "tiny": {"turns": False, "width": 4, "dimension": 8, "side": 16, "steps": 60, "batch": 8, "rate": 1e-2},
        },
    )

    flips: bool = True
    turns: bool = True
    shift: Annotated[float, Between(0, 0.5, "left")] = 0.25
    density: Annotated[str, OneOf(*DENSITIES)] = "mvg"
    nu: Share = 0.05
    side: Annotated[Count, MultipleOf(LEAST_SIDE)] = 32
    width: Count = 16
    dimension: Count = 128
    steps: Count = 600
    batch: Count = 4
    rate: Annotated[float, Positive] = 2e-3

    @property
    def transformations(self) -> tuple[Transformation, ...]:
        """What the classifier tells."""
        return all_transformations(flips=self.flips, turns=self.turns, shift=round(self.shift * self.side))

    def check_together(self) -> None:
        if len(self.transformations) < 2:
            raise InputError("flips, turns or shift must ask for transformations, got none of them")

    def build(self, *, pretrained: bool) -> None:
        self.classifier = GeometricClassifier(self.transformations, self.side, self.width, self.dimension)
        self.normal = Density(self.density, self.dimension, nu=self.nu)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        if len(images) < FEWEST:
            raise InputError(f"at least {FEWEST} normal images are needed, two for each half, got {len(images)}")
        with torch.no_grad():
            normal = torch.cat([self.describe(batch) for batch in self.batches(images, "images", progress)])
        first, second = self.halves(len(normal), rng)
        train(
            self.classifier,
            torch.optim.AdamW(self.classifier.parameters(), lr=self.rate, weight_decay=1e-4),
            self.classifier.asked(normal[first.to(normal.device)], self.batch),
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            checkpoint=self.checkpoint,
            progress=progress,
        )
        with torch.no_grad():
            self.normal.learn(self.classifier.hidden(normal[second.to(normal.device)]))

    @staticmethod
    def halves(count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Numbers of the images that the classifier learns from, and of the others, for the density."""
        order = torch.from_numpy(rng.permutation(count))
        return order[: count // 2], order[count // 2 :]

    def statistic(self, batch: Tensor) -> Tensor:
        unusual: Tensor = self.normal(self.classifier.hidden(self.describe(batch)))
        return unusual

    def describe(self, batch: Tensor) -> Tensor:
        """Shrunk images (N, 3, side, side) of a batch (N, 3, H, W)."""
        return contrast_normalised(shrunk(batch, self.side))
