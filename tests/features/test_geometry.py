"""Features are where they say they are: cell (i, j) of a map (h, w) looks at ((i + 1/2) H / h, (j + 1/2) W / w).

Measured by spots on photographs, one network run each, independently of how `amiss.features.displacement` measures.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn
from torch.nn import functional

from amiss.core.errors import InputError
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.features.borders import looks_beyond
from amiss.features.displacement import bring_back, measure_displacements
from amiss.features.patch_network import ARCHITECTURES, PatchNetwork
from amiss.features.resnet import resnet_stages
from amiss.features.vgg import vgg16_stages
from amiss.statistics.reduce import place_patches, smooth_upsample

SIZES = [(224, 224), (256, 256), (260, 260), (300, 300), (320, 320), (512, 512), (192, 320)]
STRIDES = (2, 4, 8, 16, 32)
LITES = ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
EACH = [LITES[0], "tiny-random", *(pytest.param(name, marks=pytest.mark.slow) for name in LITES[1:])]
PHOTOGRAPHS = ["astronaut", "brick", "coffee", "gravel"]
Maps = Callable[[Tensor], Sequence[Tensor]]


def photograph(name: str, size: tuple[int, int]) -> Tensor:
    pixels = getattr(skimage.data, name)()
    pixels = np.stack([pixels] * 3, axis=2) if pixels.ndim == 2 else pixels
    return torch.from_numpy(cv2.resize(pixels, size[::-1]).transpose(2, 0, 1)[None].astype(np.float32) / 255)


@torch.no_grad()
def looks_beside(maps: Maps, size: tuple[int, int], photographs: Sequence[str], period: int = 32) -> list[float]:
    """For each map how many pixels below and right of a spot its answers lie; mean of 8 spots a photograph."""
    steps = (np.arange(8) - 3.5) * period / 8
    places = np.stack([size[0] / 2 + steps, size[1] / 2 + np.roll(steps, 3)], axis=1)
    down, right = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    distance = (down[:, None] - places[:, 0, None, None]) ** 2 + (right - places[:, 1, None, None]) ** 2
    spots = torch.from_numpy(0.7 * np.exp(-distance / (2 * 2.5**2))).float()[:, None]
    colours = torch.tensor([0.0, 1.0]).repeat(4).view(-1, 1, 1, 1)
    apart = []
    for name in photographs:
        empty = photograph(name, size)
        answers = maps(torch.cat([empty, empty * (1 - spots) + colours * spots]))
        apart.append([beside((found[1:] - found[:1]).square().sum(dim=1), places, size) for found in answers])
    return np.mean(apart, axis=0).tolist()


def beside(strength: Tensor, places: np.ndarray, size: tuple[int, int]) -> float:
    found = strength.double().numpy()
    rows = found.sum(axis=2) @ ((np.arange(found.shape[1]) + 0.5) * size[0] / found.shape[1])
    columns = found.sum(axis=1) @ ((np.arange(found.shape[2]) + 0.5) * size[1] / found.shape[2])
    total = found.sum(axis=(1, 2))
    return float((rows / total - places[:, 0] + columns / total - places[:, 1]).mean() / 2)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("name", EACH)
def test_a_cell_looks_where_it_says(name: str, size: tuple[int, int]) -> None:
    found = looks_beside(FeatureExtractor(name, (2, 4, 8, 16)), size, PHOTOGRAPHS[1:2])
    assert np.abs(found).max() <= 1, found


@pytest.mark.parametrize("name", EACH)
def test_a_cell_of_the_coarsest_stage_looks_where_it_says(name: str) -> None:
    (found,) = looks_beside(FeatureExtractor(name, (32,)), (416, 416), PHOTOGRAPHS[:3])
    assert abs(found) <= 2


class Chain(nn.Module):
    """The stages of a network with random weights."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def test_networks_of_other_libraries_are_measured_and_brought_back() -> None:
    """ResNets pad one pixel on both sides before they stride: each stage looks (s - 1) / 2 pixels above and left."""
    torch.manual_seed(0)
    network = Chain(resnet_stages("resnet18")[:4])
    measured = measure_displacements(network, STRIDES[:4])
    np.testing.assert_allclose(measured, [(stride - 1) / 2 for stride in STRIDES[:4]], atol=1)
    found = looks_beside(
        lambda batch: [bring_back(*one) for one in zip(network(batch), measured, STRIDES, strict=False)],
        (256, 256),
        PHOTOGRAPHS[:1],
    )
    assert (np.abs(found) <= [1, 1, 1, 2]).all(), found  # weights that were never trained answer unevenly


