"""EfficientNet-Lite: cut at the right places, with the right weights and the right scaling of pixels."""

import numpy as np
import pytest
import skimage.data
import torch

from amiss.core.decode import resize
from amiss.detectors.detector import to_batch
from amiss.features import FeatureExtractor, create_backbone
from amiss.features.borders import repeat_inner

CHANNELS = {
    "efficientnet-lite0": (16, 24, 40, 112, 320),
    "efficientnet-lite1": (16, 24, 40, 112, 320),
    "efficientnet-lite2": (16, 24, 48, 120, 352),
}
CATS, CUPS = {281, 282, 285}, {504, 967, 968}
"""ImageNet's classes: tabby, tiger cat, Egyptian cat; coffee mug, espresso, cup."""


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_and_strides(name: str) -> None:
    extractor = FeatureExtractor(name, (2, 4, 8, 16, 32), pretrained=False)
    assert extractor.channels == CHANNELS[name]
    with torch.no_grad():
        features = extractor(torch.rand(1, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(CHANNELS[name], (2, 4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize(("photograph", "classes"), [("cat", CATS), ("coffee", CUPS)])
def test_knows_what_it_was_trained_on(name: str, photograph: str, classes: set[int]) -> None:
    """Photographs that ship with scikit-image get their class when every stage, the head and the scaling are right."""
    backbone = create_backbone(name)
    image = resize(getattr(skimage.data, photograph)(), (224, 224))
    x = (to_batch(torch.from_numpy(image[None])) - backbone.mean[0]) / backbone.std[0]
    torch.testing.assert_close(x, (torch.from_numpy(image[None]).permute(0, 3, 1, 2) - 127.0) / 128)
    with torch.no_grad():
        for stage in backbone.stages:
            x = stage(x)
        assert backbone.head is not None
        likely = backbone.head(x).softmax(dim=1)[0]
    assert int(likely.argmax()) in classes


def test_the_extractor_scales_as_the_backbone_says() -> None:
    backbone, extractor = create_backbone("efficientnet-lite0"), FeatureExtractor("efficientnet-lite0", (2,))
    batch = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = backbone.stages[0]((batch - 127 / 255) / (128 / 255))
        torch.testing.assert_close(extractor(batch)[0], repeat_inner([wanted])[0])


def test_odd_sizes_round_up() -> None:
    extractor = FeatureExtractor("efficientnet-lite0", (8, 16), pretrained=False)
    with torch.no_grad():
        assert [tuple(f.shape[2:]) for f in extractor(torch.rand(1, 3, 63, 97))] == [(8, 14), (4, 7)]


def test_weights_are_the_same_every_time() -> None:
    batch = torch.from_numpy(np.random.default_rng(0).random((1, 3, 64, 64), np.float32))
    with torch.no_grad():
        one, other = (FeatureExtractor("efficientnet-lite0", (16,))(batch)[0] for _ in range(2))
    assert torch.equal(one, other)
