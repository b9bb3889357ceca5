"""Deep SVDD at every position: a small network trained to put the features of normal patches into a small sphere."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.hypersphere import Hypersphere
from amiss.background.reservoir import Reservoir
from amiss.background.standardising import Standardising, learn_standardising
from amiss.background.unbiased import unbiased_dense
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OddCount, OneOf, Positive, Share, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train


class DeepSVDDMap(Detector):
    """Deep SVDD with a network that slides over the image, and so one distance to the centre at every position.

    Background model:
        Features of a frozen network at each position, each channel with mean 0 and deviation 1 over normal patches. A
        trained network of two convolutions of 1 x 1 maps them to `dimension` numbers. The centre c is the mean of what
        it gives before training, no coordinate nearer to 0 than 0.1; it has no bias and no bounded activation, so that
        it cannot give c for whatever it sees. The loss of the hard boundary is the mean squared distance of normal
        patches to c; that of the soft one is ``R^2 + mean(max(0, d^2 - R^2)) / nu``, where R, after a tenth of the
        steps, is the 1 - `nu` quantile of each batch's distances.

    Statistic:
        Squared distance to c at each position, less R^2 with the soft boundary, enlarged to the image and smoothed.

    Assumes:
        What is normal somewhere is normal everywhere, and normal patches differ in ways that the network can learn to
        take out. Patches of many kinds are not drawn together by so small a network.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged first, in cells; 1 does not average.
        hidden: Channels of the hidden layer.
        dimension: Numbers that the network gives at each position.
        boundary: "hard" or "soft".
        nu: Share of the normal patches that may lie outside the soft boundary, in (0, 1).
        steps: Training steps.
        patches: Normal patches per step.
        samples: Patches kept to draw those from, out of all normal images at random.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        weight_decay: Weight of the squared weights, at least 0.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With D channels, H `hidden` and E `dimension`: h w H (D + E) multiply-adds per image besides the network, and
        3 `patches` H (D + E) per step; `samples` D numbers while learning. State: H (D + E) numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = DeepSVDDMap(**DeepSVDDMap.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Ruff et al., "Deep one-class classification", ICML 2018. Liznerski, Ruff, Vandermeulen, Franks, Kloft and
        Mueller, "Explainable deep one-class classification", ICLR 2021, arXiv 2007.01760, for distances at every
        position of a convolutional network.
        Differs from the paper: the convolutions work on features of a frozen network. The second
        paper also learns from drawn or foreign anomalies, which this method does not.
    """

    card: ClassVar[Card] = Card(
        name="deep_svdd_map",
        family="one_class",
        title="Convolutional Deep SVDD",
        paper="Ruff et al., Deep one-class classification",
        url="https://proceedings.mlr.press/v80/ruff18a.html",
        year=2018,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"boundary": "soft", "steps": 3750, "rate": 1e-4},
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "neighbourhood": 1,
                "hidden": 32,
                "dimension": 16,
                "steps": 100,
                "patches": 256,
                "rate": 3e-3,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16)
    neighbourhood: OddCount = 3
    hidden: Count = 256
    dimension: Count = 64
    boundary: Annotated[str, OneOf("hard", "soft")] = "hard"
    nu: Share = 0.1
    steps: Count = 1000
    patches: Count = 2048
    samples: Count = 100_000
    rate: Annotated[float, Positive] = 1e-3
    weight_decay: Annotated[float, AtLeast(0)] = 1e-6
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        self.standardising = Standardising(dimension)
        self.network = unbiased_dense((dimension, self.hidden, self.dimension))
        self.sphere = Hypersphere(self.dimension, nu=self.nu if self.boundary == "soft" else None)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        normal = self._sample(images, rng, progress)  # (n, D)
        with torch.no_grad():
            self.sphere.place(self.network(normal))

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            chosen = torch.from_numpy(draw.integers(len(normal), size=self.patches)).to(normal.device)
            distances = self.sphere.distances(self.network(normal[chosen]))
            return self.sphere.training_loss(distances, step / self.steps)

        train(
            nn.ModuleDict({"network": self.network, "sphere": self.sphere}),
            torch.optim.Adam(self.network.parameters(), lr=self.rate, weight_decay=self.weight_decay),
            loss,
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            checkpoint=self.checkpoint,
            progress=progress,
        )
        with torch.no_grad():
            self.sphere.fit_radius(self.sphere.distances(self.network(normal)))

    @torch.no_grad()
    def _sample(self, images: Images, rng: np.random.Generator, progress: Progress) -> Tensor:
        """Standardised patches (n, D) drawn from all normal images."""
        reservoir = Reservoir(self.samples, rng)
        for batch in self.batches(images, "features", progress):
            reservoir.add(self.describe(batch).flatten(0, 2).cpu())
        sample = reservoir.sample()
        learn_standardising([self.standardising], [[sample]])
        normal: Tensor = self.standardising(sample.to(self.standardising.mean))
        return normal

    def statistic(self, batch: Tensor) -> Tensor:
        patches = self.describe(batch)  # (N, h, w, D)
        vectors = self.network(self.standardising(patches.flatten(0, 2))).unflatten(0, patches.shape[:3])
        grid = self.sphere.distances(vectors) - self.sphere.radius.square()
        return smooth_upsample(grid, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """Patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood).permute(0, 2, 3, 1)
