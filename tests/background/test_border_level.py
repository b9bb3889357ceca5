"""Scores near the border: brought to the level inside, and left alone where nothing is known."""

import numpy as np
import torch

from amiss.background.border_level import RINGS, BorderLevel, rings


def test_each_ring_gets_the_mean_and_spread_of_the_inside() -> None:
    rng = np.random.default_rng(0)
    ring = rings(20, 14).numpy()
    normal = rng.standard_normal((400, 20, 14)) * (3 - 0.5 * ring) + 10 - ring
    level = BorderLevel()
    level.learn(torch.from_numpy(part).float() for part in np.array_split(normal, 7))
    found = level(torch.from_numpy(normal).float()).numpy()
    for number in range(RINGS + 1):
        part = found[:, ring == number]
        np.testing.assert_allclose(part.mean(), normal[:, ring == RINGS].mean(), atol=1e-4)
        np.testing.assert_allclose(part.std(), normal[:, ring == RINGS].std(), rtol=1e-4)
    inside = ring == RINGS
    np.testing.assert_array_equal(found[:, inside], normal.astype(np.float32)[:, inside])


def test_a_defect_at_the_border_is_as_far_above_its_like_as_one_inside() -> None:
    level = BorderLevel()
    normal = torch.rand(4000, 12, 12, generator=torch.Generator().manual_seed(0))
    rim = rings(12, 12) == 0
    normal[:, rim] = 2 + 3 * normal[:, rim]
    level.learn([normal])
    defect = torch.full((1, 12, 12), 0.5)
    defect[0, 0] = 2 + 3 * 4.0  # as strange for its ring as 4 is inside
    torch.testing.assert_close(level(defect)[0, 0, 6], torch.tensor(4.0), rtol=0.02, atol=0.0)


def test_without_scores_or_variation_nothing_changes() -> None:
    scores = torch.rand(2, 9, 9)
    for grids in ([], [torch.zeros(3, 9, 9)], [torch.ones(1, 1, 1)]):
        level = BorderLevel()
        level.learn(grids)
        assert torch.equal(level(scores), scores)


def test_a_grid_without_an_inside_takes_its_innermost_ring_for_it() -> None:
    level = BorderLevel()
    normal = torch.randn(500, 4, 4, generator=torch.Generator().manual_seed(0))
    normal[:, rings(4, 4) == 0] += 5
    level.learn([normal])
    assert abs(float(level(normal)[:, rings(4, 4) == 0].mean())) < 0.1
