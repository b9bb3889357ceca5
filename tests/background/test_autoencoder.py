"""The autoencoder against a plain second way to compute it, and what its bottleneck promises."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from amiss.background.autoencoder import CODE, Autoencoder, sides
from amiss.core.errors import InputError


def convolve(x: np.ndarray, layer: torch.nn.Conv2d) -> np.ndarray:
    """(C, h, w) to (C', h', w'), one plane at a time, with SciPy."""
    pad, step = layer.padding[0], layer.stride[0]
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    planes = [sum(correlate2d(x[c], one[c], mode="valid") for c in range(len(x))) for one in weight]
    return (np.stack(planes) + bias[:, None, None])[:, ::step, ::step]


def resize(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear between the centres of cells, one axis after the other."""
    for axis, wanted in ((1, size[0]), (2, size[1])):
        had = x.shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * had / wanted - 0.5, 0, had - 1)
        x = np.apply_along_axis(lambda line, at=at, had=had: np.interp(at, np.arange(had), line), axis, x)
    return x


def plain(x: np.ndarray, network: Autoencoder, size: tuple[int, int]) -> np.ndarray:
    shape = x.shape[1:]
    for layer in network.down:
        x = np.maximum(convolve(x, layer), 0)
    x = convolve(resize(x, (8, 8)), network.bottleneck)
    assert x.shape == (CODE, 1, 1)
    for layer, side in zip(network.up, zip(sides(shape[0]), sides(shape[1]), strict=True), strict=True):
        x = np.maximum(convolve(resize(x, side), layer), 0)
    return convolve(np.maximum(convolve(resize(x, size), network.smooth), 0), network.out)


@pytest.mark.parametrize(("height", "width", "size"), [(64, 64, (8, 8)), (63, 97, (8, 16)), (33, 130, (1, 24))])
def test_equals_the_formula(height: int, width: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = Autoencoder(3, width=4).eval()
    x = torch.randn(2, 3, height, width)
    with torch.no_grad():
        found = network(x, size).numpy()
    wanted = np.stack([plain(one, network, size) for one in x.double().numpy()])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_layers_are_the_published_ones() -> None:
    """Batzner et al.: strided 4x4 with 32, 32, 64, 64, 64; 8x8 with 64; six of 4x4 with 64; 3x3 with 64 and 384."""
    kernels = [tuple(p.shape) for name, p in Autoencoder(384, 64).named_parameters() if name.endswith("weight")]
    assert kernels == [
        (32, 3, 4, 4),
        (32, 32, 4, 4),
        (64, 32, 4, 4),
        (64, 64, 4, 4),
        (64, 64, 4, 4),
        (64, 64, 8, 8),
        *[(64, 64, 4, 4)] * 6,
        (64, 64, 3, 3),
        (384, 64, 3, 3),
    ]
    assert sides(256) == [3, 8, 15, 32, 63, 127]


def test_the_maps_on_the_way_have_the_published_sizes() -> None:
    network, found = Autoencoder(3, 4), []
    for layer in [*network.down, network.bottleneck, *network.up, network.out]:
        layer.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[2:])))
    network(torch.zeros(1, 3, 256, 256), (56, 56))
    assert [height for height, _ in found] == [128, 64, 32, 16, 8, 1, 4, 9, 16, 33, 64, 128, 56]
    assert all(height == width for height, width in found)


@pytest.mark.parametrize("side", [64, 256, 300])
def test_every_output_knows_the_whole_image(side: int) -> None:
    """A change in one corner is seen in the code, and in the far corner of the output."""
    torch.manual_seed(0)
    network = Autoencoder(4, width=8).double().eval()
    x = torch.rand(1, 3, side, side, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, :8, :8] = 0
    with torch.no_grad():
        assert tuple(network.code(x).shape) == (1, CODE, 1, 1)
        moved = (network(x, (14, 14)) - network(changed, (14, 14))).abs().amax(dim=(0, 1))
    assert moved[-1, -1] > 0


def test_dropout_only_in_training() -> None:
    network, x = Autoencoder(3, width=8), torch.rand(1, 3, 64, 64)
    assert not torch.equal(network(x, (8, 8)), network(x, (8, 8)))
    without = Autoencoder(3, width=8, dropout=0)
    assert torch.equal(without(x, (8, 8)), without(x, (8, 8)))
    network.eval()
    assert torch.equal(network(x, (8, 8)), network(x, (8, 8)))


def test_what_leaves_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="width must be a whole number of at least 2, got 1"):
        Autoencoder(3, width=1)
    with pytest.raises(InputError, match=r"dropout must be .*, got 1"):
        Autoencoder(3, dropout=1.0)
    with pytest.raises(InputError, match="at least 32 x 32 pixels, got 31 x 64"):
        Autoencoder(3, width=4)(torch.zeros(1, 3, 31, 64), (3, 8))
