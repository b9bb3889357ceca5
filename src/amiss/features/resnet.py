"""ResNets from a user's own weight file, in torchvision's key layout: ResNet-18, ResNet-50, Wide ResNet-50-2.

He et al., "Deep residual learning for image recognition" (2016); Zagoruyko and Komodakis, "Wide residual networks"
(2016). The file tells which one it is; its licence is the user's business and is written down as "user's file".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from amiss.core.checks import check_choice
from amiss.core.errors import InputError
from amiss.features.backbone import Backbone

LAYERS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "wide_resnet50_2": (3, 4, 6, 3)}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resnet_from_file(address: str, *, pretrained: bool) -> Backbone:
    """Build from ``PATH`` or ``PATH#architecture``; the file is read only when `pretrained`.

    Raises:
        InputError: The file is missing, unreadable, or holds another network.
    """
    path, _, architecture = address.partition("#")
    if pretrained or not architecture:
        weights = _read(Path(path))
        architecture = _recognise(weights, path)
    check_choice("architecture", architecture, LAYERS)
    stages = _resnet(architecture)
    if pretrained:
        _load(stages, weights, path)
    channels = tuple(stage.out_channels for stage in stages)
    return Backbone(
        name=f"file:{path}#{architecture}",
        stages=stages,
        strides=(2, 4, 8, 16, 32),
        channels=channels,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence="user's file",
    )


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"file:{path}: no such file; give the path of a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # many kinds, all of them mean the same to the user
        raise InputError(f"file:{path}: not a safetensors file or a plain dictionary of tensors ({error})") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(
            f"file:{path}: a plain dictionary of tensors is expected, as torch.save(net.state_dict()) writes"
        )
    return weights


def _recognise(weights: Mapping[str, Tensor], path: str) -> str:
    first = weights.get("layer1.0.conv1.weight")
    if first is not None and "conv1.weight" in weights:
        if "layer1.0.conv3.weight" not in weights:
            return "resnet18"
        return "wide_resnet50_2" if first.shape[0] == 128 else "resnet50"
    raise InputError(f"file:{path}: no ResNet in torchvision's key layout; known are {', '.join(LAYERS)}")


class _Stage(nn.Module):
    """A named part of a ResNet; `names` are the prefixes of its children in torchvision's layout."""

    def __init__(self, out_channels: int, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.names = tuple(parts)
        self.parts = nn.Sequential(*parts.values())

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.parts(x)
        return features


class _Block(nn.Module):
    """Residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 with an expansion of 4 (a bottleneck)."""

    def __init__(self, entering: int, width: int, leaving: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        kernels = (
            ((1, 1, width), (3, stride, width), (1, 1, leaving))
            if bottleneck
            else ((3, stride, leaving), (3, 1, leaving))
        )
        channels = entering
        for number, (kernel, step, out) in enumerate(kernels, start=1):
            conv = nn.Conv2d(channels, out, kernel, step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(out))
            channels = out
        self.depth = len(kernels)
        self.downsample: nn.Module | None = None
        if stride != 1 or entering != leaving:
            self.downsample = nn.Sequential(
                nn.Conv2d(entering, leaving, 1, stride, bias=False), nn.BatchNorm2d(leaving)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.depth + 1):
            y = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(y))
            if number < self.depth:
                y = y.relu()
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def _resnet(architecture: str) -> tuple[_Stage, ...]:
    bottleneck = architecture != "resnet18"
    expansion, widening = (4, 2 if architecture.startswith("wide") else 1) if bottleneck else (1, 1)
    stem = _Stage(64, {"conv1": nn.Conv2d(3, 64, 7, 2, 3, bias=False), "bn1": nn.BatchNorm2d(64), "relu": nn.ReLU()})
    stages, channels = [stem], 64
    for number, count in enumerate(LAYERS[architecture], start=1):
        planes = 64 * 2 ** (number - 1)
        width, leaving = planes * widening, planes * expansion
        blocks = []
        for position in range(count):
            stride = 2 if number > 1 and position == 0 else 1
            blocks.append(_Block(channels, width, leaving, stride, bottleneck=bottleneck))
            channels = leaving
        parts: dict[str, nn.Module] = {f"layer{number}": nn.Sequential(*blocks)}
        stages.append(_Stage(leaving, {"maxpool": nn.MaxPool2d(3, 2, 1), **parts} if number == 1 else parts))
    return tuple(stages)


def _load(stages: tuple[_Stage, ...], weights: Mapping[str, Tensor], path: str) -> None:
    """Copy the tensors by torchvision's names; the classifier's are left out."""
    for stage in stages:
        for name, part in zip(stage.names, stage.parts, strict=True):
            wanted = part.state_dict()
            found = {key: weights[f"{name}.{key}"] for key in wanted if f"{name}.{key}" in weights}
            missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
            if missing:
                raise InputError(f"file:{path}: {len(missing)} tensors are missing, the first is {name}.{missing[0]}")
            try:
                part.load_state_dict(found, strict=False)
            except RuntimeError as error:
                raise InputError(f"file:{path}: a tensor has another shape than expected ({error})") from error
