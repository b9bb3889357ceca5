"""MuSc against plain NumPy, and what it can and cannot tell from unlabelled images."""

import numpy as np
import pytest
import torch

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.zero_shot.musc import MuSc
from amiss.features.batch import to_batch
from amiss.metrics import auroc
from amiss.statistics.reduce import smooth_upsample
from amiss.testing import toy_part, toy_texture

TINY = MuSc.card.presets["tiny"]


def averaged(maps: np.ndarray, width: int) -> np.ndarray:
    """Maps (N, D, h, w), each cell the mean of the cells around it that are inside."""
    height, across = maps.shape[2:]
    reach = width // 2
    found = np.zeros_like(maps)
    for row in range(height):
        for column in range(across):
            rows = slice(max(0, row - reach), row + reach + 1)
            found[:, :, row, column] = maps[:, :, rows, max(0, column - reach) : column + reach + 1].mean(axis=(2, 3))
    return found


def plain_grid(detector: MuSc, learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Scores (N, h, w) of gathered features (N, D, h, w), by the definition."""
    scores = []
    for width in detector.neighbourhoods:
        witnesses, queries = averaged(learned, width), averaged(asked, width)
        of_each = []
        for query in queries.transpose(0, 2, 3, 1):
            gaps = [
                np.sqrt(((query[:, :, None] - one.reshape(len(one), -1).T) ** 2).sum(axis=3)).min(axis=2)
                for one in witnesses
            ]
            gaps = np.sort(np.stack(gaps), axis=0)[1:]
            of_each.append(gaps[: max(1, int(detector.share * len(gaps)))].mean(axis=0))
        scores.append(np.stack(of_each))
    return np.mean(scores, axis=0)


def gathered(detector: MuSc, images: Images) -> np.ndarray:
    with torch.no_grad():
        batch = to_batch(torch.from_numpy(np.stack(list(images))))
        return detector.standardising(detector.gather(batch)).double().numpy()


@pytest.mark.parametrize("settings", [{}, {"neighbourhoods": (1,), "share": 0.5}])
def test_score_is_the_mean_over_the_witnesses_that_speak_for_a_patch(settings: dict) -> None:
    unlabelled, asked = toy_part(7, seed=0).images, toy_part(2, seed=1, defective=True).images
    detector = MuSc(**{**TINY, **settings}).fit(unlabelled)
    grid = plain_grid(detector, gathered(detector, unlabelled), gathered(detector, asked))
    wanted = smooth_upsample(torch.from_numpy(grid), (64, 64), smoothing=detector.smoothing).numpy()
    np.testing.assert_allclose(detector.score(asked).map, wanted, rtol=1e-3, atol=1e-4)


def test_defects_among_the_images_that_it_learns_from_are_found_there() -> None:
    good, bad = toy_part(20, seed=0), toy_part(4, seed=1, defective=True)
    mixed = Images.join([good.images, bad.images])
    scores = MuSc(**TINY).fit(mixed).score(mixed).image
    assert auroc(np.arange(24) >= 20, scores) > 0.95


def test_a_defect_that_most_images_share_is_normal() -> None:
    bad, good = toy_part(1, seed=1, defective=True).images[0], toy_part(1, seed=2).images
    mixed = Images([bad] * 7 + [good[0]], size=(64, 64))
    scores = MuSc(**TINY).fit(mixed).score(mixed).image
    assert scores[7] > scores[:7].max()


def test_so_many_witnesses_are_kept() -> None:
    detector = MuSc(**{**TINY, "witnesses": 4}).fit(toy_texture(9, seed=0).images)
    assert detector.patches.shape[:3] == (2, 4, 64)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images(count: int) -> None:
    with pytest.raises(InputError, match=f"at least 3 unlabelled images to compare, got {count}"):
        MuSc(**TINY).fit(toy_texture(count, seed=0).images)
