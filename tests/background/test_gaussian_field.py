"""`GaussianField` against `numpy.cov`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amiss.background.gaussian_field import GaussianField
from amiss.core.errors import InputError


def field_of(vectors: np.ndarray, cuts=()) -> GaussianField:
    field = GaussianField(*vectors.shape[1:])
    for part in np.split(vectors, cuts):
        if len(part):
            field.add(torch.from_numpy(part))
    return field


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 20), max_size=5).map(sorted), seed=st.integers(0, 1000))
def test_equals_numpy_however_the_batches_are_split(cuts: list[int], seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((20, 3, 4)) * 5 + 3
    field = field_of(vectors, cuts)
    assert field.count == 20
    np.testing.assert_allclose(field.mean.numpy(), vectors.mean(axis=0), rtol=1e-12, atol=1e-12)
    for position in range(3):
        wanted = np.cov(vectors[:, position].T)
        np.testing.assert_allclose(field.covariance()[position].numpy(), wanted, rtol=1e-10, atol=1e-10)


def test_whitening_is_a_root_of_the_inverse() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 2, 6))
    field = field_of(vectors)
    root = field.whitening(0.1).double()
    regularised = field.covariance() + 0.1 * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(root.mT @ root, torch.linalg.inv(regularised), rtol=1e-5, atol=1e-5)


def test_fewer_vectors_than_dimensions_and_a_large_offset() -> None:
    """90 vectors of 152 dimensions around 10,000: the covariance is singular, and one-pass sums would lose it."""
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((90, 2, 152)) + 1e4).astype(np.float32)
    field = field_of(vectors, (7, 50))
    regularisation = 0.01
    root = field.whitening(regularisation)
    assert root.isfinite().all()
    query = vectors[0] + 1
    for position in range(2):
        exact = vectors[:, position].astype(np.float64)
        covariance = np.cov(exact.T) + regularisation * np.eye(152)
        centred = query[position] - exact.mean(axis=0)
        wanted = np.sqrt(centred @ np.linalg.solve(covariance, centred))
        found = np.linalg.norm(root[position].double().numpy() @ centred)
        assert found == pytest.approx(wanted, rel=1e-3)


def test_too_few_vectors() -> None:
    field = GaussianField(2, 3)
    with pytest.raises(InputError, match="0 vectors"):
        field.mean  # noqa: B018
    field.add(torch.zeros(1, 2, 3))
    with pytest.raises(InputError, match="at least 2"):
        field.covariance()
