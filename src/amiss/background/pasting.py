"""What a network learns by telling normal images from the same with a piece pasted, and a Gaussian of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.classifier import Head, class_loss
from amiss.background.gaussian import Gaussian, MahalanobisLayer
from amiss.core.errors import InputError
from amiss.synthesis.cutpaste import paste_patch, paste_scar

KINDS = 3
"""As it is, with a patch, with a scar."""

CHUNK = 4096
"""Vectors embedded at a time when the Gaussian is fitted."""


def spoilt(batch: Tensor, rng: np.random.Generator) -> list[tuple[Tensor, Tensor]]:
    """Images (N, 3, H, W) with a patch each, and with a scar each; with where it lies, (N, H, W): 1 inside."""
    images = batch.permute(0, 2, 3, 1).cpu().numpy()
    found = []
    for paste in (paste_patch, paste_scar):
        changed, masks = zip(*(paste(image, rng) for image in images), strict=True)
        pixels = torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).contiguous()
        found.append((pixels.to(batch), torch.from_numpy(np.stack(masks)).to(batch)))
    return found


class PastedEmbedding(nn.Module):
    """A hidden layer that tells normal vectors from those of pasted pieces, and a Gaussian of it on normal vectors.

    Args:
        dimension: D, of the vectors.
        hidden: E, numbers of the hidden layer.
        dropout: Share of the vectors' and of the layer's numbers that are set to 0 in training.
    """

    def __init__(self, dimension: int, hidden: int, *, dropout: float) -> None:
        super().__init__()
        self.head = Head(dimension, KINDS, hidden, dropout=dropout)
        self.gaussian = MahalanobisLayer(hidden)

    def forward(self, vectors: Tensor) -> Tensor:
        """Distances (N,) of vectors (N, D) from the normal ones, in the hidden layer."""
        distances: Tensor = self.gaussian(self.head(vectors)[0])
        return distances

    def told_apart(self, kinds: Sequence[Tensor], count: int) -> Callable[[int, np.random.Generator], Tensor]:
        """The loss of a training step: cross-entropy of vectors drawn from each kind. Standardises by the normal ones.

        Args:
            kinds: Vectors of normal images, of patches and of scars, (n, D) each.
            count: Vectors of each kind per step.

        Raises:
            InputError: Fewer than two normal vectors, or vectors that do not vary.
        """
        if len(kinds[0]) < 2:
            raise InputError(f"at least 2 normal images are needed to see how they vary, got {len(kinds[0])}")
        self.head.standardise(kinds[0])
        device = kinds[0].device
        numbers = torch.arange(KINDS).repeat_interleave(count).to(device)

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            drawn = [kind[torch.from_numpy(draw.integers(len(kind), size=count)).to(device)] for kind in kinds]
            return class_loss(self.head(torch.cat(drawn))[1], numbers, 0.0)

        return loss

    @torch.no_grad()
    def fit_gaussian(self, normal: Tensor) -> None:
        """The Gaussian of the trained layer on normal vectors (n, D).

        Raises:
            InputError: The layer does not vary.
        """
        gaussian = Gaussian(self.head.last)
        for chunk in torch.split(normal, CHUNK):
            gaussian.add(self.head(chunk)[0].cpu())
        self.gaussian.take(gaussian)
        self.gaussian.to(normal.device)
