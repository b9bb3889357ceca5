"""A normalised network trains as one with batch normalisation does, and then becomes a plain one that says the same."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from amiss.distillation.normalised import fold, normalise
from amiss.features.patch_network import PatchNetwork

NAMES = ["pdn-tiny", "pdn-xs", "students-tiny"]


def batches(count: int, side: int = 64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(4, 3, side, side, generator=generator) for _ in range(count)]


def network_of(name: str) -> PatchNetwork:
    """Normalised, with scales and shifts as after a training."""
    torch.manual_seed(3)
    network = PatchNetwork(name)
    normalise(network)
    for norm in network.norms:
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    return network


def by_hand(network: PatchNetwork, batch: torch.Tensor, moments: list[tuple] | None) -> tuple[torch.Tensor, list]:
    """The network with its normalisations, as a formula; by the moments given, or by those of the batch."""
    x, found, position = (batch - 0.5) / 0.25, [], 0
    for layer in network.layers:
        if not layer.channels:
            x = functional.avg_pool2d(x, 2) if network.pooling == "average" else functional.max_pool2d(x, 2)
            continue
        convolution = network.convolutions[position]
        x = functional.conv2d(x, convolution.weight, convolution.bias)
        if position < len(network.convolutions) - 1:
            norm = network.norms[position]
            over = x.transpose(0, 1).flatten(1)
            found.append((over.mean(1), over.var(1, unbiased=False), over.var(1)))
            mean, var = found[-1][:2] if moments is None else moments[position]
            x = (x - mean[:, None, None]) / (var[:, None, None] + norm.eps).sqrt()
            x = functional.leaky_relu(x * norm.weight[:, None, None] + norm.bias[:, None, None], network.slope)
        position += 1
    return x, found


@pytest.mark.parametrize("name", NAMES)
def test_training_normalises_each_layer_but_the_last(name: str) -> None:
    network = network_of(name).train()
    (batch,) = batches(1)
    with torch.no_grad():
        torch.testing.assert_close(network(batch), by_hand(network, batch, None)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_folded_network_says_what_the_mean_moments_give(name: str) -> None:
    network, images = network_of(name), batches(3)
    network.train()
    with torch.no_grad():
        network(10 * batches(1)[0])  # moments of the training, which are not to be used
        each = [by_hand(network, batch, None)[1] for batch in images]
        layers = zip(*each, strict=True)
        moments = [tuple(torch.stack([of[k] for of in layer]).mean(0) for k in (0, 2)) for layer in layers]
        wanted, _ = by_hand(network, images[0], moments)
        fold(network, images)
        torch.testing.assert_close(network(images[0]), wanted, rtol=1e-4, atol=1e-4)
    assert not network.training
    assert network.state_dict().keys() == PatchNetwork(name).state_dict().keys()
