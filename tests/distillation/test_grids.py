"""What a PDN learns to predict, and that it is asked at the places that it looks at."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from amiss.core.errors import InputError
from amiss.distillation.grids import ENLARGE, Alignment, GridTargets, channel_moments, cut, distil_grids
from amiss.distillation.pixels import as_batch
from amiss.distillation.run import Run
from amiss.features import FeatureExtractor
from amiss.features.cache import cached_features
from amiss.features.patch_network import ARCHITECTURES, PatchNetwork
from amiss.features.teacher import Teacher
from amiss.testing import toy_texture

NAMES = [name for name in ARCHITECTURES if name.startswith("pdn")]


def images(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_descriptor_and_target_lie_at_the_same_place(name: str) -> None:
    """Middles of patches and cells, in pixels of the PDN's image: at most half a cell apart."""
    network = PatchNetwork(name)
    first = Alignment(network.patch, network.stride).first
    for number in range(5):
        patch = range(number * network.stride, number * network.stride + network.patch)
        cell = range((number + first) * network.stride, (number + first + 1) * network.stride)
        assert abs(np.mean(patch) - np.mean(cell)) <= network.stride / 2


def test_the_published_crop_is_the_middle() -> None:
    network = PatchNetwork("pdn-s")
    with torch.no_grad():
        described = network(torch.zeros(1, 3, 256, 256)).shape[2]
    cells = 512 // 8
    assert (described, cells) == (56, 64)
    assert Alignment(network.patch, network.stride).first == (cells - described) // 2 == 4


def seen_at(function, image: torch.Tensor, row: int) -> float:
    """Where a row of an output looks: the mean height of its squared gradients."""
    image = image.clone().requires_grad_(True)
    output, generator = function(image), torch.Generator().manual_seed(0)
    found = torch.zeros(image.shape[2])
    for _ in range(6):
        chosen = output[0, :, row, output.shape[3] // 2] @ torch.randn(output.shape[1], generator=generator)
        (gradient,) = torch.autograd.grad(chosen, image, retain_graph=True)
        found += gradient[0].square().sum(dim=(0, 2))
    return float((found * (torch.arange(len(found)) + 0.5)).sum() / found.sum())


@pytest.mark.parametrize("backbone", ["efficientnet-lite0", "efficientnet-lite2", "tiny-random"])
def test_backbone_and_pdn_look_at_the_same_place(backbone: str) -> None:
    """Measured by gradients; no other crop of whole cells is nearer."""
    side, row, network = 160, 15, Teacher("pdn-xs", "random")
    targets = GridTargets(FeatureExtractor(backbone, (8, 16)), 32)
    whole = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    enlarged = torch.rand(1, 3, ENLARGE * side, ENLARGE * side, generator=torch.Generator().manual_seed(2))
    described = seen_at(network, whole, row)

    def with_gradients(batch):  # the call itself is under no_grad
        return GridTargets.__call__.__wrapped__(targets, batch)[0]

    first = Alignment(network.patch, network.stride).first
    apart = {
        shift: abs(seen_at(with_gradients, enlarged, row + first + shift) / ENLARGE - described) for shift in (-2, 0, 2)
    }
    assert apart[0] < network.stride and apart[0] < min(apart[-2], apart[2])


def test_crops_of_pixels_and_of_targets_agree() -> None:
    """A cropped image's descriptors are the whole image's, at the places whose targets are cropped."""
    network = Teacher("pdn-tiny", "random")
    alignment, stride, crop = Alignment(network.patch, network.stride), network.stride, 40
    pixels, starts = images(3, 64), np.array([[0, 0], [3, 6], [6, 1]])
    chosen = np.array([2, 0, 1])
    with torch.no_grad():
        cropped = network(as_batch(cut(pixels, chosen, starts * stride, crop)))
        whole = network(as_batch(pixels[chosen]))
    count = cropped.shape[2]
    # a grid as large as the targets', with the descriptors where they belong and nothing around
    first = alignment.first
    grids = torch.full((3, network.channels, 64 // stride, 64 // stride), torch.nan)
    grids[:, :, first : first + whole.shape[2], first : first + whole.shape[3]] = whole
    torch.testing.assert_close(alignment.crop(grids, starts, count), cropped)


def test_targets_by_hand() -> None:
    """Averaged over 3 x 3 cells, coarse stage resized, neighbouring channels averaged."""
    features, channels = FeatureExtractor("tiny-random", (8, 16)), 10
    batch = as_batch(images(1, 128, seed=5))
    with torch.no_grad():
        fine, coarse = (stage[0].numpy().astype(float) for stage in features(batch))
    ones = {stage.shape: uniform_filter(np.ones(stage.shape[1:]), 3, mode="constant") for stage in (fine, coarse)}
    fine, coarse = (
        np.stack([uniform_filter(channel, 3, mode="constant") / ones[stage.shape] for channel in stage])
        for stage in (fine, coarse)
    )
    places = np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7)
    line = np.stack([np.interp(places, np.arange(8), one) for one in np.eye(8)], axis=1)  # (16, 8)
    joined = np.concatenate([fine, line @ coarse @ line.T])  # (28, 16, 16)
    width = len(joined)
    wanted = [joined[i * width // channels : -(-(i + 1) * width // channels)].mean(axis=0) for i in range(channels)]
    (found,) = GridTargets(features, channels)(batch)
    np.testing.assert_allclose(found[0], np.stack(wanted), atol=1e-5)


def test_moments_are_those_of_all_cells() -> None:
    images = toy_texture(11, seed=0).images
    targets = GridTargets(FeatureExtractor("tiny-random", (8, 16)), 6)
    with cached_features(targets, "test", images) as cache:
        mean, std = channel_moments(cache)
        everything = cache.batch(range(11))[0].permute(1, 0, 2, 3).flatten(1).double()
    np.testing.assert_allclose(mean.flatten(), everything.mean(dim=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(std.flatten(), everything.std(dim=1, correction=0), rtol=1e-4)


def test_a_backbone_with_another_grid_is_refused() -> None:
    with pytest.raises(InputError, match="must be 8 pixels wide, got 4"):
        distil_grids(PatchNetwork("pdn-tiny"), FeatureExtractor("tiny-random", (4, 8)), images(1, 64), Run(1))
    with pytest.raises(InputError, match="must have at least 16 channels, as many as the PDN, got 12"):
        distil_grids(PatchNetwork("pdn-tiny"), FeatureExtractor("tiny-random", (8,)), images(1, 64), Run(1))
