"""`pca` against scikit-learn's PCA on the same features."""

import weakref

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import norm
from sklearn.decomposition import PCA as ReferencePCA  # noqa: N811

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.distribution.pca import PCA
from amiss.registry import create
from amiss.testing import toy_texture

TINY = PCA.card.presets["tiny"]


def features_of(detector: PCA, images: Images) -> np.ndarray:
    """(N, h, w, D) float64."""
    with torch.no_grad():
        return detector.describe(to_batch(torch.from_numpy(np.stack(list(images))))).double().numpy()


@pytest.mark.parametrize("measure", ["reconstruction", "likelihood"])
@pytest.mark.parametrize("variance", [0.5, 0.9, 0.999])
def test_map_equals_the_formula(measure: str, variance: float) -> None:
    normal, test = toy_texture(11, seed=0).images, toy_texture(3, seed=1, defective=True).images
    detector = PCA(**{**TINY, "variance": variance, "measure": measure}).fit(normal)
    learned, tested = features_of(detector, normal), features_of(detector, test)
    vectors = tested.reshape(-1, tested.shape[-1])
    reference = ReferencePCA(variance).fit(learned.reshape(-1, tested.shape[-1]))
    coordinates = reference.transform(vectors)
    if measure == "reconstruction":
        strange = ((vectors - reference.inverse_transform(coordinates)) ** 2).sum(axis=1)
    else:
        strange = -norm.logpdf(coordinates, scale=np.sqrt(reference.explained_variance_)).sum(axis=1)
    grid = torch.from_numpy(strange.reshape(tested.shape[:3]))[:, None]
    large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[:, 0].numpy()
    wanted = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * np.abs(wanted).max())


def test_small_errors_keep_their_digits() -> None:
    """Normal images far from the origin and a subspace that holds nearly everything: |x|^2 - |Px|^2 would drown."""
    images = toy_texture(8, seed=0).images
    detector = PCA(**{**TINY, "variance": 0.999, "smoothing": 0}).fit(images)
    exact = features_of(detector, images) - detector.mean.double().numpy()
    wanted = ((exact @ detector.projection.double().numpy()) ** 2).sum(axis=-1)
    with torch.no_grad():
        patches = detector.describe(to_batch(torch.from_numpy(np.stack(list(images)))))
        found = ((patches - detector.mean) @ detector.projection).square().sum(dim=-1).numpy()
    assert np.abs(exact).max() ** 2 > 1000 * np.median(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-5 * wanted.max())


@pytest.mark.parametrize("method", ["mahalanobis", "pca", "gmm"])
def test_learning_keeps_no_batch(method: str) -> None:
    """One pass and sums: of the descriptors of all batches, at most the last and the present one are alive at once."""
    alive: list[weakref.ref] = []
    most = 0
    detector = create(method, "tiny")
    plain = detector.describe

    def counted(batch: torch.Tensor) -> list[torch.Tensor] | torch.Tensor:
        nonlocal most
        most = max(most, sum(one() is not None for one in alive) + 1)
        described = plain(batch)
        alive.append(weakref.ref(described[0] if isinstance(described, list) else described))
        return described

    object.__setattr__(detector, "describe", counted)
    detector.fit(toy_texture(64, seed=0).images)
    again = 4 if method == "gmm" else 0  # it then scores 32 of the 64 images, for the level near the border
    assert len(alive) == 8 + again
    assert most <= 2


def test_images_that_do_not_vary() -> None:
    flat = Images(np.full((2, 2, 2, 3), 9, np.uint8), size=(2, 2))  # a single cell: no border makes a difference
    with pytest.raises(InputError, match="do not vary"):
        PCA(**{**TINY, "stages": (2,)}).fit(flat)
