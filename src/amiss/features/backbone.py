"""`Backbone`: what every pretrained network looks like to the rest of Amiss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

RGB = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network cut where its feature maps halve; or a plain transformer, cut after each layer.

    Args:
        name: Full name, enough to build the same architecture again.
        stages: One module a stage; each takes the output of the one before, the first takes normalised RGB. Empty
            when there is a `network`.
        strides: Image pixels per feature cell of each stage; the layers of a plain transformer all have the same.
        channels: Channels of each stage.
        mean: Per-channel mean of the images the weights were trained with, in [0, 1].
        std: Their standard deviation.
        licence: Licence of the weights.
        displacements: For each stage, how many pixels below and right of where it answers a cell looks, negative for
            above and left; None where nobody knows before the weights have been tried.
        head: The rest of the network up to the class logits, or None.
        network: For a network that is not a chain of stages: takes the positions of the wanted stages, ascending, and
            makes one module, normalised RGB to a list of their maps. Weights are read then, not before.
    """

    name: str
    stages: tuple[nn.Module, ...] = ()
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    mean: RGB
    std: RGB
    licence: str
    displacements: tuple[float, ...] | None = None
    head: nn.Module | None = None
    network: Callable[[tuple[int, ...]], nn.Module] | None = None

    @property
    def levels(self) -> tuple[int, ...]:
        """What the stages are called: their strides; where all strides are one, the layers' numbers from 1."""
        plain = len(self.strides) > 1 and len(set(self.strides)) == 1
        return tuple(range(1, len(self.strides) + 1)) if plain else self.strides


class NamedStage(nn.Module):
    """A stage whose parts are called as in torchvision's state dicts.

    Args:
        out_channels: Channels that leave it.
        parts: In order, by the prefix of their tensors' names.
    """

    def __init__(self, out_channels: int, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.names = tuple(parts)
        self.parts = nn.Sequential(*parts.values())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        features: Tensor = self.parts(x)
        return features
