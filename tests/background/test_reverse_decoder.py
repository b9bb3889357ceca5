"""The reverse decoder: shapes for any teacher, the published network's size, and what may not get through."""

import pytest
import torch

from amiss.background.reverse_decoder import ReverseDecoder, check_halving
from amiss.core.errors import InputError
from amiss.features import FeatureExtractor


@pytest.mark.parametrize("size", [(64, 64), (63, 97), (130, 66)])
@pytest.mark.parametrize(
    ("backbone", "strides"),
    [
        ("tiny-random", (4, 8)),
        ("tiny-random", (2, 4, 8, 16)),
        ("tiny-random", (16,)),
        ("efficientnet-lite0", (4, 8, 16)),
        ("efficientnet-lite0", (8, 16, 32)),
        ("file:none#resnet18", (4, 8, 16)),
    ],
)
def test_every_stage_is_rebuilt_in_its_shape(backbone: str, strides: tuple[int, ...], size: tuple[int, int]) -> None:
    extractor = FeatureExtractor(backbone, strides, pretrained=False)
    features = extractor(torch.rand(2, 3, *size))
    decoder = ReverseDecoder(extractor.channels, width=0.5, blocks=(1, 2) if len(strides) > 1 else (1,))
    assert [one.shape for one in decoder(features)] == [one.shape for one in features]
    height, width = features[-1].shape[2:]
    assert decoder.encode(features).shape == (2, 2 * extractor.channels[-1], (height + 1) // 2, (width + 1) // 2)


def block(entering: int, inner: int, leaving: int, middle: int = 9, shortcut: int = 0) -> int:
    """Parameters of a bottleneck block as published, batch normalisation included."""
    weights = entering * inner + middle * inner**2 + inner * leaving + shortcut * entering * leaving
    return weights + 2 * (2 * inner + leaving) + (2 * leaving if shortcut else 0)


def test_the_papers_network_has_as_many_weights_as_published() -> None:
    """For a Wide ResNet-50-2, layer by layer: bottleneck embedding with 3 blocks, decoder with 3, 4 and 6."""
    fusion = 9 * 256 * 512 + 2 * 512 + 2 * (9 * 512 * 1024 + 2 * 1024)
    squeeze = block(3 * 1024, 1024, 2048, shortcut=1) + 2 * block(2048, 1024, 2048)
    grow = block(2048, 512, 1024, 4, shortcut=4) + 2 * block(1024, 512, 1024)
    grow += block(1024, 256, 512, 4, shortcut=4) + 3 * block(512, 256, 512)
    grow += block(512, 128, 256, 4, shortcut=4) + 5 * block(256, 128, 256)
    with torch.device("meta"):
        decoder = ReverseDecoder((256, 512, 1024), width=0.5, blocks=(3, 3, 4, 6))
    assert sum(one.numel() for one in decoder.parameters()) == fusion + squeeze + grow


def test_the_last_number_of_blocks_holds_for_the_rest() -> None:
    decoder = ReverseDecoder((8, 12, 16), width=1.0, blocks=(3, 1, 2))
    assert [len(decoder.squeeze), *map(len, decoder.grow)] == [3, 1, 2, 2]


def test_rebuilt_features_may_be_negative() -> None:
    """Not every teacher ends its stages with a ReLU."""
    features = [torch.randn(4, 8, 16, 16), torch.randn(4, 12, 8, 8)]
    for one in ReverseDecoder((8, 12), width=1.0, blocks=(2,))(features):
        assert 0.2 < float((one < 0).float().mean()) < 0.8


def test_everything_comes_through_the_code() -> None:
    """With the code held fixed, the output does not depend on the features."""
    decoder = ReverseDecoder((8, 12), width=1.0, blocks=(1,)).eval()
    pair = [[torch.randn(1, 8, 16, 16), torch.randn(1, 12, 8, 8)] for _ in range(2)]
    assert not torch.equal(decoder(pair[0])[0], decoder(pair[1])[0])
    fixed = decoder.encode(pair[0])
    decoder.encode = lambda features: fixed
    for one, other in zip(decoder(pair[0]), decoder(pair[1]), strict=True):
        torch.testing.assert_close(one, other)


def test_it_can_learn_what_it_is_shown() -> None:
    torch.manual_seed(0)
    features = [torch.randn(4, 8, 8, 8), torch.randn(4, 12, 4, 4)]
    decoder = ReverseDecoder((8, 12), width=2.0, blocks=(1,))
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.02)
    errors = []
    for _ in range(60):
        rebuilt = decoder(features)
        error = torch.stack([(a - b).square().mean() for a, b in zip(features, rebuilt, strict=True)]).sum()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.3 * errors[0]


@pytest.mark.parametrize("strides", [(4, 16), (8, 16, 64), (3, 7)])
def test_stages_that_do_not_halve_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"stages must each have twice the one before"):
        check_halving(strides)


def test_grids_that_do_not_halve_are_refused() -> None:
    """As those of a plain transformer, whose layers 3, 6 and 12 look like strides."""
    decoder = ReverseDecoder((8, 8), width=1.0, blocks=(1,))
    with pytest.raises(InputError, match=r"must halve from stage to stage, got \(14, 14\) and then \(14, 14\) cells"):
        decoder([torch.zeros(2, 8, 14, 14)] * 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 0.0), ("width", float("nan")), ("blocks", ()), ("blocks", (1, 0)), ("blocks", (1,) * 4)],
)
def test_wrong_numbers_are_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} must be .*, got "):
        ReverseDecoder((8, 12), **{"width": 1.0, "blocks": (1,), name: value})
