"""One-class SVM against scikit-learn and plain NumPy on the same features."""

import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.covariance import ledoit_wolf
from sklearn.svm import OneClassSVM as Reference

from amiss.background.border_level import BorderLevel
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.one_class.ocsvm import OneClassSVM
from amiss.statistics.kernel import create_kernel, natural_gamma
from amiss.testing import toy_part, toy_texture

TINY = {**OneClassSVM.card.presets["tiny"], "samples": 10**4}  # more than there are: all patches, in their order


def features_of(detector: OneClassSVM, images: Images) -> np.ndarray:
    """(N, h, w, D) float64."""
    with torch.no_grad():
        return detector.describe(to_batch(torch.from_numpy(np.stack(list(images))))).double().numpy()


def plain_map(detector: OneClassSVM, normal: Images, test: Images) -> np.ndarray:
    """Whitening, kernel of length 1, scikit-learn's decision function, upsampling, Gaussian."""
    learned, tested = features_of(detector, normal), features_of(detector, test)
    x = learned.reshape(-1, learned.shape[3])
    whitening, mean = detector.normal.whitening.double().numpy(), x.mean(axis=0)
    x, queries = (x - mean) @ whitening.T, (tested.reshape(-1, x.shape[1]) - mean) @ whitening.T
    gamma = natural_gamma(detector.kernel, torch.from_numpy(x)).numpy()

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if detector.kernel == "rbf":
            return np.exp(-gamma * ((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T))
        lengths = [np.sqrt((gamma * (v**2).sum(1) + 1) ** detector.degree) for v in (a, b)]
        return (gamma * a @ b.T + 1) ** detector.degree / lengths[0][:, None] / lengths[1]

    reference = Reference(kernel=kernel, nu=detector.nu, tol=1e-6).fit(x)
    grid = -reference.decision_function(queries) / (detector.nu * len(x))  # scikit-learn's weights sum to nu n
    grid = detector.border(torch.from_numpy(grid.reshape(tested.shape[:3])))[:, None]
    large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[:, 0]
    return np.stack([gaussian_filter(one.numpy(), detector.smoothing * 64 / 256) for one in large])


@pytest.mark.parametrize("settings", [{}, {"nu": 0.3}, {"kernel": "rbf"}, {"degree": 3}, {"neighbourhood": 1}])
def test_map_equals_the_formula(settings: dict) -> None:
    normal, test = toy_texture(4, seed=0).images, toy_texture(3, seed=1, defective=True).images
    detector = OneClassSVM(**{**TINY, **settings}).fit(normal)
    wanted = plain_map(detector, normal, test)
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=2e-3 * np.abs(wanted).max())


def test_scores_near_the_border_are_brought_to_the_level_inside() -> None:
    images = toy_texture(6, seed=0).images
    batch = to_batch(torch.from_numpy(np.stack(list(images))))
    plain, levelled = (OneClassSVM(**{**TINY, "level_images": count}).fit(images, seed=0) for count in (0, 6))
    with torch.no_grad():
        grid = plain.beyond(plain.normal.whiten(plain.describe(batch)))
        wanted = BorderLevel()
        wanted.learn([grid])
        assert not torch.equal(wanted(grid), grid)
        torch.testing.assert_close(levelled.border(grid), wanted(grid))
        assert torch.equal(plain.border(grid), grid)


def test_the_features_are_whitened() -> None:
    images = toy_texture(4, seed=0).images
    detector = OneClassSVM(**TINY).fit(images)
    patches = features_of(detector, images).reshape(-1, 20)
    covariance, _ = ledoit_wolf(patches)
    whitening = detector.normal.whitening.double().numpy()
    np.testing.assert_allclose(whitening @ covariance @ whitening.T, np.eye(20), atol=1e-4)
    white = detector.normal.whiten(torch.from_numpy(patches).float())
    np.testing.assert_allclose(white, (patches - patches.mean(axis=0)) @ whitening.T, rtol=1e-3, atol=1e-3)


def test_zero_is_the_boundary_and_nu_lies_beyond() -> None:
    images = toy_texture(8, seed=0).images
    detector = OneClassSVM(**{**TINY, "nu": 0.2, "smoothing": 0.0}).fit(images)
    patches = detector.normal.whiten(torch.from_numpy(features_of(detector, images)).float())
    beyond = (detector.beyond(patches) > 1e-6).float().mean()
    assert 0.17 < beyond <= 0.2
    assert 0.2 <= len(detector.machine.vectors) / (8 * 16 * 16) < 0.25


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_what_is_far_from_everything_is_beyond(kernel: str) -> None:
    """A plain polynomial would call it normal."""
    detector = OneClassSVM(**{**TINY, "kernel": kernel}).fit(toy_part(8, seed=0).images)
    far = torch.eye(20) * 1e3
    for sign in (1, -1):
        assert (detector.beyond(sign * far) > 0.5 * detector.level).all()
    plain = create_kernel("polynomial", detector.machine.gamma, 2)(far, detector.machine.vectors).mean(dim=1)
    assert plain.min() > 100


def test_learning_is_bounded_by_the_sample() -> None:
    detector = OneClassSVM(**{**TINY, "samples": 100, "nu": 0.9}).fit(toy_texture(6, seed=0).images)
    assert 90 <= len(detector.machine.vectors) <= 100


def test_inspecting_needs_no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    test = toy_texture(2, seed=1).images
    detector = OneClassSVM(**TINY).fit(toy_texture(4, seed=0).images)
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    loaded = OneClassSVM(**TINY).load_state(detector.state_dict())
    np.testing.assert_array_equal(loaded.score(test).map, detector.score(test).map)


def test_images_that_do_not_vary_are_refused() -> None:
    """One patch per image, the same in each."""
    flat = Images([np.zeros((8, 8, 3), np.uint8)] * 3, size=(8, 8))
    with pytest.raises(InputError, match="do not vary"):
        OneClassSVM(**{**TINY, "stages": (8,)}).fit(flat)
