"""`GaussianField` against `numpy.cov`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amiss.background.gaussian_field import FieldWhitening, GaussianField
from amiss.core.errors import InputError


def field_of(vectors: np.ndarray, cuts=()) -> GaussianField:
    field = GaussianField(*vectors.shape[1:])
    for part in np.split(vectors, cuts):
        if len(part):
            field.add(torch.from_numpy(part))
    return field


def whole(field: GaussianField, regularisation: float) -> torch.Tensor:
    """W of all positions, (P, D, D)."""
    return torch.cat([part for _, part in field.whitening(regularisation)])


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
    root = whole(field, 0.1)
    regularised = field.covariance() + 0.1 * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(root.mT @ root, torch.linalg.inv(regularised), rtol=1e-9, atol=1e-9)


def test_fewer_vectors_than_dimensions_and_a_large_offset() -> None:
    """90 vectors of 152 dimensions around 10,000: the covariance is singular, and one-pass sums would lose it."""
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((90, 2, 152)) + 1e4).astype(np.float32)
    field = field_of(vectors, (7, 50))
    regularisation = 0.01
    root = whole(field, regularisation)
    assert root.isfinite().all()
    query = vectors[0] + 1
    for position in range(2):
        exact = vectors[:, position].astype(np.float64)
        covariance = np.cov(exact.T) + regularisation * np.eye(152)
        centred = query[position] - exact.mean(axis=0)
        wanted = np.sqrt(centred @ np.linalg.solve(covariance, centred))
        found = np.linalg.norm(root[position].numpy() @ centred)
        assert found == pytest.approx(wanted, rel=1e-3)


def test_too_few_vectors() -> None:
    field = GaussianField(2, 3)
    with pytest.raises(InputError, match="0 vectors"):
        field.mean  # noqa: B018
    field.add(torch.zeros(1, 2, 3))
    with pytest.raises(InputError, match="at least 2"):
        field.covariance()


@pytest.mark.parametrize("sums", [2**30, 8 * 40**2 * 3, 1])
def test_a_field_learned_in_one_pass_or_in_many(sums: int) -> None:
    """Against NumPy, position by position: 7 positions at once, 3 at a time, and one by one."""
    vectors = np.random.default_rng(0).standard_normal((50, 7, 40)).astype(np.float32) * 3 + 2
    began = 0

    def passes():
        nonlocal began
        began += 1
        return torch.from_numpy(vectors).split(8)

    field = FieldWhitening(40)
    field.learn(passes, (7, 1), 0.01, sums=sums)
    assert began == {2**30: 1, 1: 1 + 7}.get(sums, 1 + 3)  # of several passes the first is for the variance
    assert (field.grid, len(field.strips)) == ((7, 1), 2)
    exact = vectors.astype(np.float64)
    covariance = [np.cov(exact[:, position].T) for position in range(7)]
    added = 0.01 * np.mean([np.diag(one) for one in covariance]) * np.eye(40)
    query = vectors[:5] + 1
    found = field(torch.from_numpy(query)).numpy()
    for position in range(7):
        centred = query[:, position] - exact[:, position].mean(axis=0)
        inverse = np.linalg.inv(covariance[position] + added)
        np.testing.assert_allclose(found[:, position], np.sqrt(np.sum(centred @ inverse * centred, axis=1)), rtol=1e-5)


def test_memory_is_what_the_cost_says(peak_bytes) -> None:
    """Sums, the triangular result, and no third thing that grows with the positions."""
    positions, dimension = 400, 64
    vectors = torch.randn(4, positions, dimension)
    triangular = 4 * positions * dimension * (dimension / 2 + 16)
    block = 6 * 8 * 2**20
    whole = 8 * positions * dimension**2
    once = peak_bytes(lambda: FieldWhitening(dimension).learn(lambda: [vectors], (positions,), 0.01))
    assert once <= whole + triangular + block
    few = peak_bytes(lambda: FieldWhitening(dimension).learn(lambda: [vectors], (positions,), 0.01, sums=whole // 40))
    assert few <= whole / 40 * 8 + triangular + 4 * vectors.nbytes


def test_adding_takes_no_second_set_of_sums(peak_bytes) -> None:
    vectors = torch.randn(2, 50, 100)

    def work() -> None:
        GaussianField(50, 100).add(vectors)

    assert peak_bytes(work) <= 1.1 * 8 * 50 * 100**2
