"""FastFlow against a second way to compute it, and what training is for."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate2d

from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.distribution.fastflow import FastFlow
from amiss.testing import toy_part, toy_texture

TINY = {**FastFlow.card.presets["tiny"], "couplings": 2}


def convolve(x: np.ndarray, layer: torch.nn.Conv2d) -> np.ndarray:
    """(C, h, w) to (C', h, w), one plane at a time, with SciPy."""
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    planes = [sum(correlate2d(x[c], one[c], mode="same") for c in range(len(x))) for one in weight]
    return np.stack(planes) + bias[:, None, None]


def plain_noise(x: np.ndarray, flow: torch.nn.Module, clamp: float) -> np.ndarray:
    """Yu et al., section 3: half of the channels scale and shift the others."""
    for coupling in flow.couplings:
        half = len(x) // 2
        hidden = np.maximum(convolve(x[:half], coupling.net[0]), 0)
        log_scale, shift = np.split(convolve(hidden, coupling.net[2]), 2)
        moved = x[half:] * np.exp(clamp * np.tanh(log_scale / clamp)) + shift
        x = np.concatenate([x[:half], moved])
        if coupling.stretch is not None:
            stretch, offset = (one.detach().double().numpy() for one in (coupling.stretch, coupling.offset))
            x = x * np.exp(stretch)[:, None, None] + offset[:, None, None]
        x = x[coupling.order.numpy()]
    return x


def plain_map(detector: FastFlow, images: Images, size: tuple[int, int]) -> np.ndarray:
    with torch.no_grad():
        stages = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    total = np.zeros((len(images), *size))
    for stage, feature in enumerate(stages):
        scale = detector.standardising[stage]
        mean, spread = scale.mean.double().numpy(), scale.spread.double().numpy()
        for number, one in enumerate(feature.double().numpy()):
            x = (one - mean[:, None, None]) / spread[:, None, None]
            grid = 0.5 * (plain_noise(x, detector.flows[stage], detector.clamp) ** 2).mean(axis=0)
            large = torch.nn.functional.interpolate(torch.from_numpy(grid)[None, None], size, mode="bilinear")
            smooth = gaussian_filter(large[0, 0].numpy(), detector.smoothing * min(size) / 256)
            total[number] += smooth / len(stages)
    return total


@pytest.mark.parametrize(("size", "affine"), [((64, 64), False), ((63, 97), True)])
def test_map_equals_the_formula(size: tuple[int, int], affine: bool) -> None:
    detector = FastFlow(**TINY, affine=affine).fit(toy_part(8, seed=0).images.resized(size))
    test = toy_part(2, seed=1, defective=True).images.resized(size)
    wanted = plain_map(detector, test, size)
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * wanted.max())


def test_standardising_is_that_of_the_normal_images() -> None:
    images = toy_texture(8, seed=0).images
    detector = FastFlow(**TINY).fit(images)
    with torch.no_grad():
        stages = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    for scale, feature in zip(detector.standardising, stages, strict=True):
        np.testing.assert_allclose(scale.mean, feature.mean(dim=(0, 2, 3)), atol=1e-4)
        variance = feature.movedim(1, -1).flatten(0, 2).double().var(dim=0)
        np.testing.assert_allclose(scale.spread, (variance + 1e-3 * variance.mean()).sqrt(), rtol=1e-4)


def test_what_is_learned_at_one_size_scores_at_another() -> None:
    detector = FastFlow(**TINY).fit(toy_texture(8, seed=0).images)
    size = (96, 61)
    test = toy_texture(2, seed=1).images.resized(size)
    np.testing.assert_allclose(detector.score(test).map, plain_map(detector, test, size), atol=1e-3)


def test_strong_defects_do_not_tie() -> None:
    """The published map, -exp(-z^2 / 2), is 0 in float32 for all of these."""
    detector = FastFlow(**TINY).fit(toy_texture(8, seed=0).images)
    batch = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    scores = detector(torch.stack([batch[0], batch[0] * 0.99, batch[1], batch[2]])).amax(dim=(1, 2))
    assert len(scores.unique()) == 4


def test_a_damaged_start_ends_in_words() -> None:
    """A rate far too large gives either a loss that is not finite, said in words, or finite scores."""
    detector = FastFlow(**{**TINY, "rate": 1e3, "steps": 40})
    try:
        detector.fit(toy_texture(8, seed=0).images)
    except ArithmeticError as error:
        assert "smaller rate" in str(error)
    else:
        assert np.isfinite(detector.score(toy_texture(2, seed=1).images).image).all()


def test_equal_images_still_fit() -> None:
    equal = Images([toy_texture(1, seed=3).images[0]] * 3, size=(64, 64))
    detector = FastFlow(**TINY).fit(equal)
    assert np.isfinite(detector.score(equal).image).all()
    assert detector.score(toy_part(2, seed=0).images).image.min() > detector.score(equal).image.max()


def test_what_does_not_vary_at_all_is_refused() -> None:
    """Blank images vary at their borders still, beyond which the network sees nothing."""
    with pytest.raises(InputError, match="without any variation"):
        learn_standardising([Standardising(3)], [[torch.ones(2, 3, 4, 4)]])
