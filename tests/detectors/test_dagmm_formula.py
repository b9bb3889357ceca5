"""DAGMM's representation, loss and energy against plain NumPy and SciPy, and the covariances that are singular."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from amiss.core.errors import DivergedError
from amiss.detectors.reconstruction.dagmm import DAGMM
from amiss.features import patch_descriptors
from amiss.features.batch import to_batch
from amiss.testing import toy_part

TINY = {**DAGMM.card.presets["tiny"], "steps": 8, "hidden": (8, 4)}
Layers = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def learned() -> DAGMM:
    return DAGMM(**TINY).fit(toy_part(8, seed=0).images)


def layers_of(network: torch.nn.Sequential) -> Layers:
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    return [(layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()) for layer in linear]


def leaky(numbers: np.ndarray) -> np.ndarray:
    return np.maximum(numbers, 0.2 * numbers)


def through(layers: Layers, vectors: np.ndarray, bend: Callable[[np.ndarray], np.ndarray] = leaky) -> np.ndarray:
    for number, (weight, bias) in enumerate(layers):
        vectors = (bend(vectors) if number else vectors) @ weight.T + bias
    return vectors


def represented(detector: DAGMM, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    code = through(layers_of(detector.compress), x)
    y = through(layers_of(detector.rebuild), code)
    own, other, error = (np.linalg.norm(one, axis=1) for one in (x, y, x - y))
    return np.column_stack([code, error / own, (x * y).sum(axis=1) / (own * other)]), error**2


def energies(z: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    logs = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(z)
        for weight, mean, covariance in zip(weights, means, covariances, strict=True)
    ]
    return -logsumexp(logs, axis=0)


def mixture_of(z: np.ndarray, belonging: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    means = [np.average(z, axis=0, weights=one) for one in belonging.T]
    covariances = [np.cov(z.T, aweights=one, ddof=0) + floor * np.eye(z.shape[1]) for one in belonging.T]
    return belonging.mean(axis=0), np.array(means), np.array(covariances)


def test_the_loss_by_its_formula(learned: DAGMM) -> None:
    x = np.random.default_rng(0).standard_normal((50, sum(learned.features.channels)))
    z, error = represented(learned, x)
    belonging = softmax(through(layers_of(learned.estimate), z, np.tanh), axis=1)
    weights, means, covariances = mixture_of(z, belonging, learned.floor)
    inverse = sum((1 / np.diag(covariance)).sum() for covariance in covariances)
    wanted = error.mean() + 0.1 * energies(z, weights, means, covariances).mean() + 0.005 * inverse
    found = learned.training_loss(torch.from_numpy(x).float())
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-4)


def test_the_map_is_the_energy_under_the_mixture_of_all_patches(learned: DAGMM) -> None:
    test = toy_part(2, seed=1, defective=True).images
    vectors = []
    for images in (toy_part(8, seed=0).images, test):
        batch = to_batch(torch.from_numpy(np.stack(list(images))))
        with torch.no_grad():
            x = learned.standardising(patch_descriptors(learned.features(batch), neighbourhood=1))
        vectors.append(x.permute(0, 2, 3, 1).double().numpy())
    (normal, _), (z, _) = (represented(learned, one.reshape(-1, one.shape[-1])) for one in vectors)
    own = learned.log_weights.double().exp().numpy(), learned.means.double().numpy()
    covariances = np.linalg.inv(np.einsum("kji,kjl->kil", *[learned.whitening.double().numpy()] * 2))
    grid = torch.from_numpy(energies(z, *own, covariances).reshape(2, 1, *vectors[1].shape[1:3]))
    large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[:, 0].numpy()
    wanted = np.stack([gaussian_filter(one, learned.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(learned.score(test).map, wanted, atol=2e-3 * np.abs(wanted).max())
    middle, spread = normal.mean(axis=0), normal.std(axis=0)  # of the 1,000 that were drawn, about that of all
    np.testing.assert_allclose(own[0] @ own[1], middle, atol=0.2 * spread.max())


def test_patches_that_are_all_the_same_have_the_floor_for_a_covariance(learned: DAGMM) -> None:
    x = torch.ones(30, sum(learned.features.channels))
    z, _ = learned.represent(x)
    mixture = learned.mixture_of(z)
    inverse = torch.linalg.inv(mixture.whitening)
    torch.testing.assert_close(
        inverse @ inverse.mT, learned.floor * torch.eye(4).double().expand(2, 4, 4), atol=1e-12, rtol=1e-6
    )
    parameters = [*learned.compress.parameters(), *learned.estimate.parameters()]
    slopes = torch.autograd.grad(learned.training_loss(x), parameters)
    assert all(bool(slope.isfinite().all()) for slope in slopes)


def test_a_component_that_nothing_belongs_to_does_no_harm() -> None:
    detector = DAGMM(**TINY).fit(toy_part(8, seed=0).images)
    last = detector.estimate[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([800.0, 0.0]))  # a share of exactly 0 for the second
    x = torch.randn(40, sum(detector.features.channels), generator=torch.Generator().manual_seed(0))
    z, _ = (one.detach().double() for one in detector.represent(x))
    alone = mixture_of(z.numpy(), np.ones((40, 1)), detector.floor)
    mixture = detector.mixture_of(z.float())
    found = torch.stack([mixture.log_weights.exp(), mixture.whitening.diagonal(dim1=1, dim2=2).prod(dim=1)])
    np.testing.assert_allclose(found[:, 0].detach(), [1, np.linalg.det(alone[2][0]) ** -0.5], rtol=1e-4)
    assert np.isfinite(float(detector.training_loss(x).detach()))


def test_numbers_that_are_not_finite_stop_with_the_step() -> None:
    with pytest.raises(DivergedError, match="the loss is nan at step 2"):
        DAGMM(**{**TINY, "rate": 1e30}).fit(toy_part(8, seed=0).images)
