"""`FeatureExtractor`: a frozen backbone that returns some of its feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from amiss.core.checks import check_choice
from amiss.core.errors import InputError
from amiss.features.backbone import Backbone
from amiss.features.borders import looks_beyond, repeat_inner
from amiss.features.cache import weights_digest
from amiss.features.displacement import bring_back, measure_displacements
from amiss.features.efficientnet_lite import NAMES, efficientnet_lite
from amiss.features.tiny import tiny_random
from amiss.features.weight_file import backbone_from_file
from amiss.statistics.reduce import resized

GEOMETRY = 4
"""Number of the way in which features are computed: another one where padding, enlarging or placing change."""

LIBRARIES = {
    "amiss": "",
    "torch": "",
    "onnxruntime": "",
    "efficientnet-lite-pytorch": "efficientnet",
    "timm": "timm:",
    "transformers": "hf:",
}
"""What computes features, by the names of the backbones that need it."""


class Runner(Protocol):
    """What stands in for torch in a `FeatureExtractor`."""

    def takes(self, batch: Tensor) -> bool:
        """Whether this is a batch for it."""
        ...

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Feature maps, one (N, C, h, w) per stage."""
        ...


def create_backbone(name: str, *, pretrained: bool = True) -> Backbone:
    """The backbone with this name.

    Args:
        name: "efficientnet-lite0", "-lite1", "-lite2", "tiny-random", or "file:PATH" with the user's own ResNet-18,
            ResNet-50, Wide ResNet-50-2 or VGG-16 weights (safetensors, or .pth); "timm:NAME", "timm:NAME@PATH",
            "hf:NAME" or "hf:FOLDER", see docs/backbones.md.
        pretrained: False leaves the weights random, to be overwritten; no file is read then.

    Raises:
        InputError: Unknown name, or a file that does not hold such a network.
        MissingExtraError: The package with the weights, or the library that knows the network, is not installed.
    """
    if name.startswith("timm:"):
        from amiss.features.timm_models import timm_backbone

        return timm_backbone(name.removeprefix("timm:"), pretrained=pretrained)
    if name.startswith("hf:"):
        from amiss.features.hf_models import hf_backbone

        return hf_backbone(name.removeprefix("hf:"), pretrained=pretrained)
    if name.startswith("file:"):
        return backbone_from_file(name.removeprefix("file:"), pretrained=pretrained)
    check_choice("backbone", name, [*NAMES, "tiny-random", "file:PATH", "timm:NAME", "hf:NAME"])
    return tiny_random() if name == "tiny-random" else efficientnet_lite(name, pretrained=pretrained)


