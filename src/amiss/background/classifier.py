"""A classifier of whole images: vectors from a frozen network or a small one of its own, and a head that tells classes.

What makes it good is its training: images turned, flipped and shifted, a rate that falls along a cosine, and labels
that may be smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from amiss.core.errors import InputError

WEIGHT_DECAY = 1e-2
"""Of AdamW, on all weights."""

SPREAD = 1e-3
"""Least deviation of a number that is standardised, as a share of the largest."""


@dataclass(frozen=True)
class Augmentation:
    """How images are changed so that a classifier does not learn where they happen to lie.

    Args:
        flips: Left and right are swapped in half of them.
        quarter_turns: Turned by 0, 90, 180 or 270 degrees; images that are not square by 0 or 180.
        shift: Moved by up to this share of their sides, the border repeated.
    """

    flips: bool
    quarter_turns: bool
    shift: float

    def __call__(self, batch: Tensor, rng: np.random.Generator) -> Tensor:
        """Each image of a batch (N, C, H, W), changed in its own way; of the same size."""
        count, (height, width) = len(batch), batch.shape[2:]
        turns = rng.integers(4, size=count) if self.quarter_turns else np.zeros(count, int)
        turns = turns if height == width else turns // 2 * 2
        flipped = rng.random(count) < 0.5 if self.flips else np.zeros(count, bool)
        down, right = round(self.shift * height), round(self.shift * width)
        tops, lefts = rng.integers(2 * down + 1, size=count), rng.integers(2 * right + 1, size=count)
        padded = functional.pad(batch, (right, right, down, down), mode="replicate") if down or right else batch
        changed = []
        for number in range(count):
            top, left = int(tops[number]), int(lefts[number])
            image = padded[number, :, top : top + height, left : left + width]
            image = torch.rot90(image, int(turns[number]), (1, 2))
            changed.append(image.flip(2) if flipped[number] else image)
        return torch.stack(changed)


class SmallNetwork(nn.Module):
    """Images to one vector each: convolutions with halvings between them, and the mean and maximum over all positions.

    Args:
        widths: Channels of each stage; between two the map is halved.

    Example:
        >>> network = SmallNetwork((8, 16)).eval()
        >>> network(torch.zeros(2, 3, 32, 48)).shape, network.dimension
        (torch.Size([2, 32]), 32)
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            for before, width in pairwise((3, *widths))
        )
        self.dimension = 2 * widths[-1]

    @property
    def least(self) -> int:
        """Side of the smallest image of which something is left after the halvings."""
        return int(2 ** (len(self.stages) - 1))

    def forward(self, batch: Tensor) -> Tensor:
        """Vectors (N, dimension) of images (N, 3, H, W).

        Raises:
            InputError: Images of which nothing is left after the halvings.
        """
        if min(batch.shape[2:]) < self.least:
            raise InputError(f"images must have sides of at least {self.least} pixels, got {tuple(batch.shape[2:])}")
        x = 2 * batch - 1
        for number, stage in enumerate(self.stages):
            x = stage(x if number == 0 else functional.max_pool2d(x, 2))
        return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)


class Head(nn.Module):
    """Vectors to logits, one number per class: standardised, through a hidden layer or none, and linear.

    Args:
        dimension: D, of the vectors.
        classes: K.
        hidden: Numbers of the hidden layer; 0 for none.
        dropout: Share of the standardised numbers, and of the hidden layer's, that are set to 0 in training.
        one_length: Whether standardised vectors are brought to one length, the root of D: a logit is linear, and would
            be the larger the farther an image lies from all others.

    Example:
        >>> head = Head(5, 3, hidden=8).eval()
        >>> last, logits = head(torch.zeros(2, 5))
        >>> last.shape, logits.shape
        (torch.Size([2, 8]), torch.Size([2, 3]))
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, dimension: int, classes: int, hidden: int = 0, *, dropout: float = 0.0, one_length: bool = False
    ) -> None:
        super().__init__()
        self.dropout, self.one_length = nn.Dropout(dropout), one_length
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))
        self.hidden = nn.Linear(dimension, hidden) if hidden else None
        self.last = hidden or dimension
        self.linear = nn.Linear(self.last, classes)

    def standardise(self, vectors: Tensor) -> None:
        """From now on, bring each number of a vector to mean 0 and deviation 1 over these vectors (n, D).

        Raises:
            InputError: They do not vary.
        """
        deviation = vectors.std(dim=0)
        largest = float(deviation.max())
        if not largest > 0:
            raise InputError(f"the features of {len(vectors)} images do not vary; give images that differ")
        self.mean = vectors.mean(dim=0)
        self.deviation = deviation.clamp_min(SPREAD * largest)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Last features (N, last) and logits (N, K) of vectors (N, D)."""
        x = (vectors - self.mean) / self.deviation
        if self.one_length:
            x = functional.normalize(x, dim=1) * math.sqrt(x.shape[1])
        if self.hidden is not None:
            x = functional.relu(self.hidden(self.dropout(x)))
        return x, self.linear(self.dropout(x))


def class_loss(logits: Tensor, numbers: Tensor, label_smoothing: float) -> Tensor:
    """Mean cross-entropy of logits (N, K) with the classes (N,), of which a share is spread over all classes."""
    return functional.cross_entropy(logits, numbers, label_smoothing=label_smoothing)


def class_optimiser(module: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW over all that learns."""
    return torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY)
