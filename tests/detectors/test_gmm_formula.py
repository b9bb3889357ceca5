"""`gmm` against scikit-learn's density on the same features."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA as ReferencePCA  # noqa: N811
from sklearn.mixture import GaussianMixture

from amiss.background.border_level import BorderLevel
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.distribution.gmm import GMM
from amiss.testing import toy_part

TINY = GMM.card.presets["tiny"]


def features_of(detector: GMM, images: Images) -> np.ndarray:
    """(N, h, w, D) float64."""
    with torch.no_grad():
        return detector.describe(to_batch(torch.from_numpy(np.stack(list(images))))).double().numpy()


def reference_of(detector: GMM) -> GaussianMixture:
    """scikit-learn's mixture with the weights, means and precisions that were learned."""
    root = detector.mixture.whitening.double()
    root = root.mT if root.ndim == 3 else root
    mixture = GaussianMixture(len(root), covariance_type="full" if root.ndim == 3 else "diag")
    mixture.weights_ = detector.mixture.log_weights.double().exp().numpy()
    mixture.means_, mixture.precisions_cholesky_ = detector.mixture.means.double().numpy(), root.numpy()
    return mixture


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_map_equals_the_formula(covariance: str) -> None:
    normal, test = toy_part(11, seed=0).images, toy_part(3, seed=1, defective=True).images
    detector = GMM(**{**TINY, "covariance": covariance, "variance": 0.9}).fit(normal)
    learned, tested = features_of(detector, normal), features_of(detector, test)
    pca = ReferencePCA(0.9, whiten=True).fit(learned.reshape(-1, learned.shape[-1]))
    white = pca.transform(tested.reshape(-1, tested.shape[-1]))
    projection = detector.mixture.projection.double().numpy()
    signs = np.sign((projection * pca.components_.T).sum(axis=0))
    strange = -reference_of(detector).score_samples(white * signs)
    grid = detector.border(torch.from_numpy(strange.reshape(tested.shape[:3])))[:, None]
    large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[:, 0].numpy()
    wanted = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * np.abs(wanted).max())


def test_scores_near_the_border_are_brought_to_the_level_inside() -> None:
    """As `BorderLevel` does for the same mixture's, on the images that it was fitted to."""
    images = toy_part(6, seed=0).images
    plain, levelled = (GMM(**{**TINY, "level_images": count}).fit(images, seed=0) for count in (0, 6))
    with torch.no_grad():
        grid = plain.mixture(plain.describe(to_batch(torch.from_numpy(np.stack(list(images))))))
        wanted = BorderLevel()
        wanted.learn([grid])
        assert not torch.equal(wanted(grid), grid)
        torch.testing.assert_close(levelled.border(grid), wanted(grid))
        assert torch.equal(plain.border(grid), grid)


def test_the_mixture_is_of_the_whitened_patches() -> None:
    """Weights, means and covariances of the mixture add up to the mean 0 and covariance 1 of whitened patches."""
    detector = GMM(**{**TINY, "samples": 100_000, "components": (3,), "regularisation": 1e-6})
    detector.fit(toy_part(10, seed=0).images)
    weights, means = detector.mixture.log_weights.double().exp(), detector.mixture.means.double()
    inverse = torch.linalg.inv(detector.mixture.whitening.double())
    total = torch.einsum("k,kij->ij", weights, inverse @ inverse.mT + means[:, :, None] * means[:, None, :])
    assert float(weights.sum()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose((weights @ means).numpy(), 0, atol=1e-4)
    np.testing.assert_allclose(total.numpy(), np.eye(len(total)), atol=2e-3)


def test_too_few_images_to_choose_with() -> None:
    with pytest.raises(InputError, match=r"at least 3 .*, got 2; .*components = 2"):
        GMM(**TINY).fit(toy_part(2, seed=0).images)
    assert len(GMM(**{**TINY, "components": 2}).fit(toy_part(1, seed=0).images).mixture.means) == 2
    assert len(GMM(**TINY).fit(toy_part(3, seed=0).images).mixture.means) in (2, 4)
