"""`Student`: a network built like a frozen backbone, with weights of its own that are there to be trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from amiss.features.extractor import Stages

MOMENTUM = 0.1
"""How fast batch normalisation follows: some backbones are made for runs a hundred times as long as ours."""


class Student(Stages):
    """The architecture of a backbone with random weights, to be trained; it has never seen an image.

    Args:
        backbone: See `amiss.features.create_backbone`. Best the full name of a teacher, ``teacher.name``.
        strides: As the teacher's.

    Raises:
        InputError: Unknown backbone, or a stride it does not have.

    Example:
        >>> student = Student("tiny-random", strides=(4, 8))
        >>> [tuple(f.shape) for f in student(torch.zeros(1, 3, 64, 96))]
        [(1, 8, 16, 24), (1, 12, 8, 12)]
    """

    def __init__(self, backbone: str, strides: Sequence[int]) -> None:
        super().__init__(backbone, strides, pretrained=False)
        for module in self.modules():
            _draw(module)
        self.train()  # some backbones come in evaluation mode


@torch.no_grad()
def _draw(module: nn.Module) -> None:
    """Weights from torch's random state: some architectures come with fixed ones."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()
        module.momentum = MOMENTUM
