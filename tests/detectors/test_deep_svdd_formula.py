"""Deep SVDD against plain NumPy, its radius against the definition, and what it forbids, which collapses."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from amiss.background.hypersphere import Hypersphere
from amiss.background.unbiased import contrast_normalised, shrunk, unbiased_dense
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.one_class.deep_svdd import DeepSVDD
from amiss.features.batch import to_batch
from amiss.testing import toy_part
from amiss.training import train

TINY = DeepSVDD.card.presets["tiny"]
PIXELS = {**TINY, "source": "pixels", "side": 16, "width": 4, "steps": 20}
NORMAL = toy_part(24, seed=0).images
QUERIES = toy_part(4, seed=1, defective=True).images


def batch_of(images: Images) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(images))))


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.1 * x)


@pytest.mark.parametrize("boundary", ["hard", "soft"])
def test_score_of_features_is_the_squared_distance_to_the_centre(boundary: str) -> None:
    detector = DeepSVDD(**TINY, boundary=boundary).fit(NORMAL)
    with torch.no_grad():
        maps = [feature.double().numpy() for feature in detector.features(batch_of(QUERIES))]
    x = np.concatenate([feature.mean(axis=(2, 3)) for feature in maps], axis=1)
    x = (x - detector.standardising.mean.numpy()) / detector.standardising.spread.numpy()
    first, last = (layer.weight.detach().numpy() for layer in detector.network if isinstance(layer, nn.Linear))
    given = leaky(x @ first.T) @ last.T
    wanted = ((given - detector.sphere.centre.numpy()) ** 2).sum(axis=1) - float(detector.sphere.radius) ** 2
    np.testing.assert_allclose(detector.score(QUERIES).image, wanted, rtol=2e-4, atol=1e-5)
    assert (float(detector.sphere.radius) > 0) == (boundary == "soft")


def test_pixels_are_shrunk_and_lose_their_brightness_and_contrast() -> None:
    image = toy_part(1, seed=3).images[0]
    small = cv2.resize(image.astype(np.float64) / 255, (16, 16), interpolation=cv2.INTER_AREA)
    centred = small - small.mean()
    found = contrast_normalised(shrunk(batch_of(Images([image])), 16))[0].numpy().transpose(1, 2, 0)
    wanted = centred / np.abs(centred).mean()
    assert np.abs(found - wanted).mean() < 0.1 * np.abs(wanted).mean()  # another filter of about the same width
    darker = (0.5 * batch_of(Images([image])) + 0.1).clamp(0, 1)
    torch.testing.assert_close(contrast_normalised(shrunk(darker, 16))[0], torch.from_numpy(found).permute(2, 0, 1))


@pytest.mark.parametrize("nu", [0.05, 0.1, 0.34, 0.5])
def test_the_radius_minimises_the_soft_loss(nu: float) -> None:
    distances = torch.from_numpy(np.random.default_rng(0).chisquare(5, 60)).float()
    sphere = Hypersphere(3, nu=nu)
    sphere.fit_radius(distances)
    found = float(sphere.loss(distances))
    radii = np.linspace(0, np.sqrt(float(distances.max())), 2000)
    least = min(r**2 + np.maximum(0, distances.numpy() - r**2).mean() / nu for r in radii)
    assert found <= least + 1e-4
    assert float((distances > sphere.radius.square() + 1e-4).float().mean()) <= nu + 1e-6


@pytest.mark.parametrize("nu", [0.1, 0.25])
@pytest.mark.parametrize("settings", [TINY, PIXELS], ids=["features", "pixels"])
def test_nu_bounds_the_share_of_learned_images_outside(settings: dict, nu: float) -> None:
    detector = DeepSVDD(**settings, boundary="soft", nu=nu).fit(NORMAL)
    outside = float((detector.score(NORMAL).image > 1e-5).mean())
    assert outside <= nu + 1e-6
    assert outside >= nu - 2 / len(NORMAL)  # and the sphere is no larger than it must be


def test_the_centre_is_the_mean_before_training_and_never_near_zero() -> None:
    sphere = Hypersphere(3, nu=None)
    vectors = torch.tensor([[0.5, 0.05, -1.0], [0.7, -0.01, -3.0]])
    sphere.place(vectors)
    torch.testing.assert_close(sphere.centre, torch.tensor([0.6, 0.1, -2.0]))
    sphere.place(-vectors)
    torch.testing.assert_close(sphere.centre, torch.tensor([-0.6, -0.1, 2.0]))


def spread_after_training(network: nn.Module, centre: torch.Tensor) -> float:
    """How far what a network gives of strange inputs lies from what it gives of normal ones, after the hard loss."""
    torch.manual_seed(1)
    normal, strange = torch.randn(200, 8) + 1, 6 * torch.randn(200, 8)
    sphere = Hypersphere(4, nu=None)
    sphere.centre = centre
    train(
        nn.ModuleDict({"network": network}),
        torch.optim.Adam(network.parameters(), lr=3e-2, weight_decay=1e-3),
        lambda step, draw: sphere.distances(network(normal)).mean(),
        steps=400,
        seed=0,
    )
    with torch.no_grad():
        return float((network(strange) - network(normal).mean(dim=0)).square().sum(dim=1).mean())


def test_what_is_forbidden_collapses() -> None:
    """With a bias, or a centre at 0, every input is drawn to the centre; without them, strange ones stay away."""
    torch.manual_seed(0)
    centre = torch.tensor([0.5, -0.5, 0.4, 0.3])
    biased = nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.1), nn.Linear(16, 4))
    kept = spread_after_training(unbiased_dense((8, 16, 4)), centre)
    assert spread_after_training(biased, centre) < 0.05 * kept
    assert spread_after_training(unbiased_dense((8, 16, 4)), torch.zeros(4)) < 0.05 * kept


@pytest.mark.parametrize("settings", [TINY, PIXELS], ids=["features", "pixels"])
def test_the_network_can_give_no_constant(settings: dict) -> None:
    detector = DeepSVDD(**settings)
    detector.build(pretrained=True)
    assert all(parameter.ndim > 1 for parameter in detector.network.parameters())  # weights, no bias, no affine
    with torch.no_grad():
        for parameter in detector.network.parameters():
            parameter.zero_()
        given = torch.rand(2, 3, 16, 16) if "side" in settings else torch.rand(2, sum(detector.features.channels))
        assert not detector.network(given).any()


def test_pretraining_gives_the_network_a_start() -> None:
    plain, started = (DeepSVDD(**TINY, pretraining_steps=steps).fit(NORMAL) for steps in (0, 20))
    assert not torch.equal(plain.sphere.centre, started.sphere.centre)


def test_images_that_do_not_vary() -> None:
    with pytest.raises(InputError, match="must differ"):
        DeepSVDD(**TINY).fit(Images([np.full((64, 64, 3), 90, np.uint8)] * 4, size=(64, 64)))
