"""`mahalanobis` and `mvg` against plain NumPy and scikit-learn's Ledoit-Wolf on the same features."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.covariance import LedoitWolf

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import Detector, to_batch
from amiss.detectors.distribution.mahalanobis import Mahalanobis
from amiss.detectors.distribution.mvg import MVG
from amiss.testing import toy_texture


def features_of(detector: Detector, images: Images) -> list[np.ndarray]:
    """(N, h, w, C) float64 per stage."""
    with torch.no_grad():
        batch = to_batch(torch.from_numpy(np.stack(list(images))))
        return [feature.permute(0, 2, 3, 1).double().numpy() for feature in detector.features(batch)]


def distance(normal: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Of vectors (..., C) to the Gaussian of normal ones."""
    fitted = LedoitWolf().fit(normal.reshape(-1, normal.shape[-1]))
    centred = vectors - fitted.location_
    return np.sqrt((centred @ np.linalg.inv(fitted.covariance_) * centred).sum(axis=-1))


def test_the_map_is_the_sum_of_the_stages_distances() -> None:
    normal, test = toy_texture(11, seed=0).images, toy_texture(3, seed=1, defective=True).images
    detector = Mahalanobis(**Mahalanobis.card.presets["tiny"]).fit(normal)
    wanted = np.zeros((3, 64, 64))
    for learned, tested in zip(features_of(detector, normal), features_of(detector, test), strict=True):
        grid = torch.from_numpy(distance(learned, tested))[:, None]
        large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[:, 0].numpy()
        wanted += [gaussian_filter(one, detector.smoothing * 64 / 256) for one in large]
    np.testing.assert_allclose(detector.score(test).map, wanted, rtol=1e-3)


@pytest.mark.parametrize("count", [5, 40])
def test_the_image_score_is_the_sum_of_the_stages_distances(count: int) -> None:
    """Five images of 8 and 12 features: only the shrinkage makes the covariance invertible."""
    normal, test = toy_texture(count, seed=0).images, toy_texture(3, seed=1, defective=True).images
    detector = MVG(**MVG.card.presets["tiny"]).fit(normal)
    pairs = zip(features_of(detector, normal), features_of(detector, test), strict=True)
    wanted = sum(distance(learned.mean(axis=(1, 2)), tested.mean(axis=(1, 2))) for learned, tested in pairs)
    np.testing.assert_allclose(detector.score(test).image, wanted, rtol=1e-3)


def test_images_that_do_not_vary() -> None:
    with pytest.raises(InputError, match=r"at least 2 vectors are needed .*got 1"):
        MVG(**MVG.card.presets["tiny"]).fit(toy_texture(1, seed=0).images)
    flat = Images(np.full((9, 64, 64, 3), 255, np.uint8), size=(64, 64))
    with pytest.raises(InputError, match="do not vary"):
        MVG(**MVG.card.presets["tiny"]).fit(flat)


def test_two_images_have_one_deviation_and_nothing_to_shrink_by() -> None:
    with pytest.raises(InputError, match="cannot be inverted; give more normal images"):
        MVG(**MVG.card.presets["tiny"]).fit(toy_texture(2, seed=0).images)
