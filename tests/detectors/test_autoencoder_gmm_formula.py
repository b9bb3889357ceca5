"""`autoencoder_gmm` against scikit-learn's density of the same codes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.reconstruction.autoencoder_gmm import AutoencoderMixture
from amiss.features.batch import to_batch
from amiss.testing import toy_part

TINY = {**AutoencoderMixture.card.presets["tiny"], "steps": 6, "components": 2, "variance": 0.9, "covariance": "full"}


def codes_of(detector: AutoencoderMixture, images: Images) -> np.ndarray:
    """(N, h, w, code) float64."""
    with torch.no_grad():
        return detector.describe(to_batch(torch.from_numpy(np.stack(list(images))))).double().numpy()


def density_of(detector: AutoencoderMixture, normal: Images, vectors: np.ndarray) -> np.ndarray:
    """Log-density (...) of codes (..., code), after scikit-learn's own projection of the normal codes."""
    learned = codes_of(detector, normal)
    pca = PCA(0.9, whiten=True).fit(learned.reshape(-1, learned.shape[-1]))
    signs = np.sign((detector.mixture.projection.double().numpy() * pca.components_.T).sum(axis=0))
    root, means = detector.mixture.whitening.double().mT, detector.mixture.means.double().numpy()
    mixture = GaussianMixture(len(means))
    mixture.weights_, mixture.means_ = detector.mixture.log_weights.double().exp().numpy(), means
    mixture.precisions_cholesky_ = root.numpy()
    white = pca.transform(vectors.reshape(-1, vectors.shape[-1])) * signs
    return mixture.score_samples(white).reshape(vectors.shape[:-1])


def test_the_map_is_minus_the_log_density_of_each_place() -> None:
    normal, test = toy_part(9, seed=0).images, toy_part(2, seed=1, defective=True).images
    detector = AutoencoderMixture(**TINY).fit(normal)
    grid = torch.from_numpy(-density_of(detector, normal, codes_of(detector, test)))[:, None]
    large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[:, 0].numpy()
    wanted = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * np.abs(wanted).max())


def test_with_a_bottleneck_it_is_one_number_per_image() -> None:
    normal, test = toy_part(24, seed=0).images, toy_part(2, seed=1, defective=True).images
    detector = AutoencoderMixture(**{**TINY, "bottleneck": True}).fit(normal)
    scores = detector.score(test)
    assert scores.map is None
    wanted = -density_of(detector, normal, codes_of(detector, test))[:, 0, 0]
    np.testing.assert_allclose(scores.image, wanted, atol=1e-3 * np.abs(wanted).max())


def test_one_image_has_one_code() -> None:
    one = toy_part(1, seed=0).images
    with pytest.raises(InputError, match="at least 2 vectors are needed"):
        AutoencoderMixture(**{**TINY, "bottleneck": True, "steps": 1}).fit(one)
    with pytest.raises(InputError, match=r"at least 3 to choose among components = \(1, 2\), got 1"):
        AutoencoderMixture(**{**TINY, "components": (1, 2), "steps": 1}).fit(one)
