"""`FeatureExtractor`: what it refuses, that it is frozen, and the tiny random network."""

import pytest
import torch

from amiss.core.errors import InputError
from amiss.features import FeatureExtractor, create_backbone, patch_descriptors


@pytest.mark.parametrize("strides", [(), (8, 4), (4, 4), (3,), (64,), (4, 5)])
def test_strides_it_does_not_have(strides: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"ascending strides out of \(2, 4, 8, 16, 32\)"):
        FeatureExtractor("tiny-random", strides)


def test_an_unknown_name_and_its_near_miss() -> None:
    with pytest.raises(InputError, match="Did you mean 'efficientnet-lite0'"):
        create_backbone("eficientnet-lite0")


def test_a_margin_that_is_no_whole_cell_is_still_seen() -> None:
    """67 rows are 9 cells of 8 pixels, the last of which sees the last rows; 64 rows are taken as they are."""
    extractor = FeatureExtractor("tiny-random", (4, 8))
    image = torch.zeros(1, 3, 67, 64)
    marked = image.clone()
    marked[:, :, 65:] = 1
    before, after = extractor(image)[1], extractor(marked)[1]
    assert before.shape[2:] == (9, 8)
    assert (after - before)[:, :, -1].abs().max() > 0.1
    assert (after - before)[:, :, :-3].abs().max() == 0


def test_the_key_tells_where_answers_stand() -> None:
    one, other = FeatureExtractor("tiny-random", (4, 8)), FeatureExtractor("tiny-random", (4, 8))
    assert one.key() == other.key()
    other.displacements = (2.0, 3.0)
    assert one.key() != other.key()


def test_saved_displacements_come_back() -> None:
    one, other = FeatureExtractor("tiny-random", (4, 8)), FeatureExtractor("tiny-random", (4, 8), pretrained=False)
    one.displacements = (1.25, -3.5)
    other.load_state_dict(one.state_dict())
    assert other.displacements == (1.25, -3.5)
    batch = torch.rand(1, 3, 32, 32)
    assert all(torch.equal(a, b) for a, b in zip(one(batch), other(batch), strict=True))


def test_is_frozen() -> None:
    extractor = FeatureExtractor("tiny-random", (4, 8))
    assert not extractor.train().training
    assert not any(module.training for module in extractor.modules())
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert not extractor(torch.rand(1, 3, 16, 16))[0].requires_grad


def test_stays_frozen_inside_a_module_that_trains() -> None:
    extractor = FeatureExtractor("efficientnet-lite0", (2,), pretrained=False)
    torch.nn.Sequential(extractor).train()
    assert not any(module.training for module in extractor.modules())


def test_deeper_stages_are_not_kept() -> None:
    assert len(FeatureExtractor("tiny-random", (4,)).stages) == 2


def test_tiny_random_neither_follows_nor_moves_the_global_seed() -> None:
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        backbone = create_backbone("tiny-random")
        convolutions = [stage[0].weight for stage in backbone.stages]
        states.append(convolutions)
        for weight in convolutions:
            assert weight.std() > 0.1
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
    assert before.dtype == torch.uint8


def test_descriptors_line_up() -> None:
    """A coarse stage is enlarged so that its cells stay where they are in the image."""
    ramp = torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
    coarse = torch.nn.functional.avg_pool2d(ramp, 2)
    fine, enlarged = patch_descriptors([ramp, coarse])[0]
    torch.testing.assert_close(fine[:, 1:-1], enlarged[:, 1:-1])
    assert patch_descriptors([ramp, coarse], neighbourhood=3).shape == (1, 2, 16, 16)
