"""MKD against a second way to compute it: map, losses, the cloner's build, and the three kinds of gradient."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.student_teacher.mkd import MKD, Cloner, _GuidedReLU, noises, opened
from amiss.features import whole_cells
from amiss.testing import toy_part, toy_texture

TINY: dict[str, Any] = {**MKD.card.presets["tiny"], "steps": 20}
FOUR = {**TINY, "stages": (2, 4, 8, 16)}
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def batch_of(images: Images) -> Tensor:
    return to_batch(torch.from_numpy(np.stack(list(images))))


def maps_of_both(detector: MKD, batch: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Standardised features of the source and those of the cloner, (N, C, h, w) at each stage, float64."""
    found = []
    with torch.no_grad():
        sources = detector.features(batch)
        clones = detector.cloner(whole_cells(batch, detector.features.cells[-1]))
    for source, clone, layer in zip(sources, clones, detector.standardising, strict=True):
        mean, spread = (value.double().numpy()[:, None, None] for value in (layer.mean, layer.spread))
        found.append(((source.double().numpy() - mean) / spread, clone.double().numpy()))
    return found


@pytest.mark.parametrize("size", [(64, 64), (63, 97)])
def test_map_equals_the_formula(size: tuple[int, int]) -> None:
    detector = MKD(**FOUR).fit(toy_part(8, seed=0).images.resized(size))
    test = toy_part(2, seed=1, defective=True).images.resized(size)
    wanted = np.zeros((2, *size))
    for source, clone in maps_of_both(detector, batch_of(test))[1:]:  # the last three of four stages
        one, other = (value / np.sqrt((value**2).sum(axis=1, keepdims=True) + 1e-8) for value in (source, clone))
        away = ((one - other) ** 2).sum(axis=1) / 2  # 1 - cosine; the cloner is 0 where none of its ReLUs is active
        grid = away + 0.5 * ((source - clone) ** 2).mean(axis=1)
        large = functional.interpolate(torch.from_numpy(grid)[:, None], size, mode="bilinear")[:, 0].numpy()
        wanted += [ndimage.gaussian_filter(one, 8.0 * min(size) / 256) / 3 for one in large]
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * wanted.max())


def test_loss_of_whole_images_equals_the_formula() -> None:
    detector = MKD(**{**FOUR, "value_weight": 0.3}).fit(toy_part(8, seed=0).images)
    batch = batch_of(toy_part(3, seed=1, defective=True).images)
    wanted = np.zeros(3)
    for source, clone in maps_of_both(detector, batch)[1:]:
        for number, (a, b) in enumerate(zip(source, clone, strict=True)):
            cosine = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
            wanted[number] += 1 - cosine + 0.3 * ((a - b) ** 2).mean()
    with torch.no_grad():
        np.testing.assert_allclose(detector.loss(batch), wanted, rtol=1e-4)


def test_all_stages_are_learned_though_three_are_scored() -> None:
    images = toy_part(8, seed=0).images
    detector, batch = MKD(**{**FOUR, "steps": 60}).fit(images), batch_of(images)
    after = [np.mean((a - b) ** 2) for a, b in maps_of_both(detector, batch)]
    detector.cloner = Cloner(detector.features.channels, detector.features.cells, detector.width).eval()
    before = [np.mean((a - b) ** 2) for a, b in maps_of_both(detector, batch)]
    assert all(end < 0.8 * start for start, end in zip(before, after, strict=True)), (before, after)


def test_without_standardising_the_features_stay_as_they_are() -> None:
    detector = MKD(**{**TINY, "standardise": False}).fit(toy_part(4, seed=0).images)
    batch = batch_of(toy_part(1, seed=1).images)
    with torch.no_grad():
        features = detector.features(batch)
        for (source, _), feature in zip(detector.pairs(batch, features), features, strict=True):
            assert torch.equal(source, feature)


