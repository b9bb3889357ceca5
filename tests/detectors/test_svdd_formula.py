"""SVDD against plain NumPy on the same features, and its sphere against the definition."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.one_class.svdd import SVDD
from amiss.registry import create
from amiss.testing import toy_part

TINY = SVDD.card.presets["tiny"]


def whitened(detector: SVDD, images: Images) -> np.ndarray:
    """(N, D) float64."""
    with torch.no_grad():
        batch = to_batch(torch.from_numpy(np.stack(list(images))))
        return detector.normal.whiten(detector.describe(batch)).double().numpy()


def plain_kernel(detector: SVDD, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    gamma = float(detector.machine.gamma)
    if detector.kernel == "rbf":
        return np.exp(-gamma * ((a[:, None] - b) ** 2).sum(axis=2))
    return (gamma * a @ b.T + 1) ** detector.degree


def plain_weights(gram: np.ndarray, nu: float) -> np.ndarray:
    """Tax and Duin, dual: maximise sum a_i K_ii - a^T K a, with a on the simplex, each at most 1 / (nu n)."""
    gram = gram / np.diag(gram).mean()  # changes no solution; the solver's line search needs numbers around 1
    lengths = np.diag(gram)
    found = minimize(
        lambda a: a @ gram @ a - lengths @ a,
        np.full(len(gram), 1 / len(gram)),
        jac=lambda a: 2 * gram @ a - lengths,
        bounds=[(0, min(1, 1 / (nu * len(gram))))] * len(gram),
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": lambda a: np.ones(len(gram))},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 1000},
    )
    assert found.success
    return found.x


KINDS = [{}, {"degree": 1}, {"degree": 3}, {"kernel": "rbf"}, {"nu": 0.3}]


@pytest.mark.parametrize("settings", KINDS)
def test_score_is_the_squared_distance_to_the_centre_minus_the_squared_radius(settings: dict) -> None:
    normal, test = toy_part(30, seed=0).images, toy_part(5, seed=1, defective=True).images
    detector = SVDD(**{**TINY, **settings}).fit(normal)
    x, queries = whitened(detector, normal), whitened(detector, test)
    gram = plain_kernel(detector, x, x)
    a = plain_weights(gram, detector.nu)
    inside = np.diag(gram) - 2 * gram @ a + a @ gram @ a
    free = (a > 1e-4) & (a < 1 / (detector.nu * len(x)) - 1e-4)
    radius = inside[free].mean()
    between = plain_kernel(detector, queries, x) @ a
    own = np.array([plain_kernel(detector, q[None], q[None])[0, 0] for q in queries])
    wanted = own - 2 * between + a @ gram @ a - radius
    np.testing.assert_allclose(detector.score(test).image, wanted, rtol=2e-3, atol=2e-3 * radius)


@pytest.mark.parametrize("settings", KINDS)
def test_zero_is_the_sphere(settings: dict) -> None:
    """At most the share nu of the images lies outside, and some lie on it."""
    images = toy_part(40, seed=0).images
    detector = SVDD(**{**TINY, **settings}).fit(images)
    scores = detector.score(images).image
    slack = 1e-3 * np.ptp(scores)
    assert (scores > slack).sum() <= detector.nu * 40
    assert (np.abs(scores) <= slack).any()
    assert len(detector.machine.vectors) >= detector.nu * 40


def test_the_default_is_not_a_one_class_svm() -> None:
    """The sphere's score is no function of the plane's: with the polynomial kernel k(x, x) is part of it."""
    detector = SVDD(**TINY).fit(toy_part(30, seed=0).images)
    x = torch.from_numpy(whitened(detector, toy_part(30, seed=1, defective=True).images)).float()
    own, between = detector.machine.kernel.of_itself(x), detector.machine(x)
    assert float(own.std() / own.mean()) > 0.1
    order = torch.argsort(own - 2 * between)
    assert (between[order].diff() > 0).any() and (between[order].diff() < 0).any()


def test_fewer_images_than_features() -> None:
    detector = create("svdd").fit(toy_part(6, seed=0).images)
    scores = detector.score(toy_part(3, seed=1, defective=True).images).image
    assert np.isfinite(scores).all()
    assert scores.min() > 0


def test_one_image_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        SVDD(**TINY).fit(toy_part(1, seed=0).images)
