"""Networks that describe every patch of p x p pixels: the teachers and students of the student-teacher family.

No layer pads, so a descriptor depends on its patch alone. Between the poolings the patches overlap; the plain forward
pass describes one patch every `stride` pixels, the dense one the patch around every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from amiss.core.checks import check_choice
from amiss.core.errors import InputError


@dataclass(frozen=True)
class Layer:
    """A convolution without padding, or, with `channels` 0, a 2 x 2 pooling of stride 2."""

    kernel: int
    channels: int = 0


@dataclass(frozen=True)
class Architecture:
    """Layers of a patch network; after each convolution but the last stands a (leaky) ReLU.

    Args:
        layers: In order.
        pooling: "max" or "average".
        slope: Slope of the ReLU below zero.
        ending: Layers at the end that are as wide as the descriptor.
    """

    layers: tuple[Layer, ...]
    pooling: str
    slope: float = 0.0
    ending: int = 1


POOL = Layer(2)


def _pdn(*layers: Layer, ending: int = 1) -> Architecture:
    return Architecture(layers, "average", ending=ending)


def _students(*layers: Layer) -> Architecture:
    return Architecture(layers, "max", slope=0.005)


ARCHITECTURES = {
    "pdn-xs": _pdn(Layer(4, 32), POOL, Layer(4, 64), POOL, Layer(3, 128), Layer(4, 48)),
    "pdn-s": _pdn(Layer(4, 128), POOL, Layer(4, 256), POOL, Layer(3, 256), Layer(4, 384)),
    "pdn-m": _pdn(
        Layer(4, 256), POOL, Layer(4, 512), POOL, Layer(1, 512), Layer(3, 512), Layer(4, 384), Layer(1, 384), ending=2
    ),
    "students-17": _students(Layer(6, 128), Layer(5, 256), Layer(5, 256), Layer(4, 128)),
    "students-33": _students(Layer(5, 128), POOL, Layer(5, 256), POOL, Layer(2, 256), Layer(4, 128)),
    "students-65": _students(
        Layer(5, 128), POOL, Layer(5, 128), POOL, Layer(5, 128), POOL, Layer(4, 256), Layer(1, 128)
    ),
    "students-17-xs": _students(Layer(6, 64), Layer(5, 64), Layer(5, 64), Layer(4, 64)),
    "students-33-xs": _students(Layer(5, 64), POOL, Layer(5, 128), POOL, Layer(2, 128), Layer(4, 64)),
    "students-65-xs": _students(
        Layer(5, 64), POOL, Layer(5, 64), POOL, Layer(5, 64), POOL, Layer(4, 128), Layer(1, 64)
    ),
    "pdn-tiny": _pdn(Layer(4, 8), POOL, Layer(4, 12), POOL, Layer(3, 16)),
    "students-tiny": _students(Layer(5, 8), POOL, Layer(4, 12), Layer(3, 16)),
}
"""By name: EfficientAD's two (pdn-s, pdn-m), the three of Uninformed Students, our narrower ones (-xs), two for tests.

