"""A backbone from a user's own weight file, in torchvision's key layout.

The file tells which network it is; its licence is the user's business and is written down as "user's file".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from amiss.core.checks import check_choice
from amiss.core.errors import InputError
from amiss.features.backbone import Backbone, NamedStage
from amiss.features.resnet import IMAGENET_MEAN, IMAGENET_STD, LAYERS, resnet_stages
from amiss.features.vgg import vgg16_stages

ARCHITECTURES = (*LAYERS, "vgg16")


def backbone_from_file(address: str, *, pretrained: bool) -> Backbone:
    """Build from ``PATH`` or ``PATH#architecture``; the file is read only when `pretrained`.

    Raises:
        InputError: The file is missing, unreadable, or holds another network.
    """
    path, _, architecture = address.partition("#")
    if not pretrained and not architecture:
        raise InputError(f"file:{path} must name its architecture where no file is read: file:{path}#ARCHITECTURE")
    if pretrained:
        weights = _read(Path(path))
        architecture = _recognise(weights, path)
    check_choice("architecture", architecture, ARCHITECTURES)
    stages = vgg16_stages() if architecture == "vgg16" else resnet_stages(architecture)
    if pretrained:
        _load(stages, weights, path)
    return Backbone(
        name=f"file:{path}#{architecture}",
        stages=stages,
        strides=(2, 4, 8, 16, 32),
        channels=tuple(stage.out_channels for stage in stages),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence="user's file",
        displacements=(0.0,) * 5 if architecture == "vgg16" else None,
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
        raise InputError(f"file:{path}: must be a plain dictionary of tensors, as torch.save(net.state_dict()) writes")
    return weights


def _recognise(weights: Mapping[str, Tensor], path: str) -> str:
    first = weights.get("layer1.0.conv1.weight")
    if first is not None and "conv1.weight" in weights:
        if "layer1.0.conv3.weight" not in weights:
            return "resnet18"
        depth = 101 if "layer3.6.conv1.weight" in weights else 50
        return f"wide_resnet{depth}_2" if first.shape[0] == 128 else f"resnet{depth}"
    convolution = weights.get("features.26.weight")  # in VGG-13, VGG-19 and those with batch normalisation it is none
    if convolution is not None and tuple(convolution.shape) == (512, 512, 3, 3):
        return "vgg16"
    raise InputError(f"file:{path}: no network in torchvision's key layout; known are {', '.join(ARCHITECTURES)}")


def _load(stages: tuple[NamedStage, ...], weights: Mapping[str, Tensor], path: str) -> None:
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
                raise InputError(f"file:{path}: a tensor has the wrong shape ({error})") from error