def layers(cloner: Cloner) -> list[list[int | str]]:
    """Channels of the convolutions of each stage, and M for a pooling."""
    return [
        [layer.out_channels if isinstance(layer, nn.Conv2d) else "M" for layer in stage if not_between(layer)]
        for stage in cloner.stages
    ]


def not_between(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d | nn.MaxPool2d)


def test_cloner_of_vgg_is_the_published_one() -> None:
    """The authors' list, with the poolings of VGG-16 after its blocks 2 to 5 for stages."""
    cloner = Cloner((128, 256, 512, 512), (4, 8, 16, 32), 16)
    published = [[16, 16, "M", 16, 128, "M"], [16, 16, 256, "M"], [16, 16, 512, "M"], [16, 16, 512, "M"]]
    assert layers(cloner) == published
    for stage in cloner.stages:
        kinds = [type(layer) for layer in stage]
        assert kinds[-2:] == [nn.Conv2d, nn.MaxPool2d] and stage[-2].bias is None
        assert kinds.count(nn.BatchNorm2d) == kinds.count(nn.ReLU) == kinds.count(nn.Conv2d) - 1


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ((14, 14), [[4, 4, "M", 4, 8, "M"], [4, 4, 8]]),  # a plain transformer: 14 pixels a token, no more poolings
        ((1, 2), [[4, 8], [4, 8, "M"]]),
        ((4, 16), [[4, 4, "M", 4, 8, "M"], [4, 4, 4, "M", 4, 4, 8, "M"]]),
    ],
)
def test_cloner_of_other_networks_has_their_shapes(cells: tuple[int, int], wanted: list) -> None:
    cloner = Cloner((8, 8), cells, 4).eval()
    assert layers(cloner) == wanted
    for height, width in [(112, 112), (112, 224)]:
        sizes = [(height // cell, width // cell) for cell in cells]
        found = cloner(torch.zeros(1, 3, height, width))
        assert [tuple(one.shape[2:]) for one in found] == sizes


@pytest.fixture(scope="module")
def fitted() -> MKD:
    return MKD(**{**TINY, "steps": 60}).fit(toy_texture(16, seed=0).images)


def test_plain_gradient_equals_finite_differences(fitted: MKD) -> None:
    """In float64, pixel by pixel, at twenty places."""
    detector = copy.deepcopy(fitted).double()
    batch = batch_of(toy_texture(2, seed=1, defective=True).images.resized((32, 32))).double()
    gradient = detector.input_gradient(batch, "plain")
    rng, step = np.random.default_rng(0), 1e-6
    for _ in range(20):
        place = tuple(int(rng.integers(side)) for side in batch.shape)
        ahead, behind = batch.clone(), batch.clone()
        ahead[place] += step
        behind[place] -= step
        with torch.no_grad():
            slope = (detector.loss(ahead) - detector.loss(behind))[place[0]] / (2 * step)
        assert float(gradient[place]) == pytest.approx(float(slope), rel=1e-3, abs=1e-7)


def test_smooth_gradient_is_the_mean_over_noisy_images(fitted: MKD) -> None:
    """In float64: batches of another size are rounded otherwise, and a ReLU at 0 may switch."""
    fitted, batch = copy.deepcopy(fitted).double(), batch_of(toy_texture(2, seed=1, defective=True).images).double()
    added = noises(batch)
    assert len(added) == 50 and float(torch.stack(added).std()) == pytest.approx(0.1, rel=0.01)
    wanted = sum(fitted.input_gradient(batch + noise, "plain") for noise in added) / 50
    torch.testing.assert_close(fitted.input_gradient(batch, "smooth"), wanted, rtol=1e-4, atol=1e-6)
    again = fitted.input_gradient(batch[1:], "smooth")  # what else is in the batch does not matter
    torch.testing.assert_close(again, wanted[1:], rtol=1e-4, atol=1e-6)


class Guided(torch.autograd.Function):
    """A (leaky) ReLU whose backward pass is written down."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        positive = torch.where(gradient > 0, gradient, 0.0)
        return torch.where(x > 0, positive, ctx.slope * positive), None


class GuidedLayer(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return Guided.apply(x, self.slope)


def test_guided_gradient_passes_nothing_negative_at_a_relu(fitted: MKD) -> None:
    batch = batch_of(toy_texture(2, seed=1, defective=True).images)
    other = copy.deepcopy(fitted)
    for module in list(other.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.LeakyReLU):
                setattr(module, name, GuidedLayer(getattr(child, "negative_slope", 0.0)))
    wanted = other.input_gradient(batch, "plain")
    found, plain = fitted.input_gradient(batch, "guided"), fitted.input_gradient(batch, "plain")
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * float(wanted.abs().max()))
    assert float((found - plain).abs().max()) > 0.1 * float(plain.abs().max())


@pytest.mark.parametrize(
    "relu",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        nn.ReLU6(),
        Tensor.relu,
        torch.relu,
        functional.relu,
        lambda x: (x + 0).relu_(),
        lambda x: torch.relu_(x + 0),
    ],
)
def test_every_way_to_write_a_relu_is_guided(relu: Any) -> None:
    x = torch.tensor([-1.0, 1.0, 2.0, -3.0], requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 3.0, -4.0])
    with _GuidedReLU():
        (gradient,) = torch.autograd.grad((relu(x * 1.0) * weights).sum(), x)
    assert gradient.tolist() == [0, 0, 3, 0]
    (gradient,) = torch.autograd.grad((relu(x * 1.0) * weights).sum(), x)
    assert gradient.tolist() == [0, -2, 3, 0]


def test_opening_is_that_of_every_threshold() -> None:
    maps = np.random.default_rng(0).random((2, 13, 17)).astype(np.float32)
    found = opened(torch.from_numpy(maps)).numpy()
    for one, wide in zip(maps, found, strict=True):
        np.testing.assert_array_equal(wide, ndimage.grey_opening(one, footprint=CROSS))
        for threshold in (0.2, 0.4, 0.6):
            padded = np.pad(one > threshold, 1, constant_values=True)  # outside of the image nothing is in the way
            eroded = ndimage.binary_erosion(padded, CROSS, border_value=1)[1:-1, 1:-1]
            np.testing.assert_array_equal(wide > threshold, ndimage.binary_dilation(eroded, CROSS))


@pytest.mark.parametrize("kind", ["plain", "smooth", "guided"])
def test_gradient_maps_point_at_the_defect(fitted: MKD, kind: str) -> None:
    world = toy_texture(12, seed=1, defective=True)
    batch = batch_of(world.images)
    before = {name: value.clone() for name, value in fitted.state_dict().items()}
    maps = fitted.gradient_map(batch, kind)
    assert maps.shape == (12, 64, 64) and float(maps.min()) >= 0 and not maps.requires_grad
    peaks = [
        ndimage.binary_dilation(mask, iterations=4).flat[int(one.argmax())]
        for mask, one in zip(world.masks, maps, strict=True)
    ]
    assert np.mean(peaks) >= 0.75
    assert all(torch.equal(value, before[name]) for name, value in fitted.state_dict().items())
    gradient = fitted.input_gradient(batch, kind).abs().sum(dim=1).numpy()
    wanted = [
        ndimage.grey_opening(ndimage.gaussian_filter(one, 8.0 * 64 / 256, mode="reflect"), footprint=CROSS)
        for one in gradient
    ]
    np.testing.assert_allclose(maps, wanted, atol=1e-4 * np.max(wanted))


def test_gradient_maps_refuse_what_the_statistic_refuses(fitted: MKD) -> None:
    batch = batch_of(toy_texture(1, seed=1).images)
    with pytest.raises(InputError, match=r"kind must be one of .*, got 'guide'\. Did you mean 'guided'"):
        fitted.gradient_map(batch, "guide")
    with pytest.raises(InputError, match="a batch must hold finite numbers from 0 to 1"):
        fitted.gradient_map(batch * 255)