class Stages(nn.Module):
    """A backbone up to the deepest stage that is asked for, with weights that training may change.

    What `FeatureExtractor` freezes and `amiss.features.student.Student` trains; arguments and attributes as there.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: str, strides: Sequence[int], *, pretrained: bool = True) -> None:
        super().__init__()
        found = create_backbone(backbone, pretrained=pretrained)
        self.strides = tuple(strides)
        levels = found.levels
        if not self.strides or list(self.strides) != sorted(set(self.strides)) or not set(self.strides) <= set(levels):
            kind = "strides" if levels == found.strides else f"layers (all of stride {found.strides[0]})"
            raise InputError(f"stages must be ascending {kind} out of {levels}, got {self.strides}")
        positions = tuple(levels.index(level) for level in self.strides)
        keep = positions[-1] + 1
        self.name, self.licence = found.name, found.licence
        self.channels = tuple(found.channels[position] for position in positions)
        self.cells = tuple(found.strides[position] for position in positions)
        self.network = None if found.network is None else found.network(positions)
        self.stages = nn.ModuleList(found.stages[:keep])
        self._beyond = looks_beyond(self)
        self._returned = tuple(position in positions for position in range(len(self.stages)))
        self.register_buffer("mean", torch.tensor(found.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(found.std).view(1, 3, 1, 1), persistent=False)
        self.displacements = (0.0,) * len(positions)
        if found.displacements is not None:
            self.displacements = tuple(found.displacements[position] for position in positions)
        elif pretrained:
            self.displacements = measure_displacements(self.eval()._maps, self.cells)

    def forward(self, batch: Tensor) -> list[Tensor]:
        """Feature maps of a batch (N, 3, H, W) in [0, 1]: one (N, C, h, w) per stage.

        h is H / stride; when that is not a whole number, the image is enlarged to whole cells of the coarsest stage's
        cells first. So cell (i, j) looks at the pixel at ((i + 1/2) H / h, (j + 1/2) W / w), whatever the size. The
        outermost cells of networks that look beyond the border are those beside them.
        """
        maps = self._maps(whole_cells(batch, self.cells[-1]))
        placed = zip(maps, self.displacements, self.cells, strict=True)
        maps = [bring_back(feature, displacement, cell) for feature, displacement, cell in placed]
        return repeat_inner(maps) if self._beyond else maps

    def _maps(self, batch: Tensor) -> list[Tensor]:
        """The network's own maps, wherever they look."""
        x = (batch - self.mean) / self.std
        if self.network is not None:
            return list(self.network(x))
        features = []
        for stage, returned in zip(self.stages, self._returned, strict=True):
            x = stage(x)
            if returned:
                features.append(x)
        return features

    def get_extra_state(self) -> Tensor:
        """The displacements, which a network of another library only shows when its weights are there."""
        return torch.tensor(self.displacements)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over saved displacements."""
        self.displacements = tuple(float(number) for number in state)


def whole_cells(batch: Tensor, cell: int) -> Tensor:
    """Images (N, C, H, W), enlarged where a side is not a multiple of `cell` pixels to the next one."""
    height, width = (-(-side // cell) * cell for side in batch.shape[2:])
    return resized(batch, (height, width))


class FeatureExtractor(Stages):
    """A frozen backbone up to the deepest stage that is asked for.

    Args:
        backbone: See `create_backbone`.
        strides: Stages to return, by their stride in image pixels, ascending: some of 2, 4, 8, 16, 32. Of a plain
            transformer, whose layers all have one stride: by the layer's number, from 1.
        pretrained: See `create_backbone`.

    Attributes:
        name: Full name of the backbone, enough to build it again.
        strides: As asked for.
        channels: Channels of each returned stage.
        cells: Width of a cell of each returned stage, in image pixels.
        displacements: How far each stage's own answers lie below and right of what they answer to, in image pixels;
            `forward` brings them back.
        licence: Licence of the weights.

    Raises:
        InputError: Unknown backbone, or a stride it does not have.

    Example:
        >>> extractor = FeatureExtractor("tiny-random", strides=(4, 8))
        >>> [tuple(f.shape) for f in extractor(torch.zeros(1, 3, 64, 96))]
        [(1, 8, 16, 24), (1, 12, 8, 12)]
    """

    run: Runner | None = None
    """Stands in for torch where it can; see `amiss.features.on_runtime`."""

    def __init__(self, backbone: str, strides: Sequence[int], *, pretrained: bool = True) -> None:
        super().__init__(backbone, strides, pretrained=pretrained)
        self.requires_grad_(False)
        self.eval()

    def forward(self, batch: Tensor) -> list[Tensor]:
        """As of `Stages`; from ONNX Runtime where it stands in for torch."""
        if self.run is not None and self.run.takes(batch):
            return self.run(batch)
        return super().forward(batch)

    def key(self) -> str:
        """What tells this extractor's features from any other's, for `amiss.features.cache`.

        Name, stages and weights, where its answers stand, and the versions of the code that computes them.
        """
        code = {name: version(name) for name, start in LIBRARIES.items() if self.name.startswith(start)}
        return f"{self.name} {self.strides} {self.displacements} {GEOMETRY} {code} {weights_digest(self)}"

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: a frozen network has nothing to train."""
        return super().train(False)
