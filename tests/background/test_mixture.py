"""`Mixture` ahistoryt scikit-learn's GaussianMixture."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from amiss.background.mixture import Mixture, choose_mixture, fit_mixture, maximise
from amiss.core.errors import InputError
from amiss.statistics.nll import mixture_nll

NAMES = {"full": "full", "diagonal": "diag"}


def draw(count: int, seed: int) -> np.ndarray:
    """Three well separated correlated clouds in three dimensions, with weights 0.5, 0.3 and 0.2."""
    rng = np.random.default_rng(seed)
    roots = np.random.default_rng(9).standard_normal((3, 3, 3)) * 0.7
    owner = rng.choice(3, count, p=[0.5, 0.3, 0.2])
    centres = np.array([[0, 0, 0], [6, 0, 0], [0, 7, 3]])
    return centres[owner] + np.einsum("nij,nj->ni", roots[owner], rng.standard_normal((count, 3)))


def covariances_of(mixture: Mixture) -> np.ndarray:
    whitening = mixture.whitening if mixture.whitening.ndim == 3 else torch.diag_embed(mixture.whitening)
    return torch.linalg.inv(whitening.mT @ whitening).numpy()


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_equals_scikit_learn(covariance: str) -> None:
    """Both until nothing moves any more; then the order of the components is all that may differ."""
    vectors = draw(600, 0)
    found = fit_mixture(
        torch.from_numpy(vectors),
        3,
        np.random.default_rng(0),
        covariance=covariance,
        regularisation=1e-4,
        steps=500,
        tolerance=1e-13,
    )
    wanted = GaussianMixture(
        3, covariance_type=NAMES[covariance], tol=1e-13, max_iter=500, reg_covar=1e-4, random_state=0
    ).fit(vectors)
    order, other = np.argsort(found.log_weights.numpy()), np.argsort(wanted.weights_)
    np.testing.assert_allclose(found.log_weights.exp().numpy()[order], wanted.weights_[other], rtol=1e-5)
    np.testing.assert_allclose(found.means.numpy()[order], wanted.means_[other], atol=1e-5)
    theirs = [np.diag(one) if one.ndim == 1 else one for one in wanted.covariances_[other]]
    np.testing.assert_allclose(covariances_of(found)[order], theirs, atol=1e-5)
    fresh = draw(50, 1)
    nll = mixture_nll(torch.from_numpy(fresh), found.log_weights, found.means, found.whitening)
    np.testing.assert_allclose(-nll.numpy(), wanted.score_samples(fresh), rtol=1e-5)
    assert found.bic(torch.from_numpy(fresh), 50) == pytest.approx(wanted.bic(fresh), rel=1e-6)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_likelihood_never_falls(covariance: str) -> None:
    """The theorem behind the method, up to the pull of the regularisation."""
    vectors = torch.from_numpy(np.random.default_rng(0).standard_exponential((500, 4)))
    history = fit_mixture(
        vectors, 6, np.random.default_rng(1), covariance=covariance, regularisation=1e-9, tolerance=0
    ).history
    assert len(history) > 5
    assert np.diff(history).min() > -1e-9


def test_maximise_is_the_weighted_mean_and_covariance() -> None:
    rng = np.random.default_rng(0)
    vectors, belonging = rng.standard_normal((40, 3)), rng.dirichlet(np.ones(2), 40)
    found = maximise(torch.from_numpy(vectors), torch.from_numpy(belonging), "full", 0.1)
    for component in range(2):
        weights = belonging[:, component]
        wanted = np.cov(vectors.T, aweights=weights, ddof=0) + 0.1 * np.eye(3)
        np.testing.assert_allclose(found.means[component].numpy(), np.average(vectors, axis=0, weights=weights))
        np.testing.assert_allclose(covariances_of(found)[component], wanted)
    np.testing.assert_allclose(found.log_weights.exp().numpy(), belonging.mean(axis=0))


def test_nll_equals_scipy_far_from_every_component() -> None:
    """Densities of 1e-2000 underflow unless the sum is taken of logarithms."""
    means, covariance = np.array([[0.0, 0], [5, 5]]), np.array([[2.0, 1], [1, 3]])
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    query = np.array([[1.0, 2.0], [100.0, -80.0]])
    logs = [
        np.log(w) + multivariate_normal(m, covariance).logpdf(query) for w, m in zip((0.3, 0.7), means, strict=True)
    ]
    found = mixture_nll(
        torch.from_numpy(query),
        torch.tensor([0.3, 0.7]).double().log(),
        torch.from_numpy(means),
        torch.from_numpy(np.stack([root, root])),
    )
    np.testing.assert_allclose(found.numpy(), -np.logaddexp(*logs), rtol=1e-7)


def test_the_number_of_components_is_found() -> None:
    vectors, held_out = (torch.from_numpy(draw(count, seed)) for count, seed in ((800, 0), (300, 1)))
    reported: list[tuple[str, int, int]] = []
    chosen = choose_mixture(
        vectors, held_out, (1, 2, 3, 6, 12), np.random.default_rng(0), progress=lambda *step: reported.append(step[:3])
    )
    assert len(chosen.means) == 3
    assert reported == [("mixtures", done, 6) for done in range(1, 7)]


def test_one_candidate_learns_from_everything() -> None:
    vectors, held_out = (torch.from_numpy(draw(100, seed)) for seed in (0, 1))
    chosen = choose_mixture(vectors, held_out, (3,), np.random.default_rng(0))
    again = fit_mixture(torch.cat([vectors, held_out]), 3, np.random.default_rng(0))
    assert torch.equal(chosen.means, again.means)


def test_equal_vectors_and_fewer_vectors_than_components() -> None:
    vectors = torch.zeros(5, 3)
    mixture = fit_mixture(vectors, 8, np.random.default_rng(0), regularisation=0.5)
    assert len(mixture.means) == 5
    assert mixture_nll(vectors.double(), mixture.log_weights, mixture.means, mixture.whitening).isfinite().all()


def test_an_unknown_kind() -> None:
    with pytest.raises(InputError, match=r"covariance must be one of diagonal, full, got 'ful'\. Did you mean 'full'"):
        fit_mixture(torch.zeros(5, 3), 2, np.random.default_rng(0), covariance="ful")
