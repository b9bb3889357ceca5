"""`k_center_greedy` is the plain greedy loop, only faster."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from amiss.background.coreset import StreamingCoreset, draw_projection, k_center_greedy
from amiss.core.errors import InputError


def plain_greedy(points: np.ndarray, count: int, first: int) -> list[int]:
    """The loop as in the textbook, in float64."""
    chosen = [first]
    nearest = np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def radius(points: np.ndarray, chosen) -> float:
    """Largest distance of any point to its nearest chosen one."""
    return np.linalg.norm(points[:, None] - points[list(chosen)], axis=2).min(axis=1).max()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dimension", [2, 40])
def test_equals_the_plain_loop(seed: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((200, dimension)).astype(np.float32)
    first = int(rng.integers(200))
    chosen = k_center_greedy(torch.from_numpy(points), 60, first=first)
    assert chosen.tolist() == plain_greedy(points.astype(np.float64), 60, first)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dimension", [2, 40])
def test_equals_the_plain_loop_over_many_pools(seed: int, dimension: int) -> None:
    """More points than a pool and more than a block; in float64, so that no two are equally far."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((3000, dimension)) + 10 * rng.integers(0, 3, (3000, 1))
    rounds = []
    chosen = k_center_greedy(torch.from_numpy(points), 700, first=5, progress=lambda *news: rounds.append(news))
    assert 3 < len(rounds) < 200
    assert chosen.tolist() == plain_greedy(points, 700, 5)


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_every_choice_is_the_farthest(seed: int, offset: float) -> None:
    """Clusters far apart and a common offset: most distances are skipped, and rounding is at its worst."""
    rng = np.random.default_rng(seed)
    points = (rng.standard_normal((300, 8)) + 20 * rng.integers(0, 2, (300, 8)) + offset).astype(np.float32)
    chosen = k_center_greedy(torch.from_numpy(points), 150, first=0).tolist()
    nearest = np.full(300, np.inf)
    for index in chosen:
        assert nearest[index] >= nearest.max() * 0.99 or np.isinf(nearest.max())
        nearest = np.minimum(nearest, np.linalg.norm(points.astype(np.float64) - points[index], axis=1))


@pytest.mark.parametrize("seed", range(3))
def test_duplicates_are_not_chosen_while_others_are_left(seed: int) -> None:
    points = np.random.default_rng(seed).standard_normal((40, 8)).astype(np.float32)
    doubled = np.concatenate([points, points, points])
    chosen = k_center_greedy(torch.from_numpy(doubled), 40, first=7)
    wanted = plain_greedy(doubled.astype(np.float64), 40, 7)
    assert [index % 40 for index in chosen.tolist()] == [index % 40 for index in wanted]
    assert sorted(index % 40 for index in chosen.tolist()) == list(range(40))


def test_only_duplicates() -> None:
    chosen = k_center_greedy(torch.ones(5, 3), 4, first=2)
    assert chosen[0] == 2
    assert ((chosen >= 0) & (chosen < 5)).all()


@pytest.mark.parametrize("seed", range(5))
def test_radius_is_at_most_twice_the_best(seed: int) -> None:
    points = np.random.default_rng(seed).standard_normal((11, 2)).astype(np.float32)
    best = min(radius(points, some) for some in combinations(range(11), 3))
    assert radius(points, k_center_greedy(torch.from_numpy(points), 3, first=0).tolist()) <= 2 * best


def test_count_is_capped_and_the_first_is_kept() -> None:
    points = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    chosen = k_center_greedy(points, 100, first=5)
    assert chosen[0] == 5
    assert sorted(chosen.tolist()) == list(range(9))
    assert k_center_greedy(points, 1, first=3).tolist() == [3]


def test_progress_and_refusal() -> None:
    seen = []
    k_center_greedy(torch.randn(5, 2), 3, first=0, progress=lambda *news: seen.append(news))
    assert seen == [("coreset", 1, 3), ("coreset", 3, 3)]
    with pytest.raises(InputError, match="count"):
        k_center_greedy(torch.randn(5, 2), 0, first=0)


