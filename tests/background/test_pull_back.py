"""Slopes written by hand against torch's autograd."""

import pytest
import torch
from torch import nn

from amiss.background.discriminator import Discriminator
from amiss.background.generator import Generator
from amiss.background.pull_back import forward_kept, pull_back


def ready(layers: nn.Sequential) -> nn.Sequential:
    """In evaluation mode, with statistics that are not those of the start."""
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                nn.init.uniform_(tensor, 0.5, 2.0)
    return layers.eval()


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (Generator(6, width=4, levels=2).body, (2, 6, 1, 1)),
        (Discriminator(4, levels=3, normalise=True).body, (2, 3, 16, 24)),
        (nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU()), (2, 3, 8, 11)),  # a stride that leaves something over
        (nn.Sequential(nn.Conv2d(3, 4, (3, 5), stride=(1, 3), padding=(0, 2)), nn.LeakyReLU(0.3)), (1, 3, 9, 10)),
    ],
    ids=["generator", "discriminator", "left over", "oblong"],
)
def test_it_is_autograds(layers: nn.Sequential, shape: tuple[int, ...]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers, batch = ready(layers).double(), torch.randn(shape, dtype=torch.float64, requires_grad=True)
        answer, given = forward_kept(layers, batch)
        slope = torch.randn_like(answer)
    (wanted,) = torch.autograd.grad(answer, batch, slope)
    torch.testing.assert_close(pull_back(layers, given, slope), wanted)


def test_a_layer_it_does_not_know_is_named() -> None:
    layers = nn.Sequential(nn.Tanh())
    with pytest.raises(TypeError, match="got Tanh"):
        pull_back(layers, [torch.zeros(1)], torch.zeros(1))
