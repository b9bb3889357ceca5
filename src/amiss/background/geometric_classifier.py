"""A small network that learns to tell how an image was transformed: what the methods on transformations share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amiss.background.transformations import Transformation, transformed
from amiss.background.unbiased import UnbiasedEncoder


class GeometricClassifier(nn.Module):
    """Three convolutions, a hidden layer and a logit for each of K transformations.

    Args:
        transformations: What it learns to tell.
        side: Height and width of the images, a multiple of 8.
        width: Channels of the first convolution.
        dimension: Numbers of the hidden layer.
    """

    def __init__(self, transformations: tuple[Transformation, ...], side: int, width: int, dimension: int) -> None:
        super().__init__()
        self.transformations = transformations
        self.encoder = UnbiasedEncoder(side, width, dimension)
        self.head = nn.Linear(dimension, len(transformations))

    def hidden(self, images: Tensor) -> Tensor:
        """The last hidden layer (N, dimension) of images (N, 3, side, side) as they are."""
        return F.leaky_relu(self.encoder(images), 0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K, K) of images (N, 3, side, side): how each of the transformations is taken."""
        shown = transformed(images, self.transformations)
        logits: Tensor = self.head(self.hidden(shown.flatten(0, 1)))
        return logits.reshape(*shown.shape[:2], logits.shape[1])

    def asked(self, shown: Tensor, count: int) -> Callable[[int, np.random.Generator], Tensor]:
        """The loss of a training step: cross-entropy of images drawn from (n, 3, side, side), in all transformations.

        Args:
            shown: The images.
            count: Images per step.
        """

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            chosen = torch.from_numpy(draw.integers(len(shown), size=count)).to(shown.device)
            logits = self(shown[chosen]).flatten(0, 1)
            return F.cross_entropy(logits, torch.arange(logits.shape[1]).repeat(count).to(logits.device))

        return loss