def stream(points: np.ndarray, count: int, cuts: int, projection: int = 0, **options: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    matrix = draw_projection(points.shape[1], projection, rng)
    coreset = StreamingCoreset(count, points.shape[1], rng, projection=matrix, **options)
    ends = np.linspace(0, len(points), cuts + 1).astype(int)
    for origin, (start, end) in enumerate(pairwise(ends)):
        coreset.add(torch.from_numpy(points[start:end]), origin)
    assert coreset.seen == len(points)
    chosen, origins = coreset.choose()
    assert all(
        (points[ends[o] : ends[o + 1]] == one).all(axis=1).any() for o, one in zip(origins, chosen.numpy(), strict=True)
    )
    return chosen.numpy()


@pytest.mark.parametrize("projection", [0, 3])
def test_a_stream_that_fits_gives_what_the_whole_gives(projection: int) -> None:
    points = np.random.default_rng(3).standard_normal((400, 12)).astype(np.float32)
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((12, 3)) / np.sqrt(3) if projection else np.eye(12)
    first = int(rng.integers(400))
    chosen = k_center_greedy(torch.from_numpy(points @ matrix.astype(np.float32)), 50, first=first)
    np.testing.assert_array_equal(stream(points, 50, 7, projection=projection), points[chosen])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dimension", [2, 30])
def test_a_long_stream_is_covered_nearly_as_well(seed: int, dimension: int) -> None:
    """Ten times as long as the room, in order of the clusters: the last ones are new when the first are reduced."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(10 * rng.standard_normal((20, dimension)), 200, axis=0)
    points = (centres + rng.standard_normal(centres.shape)).astype(np.float32)
    kept = stream(points, 60, 13, room=400)
    chosen = points[k_center_greedy(torch.from_numpy(points), 60, first=0)]

    def covering(some: np.ndarray) -> float:
        return float(np.linalg.norm(points[:, None] - some, axis=2).min(axis=1).max())

    assert len(np.unique(kept, axis=0)) == 60
    assert covering(kept) <= 1.2 * covering(chosen)


def test_memory_of_a_stream_is_its_room() -> None:
    coreset = StreamingCoreset(10, 4, np.random.default_rng(0), room=100)
    for _ in range(50):
        coreset.add(torch.rand(70, 4))
        assert coreset._held.shape == (100, 4)
    assert coreset.choose()[0].shape == (10, 4)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_that_are_reduced_apart_cover_as_well_as_one_stream(seed: int) -> None:
    """Each block is one cluster, so that no other can stand in for what it lets go; within 5 % in the mean of seeds."""
    rng = np.random.default_rng(seed)
    points = (10 * np.repeat(rng.standard_normal((12, 8)), 300, axis=0) + rng.standard_normal((3600, 8))).astype("f4")
    whole = StreamingCoreset(60, 8, np.random.default_rng(seed), room=700)
    folded = StreamingCoreset(60, 8, np.random.default_rng(seed), room=700)
    for number, part in enumerate(torch.from_numpy(points).split(300)):
        whole.add(part, number)
        block = StreamingCoreset(60, 8, np.random.default_rng([seed, number]), room=700)
        block.add(part, number)
        block.reduce()
        assert len(block.state()["vectors"]) == 240
        folded.merge(block.state())
    (one, _), (other, origins) = whole.choose(), folded.choose()
    assert folded.seen == whole.seen == 3600
    assert all(
        bool((torch.from_numpy(points[300 * o : 300 * o + 300]) == v).all(1).any())
        for o, v in zip(origins.tolist(), other, strict=True)
    )

    def covering(some: torch.Tensor) -> float:
        return float(torch.cdist(torch.from_numpy(points), some).amin(dim=1).max())

    assert covering(other) <= 1.05 * covering(one)
