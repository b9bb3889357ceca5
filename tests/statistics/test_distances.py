"""The statistics against SciPy."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis

from amiss.statistics.knn import nearest_distance
from amiss.statistics.mahalanobis import mahalanobis_field, strip_edges


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


@pytest.mark.parametrize("dimension", [5, 32, 70])
def test_mahalanobis_field_equals_scipy(dimension: int) -> None:
    """Of a lower triangular W, whole and in strips."""
    rng = np.random.default_rng(0)
    vectors, mean = rng.standard_normal((3, 4, dimension)), rng.standard_normal((4, dimension))
    roots = np.tril(rng.standard_normal((4, dimension, dimension)) / dimension + np.eye(dimension))
    wanted = [[mahalanobis(vectors[n, p], mean[p], roots[p].T @ roots[p]) for p in range(4)] for n in range(3)]
    for strips in ([roots], [roots[:, start:end, :end] for start, end in strip_edges(dimension)]):
        found = mahalanobis_field(*map(torch.from_numpy, (vectors, mean)), [torch.from_numpy(each) for each in strips])
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-10)


def test_strips_are_half_of_the_matrix() -> None:
    assert strip_edges(1) == [(0, 1)]
    edges = strip_edges(550)
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]
    assert (edges[0][0], edges[-1][1]) == (0, 550)
    assert max(end - start for start, end in edges) <= 32
    assert sum((end - start) * end for start, end in edges) < 0.53 * 550**2
