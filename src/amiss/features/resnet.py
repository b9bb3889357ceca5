"""ResNets with torchvision's names of their parts: ResNet-18, -50 and -101, Wide ResNet-50-2 and -101-2.

He et al., "Deep residual learning for image recognition" (2016); Zagoruyko and Komodakis, "Wide residual networks"
(2016). Their weights come from a user's file, see `amiss.features.weight_file`.
"""

from __future__ import annotations

from torch import Tensor, nn

from amiss.features.backbone import NamedStage

LAYERS = {
    "resnet18": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "wide_resnet50_2": (3, 4, 6, 3),
    "wide_resnet101_2": (3, 4, 23, 3),
}
"""Blocks of each stage after the first."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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


def resnet_stages(architecture: str) -> tuple[NamedStage, ...]:
    """The five stages of one of `LAYERS`, with random weights."""
    bottleneck = architecture != "resnet18"
    expansion, widening = (4, 2 if architecture.startswith("wide") else 1) if bottleneck else (1, 1)
    stem = NamedStage(
        64, {"conv1": nn.Conv2d(3, 64, 7, 2, 3, bias=False), "bn1": nn.BatchNorm2d(64), "relu": nn.ReLU()}
    )
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
        stages.append(NamedStage(leaving, {"maxpool": nn.MaxPool2d(3, 2, 1), **parts} if number == 1 else parts))
    return tuple(stages)
