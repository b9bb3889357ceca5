"""What a network makes of the border of an image, beyond which it sees nothing (decision 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F


class PaddedConv2d(nn.Conv2d):
    """A convolution that pads by different widths before (above, left) and after (below, right) the image."""

    sides: tuple[int, int, int, int] = (0, 0, 0, 0)
    mode = "constant"
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


def looks_beyond(network: nn.Module) -> bool:
    """Whether a network looks beyond the border of an image: one of its convolutions has windows that overlap.

    Example:
        >>> looks_beyond(nn.Conv2d(3, 8, 3, padding=1)), looks_beyond(nn.Conv2d(3, 8, 16, stride=16))
        (True, False)
    """
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return any(one.kernel_size[0] > int(one.stride[0]) for one in convolutions)


def repeat_inner(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps (N, C, h, w) whose outermost cells are replaced by their inner neighbours, where there are any.

    Example:
        >>> import torch
        >>> repeat_inner([torch.arange(4.0).expand(1, 1, 3, 4)])[0][0, 0, 0]
        tensor([1., 1., 2., 2.])
    """
    return [
        F.pad(one[:, :, 1:-1, 1:-1], (1, 1, 1, 1), mode="replicate") if min(one.shape[2:]) > 2 else one for one in maps
    ]
