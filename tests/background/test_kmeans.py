"""Mini-batch k-means against plain NumPy and scikit-learn."""

import numpy as np
import pytest
import torch

from amiss.background.kmeans import KMeans, spread_seeds
from amiss.core.errors import InputError


def blobs(seed: int, spread: float = 1.0) -> np.ndarray:
    """3000 points of 12 unequal groups in 8 dimensions, far from the origin."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((12, 8)) * 4 + 50
    owner = rng.choice(12, 3000, p=rng.dirichlet(np.full(12, 5.0)))
    return (centres[owner] + spread * rng.standard_normal((3000, 8))).astype(np.float32)


def fit(points: np.ndarray, count: int, seed: int, passes: int = 5) -> KMeans:
    rng = np.random.default_rng(seed)
    stream = torch.from_numpy(points)
    model = KMeans(stream[spread_seeds(stream, count, rng)])
    for _ in range(passes):
        for batch in torch.from_numpy(rng.permutation(len(points))).split(300):
            model.add(stream[batch])
    return model


def test_a_batch_moves_each_centroid_to_the_running_mean() -> None:
    """Point by point in NumPy, with the assignments of the whole batch made first."""
    rng = np.random.default_rng(0)
    seeds = rng.standard_normal((5, 3))
    model, centroids, members = KMeans(torch.from_numpy(seeds)), seeds.copy(), [[] for _ in range(5)]
    for _ in range(4):
        batch = rng.standard_normal((40, 3))
        owner = np.linalg.norm(batch[:, None] - centroids, axis=2).argmin(axis=1)
        for point, one in zip(batch, owner, strict=True):
            members[one].append(point)
        centroids = np.stack([np.mean(each, axis=0) if each else seeds[k] for k, each in enumerate(members)])
        assert model.assign(torch.from_numpy(batch)).tolist() == owner.tolist()
        model.add(torch.from_numpy(batch))
        np.testing.assert_allclose(model.centroids.numpy(), centroids, rtol=1e-10)
    assert model.counts.tolist() == [len(each) for each in members]


def test_inertia_by_definition() -> None:
    points = blobs(0)[:200]
    centroids = points[:7]
    squares = np.square(points[:, None].astype(np.float64) - centroids).sum(axis=2).min(axis=1)
    found = KMeans(torch.from_numpy(centroids)).inertia(torch.from_numpy(points))
    assert found == pytest.approx(squares.sum(), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("count", "spread"), [(12, 1.0), (12, 3.0), (60, 3.0)])
def test_inertia_as_low_as_scikit_learn(seed: int, count: int, spread: float) -> None:
    """From the same seeds: within 3 % of its mini-batches or below, and within 5 % of full k-means until it settles."""
    cluster = pytest.importorskip("sklearn.cluster")
    points = blobs(seed, spread)
    stream = torch.from_numpy(points)
    start = points[spread_seeds(stream, count, np.random.default_rng(seed)).numpy()]
    found = fit(points, count, seed).inertia(stream)
    batches = cluster.MiniBatchKMeans(count, init=start, batch_size=300, max_iter=5, n_init=1, random_state=seed)
    assert found <= 1.03 * batches.fit(points).inertia_
    assert found <= 1.05 * cluster.KMeans(count, init=start, n_init=1).fit(points).inertia_
    assert found < KMeans(torch.from_numpy(start)).inertia(stream)


def test_seeding_as_good_as_scikit_learn() -> None:
    """Mean inertia of the seeds alone, over 20 runs; a uniform choice is worse."""
    cluster = pytest.importorskip("sklearn.cluster")
    points = blobs(0)
    stream = torch.from_numpy(points)

    def mean(choose) -> float:
        return np.mean([KMeans(stream[torch.as_tensor(choose(seed))]).inertia(stream) for seed in range(20)])

    found = mean(lambda seed: spread_seeds(stream, 30, np.random.default_rng(seed)))
    theirs = mean(lambda seed: cluster.kmeans_plusplus(points, 30, random_state=seed, n_local_trials=4)[1])
    uniform = mean(lambda seed: np.random.default_rng(seed).choice(3000, 30, replace=False))
    assert found == pytest.approx(theirs, rel=0.05)
    assert found < 0.95 * uniform


def test_repeats_with_one_seed_and_not_with_another() -> None:
    points = blobs(1, 3.0)
    one, same, other = (fit(points, 20, seed).centroids for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_seeds_spread() -> None:
    """Groups far apart: one seed falls into each. A uniform choice would hit all 8 with probability 0.0024."""
    rng = np.random.default_rng(0)
    points = torch.from_numpy(np.repeat(np.arange(8), 50)[:, None] * 100 + rng.standard_normal((400, 2)))
    for seed in range(20):
        chosen = spread_seeds(points, 8, np.random.default_rng(seed))
        assert sorted((chosen // 50).tolist()) == list(range(8))


def test_the_second_seed_is_drawn_by_squared_distance() -> None:
    """Points at 0, 1 and 3. The best of four draws lowers the inertia most, so tries are independent draws."""
    points = torch.tensor([[0.0], [1.0], [3.0]])
    runs = [spread_seeds(points, 2, np.random.default_rng(seed)).tolist() for seed in range(3000)]
    from_zero = [second for first, second in runs if first == 0]
    hits = sum(second == 1 for second in from_zero)
    expected = 0.1**4 * len(from_zero)  # point 1 is taken only when all four draws miss point 3
    assert hits <= expected + 5
    from_one = [second for first, second in runs if first == 1]
    share = sum(second == 0 for second in from_one) / len(from_one)
    assert share == pytest.approx((1 / 5) ** 4, abs=0.01)


def test_duplicates_and_too_few_points() -> None:
    rng = np.random.default_rng(0)
    doubled = torch.tensor([[0.0], [0.0], [5.0], [5.0]])
    assert len(set(spread_seeds(doubled, 4, rng).tolist())) == 4
    assert {float(doubled[i, 0]) for i in spread_seeds(doubled, 2, rng)} == {0.0, 5.0}
    assert len(spread_seeds(doubled, 9, rng)) == 4
    with pytest.raises(InputError, match="count must be a whole number of at least 1, got 0"):
        spread_seeds(doubled, 0, rng)


def test_a_centroid_that_nobody_is_near_stays() -> None:
    model = KMeans(torch.tensor([[0.0], [1000.0]]))
    model.add(torch.tensor([[1.0], [3.0]]))
    assert model.centroids.tolist() == [[2.0], [1000.0]]
    assert model.counts.tolist() == [2, 0]
