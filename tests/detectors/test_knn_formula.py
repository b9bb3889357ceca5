"""The nearest patch against plain NumPy on the same features."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.memory_bank.knn import NearestPatch
from amiss.testing import toy_texture

TINY = NearestPatch.card.presets["tiny"]


def patches_of(detector: NearestPatch, images: Images) -> np.ndarray:
    """(N, h, w, D) float64."""
    with torch.no_grad():
        return detector.describe(to_batch(torch.from_numpy(np.stack(list(images))))).double().numpy()


@pytest.mark.parametrize("neighbours", [1, 5, 10_000])
def test_map_equals_the_formula(neighbours: int) -> None:
    """With a cap above the number of patches the bank is every normal patch, and the formula needs no bank."""
    normal, test = toy_texture(3, seed=0).images, toy_texture(3, seed=1, defective=True).images
    detector = NearestPatch(**{**TINY, "bank_size": 1000, "neighbours": neighbours}).fit(normal)
    bank = patches_of(detector, normal).reshape(-1, 20)
    wanted = []
    for patches in patches_of(detector, test):
        nearest = np.sort(cdist(patches.reshape(-1, 20), bank), axis=1)[:, :neighbours].mean(axis=1)
        grid = torch.from_numpy(nearest.reshape(1, 1, 16, 16))
        large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[0, 0].numpy()
        wanted.append(gaussian_filter(large, detector.smoothing * 64 / 256))
    found = detector.score(test)
    np.testing.assert_allclose(found.map, wanted, atol=1e-4 * np.max(wanted))
    np.testing.assert_allclose(found.image, np.max(wanted, axis=(1, 2)), rtol=1e-3)


def test_the_bank_is_a_sample_of_the_normal_patches() -> None:
    images = toy_texture(6, seed=0).images
    detector = NearestPatch(**{**TINY, "bank_size": 100}).fit(images, seed=3)
    pool = patches_of(detector, images).reshape(-1, 20)
    bank = (detector.bank + detector.center).double().numpy()
    distance = cdist(bank, pool)
    assert distance.min(axis=1).max() < 1e-5
    assert len(set(distance.argmin(axis=1))) == 100
    per_image = np.bincount(distance.argmin(axis=1) // 256, minlength=6)
    assert per_image.min() >= 5  # 16.7 expected in each; fewer than 5 in one of six has probability 0.001
    other = NearestPatch(**{**TINY, "bank_size": 100}).fit(images, seed=4)
    assert not torch.equal(detector.bank, other.bank)


def test_memory_is_bounded_by_the_bank() -> None:
    """The state after many images is as large as after a few."""
    sizes = [
        sum(t.numel() for t in NearestPatch(**TINY).fit(toy_texture(n, seed=0).images).state_dict().values())
        for n in (4, 40)
    ]
    assert sizes[0] == sizes[1]
