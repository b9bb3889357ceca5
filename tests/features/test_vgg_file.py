"""VGG-16 from a user's file in torchvision's key layout. The file is made here; torchvision is not needed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from amiss.core.errors import InputError
from amiss.features import FeatureExtractor
from amiss.features.borders import repeat_inner
from amiss.registry import create
from amiss.testing import toy_texture

LAYOUT = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
"""Configuration D of the paper. In torchvision's `features` each convolution is followed by a ReLU."""


def torchvision_state() -> dict[str, Tensor]:
    """Random tensors with the names and shapes of torchvision's state dict, without most of the classifier."""
    generator, state, place, entering = torch.Generator().manual_seed(0), {}, 0, 3
    for layer in LAYOUT:
        if layer == "M":
            place += 1
            continue
        weight = torch.randn(layer, entering, 3, 3, generator=generator) * (2 / (9 * entering)) ** 0.5
        state[f"features.{place}.weight"], state[f"features.{place}.bias"] = weight, 0.1 * torch.ones(layer)
        place, entering = place + 2, layer
    return {**state, "classifier.6.bias": torch.zeros(1000)}


def plain_forward(state: dict[str, Tensor], batch: Tensor) -> list[Tensor]:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, place, found = (batch - mean.view(3, 1, 1)) / std.view(3, 1, 1), 0, []
    for layer in LAYOUT:
        if layer == "M":
            x = F.max_pool2d(x, 2)
            found.append(x)
            place += 1
        else:
            x = F.relu(F.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1))
            place += 2
    return found


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    save_file(torchvision_state(), path)
    return path


def test_is_recognised_and_computes_the_network(vgg16: Path) -> None:
    extractor = FeatureExtractor(f"file:{vgg16}", (2, 4, 8, 16, 32))
    assert extractor.channels == (64, 128, 256, 512, 512)
    assert extractor.cells == (2, 4, 8, 16, 32)
    assert extractor.name == f"file:{vgg16}#vgg16" and extractor.licence == "user's file"
    assert sum(parameter.numel() for parameter in extractor.parameters()) == 14_714_688  # published, without classifier
    batch = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for found, wanted in zip(
            extractor(batch), repeat_inner(plain_forward(torchvision_state(), batch)), strict=True
        ):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    "places",
    [
        (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),  # VGG-13
        (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),  # VGG-19
        (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),  # VGG-16 with batch normalisation
    ],
)
def test_its_sisters_are_refused(places: tuple[int, ...], tmp_path: Path) -> None:
    """By the places of their convolutions, as torchvision numbers them."""
    state = {f"features.{place}.weight": torch.zeros(512, 512, 3, 3)[:8, :8].clone() for place in places}
    state[f"features.{places[-1]}.weight"] = torch.zeros(512, 512, 3, 3)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"no network in torchvision's key layout; known are resnet18.*vgg16"):
        FeatureExtractor(f"file:{tmp_path / 'other.safetensors'}", (8,))


def test_a_tensor_that_is_missing_is_named(vgg16: Path, tmp_path: Path) -> None:
    state = torchvision_state()
    del state["features.5.bias"]
    save_file(state, tmp_path / "cut.safetensors")
    with pytest.raises(InputError, match=r"1 tensors are missing, the first is features\.5\.bias"):
        FeatureExtractor(f"file:{tmp_path / 'cut.safetensors'}", (4, 8))


def test_mkd_runs_its_published_recipe_on_it(vgg16: Path) -> None:
    """One step of the preset `paper`, reloaded without the file."""
    images, test = toy_texture(2, seed=0).images, toy_texture(1, seed=1).images
    detector = create("mkd", "paper", backbone=f"file:{vgg16}", steps=1, batch=2).fit(images)
    assert [stage[-2].out_channels for stage in detector.cloner.stages] == [128, 256, 512, 512]
    settings = {**detector.hyperparameters(), "backbone": f"file:gone#{detector.features.name.rpartition('#')[2]}"}
    again = type(detector)(**settings).load_state(detector.state_dict())
    np.testing.assert_array_equal(again.score(test).map, detector.score(test).map)
