"""SPADE against plain NumPy on the same features."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.memory_bank.spade import SPADE
from amiss.testing import toy_part, toy_texture

TINY = SPADE.card.presets["tiny"]


def described(detector: SPADE, images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Pooled features (N, C) and patches (N, P, D), float64, from the raw stages."""
    with torch.no_grad():
        maps = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    fine, coarse, deep = maps  # strides 4, 8, 16
    coarse = torch.nn.functional.interpolate(coarse, fine.shape[2:], mode="bilinear")
    patches = torch.cat([fine, coarse], dim=1).flatten(2).transpose(1, 2)
    return deep.double().mean(dim=(2, 3)).numpy(), patches.double().numpy()


def plain(detector: SPADE, normal: Images, test: Images) -> tuple[np.ndarray, np.ndarray]:
    """Cohen and Hoshen, section 3: K nearest images, then the nearest of all their patches. Maps, image scores."""
    k = detector.neighbours
    whole, patches = described(detector, normal)
    maps, scores = [], []
    for one, queries in zip(*described(detector, test), strict=True):
        distance = np.linalg.norm(whole - one, axis=1)
        retrieved = np.argsort(distance)[:k]
        nearest = cdist(queries, patches[retrieved].reshape(-1, patches.shape[2])).min(axis=1)
        grid = torch.from_numpy(nearest.reshape(1, 1, 16, 16))
        large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[0, 0].numpy()
        maps.append(gaussian_filter(large, detector.smoothing * 64 / 256))
        scores.append(distance[retrieved].mean())
    return np.stack(maps), np.stack(scores)


@pytest.mark.parametrize("neighbours", [1, 3, 40])
@pytest.mark.parametrize("world", [toy_texture, toy_part])
def test_map_equals_the_formula(neighbours: int, world) -> None:
    normal, test = world(9, seed=0).images, world(4, seed=1, defective=True).images
    detector = SPADE(**{**TINY, "neighbours": neighbours}).fit(normal)
    wanted, _ = plain(detector, normal, test)
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-4 * wanted.max())


def test_with_retrieval_the_maximum_of_the_map_is_the_image_score_of_the_paper() -> None:
    normal, test = toy_texture(9, seed=0).images, toy_texture(4, seed=1, defective=True).images
    detector = SPADE(**{**TINY, "image_score": "retrieval"}).fit(normal)
    maps, scores = plain(detector, normal, test)
    found = detector.score(test)
    np.testing.assert_allclose(found.image, scores, rtol=1e-4)
    wanted = maps * (scores / maps.max(axis=(1, 2)))[:, None, None]
    np.testing.assert_allclose(found.map, wanted, atol=1e-3 * wanted.max())


def test_the_gallery_is_a_coreset_of_images() -> None:
    """With a gallery of two, the second is the image least like the first, and their patches go with them."""
    images = toy_texture(10, seed=0).images
    for seed in range(3):
        detector = SPADE(**{**TINY, "gallery": 2}).fit(images, seed=seed)
        assert detector.patches.shape == (2, 256, 20)
        whole, patches = described(detector, images)
        kept = cdist((detector.images + detector.center).numpy(), whole).argmin(axis=1)
        assert kept[1] == cdist(whole[kept[:1]], whole)[0].argmax()
        found = (detector.patches + detector.patch_center).double().numpy()
        np.testing.assert_allclose(found, patches[kept], atol=1e-5)


def test_an_image_of_the_gallery_scores_zero() -> None:
    images = toy_texture(6, seed=0).images
    for image_score in ("pixels", "retrieval"):
        detector = SPADE(**{**TINY, "neighbours": 1, "image_score": image_score}).fit(images)
        assert detector.score(images).image == pytest.approx(0, abs=1e-4)
