"""`Backbone`: what every pretrained network looks like to the rest of Amiss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

RGB = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A convolutional network cut where its feature maps halve.

    Args:
        name: Full name, enough to build the same architecture again.
        stages: One module a stage; each takes the output of the one before, the first takes normalised RGB.
        strides: Image pixels per feature cell of each stage.
        channels: Channels of each stage.
        mean: Per-channel mean of the pictures the weights were trained with, in [0, 1].
        std: Their standard deviation.
        licence: Licence of the weights.
        head: The rest of the network up to the class logits, or None.
    """

    name: str
    stages: tuple[nn.Module, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    mean: RGB
    std: RGB
    licence: str
    head: nn.Module | None = None
