"""A tiny network with random weights that never change: for tests, and as the baseline that a backbone must beat."""

from __future__ import annotations

import torch
from torch import nn

from amiss.features.backbone import Backbone

CHANNELS = (8, 8, 12, 16, 16)


def tiny_random() -> Backbone:
    """Five strided 3x3 convolutions with weights drawn from a fixed seed; 4,000 parameters."""
    generator = torch.Generator().manual_seed(0)
    stages, entering = [], 3
    for leaving in CHANNELS:
        conv = nn.Conv2d(entering, leaving, 3, stride=2, padding=1, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator) * (2 / (9 * entering)) ** 0.5)
        stages.append(nn.Sequential(conv, nn.LeakyReLU(0.1)))
        entering = leaving
    return Backbone(
        name="tiny-random",
        stages=tuple(stages),
        strides=(2, 4, 8, 16, 32),
        channels=CHANNELS,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        licence="none",
        displacements=(1.0, 2.0, 4.0, 8.0, 16.0),  # measured; symmetric weights would give 0.5, 1.5, 3.5, 7.5, 15.5
    )
