"""The statistics against SciPy."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis

from amiss.statistics.knn import nearest_distance
from amiss.statistics.mahalanobis import mahalanobis_field


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_nearest_distance_equals_cdist(offset: float) -> None:
    """Queries and bank are centred on the bank's mean first, as the docstring asks."""
    rng = np.random.default_rng(0)
    bank = (rng.standard_normal((70, 12)) + offset).astype(np.float32)
    queries = (rng.standard_normal((4, 5, 12)) + offset).astype(np.float32)
    center = bank.mean(axis=0)
    found = nearest_distance(torch.from_numpy(queries - center), torch.from_numpy(bank - center))
    wanted = cdist(queries.reshape(-1, 12).astype(np.float64), bank.astype(np.float64)).min(axis=1)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), wanted.reshape(4, 5), rtol=1e-4)


def test_a_vector_of_the_bank_has_distance_zero() -> None:
    bank = torch.randn(50, 200, generator=torch.Generator().manual_seed(0)) * 100
    assert (nearest_distance(bank.view(5, 10, 200), bank) == 0).all()


def test_close_pairs_keep_their_digits() -> None:
    """Via squares and products, a distance of 1e-4 between vectors of length 100 would drown in rounding."""
    bank = torch.randn(20, 100, generator=torch.Generator().manual_seed(0)) * 10
    queries = bank.clone()
    queries[:, 0] += 2.0**-13
    exact = (queries - bank).norm(dim=1)
    torch.testing.assert_close(nearest_distance(queries, bank), exact, rtol=1e-5, atol=0)


def test_mahalanobis_field_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    vectors, mean = rng.standard_normal((3, 4, 5)), rng.standard_normal((4, 5))
    roots = rng.standard_normal((4, 5, 5)) + 2 * np.eye(5)
    found = mahalanobis_field(*(torch.from_numpy(each) for each in (vectors, mean, roots)))
    assert found.shape == (3, 4)
    for n in range(3):
        for p in range(4):
            wanted = mahalanobis(vectors[n, p], mean[p], roots[p].T @ roots[p])
            assert float(found[n, p]) == pytest.approx(wanted, rel=1e-10)
