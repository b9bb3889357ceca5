"""Nearest neighbours against SciPy and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from amiss.statistics.knn import (
    closeness,
    distance,
    nearest,
    nearest_distance,
    nearest_distance_of_each,
    principal_axes,
    shortened,
)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_closeness_is_the_distance_turned_round() -> None:
    queries, bank = draw(9, 5), draw(30, 5, seed=1)
    found = closeness(torch.from_numpy(queries), torch.from_numpy(bank)).numpy()
    wanted = 0.5 * (np.square(queries).sum(axis=1, keepdims=True) - np.square(cdist(queries, bank)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 70, 100])
def test_nearest_equals_scikit_learn(count: int) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    queries, bank = draw(4, 5, 12), draw(70, 12, seed=1)
    distances, numbers = nearest(torch.from_numpy(queries), torch.from_numpy(bank), count)
    k = min(count, 70)
    wanted = neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank.astype(np.float64))
    far, which = wanted.kneighbors(queries.reshape(-1, 12).astype(np.float64))
    assert distances.shape == numbers.shape == (4, 5, k)
    assert numbers.reshape(-1, k).tolist() == which.tolist()
    np.testing.assert_allclose(distances.reshape(-1, k).numpy(), far, rtol=1e-5)


def test_the_first_of_the_nearest_is_the_nearest() -> None:
    queries, bank = torch.from_numpy(draw(20, 6)), torch.from_numpy(draw(50, 6, seed=1))
    assert torch.equal(nearest(queries, bank, 4)[0][:, 0], nearest_distance(queries, bank))


def test_principal_axes_are_those_of_the_singular_values() -> None:
    bank = draw(50, 8) * np.arange(1, 9, dtype=np.float32)
    axes = principal_axes(torch.from_numpy(bank), 3).numpy()
    wanted = np.linalg.svd(bank, full_matrices=False)[2][:3].T
    np.testing.assert_allclose(np.abs(axes.T @ wanted), np.eye(3), atol=1e-4)


@pytest.mark.parametrize("count", [0, 1, 4, 12])
def test_shortened_vectors_are_never_farther_apart(count: int) -> None:
    queries, bank = draw(40, 12), draw(60, 12, seed=1)
    axes = principal_axes(torch.from_numpy(bank), count)
    short = [shortened(torch.from_numpy(each), axes).numpy() for each in (queries, bank)]
    assert short[0].shape == (40, count + 1)
    np.testing.assert_allclose(np.linalg.norm(short[0], axis=1), np.linalg.norm(queries, axis=1), rtol=1e-5)
    whole = cdist(queries, bank)
    assert (cdist(*short) <= whole + 1e-4).all()
    if count == 12:
        np.testing.assert_allclose(cdist(*short), whole, rtol=1e-3)


def test_looking_along_axes_finds_the_nearest_or_one_a_little_farther() -> None:
    """Vectors that vary along 4 of 20 directions, and little along the others."""
    scale = np.where(np.arange(20) < 4, 5, 0.2).astype(np.float32)
    queries, bank = (torch.from_numpy(draw(200, 20, seed=seed) * scale) for seed in (0, 1))
    exact = nearest_distance(queries, bank)
    for count, share in ((4, 0.8), (20, 0.999)):
        found = nearest_distance(queries, bank, axes=principal_axes(bank, count))
        assert (found >= exact * (1 - 1e-6)).all()
        assert float((found <= exact * 1.0001).float().mean()) >= share
        assert float((found / exact).max()) <= 1.2


def test_a_bank_for_each_image() -> None:
    queries, banks = torch.from_numpy(draw(3, 20, 6)), torch.from_numpy(draw(3, 15, 6, seed=1))
    found = nearest_distance_of_each(queries, banks)
    for one, query, bank in zip(found, queries, banks, strict=True):
        np.testing.assert_allclose(one.numpy(), cdist(query, bank).min(axis=1), rtol=1e-5)


def test_close_pairs_keep_their_digits_in_every_function() -> None:
    bank = torch.randn(20, 100, generator=torch.Generator().manual_seed(0)) * 10
    queries = bank.clone()
    queries[:, 0] += 2.0**-13
    exact = distance(queries, bank)
    torch.testing.assert_close(exact, (queries - bank).norm(dim=1))
    torch.testing.assert_close(nearest(queries, bank, 2)[0][:, 0], exact, rtol=1e-5, atol=0)
    torch.testing.assert_close(nearest_distance_of_each(queries[None], bank[None])[0], exact, rtol=1e-5, atol=0)
