"""A network that tells real images from made ones, and what it looks at."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Discriminator(nn.Module):
    """Strided convolutions to a map of features, and one number per image: how real it looks.

    Args:
        width: Channels of the first level; up to four times as many further in.
        levels: How often the image is halved.
        normalise: Batch normalisation after each level but the first. A critic whose gradient is penalised must do
            without: the penalty is for each image alone.

    Example:
        >>> network = Discriminator(8, levels=3, normalise=False)
        >>> tuple(network.features(torch.zeros(2, 3, 64, 64)).shape), tuple(network(torch.zeros(2, 3, 64, 64)).shape)
        ((2, 32, 8, 8), (2,))
    """

    def __init__(self, width: int, *, levels: int, normalise: bool) -> None:
        super().__init__()
        channels = [3, *(width * min(2**level, 4) for level in range(levels))]
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(channels)):
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1))
            if normalise and number > 0:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2))
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels[-1], 1, 1)

    def features(self, batch: Tensor) -> Tensor:
        """The last map (N, C, h, w) of images (N, 3, H, W)."""
        found: Tensor = self.body(batch)
        return found

    def forward(self, batch: Tensor) -> Tensor:
        """How real each image looks, (N,): the mean over all places, of any size and sign."""
        score: Tensor = self.head(self.features(batch)).mean(dim=(1, 2, 3))
        return score


def told_apart(real: Tensor, made: Tensor) -> Tensor:
    """Cross-entropy of a discriminator that should call one batch of scores real and the other made, a scalar."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(made).mean())


def gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """Mean of ``(|slope| - 1)^2`` at random points between real and made images (N, 3, H, W), a scalar.

    Source: Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, "Improved training of Wasserstein GANs", NeurIPS 2017.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * made).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    length = (slope.square().flatten(1).sum(dim=1) + 1e-12).sqrt()
    return (length - 1).square().mean()
