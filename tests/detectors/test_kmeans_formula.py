"""The dictionary against plain NumPy on the same features, and its centroids against scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.memory_bank.kmeans import Dictionary
from amiss.testing import toy_texture

TINY = Dictionary.card.presets["tiny"]


def patches_of(detector: Dictionary, images: Images) -> np.ndarray:
    """(N, P, D) float64, from the raw stages."""
    with torch.no_grad():
        fine, coarse = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    coarse = torch.nn.functional.interpolate(coarse, fine.shape[2:], mode="bilinear")
    return torch.cat([fine, coarse], dim=1).flatten(2).transpose(1, 2).double().numpy()


@pytest.mark.parametrize("neighbours", [1, 4, 1000])
def test_map_equals_the_formula(neighbours: int) -> None:
    normal, test = toy_texture(6, seed=0).images, toy_texture(3, seed=1, defective=True).images
    detector = Dictionary(**{**TINY, "neighbours": neighbours}).fit(normal)
    centroids = (detector.bank + detector.center).double().numpy()
    wanted = []
    for patches in patches_of(detector, test):
        nearest = np.sort(cdist(patches, centroids), axis=1)[:, :neighbours].mean(axis=1)
        grid = torch.from_numpy(nearest.reshape(1, 1, 16, 16))
        large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[0, 0].numpy()
        wanted.append(gaussian_filter(large, detector.smoothing * 64 / 256))
    found = detector.score(test)
    np.testing.assert_allclose(found.map, wanted, atol=1e-4 * np.max(wanted))


@pytest.mark.parametrize("seed", range(3))
def test_the_centroids_are_those_of_k_means(seed: int) -> None:
    """Inertia of all normal patches within 10 % of scikit-learn's full k-means, after twice the mini-batches."""
    cluster = pytest.importorskip("sklearn.cluster")
    images = toy_texture(12, seed=seed).images
    detector = Dictionary(**{**TINY, "passes": 2 * Dictionary(**TINY).passes}).fit(images, seed=seed)
    patches = patches_of(detector, images).reshape(-1, 20)
    found = np.square(cdist(patches, (detector.bank + detector.center).numpy()).min(axis=1)).sum()
    assert found < 1.1 * cluster.KMeans(50, n_init=1, random_state=seed).fit(patches).inertia_


def test_more_centroids_than_patches_is_every_patch() -> None:
    images = toy_texture(1, seed=0).images
    detector = Dictionary(**{**TINY, "centroids": 1000}).fit(images)
    assert len(detector.bank) == 256
    assert detector.score(images).image == pytest.approx(0, abs=1e-4)