The number in the students' names is the published width of the patches. Poolings drop a last odd row, so the networks
look at 17, 32 and 60 pixels of them.
"""

MEAN, STD = 0.5, 0.25
"""What pixels in [0, 1] are normalised by."""

ALL = slice(None)


class PatchNetwork(nn.Module):
    """One network of `ARCHITECTURES`.

    Args:
        name: Name of the architecture.
        channels: Numbers a descriptor has; None for the architecture's own.

    Attributes:
        channels: As above.
        norms: What stands between a convolution and its ReLU: nothing, but while a teacher is made.
        patch: Width p of the patches, in pixels.
        stride: Pixels from one descriptor to the next in the plain forward pass.

    Raises:
        InputError: An unknown name.

    Cost:
        Dense evaluation costs stride^2 times the plain one.

    Example:
        >>> import torch
        >>> network = PatchNetwork("students-33-xs")
        >>> network.patch, network.stride, tuple(network(torch.zeros(1, 3, 64, 96)).shape)
        (32, 4, (1, 64, 9, 17))
        >>> tuple(network.dense(torch.zeros(1, 3, 64, 96)).shape)
        (1, 64, 64, 96)
    """

    def __init__(self, name: str, channels: int | None = None) -> None:
        super().__init__()
        architecture = ARCHITECTURES[check_choice("architecture", name, list(ARCHITECTURES))]
        layers = list(architecture.layers)
        if channels is not None:
            ending = layers[-architecture.ending :]
            layers[-len(ending) :] = [Layer(layer.kernel, channels) for layer in ending]
        self.layers, self.channels = tuple(layers), layers[-1].channels
        self.patch, self.stride = receptive_field(layers)
        self.slope, self.pooling = architecture.slope, architecture.pooling
        widths = [3, *(layer.channels for layer in layers if layer.channels)]
        kernels = [layer.kernel for layer in layers if layer.channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(entering, leaving, kernel)
            for entering, leaving, kernel in zip(widths, widths[1:], kernels, strict=False)
        )
        self.norms = nn.ModuleList(nn.Identity() for _ in kernels[:-1])

    def forward(self, batch: Tensor, channels: slice = ALL) -> Tensor:
        """Descriptors (N, C, h, w) of the patches that lie whole in a batch, one every `stride` pixels.

        Args:
            batch: (N, 3, H, W) in [0, 1].
            channels: Those of the C numbers that are wanted; the last layer computes no others.

        Raises:
            InputError: An image smaller than a patch.
        """
        return self._run((batch - MEAN) / STD, dense=False, channels=channels)

    def dense(self, batch: Tensor) -> Tensor:
        """Descriptors (N, C, H, W) of the patches around every pixel; beyond the border the image is grey.

        Equal to the forward pass over every patch by itself: poolings keep every pixel, and what comes after them
        is dilated instead.
        """
        before, after = self.patch // 2, (self.patch - 1) // 2
        return self.every_patch(functional.pad(batch, (before, after, before, after), value=MEAN))

    def every_patch(self, batch: Tensor) -> Tensor:
        """Descriptors (N, C, H - p + 1, W - p + 1) of the patches that lie whole in a batch, one every pixel."""
        return self._run((batch - MEAN) / STD, dense=True)

    def _run(self, x: Tensor, *, dense: bool, channels: slice = ALL) -> Tensor:
        height, width = x.shape[2:]
        if min(height, width) < self.patch:
            raise InputError(f"images must be at least {self.patch} x {self.patch} pixels, got {height} x {width}")
        dilation, norms = 1, iter(self.norms)
        convolutions = (layer for layer in self.convolutions if isinstance(layer, nn.Conv2d))
        for position, layer in enumerate(self.layers, start=1):
            if not layer.channels and dense:
                x = _dilated_pool(x, dilation, self.pooling)
                dilation *= 2
                continue
            if not layer.channels:
                x = functional.max_pool2d(x, 2) if self.pooling == "max" else functional.avg_pool2d(x, 2)
                continue
            convolution, last = next(convolutions), position == len(self.layers)
            weight, bias = convolution.weight, convolution.bias
            if last and channels != ALL:
                weight, bias = weight[channels], None if bias is None else bias[channels]
            x = functional.conv2d(x, weight, bias, dilation=dilation)
            if not last:
                x = next(norms)(x)
                x = functional.leaky_relu(x, self.slope) if self.slope else functional.relu(x)
        return x


def _dilated_pool(x: Tensor, dilation: int, pooling: str) -> Tensor:
    """2 x 2 pooling of stride 1 whose taps lie `dilation` apart."""
    if pooling == "max":
        return functional.max_pool2d(x, 2, stride=1, dilation=dilation)
    rows = x[:, :, dilation:] + x[:, :, :-dilation]
    return 0.25 * (rows[:, :, :, dilation:] + rows[:, :, :, :-dilation])


def receptive_field(layers: Sequence[Layer]) -> tuple[int, int]:
    """Width of the patch that one output sees, and pixels between two outputs.

    Example:
        >>> receptive_field([Layer(5, 8), POOL, Layer(3, 8)])
        (10, 2)
    """
    patch, stride = 1, 1
    for layer in layers:
        patch += (layer.kernel - 1) * stride
        stride *= 1 if layer.channels else 2
    return patch, stride
