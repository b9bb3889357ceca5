"""A patch network is easier to train when each layer's output is normalised; afterwards that is part of the layer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from amiss.features.patch_network import PatchNetwork


def normalise(network: PatchNetwork) -> None:
    """Put a batch normalisation (Ioffe and Szegedy, 2015) between each convolution but the last and its ReLU.

    The last layer has none: its output is compared with targets that have a scale of their own.
    """
    device = next(network.parameters()).device
    widths = [layer.channels for layer in network.layers if layer.channels]
    for place, width in enumerate(widths[:-1]):
        # momentum None: the running moments are the mean of those of all batches
        network.norms[place] = nn.BatchNorm2d(width, momentum=None).to(device)


@torch.no_grad()
def fold(network: PatchNetwork, batches: Iterable[Tensor]) -> None:
    """Undo `normalise`: scale and shift become part of each convolution, by the moments over some batches.

    Those of the training itself are not used: the network was another one most of that time.

    Args:
        network: Leaves in evaluation mode.
        batches: Images as in the training, (N, 3, H, W) in [0, 1]; one at least.
    """
    network.train()
    norms = [norm for norm in network.norms if isinstance(norm, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
    for batch in batches:
        network(batch)
    network.eval()
    for place, norm in enumerate(norms):
        convolution = network.convolutions[place]
        if isinstance(convolution, nn.Conv2d):
            network.convolutions[place] = fuse_conv_bn_eval(convolution, norm)
        network.norms[place] = nn.Identity()
