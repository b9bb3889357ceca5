"""A decoder that rebuilds a network's stages in reverse order, the deepest first, out of one small code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amiss.core.checks import check_count, check_real
from amiss.core.errors import InputError

Size = tuple[int, int]


def check_halving(strides: Sequence[int]) -> None:
    """Each stride must be twice the one before, so that one strided convolution leads from stage to stage.

    Raises:
        InputError: Other strides.
    """
    if any(after != 2 * before for before, after in pairwise(strides)):
        raise InputError(
            f"stages must each have twice the one before, such as (4, 8, 16) or (8, 16), got {tuple(strides)}"
        )


class ReverseDecoder(nn.Module):
    """Squeezes all stages of a network into one code and rebuilds each stage from the code alone.

    The bottleneck brings every stage onto the grid of the deepest one by strided 3x3 convolutions, puts them side by
    side and halves the grid once more while keeping only twice the deepest stage's channels. The decoder doubles the
    grid again stage by stage and returns a map of each stage's shape on its way. Trained on normal images, the code
    has room for what those need, and what is strange does not come through.

    Grids that are not whole multiples of each other are cut, or their last row and column repeated.

    Args:
        channels: Channels of each stage, finest first.
        width: Channels inside of a residual block, as a multiple of those that leave it.
        blocks: Residual blocks of the bottleneck and of each decoder stage, deepest first; the last number holds for
            all that follow.

    Raises:
        InputError: A number out of range, or more numbers of blocks than stages and bottleneck.

    Cost:
        In the decoder, a stage of C channels on h x w cells takes about ``9 (width C)^2 h w`` multiply-adds a block.

    Example:
        >>> decoder = ReverseDecoder((8, 12), width=1.0, blocks=(1,)).eval()
        >>> [tuple(one.shape) for one in decoder([torch.zeros(2, 8, 16, 25), torch.zeros(2, 12, 8, 12)])]
        [(2, 8, 16, 25), (2, 12, 8, 12)]
    """

    def __init__(self, channels: Sequence[int], *, width: float, blocks: Sequence[int]) -> None:
        super().__init__()
        counts = _check_blocks(blocks, len(channels) + 1)
        if check_real("width", width) <= 0:
            raise InputError(f"width must be a number above 0, got {width}")
        deepest = channels[-1]
        self.paths = nn.ModuleList(
            nn.ModuleList(_halve(before, after) for before, after in pairwise(channels[start:]))
            for start in range(len(channels))
        )
        self.squeeze = _stage(len(channels) * deepest, 2 * deepest, width, counts[0], step="down", signed=False)
        entering = [2 * deepest, *reversed(channels[1:])]
        self.grow = nn.ModuleList(
            _stage(before, after, width, count, step="up", signed=True)
            for before, after, count in zip(entering, reversed(channels), counts[1:], strict=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Stages (N, C, h, w), finest first, to maps of the same shapes, made from the code alone.

        Raises:
            InputError: Grids that do not halve from stage to stage.
        """
        x, rebuilt = self.encode(features), list[Tensor]()
        for stage, size in zip(self.grow, reversed(_sizes(features)), strict=True):
            x = _bring(stage(x), size)
            rebuilt.append(x)
        return rebuilt[::-1]

    def encode(self, features: Sequence[Tensor]) -> Tensor:
        """The code (N, 2 C, h, w) with the channels of the deepest stage and half of its grid, rounded up."""
        sizes = _sizes(features)
        fused = []
        for start, (x, path) in enumerate(zip(features, self.paths, strict=True)):
            for step, size in zip(cast(nn.ModuleList, path), sizes[start + 1 :], strict=True):
                x = _bring(step(x), size)
            fused.append(x)
        code: Tensor = self.squeeze(torch.cat(fused, dim=1))
        return code


def _check_blocks(blocks: Sequence[int], stages: int) -> list[int]:
    counts = [check_count("blocks", count) for count in blocks]
    if not 1 <= len(counts) <= stages:
        raise InputError(f"blocks must be 1 to {stages} numbers, such as (2,), got {tuple(blocks)}")
    return counts + counts[-1:] * (stages - len(counts))


def _sizes(features: Sequence[Tensor]) -> list[Size]:
    """Grids of the stages, finest first; each must be half the one before, up to rounding."""
    sizes = [(feature.shape[2], feature.shape[3]) for feature in features]
    for fine, coarse in pairwise(sizes):
        if any(abs(one - 2 * half) > 1 for one, half in zip(fine, coarse, strict=True)):
            raise InputError(f"feature maps must halve from stage to stage, got {fine} and then {coarse} cells")
    return sizes


def _bring(x: Tensor, size: Size) -> Tensor:
    """Cut to a size, or repeat the last row and column until it is reached."""
    missing = [max(0, wanted - found) for wanted, found in zip(size, x.shape[2:], strict=True)]
    if any(missing):
        x = F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate")
    return x[:, :, : size[0], : size[1]]


def _halve(entering: int, leaving: int) -> nn.Module:
    conv = nn.Conv2d(entering, leaving, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(leaving), nn.ReLU())


def _stage(entering: int, leaving: int, width: float, count: int, *, step: str, signed: bool) -> nn.Sequential:
    """Residual blocks, the first of which doubles or halves the grid; `signed`: the last ends without a ReLU."""
    blocks = [_Block(entering, leaving, width, step=step, signed=signed and count == 1)]
    for number in range(1, count):
        blocks.append(_Block(leaving, leaving, width, step="", signed=signed and number == count - 1))
    return nn.Sequential(*blocks)


class _Block(nn.Module):
    """Residual block of 1x1, 3x3 and 1x1 convolutions; with a step "down" or "up", a strided one in the middle."""

    def __init__(self, entering: int, leaving: int, width: float, *, step: str, signed: bool) -> None:
        super().__init__()
        inner = max(1, round(width * leaving))
        self.branch = nn.Sequential(
            nn.Conv2d(entering, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            _middle(inner, step),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, leaving, 1, bias=False),
            nn.BatchNorm2d(leaving),
        )
        self.shortcut = nn.Sequential(_shortcut(entering, leaving, step), nn.BatchNorm2d(leaving)) if step else None
        self.end = nn.Identity() if signed else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.end(self.branch(x) + (x if self.shortcut is None else self.shortcut(x)))
        return y


def _middle(channels: int, step: str) -> nn.Module:
    if step == "up":
        return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
    return nn.Conv2d(channels, channels, 3, stride=2 if step == "down" else 1, padding=1, bias=False)


def _shortcut(entering: int, leaving: int, step: str) -> nn.Module:
    if step == "up":
        return nn.ConvTranspose2d(entering, leaving, 2, stride=2, bias=False)
    return nn.Conv2d(entering, leaving, 1, stride=2, bias=False)