def test_what_cannot_be_measured_is_left_where_it_is() -> None:
    """A stage that answers nothing, and a network that takes images of one other size."""

    def refuses(_: Tensor) -> list[Tensor]:
        raise InputError("this network takes 224 x 224 pixels")

    assert measure_displacements(lambda batch: [torch.zeros(1, 4, 32, 32)], [8]) == (0.0,)
    assert measure_displacements(refuses, [8, 16]) == (0.0, 0.0)


def test_vgg_needs_no_measuring() -> None:
    """Its convolutions and poolings are symmetric."""
    torch.manual_seed(0)
    found = looks_beside(Chain(vgg16_stages()[:3]), (96, 96), PHOTOGRAPHS[:1], period=8)
    assert np.abs(found).max() <= 1, found


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if not name.startswith("pdn-m")])
def test_patch_networks_look_where_their_scores_are_placed(name: str) -> None:
    torch.manual_seed(0)
    network = PatchNetwork(name)

    def placed(batch: Tensor) -> list[Tensor]:
        strength = network(batch).flatten(0, 1)
        size = (batch.shape[2], batch.shape[3])
        large = place_patches(strength, size, patch=network.patch, stride=network.stride)
        return [large.unflatten(0, (len(batch), -1))]

    side = 3 * network.patch + 12
    (found,) = looks_beside(placed, (side, side), PHOTOGRAPHS[:1], period=8)
    assert abs(found) <= 1


def test_a_score_lands_where_its_cell_looks() -> None:
    """Through the descriptors of two stages and the enlarged map, with an image of no whole number of cells."""
    extractor = FeatureExtractor("efficientnet-lite0", (8, 16))

    def map_of(batch: Tensor) -> list[Tensor]:
        described = patch_descriptors(extractor(batch))
        moved = (described - described[:1]).square().sum(dim=1)
        return [smooth_upsample(moved, (batch.shape[2], batch.shape[3]), smoothing=0.0)[:, None]]

    (found,) = looks_beside(map_of, (300, 232), PHOTOGRAPHS[:1])
    assert abs(found) <= 1


@pytest.mark.parametrize("displacement", [-12.0, -5.0, 5.0])
def test_bringing_back_moves_a_parabola_by_what_was_asked(displacement: float) -> None:
    """Keys' interpolation is exact for polynomials up to the second degree, wherever all of its cells are there."""
    place = torch.arange(16.0)
    wanted = ((place + displacement / 8 - 7) ** 2)[:, None] + (place + displacement / 8) * 3
    moved = bring_back(((place - 7) ** 2)[:, None] + place * 3 + torch.zeros(1, 1, 16, 16), displacement, 8)[0, 0]
    torch.testing.assert_close(moved[4:-4, 4:-4], wanted[4:-4, 4:-4])


def test_a_small_displacement_is_left_alone() -> None:
    feature = torch.rand(1, 2, 4, 4)
    assert bring_back(feature, 0.5, 8) is feature


@pytest.mark.parametrize("name", [*LITES, "tiny-random"])
def test_a_mirrored_image_has_mirrored_borders(name: str) -> None:
    """No border is told from the opposite one by more than a network's weights tell left from right inside."""
    extractor = FeatureExtractor(name, (8,))
    image = photograph("gravel", (128, 128))
    with torch.no_grad():
        plain, mirrored = extractor(image)[0], extractor(image.flip(3))[0].flip(3)
    apart = (plain - mirrored).square().sum(dim=1).sqrt()[0]
    assert apart[:, [0, -1]].mean() < 1.5 * apart[:, 2:-2].mean()


@pytest.mark.parametrize("name", [*LITES, "tiny-random"])
@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_blank_image_has_no_border(name: str, grey: float) -> None:
    """The outermost cells, which see most of what is not there, are no others than those beside them."""
    for feature in FeatureExtractor(name, (8, 16, 32))(torch.full((1, 3, 160, 96), grey)):
        inner = feature[:, :, 1:-1, 1:-1]
        if min(feature.shape[2:]) > 2:
            assert torch.equal(feature, functional.pad(inner, (1, 1, 1, 1), mode="replicate"))


def test_networks_that_see_no_border_keep_their_outermost_cells() -> None:
    """The patches of a transformer do not overlap."""
    assert looks_beyond(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)))
    assert not looks_beyond(nn.Sequential(nn.Conv2d(3, 8, 16, stride=16), nn.Conv2d(8, 8, 1)))
