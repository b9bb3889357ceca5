"""The Sinkhorn divergence against exact assignment, a plain Sinkhorn loop, closed forms and finite differences."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

from amiss.core.errors import InputError
from amiss.statistics.transport import sinkhorn_divergence


def clouds(n: int, dimension: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.rand(2, n, dimension, generator=generator, dtype=torch.float64)
    return one, other + 0.3


def plain_cost(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    return cdist(one.numpy(), other.numpy(), "sqeuclidean") / 2


@pytest.mark.parametrize(("n", "dimension"), [(2, 1), (6, 2), (8, 5)])
def test_without_blur_it_is_the_cheapest_assignment(n: int, dimension: int) -> None:
    one, other = clouds(n, dimension)
    cost = plain_cost(one, other)
    exact = cost[linear_sum_assignment(cost)].mean()
    np.testing.assert_allclose(sinkhorn_divergence(one, other, blur=0.01, scaling=0.99), exact, rtol=2e-3)
    np.testing.assert_allclose(sinkhorn_divergence(one, other, blur=0.01), exact, rtol=4e-2)  # in a fifth of the steps


def test_the_cheapest_assignment_is_the_cheapest_plan() -> None:
    """The linear programme over all plans, not only those that send each point to one place."""
    one, other = clouds(5, 2, seed=3)
    cost, n = plain_cost(one, other), 5
    marginals = np.concatenate([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    exact = linprog(cost.ravel(), A_eq=marginals, b_eq=np.full(2 * n, 1 / n)).fun
    np.testing.assert_allclose(sinkhorn_divergence(one, other, blur=0.01, scaling=0.99), exact, rtol=2e-3)


def plain_sinkhorn(cost: np.ndarray, price: float) -> float:
    """The value of the dual after very many rounds, in probabilities instead of logarithms."""
    n = len(cost)
    kernel, right = np.exp(-cost / price), np.ones(n)
    for _ in range(20_000):
        left = 1 / (kernel @ right / n)
        right = 1 / (kernel.T @ left / n)
    return float(price * (np.log(left).mean() + np.log(right).mean()))


@pytest.mark.parametrize("blur", [0.2, 0.5])
def test_it_equals_a_plain_loop(blur: float) -> None:
    one, other = clouds(7, 3)
    across, first, second = (
        plain_sinkhorn(plain_cost(*pair), blur**2) for pair in ((one, other), (one,) * 2, (other,) * 2)
    )
    wanted = across - first / 2 - second / 2
    np.testing.assert_allclose(sinkhorn_divergence(one, other, blur=blur, scaling=0.98), wanted, rtol=1e-3)


def test_with_much_blur_only_the_means_count() -> None:
    one, other = clouds(9, 2)
    wanted = 0.5 * (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    np.testing.assert_allclose(sinkhorn_divergence(one, other, blur=100.0), wanted, rtol=1e-3)


def test_a_shifted_cloud_has_moved_by_the_shift() -> None:
    one, _ = clouds(12, 2)
    for step in (1e-2, 3.0, 1e3):
        found = sinkhorn_divergence(one, one + torch.tensor([step, 0.0]), blur=0.05, scaling=0.95)
        np.testing.assert_allclose(found, step**2 / 2, rtol=0.05)


def test_a_cloud_in_another_order_is_the_same_cloud() -> None:
    """What RD++'s published code measures: 0, and no gradient to learn from."""
    one = clouds(10, 4)[0].requires_grad_()
    found = sinkhorn_divergence(one, one[torch.randperm(10, generator=torch.Generator().manual_seed(0))])
    found.backward()
    assert abs(float(found.detach())) < 1e-12
    assert one.grad is not None and float(one.grad.abs().max()) < 1e-12


def test_it_is_symmetric_positive_and_batched() -> None:
    pairs = [clouds(6, 3, seed=seed) for seed in range(4)]
    one, other = (torch.stack(side) for side in zip(*pairs, strict=True))
    found = sinkhorn_divergence(one, other)
    assert found.shape == (4,) and float(found.min()) > 0
    np.testing.assert_allclose(found, sinkhorn_divergence(other, one), rtol=1e-9)
    singly = [float(sinkhorn_divergence(a, b, scaling=0.95)) for a, b in pairs]
    np.testing.assert_allclose(sinkhorn_divergence(one, other, scaling=0.95), singly, rtol=1e-2)


def test_the_gradient_is_the_slope() -> None:
    one, other = clouds(5, 2)
    one.requires_grad_(), other.requires_grad_()
    sinkhorn_divergence(one, other, blur=0.3, scaling=0.98).backward()  # about 0.06 = 0.3 / 5 a point and axis
    for cloud, place in ((one, (0, 0)), (one, (3, 1)), (other, (2, 0))):
        with torch.no_grad():
            values = []
            for step in (1e-4, -1e-4):
                cloud[place] += step
                values.append(float(sinkhorn_divergence(one, other, blur=0.3, scaling=0.98)))
                cloud[place] -= step
        assert cloud.grad is not None
        np.testing.assert_allclose(cloud.grad[place], (values[0] - values[1]) / 2e-4, rtol=1e-2, atol=3e-4)


def test_following_the_gradient_brings_clouds_together() -> None:
    one, other = clouds(8, 2)
    one.requires_grad_()
    start = float(sinkhorn_divergence(one, other).detach())
    for _ in range(20):
        loss = sinkhorn_divergence(one, other)
        (gradient,) = torch.autograd.grad(loss, one)
        with torch.no_grad():
            one -= 8 * 0.5 * gradient
    assert float(sinkhorn_divergence(one, other).detach()) < 0.1 * start


@pytest.mark.parametrize(("name", "value"), [("blur", 0.0), ("blur", float("nan")), ("scaling", 1.0), ("scaling", 0.0)])
def test_wrong_numbers_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} must be .*, got {value}"):
        sinkhorn_divergence(*clouds(3, 2), **{name: value})


def test_clouds_that_do_not_match_are_refused() -> None:
    with pytest.raises(InputError, match=r"both clouds must be .*, got \(3, 2\) and \(4, 2\)"):
        sinkhorn_divergence(torch.zeros(3, 2), torch.zeros(4, 2))
