"""How quick this machine is just now: a fixed piece of work, by which times of other work become ratios."""

from __future__ import annotations

import time
from statistics import median


def yardstick() -> float:
    """CPU seconds of five gradient steps of a small convolutional network on 8 images of 32 x 32: median of five."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
        network, images = nn.Sequential(*layers), torch.rand(8, 3, 32, 32)
    taken = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(5):
            network(images).square().mean().backward()
        taken.append(time.process_time() - start)
    return median(taken)
