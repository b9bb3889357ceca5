"""`Subspace` against scikit-learn's PCA."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from amiss.background.gaussian import Gaussian
from amiss.background.subspace import Subspace
from amiss.core.errors import InputError


def vectors_of(count: int = 300, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 8)) * 2.0 ** -np.arange(8) @ np.linalg.qr(rng.standard_normal((8, 8)))[0] + 5


def subspace_of(vectors: np.ndarray, share: float) -> Subspace:
    gaussian = Gaussian(vectors.shape[1])
    for part in np.array_split(vectors, 4):
        gaussian.add(torch.from_numpy(part))
    return Subspace.of(gaussian, share)


@pytest.mark.parametrize("share", [0.1, 0.7, 0.9, 0.97, 0.999])
def test_equals_pca(share: float) -> None:
    vectors = vectors_of()
    found, wanted = subspace_of(vectors, share), PCA(n_components=share).fit(vectors)
    assert found.kept == wanted.n_components_
    np.testing.assert_allclose(found.variance[: found.kept], wanted.explained_variance_, rtol=1e-9)
    signs = np.sign((found.axes[:, : found.kept].numpy() * wanted.components_.T).sum(axis=0))
    np.testing.assert_allclose(found.axes[:, : found.kept].numpy() * signs, wanted.components_.T, atol=1e-9)


def test_the_rest_is_the_reconstruction_error() -> None:
    vectors = vectors_of()
    subspace, pca = subspace_of(vectors, 0.9), PCA(n_components=0.9).fit(vectors)
    left = vectors - pca.inverse_transform(pca.transform(vectors))
    along = (torch.from_numpy(vectors) - subspace.mean) @ subspace.rest()
    np.testing.assert_allclose(along.norm(dim=1), np.linalg.norm(left, axis=1), rtol=1e-9)


def test_whitening() -> None:
    vectors = vectors_of()
    subspace = subspace_of(vectors, 0.9)
    white = ((torch.from_numpy(vectors) - subspace.mean) @ subspace.whitening()).numpy()
    np.testing.assert_allclose(np.cov(white.T), np.eye(subspace.kept), atol=1e-9)


def test_fewer_vectors_than_dimensions_and_the_largest_share() -> None:
    """5 vectors span 4 dimensions; rounding must not make the fifth count, and one axis is always left out."""
    assert subspace_of(vectors_of(5), 0.999999).kept <= 4
    assert subspace_of(vectors_of(), 1 - 1e-15).kept == 7


@pytest.mark.parametrize(
    ("vectors", "message"),
    [(np.ones((5, 3)), "do not vary"), (np.random.default_rng(0).standard_normal((5, 1)), "at least 2 dimensions")],
)
def test_nothing_to_span(vectors: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        subspace_of(vectors, 0.9)
