"""What convolutions see beyond the border of an image: its outermost pixels again, not black.

Zeros there make the rim the strangest part of every image (decision 14).
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F


class PaddedConv2d(nn.Conv2d):
    """A convolution that pads by different widths before (above, left) and after (below, right) the image."""

    sides: tuple[int, int, int, int] = (0, 0, 0, 0)
    mode = "replicate"
    """Of `torch.nn.functional.pad`."""

    @classmethod
    def like(cls, other: nn.Conv2d, *, before: int, after: int) -> Self:
        """With the weights of another convolution, which are shared, not copied."""
        found = cls(
            other.in_channels,
            other.out_channels,
            kernel_size=(other.kernel_size[0], other.kernel_size[1]),
            stride=(other.stride[0], other.stride[1]),
            groups=other.groups,
            bias=other.bias is not None,
            device="meta",
        )
        found.weight, found.bias = other.weight, other.bias
        found.sides = (before, after, before, after)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        padded = F.pad(x, self.sides, mode=self.mode) if any(self.sides) else x
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def extend_borders(network: nn.Module) -> None:
    """Let every convolution of a network that pads with zeros repeat its outermost pixels instead, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and _pads(module):
            module.padding_mode = "replicate"


def _pads(convolution: nn.Conv2d) -> bool:
    return not isinstance(convolution.padding, str) and any(convolution.padding)
