"""Mean 0 and standard deviation 1 for each channel of a network's features, learned in one pass over normal images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from amiss.background.gaussian_field import GaussianField
from amiss.core.errors import InputError


class Standardising(nn.Module):
    """Gives each channel of normal features mean 0 and standard deviation 1, over all images and positions.

    Put in front of a flow or a student, it makes the units of the network not matter. Its numbers are fixed once
    learned, so that nothing depends on the size of a map or on what else is in it.

    Args:
        channels: C.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        shape = (-1, *(1,) * (x.ndim - 2))
        return (x - self.mean.view(shape)) / self.spread.view(shape)


def learn_standardising(stages: Iterable[nn.Module], batches: Iterable[Sequence[Tensor]]) -> None:
    """Set the `Standardising` of each stage in one pass over the features of the normal images.

    A channel that hardly varies keeps a spread of 3 % of the others', so that its noise is not blown up.

    Args:
        stages: One `Standardising` a stage.
        batches: Each one (N, C, h, w) per stage.

    Raises:
        InputError: Features that do not vary at all.

    Cost:
        C multiply-adds per position; sums of C numbers, whatever the number of images.
    """
    found = [stage for stage in stages if isinstance(stage, Standardising)]
    fields = [GaussianField(len(stage.mean), 1) for stage in found]  # a Gaussian per channel
    for batch in batches:
        for field, features in zip(fields, batch, strict=True):
            field.add(features.cpu().movedim(1, -1).flatten(0, -2)[:, :, None])  # (N h w, C, 1)
    for stage, field in zip(found, fields, strict=True):
        variance = field.variance()[:, 0]
        if not float(variance.mean()) > 0:
            raise InputError("normal images must differ a little, got images without any variation")
        stage.mean = field.mean[:, 0].float().to(stage.mean)
        stage.spread = (variance + 1e-3 * variance.mean()).sqrt().float().to(stage.spread)
