"""`Gaussian` against NumPy and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from amiss.background.gaussian import Gaussian, MahalanobisLayer
from amiss.core.errors import InputError


def gaussian_of(vectors: np.ndarray) -> Gaussian:
    gaussian = Gaussian(vectors.shape[1])
    gaussian.add(torch.from_numpy(vectors))
    return gaussian


def draw(count: int, dimension: int, seed: int, offset: float = 0.0) -> np.ndarray:
    """Correlated vectors with a long tail, so that third and fourth moments matter."""
    rng = np.random.default_rng(seed)
    return rng.standard_exponential((count, dimension)) @ rng.standard_normal((dimension, dimension)) + offset


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40), max_size=5).map(sorted),
    order=st.permutations(range(6)),
    seed=st.integers(0, 1000),
    offset=st.sampled_from([0.0, 1e3]),
)
def test_merged_in_any_order_equals_all_at_once(cuts: list[int], order: list[int], seed: int, offset: float) -> None:
    """Parts may be empty. The parts have very different means, since the vectors are sorted."""
    vectors = np.sort(draw(40, 4, seed, offset), axis=0)
    parts = np.split(vectors, cuts)
    merged = Gaussian(4)
    for number in order:
        if number < len(parts):
            merged.merge(gaussian_of(parts[number]))
    assert merged.count == 40
    np.testing.assert_allclose(merged.mean.numpy(), vectors.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.covariance().numpy(), np.cov(vectors.T), rtol=1e-9, atol=1e-9)
    assert merged.shrinkage() == pytest.approx(LedoitWolf().fit(vectors).shrinkage_, rel=1e-6)


def test_merging_leaves_the_other_as_it_is() -> None:
    one, other = gaussian_of(draw(10, 3, 0)), gaussian_of(draw(10, 3, 1))
    before = other.covariance()
    assert one.merge(other) is one
    assert torch.equal(other.covariance(), before)
    assert other.count == 10


@pytest.mark.parametrize(("count", "dimension"), [(200, 5), (30, 60), (3, 40), (2, 3), (50, 1), (5000, 12)])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_shrinkage_equals_scikit_learn(count: int, dimension: int, offset: float) -> None:
    vectors = draw(count, dimension, 0, offset)
    gaussian = Gaussian(dimension)
    for part in np.array_split(vectors, min(count, 7)):
        gaussian.add(torch.from_numpy(part))
    wanted = LedoitWolf().fit(vectors)
    assert gaussian.shrinkage() == pytest.approx(wanted.shrinkage_, rel=1e-6, abs=1e-12)
    np.testing.assert_allclose(gaussian.shrunk().numpy(), wanted.covariance_, rtol=1e-6, atol=1e-6)


def test_shrinking_comes_closer_to_the_truth() -> None:
    """With as many vectors as dimensions, the shrunk covariance beats the plain one; that is what it is for."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((20, 20)) / 4
    truth = torch.from_numpy(root @ root.T)
    gaussian = gaussian_of(rng.standard_normal((20, 20)) @ root.T)
    assert (gaussian.shrunk() - truth).norm() < 0.8 * (gaussian.covariance() - truth).norm()


def test_memory_does_not_grow_with_the_vectors() -> None:
    gaussian = Gaussian(6)
    sizes = []
    for seed in range(3):
        gaussian.add(torch.from_numpy(draw(1000, 6, seed)))
        sizes.append(sum(value.numel() for value in vars(gaussian).values() if isinstance(value, torch.Tensor)))
    assert sizes == [6 * 6 + 2 * 6 + 1] * 3


def test_the_layer_measures_mahalanobis_distances() -> None:
    """More dimensions than vectors and a channel that never varies: only the shrinkage makes it invertible."""
    vectors = draw(25, 30, 0, offset=10)
    vectors[:, 7] = 3
    layer = MahalanobisLayer(30)
    layer.take(gaussian_of(vectors))
    fitted = LedoitWolf().fit(vectors)
    queries = draw(4, 30, 1)
    wanted = [mahalanobis(query, fitted.location_, np.linalg.inv(fitted.covariance_)) for query in queries]
    found = layer(torch.from_numpy(queries).float().view(2, 2, 30))
    np.testing.assert_allclose(found.numpy().ravel(), wanted, rtol=1e-4)


def test_too_few_or_equal_vectors() -> None:
    with pytest.raises(InputError, match=r"at least 2 vectors are needed .*got 1"):
        gaussian_of(np.zeros((1, 3))).covariance()
    with pytest.raises(InputError, match="do not vary"):
        MahalanobisLayer(3).take(gaussian_of(np.ones((9, 3))))
