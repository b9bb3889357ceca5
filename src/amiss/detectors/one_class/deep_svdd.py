"""Deep SVDD: a network trained to put normal images into a small sphere."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.hypersphere import Hypersphere
from amiss.background.standardising import Standardising, learn_standardising
from amiss.background.unbiased import (
    LEAST_SIDE,
    UnbiasedEncoder,
    VectorDecoder,
    contrast_normalised,
    shrunk,
    unbiased_dense,
)
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, MultipleOf, OneOf, Positive, Share, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor
from amiss.training import cosine, train


class DeepSVDD(Detector):
    """A network that draws normal images together around one point; an image is as strange as it is far from it.

    Background model:
        Of each image one vector: with ``source="features"`` the stages of a frozen network, averaged over the image,
        each channel with mean 0 and deviation 1 over the normal images; with "pixels" the image itself, shrunk to
        `side` pixels, less its mean and divided by its mean absolute deviation. A trained network maps it to
        `dimension` numbers. The centre c is the mean of what it gives before training, no coordinate nearer to 0 than
        0.1. The network has no bias, no affine normalisation and no bounded activation: it cannot give c for whatever
        it sees. The loss of the hard boundary is the mean squared distance to c; that of the soft one is
        ``R^2 + mean(max(0, d^2 - R^2)) / nu``, where R, after a tenth of the steps, is the 1 - `nu` quantile of each
        batch's distances.

    Statistic:
        Squared distance to c, less R^2 with the soft boundary: one number per image, no map.

    Assumes:
        Normal images differ in ways that the network can learn to take out, and strange ones differ in others. A
        defect that hardly moves the average of the features, or that is lost in `side` pixels, is not seen.

    Args:
        source: "features" or "pixels".
        backbone: See `amiss.features.create_backbone`; for features.
        stages: Strides of the stages; for features.
        side: Height and width of the shrunk image, a multiple of 8; for pixels.
        width: Channels of the first convolution; for pixels.
        hidden: Width of the hidden layer; for features.
        dimension: Numbers that the network gives.
        boundary: "hard" or "soft".
        nu: Share of the normal images that may lie outside the soft boundary, in (0, 1).
        pretraining_steps: Steps in which the network and a decoder learn to rebuild their input before; 0 for none.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        weight_decay: Weight of the squared weights, at least 0.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With features, D channels and H `hidden`: D H multiply-adds per image besides the network, which runs once per
        normal image. With pixels: about 50 `side`^2 `width`^2 multiply-adds per image, three times that in each step.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = DeepSVDD(**DeepSVDD.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).image.shape
        (2,)

    References:
        Ruff, Vandermeulen, Goernitz, Deecke, Siddiqui, Binder, Mueller and Kloft, "Deep one-class classification",
        ICML 2018.
        Differs from the paper: the default works on features of a frozen network. The rate falls along a cosine, not
        once; the decoder of the pre-training has linear layers; one network for all sizes of images.
    """

    card: ClassVar[Card] = Card(
        name="deep_svdd",
        family="one_class",
        title="Deep SVDD",
        paper="Ruff et al., Deep one-class classification",
        url="https://proceedings.mlr.press/v80/ruff18a.html",
        year=2018,
        learning=Learning.GRADIENT,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "source": "pixels",
                "dimension": 128,
                "boundary": "soft",
                "pretraining_steps": 8750,
                "steps": 3750,
                "batch": 200,
                "rate": 1e-4,
                "width": 32,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "hidden": 32,
                "dimension": 16,
                "steps": 60,
                "batch": 16,
            },
        },
    )

    source: Annotated[str, OneOf("features", "pixels")] = "features"
    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)
    side: Annotated[Count, MultipleOf(LEAST_SIDE)] = 32
    width: Count = 32
    hidden: Count = 256
    dimension: Count = 64
    boundary: Annotated[str, OneOf("hard", "soft")] = "hard"
    nu: Share = 0.1
    pretraining_steps: Annotated[int, AtLeast(0)] = 0
    steps: Count = 1000
    batch: Count = 64
    rate: Annotated[float, Positive] = 1e-3
    weight_decay: Annotated[float, AtLeast(0)] = 1e-6

    def build(self, *, pretrained: bool) -> None:
        if self.source == "features":
            self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
            dimension = sum(self.features.channels)
            self.standardising = Standardising(dimension)
            self.network: nn.Module = unbiased_dense((dimension, self.hidden, self.dimension))
        else:
            self.network = UnbiasedEncoder(self.side, self.width, self.dimension)
        self.sphere = Hypersphere(self.dimension, nu=self.nu if self.boundary == "soft" else None)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        inputs = self._inputs(images, progress)
        seed = int(rng.integers(2**31))
        if self.pretraining_steps > 0:
            self._pretrain(inputs, seed, progress)
        self.sphere.place(self._outputs(inputs, training=True))
        network = nn.ModuleDict({"network": self.network, "sphere": self.sphere})

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            distances = self.sphere.distances(self.network(self._draw(inputs, draw)))
            return self.sphere.training_loss(distances, step / self.steps)

        train(
            network,
            torch.optim.Adam(self.network.parameters(), lr=self.rate, weight_decay=self.weight_decay),
            loss,
            steps=self.steps,
            seed=seed,
            schedule=cosine,
            checkpoint=self.checkpoint,
            progress=progress,
        )
        self.sphere.fit_radius(self.sphere.distances(self._outputs(inputs)))

    def _pretrain(self, inputs: Tensor, seed: int, progress: Progress) -> None:
        """Let the network and a decoder learn to rebuild the input."""
        both = nn.ModuleDict({"network": self.network, "decoder": VectorDecoder(self.dimension, inputs.shape[1:])})
        both.to(inputs.device)

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            given = self._draw(inputs, draw)
            error: Tensor = both["decoder"](self.network(given)) - given
            return error.square().mean()

        train(
            both,
            torch.optim.Adam(both.parameters(), lr=self.rate, weight_decay=self.weight_decay),
            loss,
            steps=self.pretraining_steps,
            seed=seed,
            schedule=cosine,
            checkpoint=self.checkpoint,
            stage="pre-training",
            progress=progress,
        )

    @torch.no_grad()
    def _inputs(self, images: Images, progress: Progress) -> Tensor:
        """What the network gets of every image; takes over mean and deviation of the features."""
        if self.source == "pixels":
            return torch.cat([self.describe(batch) for batch in self.batches(images, "images", progress)])
        found = torch.cat([self.describe(batch) for batch in self.batches(images, "features", progress)])
        learn_standardising([self.standardising], [[found]])
        inputs: Tensor = self.standardising(found)
        return inputs

    def _draw(self, inputs: Tensor, draw: np.random.Generator) -> Tensor:
        chosen = draw.choice(len(inputs), min(self.batch, len(inputs)), replace=False)
        return inputs[torch.from_numpy(chosen).to(inputs.device)]

    @torch.no_grad()
    def _outputs(self, inputs: Tensor, *, training: bool = False) -> Tensor:
        """What the network gives of all inputs (n, dimension); normalised as in training, or as in scoring."""
        self.network.train(training)
        return torch.cat([self.network(part) for part in torch.split(inputs, 256)])

    def statistic(self, batch: Tensor) -> Tensor:
        inputs = self.describe(batch)
        vectors = self.network(self.standardising(inputs) if self.source == "features" else inputs)
        return self.sphere.distances(vectors) - self.sphere.radius.square()

    def describe(self, batch: Tensor) -> Tensor:
        """Of a batch (N, 3, H, W) the averages of its features, (N, D); or its shrunk images, (N, 3, side, side)."""
        if self.source == "pixels":
            return contrast_normalised(shrunk(batch, self.side))
        return torch.cat([feature.mean(dim=(2, 3)) for feature in self.features(batch)], dim=1)
