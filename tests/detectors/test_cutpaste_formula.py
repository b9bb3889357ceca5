"""CutPaste against plain NumPy with the trained weights, and its pieces against their definition."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.covariance import ledoit_wolf

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.self_supervised.cutpaste import CutPaste
from amiss.detectors.self_supervised.cutpaste_map import CutPasteMap, covered
from amiss.features.batch import to_batch
from amiss.synthesis.cutpaste import jittered, paste_patch, paste_scar
from amiss.testing import toy_texture

FEW = {"steps": 20, "versions": 1}


def pixels(images: Images) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(images))))


def hidden(detector: CutPaste | CutPasteMap, vectors: np.ndarray) -> np.ndarray:
    """The layer that learns, (n, E), in plain NumPy."""
    head = detector.embedding.head
    standardised = (vectors - head.mean.double().numpy()) / head.deviation.double().numpy()
    weight, bias = (value.detach().double().numpy() for value in (head.hidden.weight, head.hidden.bias))
    return np.maximum(standardised @ weight.T + bias, 0)


def distances(normal: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Mahalanobis, with scikit-learn's shrinkage."""
    covariance, _ = ledoit_wolf(normal)
    centred = vectors - normal.mean(axis=0)
    return np.sqrt(np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred))


def test_image_score_by_definition() -> None:
    images = toy_texture(10, seed=0).images
    detector = CutPaste(**CutPaste.card.presets["tiny"] | FEW).fit(images)
    test = toy_texture(4, seed=1, defective=True).images

    def vectors(some: Images) -> np.ndarray:
        with torch.no_grad():
            maps = [feature.double().numpy() for feature in detector.features(pixels(some))]
        return np.concatenate([np.concatenate([one.mean((2, 3)), one.std((2, 3))], axis=1) for one in maps], axis=1)

    wanted = distances(hidden(detector, vectors(images)), hidden(detector, vectors(test)))
    np.testing.assert_allclose(detector.score(test).image, wanted, rtol=2e-3)


def test_map_by_definition() -> None:
    images = toy_texture(6, seed=0).images
    settings = CutPasteMap.card.presets["tiny"] | FEW | {"samples": 1_000_000}  # all positions
    detector = CutPasteMap(**settings).fit(images)
    test = toy_texture(2, seed=1, defective=True).images

    def cells(some: Images) -> np.ndarray:
        with torch.no_grad():
            return detector.describe(pixels(some)).double().numpy()

    found = cells(test)
    normal, strange = (hidden(detector, one.reshape(-1, one.shape[3])) for one in (cells(images), found))
    grid = distances(normal, strange).reshape(found.shape[:3])
    large = [cv2.resize(one, (64, 64), interpolation=cv2.INTER_LINEAR) for one in grid]
    wanted = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(detector.score(test).map, wanted, rtol=5e-3)


def test_a_patch_is_a_changed_piece_of_the_image_of_the_stated_size() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((60, 90, 3)).astype(np.float32)
    before = image.copy()
    for _ in range(50):
        changed, mask = paste_patch(image, rng)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        height, width = len(rows), len(columns)
        assert mask.sum() == height * width  # a whole rectangle
        assert 0.015 <= height * width / (60 * 90) <= 0.16
        assert 1 / 3.8 <= height / width <= 3.8  # 3.3, and whole pixels
        np.testing.assert_array_equal(changed[mask == 0], image[mask == 0])
    np.testing.assert_array_equal(image, before)


def test_a_patch_comes_from_the_same_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amiss.synthesis.cutpaste.JITTER", 0.0)
    rng = np.random.default_rng(1)
    image = rng.random((40, 40, 3)).astype(np.float32)
    changed, mask = paste_patch(image, rng)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    piece = changed[np.ix_(rows, columns)]
    windows = np.lib.stride_tricks.sliding_window_view(image, piece.shape)
    assert np.abs(windows - piece).max(axis=(3, 4, 5)).min() < 1e-6


def test_scars_are_thin_and_turned_both_ways_and_scale_with_the_image() -> None:
    rng = np.random.default_rng(2)
    angles, areas = [], {}
    for side in (128, 512):
        image = rng.random((side, side, 3)).astype(np.float32)
        areas[side] = []
        for _ in range(100):
            changed, mask = paste_scar(image, rng)
            areas[side].append(mask.sum() * (256 / side) ** 2)
            np.testing.assert_array_equal(changed[mask == 0], image[mask == 0])
            y, x = np.nonzero(mask)
            assert max(np.ptp(y), np.ptp(x)) <= np.hypot(16, 25) * side / 256 + 2
            if side == 512:
                angles.append(np.cov(y, x)[0, 1])
    assert 20 <= np.mean(np.array(angles) > 0) * 100 <= 80
    assert np.mean(areas[512]) == pytest.approx(9 * 17.5, rel=0.2)  # mean width times mean length
    assert np.mean(areas[128]) == pytest.approx(np.mean(areas[512]), rel=0.3)


def test_colours_change_by_a_tenth_at_most_each() -> None:
    plain = np.full((4, 4, 3), 0.5, np.float32)
    found = np.array([jittered(plain, np.random.default_rng(seed)).mean() for seed in range(200)])
    assert 0.45 - 1e-6 <= found.min() < 0.46 and 0.54 < found.max() <= 0.55 + 1e-6


@pytest.mark.parametrize("size", [(2, 2), (8, 300), (5, 5)])
def test_pieces_fit_into_any_image(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for paste in (paste_patch, paste_scar):
        for _ in range(30):
            changed, mask = paste(np.zeros((*size, 3), np.float32), rng)
            assert changed.shape == (*size, 3) and mask.any()


def test_positions_of_a_piece_are_those_mostly_covered() -> None:
    mask = torch.zeros(1, 8, 8)
    mask[0, 1:4, 0:6] = 1  # of the cells (2, 2) of 4 pixels: 12 and 6 pixels, and none
    assert covered(mask, (2, 2)).tolist() == [[[True, True], [False, False]]]
    mask[0, :, 5:] = 0  # 12 and 3 pixels
    assert covered(mask, (2, 2)).tolist() == [[[True, False], [False, False]]]


def test_images_that_do_not_vary_are_refused() -> None:
    with pytest.raises(InputError, match="not vary"):
        CutPaste(**CutPaste.card.presets["tiny"] | FEW).fit(
            Images(np.full((4, 64, 64, 3), 90, np.uint8)).resized((64, 64))
        )


def test_one_image_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 normal images"):
        CutPaste(**CutPaste.card.presets["tiny"] | FEW).fit(toy_texture(1, seed=0).images)
