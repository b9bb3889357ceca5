"""What all open-set methods share: a classifier of the known classes, learned from labelled images.

A method on top of it is a statistic of the classifier's last features and logits.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.classifier import Augmentation, Head, SmallNetwork, class_loss, class_optimiser
from amiss.core.classes import class_numbers
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Between, Count, NotEmpty, OneOf, Positive, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, spreads
from amiss.features.patches import SPREADS
from amiss.features.pixels import held_pixels
from amiss.training import Loss, cosine, train

SHARE = Between(0, 1, "left")
"""A share of at least 0 and below 1."""


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "own": {"network": "own"},
    "paper": {
        "network": "own",
        "one_length": False,
        "dropout": 0.0,
        "widths": (64, 64, 128, 128),
        "steps": 40_000,
        "batch": 128,
    },
    "tiny": {
        "backbone": "tiny-random",
        "stages": (4, 8),
        "versions": 4,
        "steps": 300,
        "batch": 16,
        "learning_rate": 1e-2,
        "hidden": 32,
    },
}
"""Of the classifier, the same for every method, which may add settings of its own."""


class KnownClasses(Detector):
    """A classifier of labelled images. A method adds `strangeness`, and `keep` where that needs more than the logits.

    Its hyper-parameters are those of the classifier; each method's docstring says what they mean.
    """

    network: Annotated[str, OneOf("backbone", "own")] = "backbone"
    backbone: str = "efficientnet-lite0"
    stages: Stages = (4, 8, 16, 32)
    versions: Count = 4
    widths: Annotated[Sequence[Count], NotEmpty] = (16, 32, 64, 128)
    hidden: Annotated[int, AtLeast(0)] = 256
    one_length: bool = True
    dropout: Annotated[float, SHARE] = 0.5
    flips: bool = True
    quarter_turns: bool = True
    shift: Annotated[float, SHARE] = 0.03
    label_smoothing: Annotated[float, SHARE] = 0.0
    steps: Count = 1000
    batch: Count = 64
    learning_rate: Annotated[float, Positive] = 2e-3

    @abstractmethod
    def strangeness(self, last: Tensor, logits: Tensor) -> Tensor:
        """How unlike all classes images are, (N,), from their last features (N, D) and logits (N, K)."""

    def keep(self, last: Tensor, logits: Tensor, numbers: Tensor) -> None:
        """Take what the statistic needs from all images learned from: last features (n, D), logits (n, K) and their
        classes (n,)."""

    @property
    def augmentation(self) -> Augmentation:
        """How images are changed while learning."""
        return Augmentation(self.flips, self.quarter_turns, self.shift)

    def build(self, *, pretrained: bool) -> None:
        if self.network == "own":
            self.own = SmallNetwork(self.widths)
            dimension = self.own.dimension
        else:
            self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
            dimension = SPREADS * sum(self.features.channels)
        self.head = Head(dimension, len(self.classes), self.hidden, dropout=self.dropout, one_length=self.one_length)

    def statistic(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        last, logits = self.head(self.describe(batch))
        return self.strangeness(last, logits), logits.argmax(dim=1)

    def describe(self, batch: Tensor) -> Tensor:
        """One vector per image, (N, D), of a batch (N, 3, H, W)."""
        if self.network == "own":
            vectors: Tensor = self.own(batch)
            return vectors
        return torch.cat([spreads(feature) for feature in self.features(batch)], dim=1)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        numbers = torch.tensor(class_numbers(images.labels, self.classes)).to(self.device)
        learn = self._learn_own if self.network == "own" else self._learn_head
        vectors = learn(images, numbers, rng, progress)
        with torch.no_grad():
            last, logits = self.head(vectors)
            self.keep(last, logits, numbers)

    def _learn_own(self, images: Images, numbers: Tensor, rng: np.random.Generator, progress: Progress) -> Tensor:
        """The whole network from pixels; gives the vectors (n, D) of the images as they are."""
        module = nn.ModuleDict({"own": self.own, "head": self.head})
        with held_pixels(images, progress, device=self.device) as pixels:

            def loss(step: int, draw: np.random.Generator) -> Tensor:
                chosen = np.sort(draw.integers(len(images), size=self.batch))
                batch = self.augmentation(pixels.take(chosen), draw)
                return self._loss(self.describe(batch), numbers[torch.from_numpy(chosen).to(numbers.device)])

            self._train(module, loss, rng, progress)
        with torch.no_grad():
            return torch.cat([self.describe(batch) for batch in self.batches(images, "features", progress)])

    def _learn_head(self, images: Images, numbers: Tensor, rng: np.random.Generator, progress: Progress) -> Tensor:
        """The head, from features of each image in several versions, the first as it is; gives those (n, D)."""
        versions = torch.stack([self._features_of(number, images, rng, progress) for number in range(self.versions)])
        self.head.standardise(versions.flatten(0, 1))

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            shape = versions.shape[:2]
            which, chosen = (
                torch.from_numpy(draw.integers(most, size=self.batch)).to(versions.device) for most in shape
            )
            return self._loss(versions[which, chosen], numbers[chosen])

        self._train(self.head, loss, rng, progress)
        return versions[0]

    @torch.no_grad()
    def _features_of(self, number: int, images: Images, rng: np.random.Generator, progress: Progress) -> Tensor:
        batches = self.batches(images, f"features {number + 1} of {self.versions}", progress)
        return torch.cat([self.describe(batch if number == 0 else self.augmentation(batch, rng)) for batch in batches])

    def _loss(self, vectors: Tensor, numbers: Tensor) -> Tensor:
        return class_loss(self.head(vectors)[1], numbers, self.label_smoothing)

    def _train(self, module: nn.Module, loss: Loss, rng: np.random.Generator, progress: Progress) -> None:
        train(
            module,
            class_optimiser(module, self.learning_rate),
            loss,
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            clip=1.0,
            checkpoint=self.checkpoint,
            progress=progress,
        )
