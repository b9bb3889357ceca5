"""The solver against a generic one, against geometry, and against what the theory promises."""

import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.svm import OneClassSVM

from amiss.background.kernel_machine import KernelMachine, solve_one_class, sphere_gram
from amiss.core.errors import InputError, MissingExtraError
from amiss.statistics.kernel import create_kernel, natural_gamma


def gram_of(kernel: str, count: int, *, dimension: int = 6, degree: int = 2, seed: int = 0) -> torch.Tensor:
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((count, dimension)))
    return create_kernel(kernel, natural_gamma(kernel, x), degree)(x, x)


def generic_solution(gram: np.ndarray, linear: np.ndarray, nu: float) -> np.ndarray:
    """Minimise a^T K a - linear^T a over the simplex with a cap, by sequential least squares."""
    count = len(gram)
    found = minimize(
        lambda a: a @ gram @ a - linear @ a,
        np.full(count, 1 / count),
        jac=lambda a: 2 * gram @ a - linear,
        bounds=[(0, min(1, 1 / (nu * count)))] * count,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": lambda a: np.ones(count)},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert found.success
    return found.x


@pytest.mark.parametrize("nu", [0.01, 0.2, 0.7])
@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_the_plane_is_that_of_a_generic_solver(kernel: str, nu: float) -> None:
    gram = gram_of(kernel, 40)
    plain = generic_solution(gram.numpy(), np.zeros(40), nu)
    found = solve_one_class(gram, nu)
    assert float(found.weights.sum()) == pytest.approx(1)
    assert found.energy == pytest.approx(plain @ gram.numpy() @ plain, rel=1e-4)
    np.testing.assert_allclose(gram @ found.weights, gram.numpy() @ plain, atol=2e-3 * float(gram.abs().mean()))


@pytest.mark.parametrize("nu", [0.01, 0.2, 0.7])
@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_the_sphere_is_that_of_a_generic_solver(kernel: str, nu: float) -> None:
    """The dual as Tax and Duin write it, with its linear term: here k(x, x) is not constant."""
    gram = gram_of(kernel, 40)
    lengths = gram.diagonal().numpy()
    plain = generic_solution(gram.numpy(), lengths, nu)
    found = solve_one_class(sphere_gram(gram), nu).weights.numpy()
    value, wanted = (a @ gram.numpy() @ a - lengths @ a for a in (found, plain))
    assert value == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_allclose(gram.numpy() @ found, gram.numpy() @ plain, atol=2e-3 * float(gram.abs().mean()))


def smallest_disc(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and squared radius of the smallest disc around points in the plane: two or three of them carry it."""
    best = (np.zeros(2), np.inf)
    for some in [*combinations(points, 2), *combinations(points, 3)]:
        a = np.array(some)
        centre = a.mean(axis=0)
        if len(a) == 3:
            centre = np.linalg.solve(2 * (a[1:] - a[0]), (a[1:] ** 2).sum(axis=1) - (a[0] ** 2).sum())
        squares = ((points - centre) ** 2).sum(axis=1)
        radius = ((a[0] - centre) ** 2).sum()
        if squares.max() <= radius * (1 + 1e-9) and radius < best[1]:
            best = (centre, radius)
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_hard_sphere_of_a_straight_kernel_is_the_smallest_disc(seed: int) -> None:
    points = np.random.default_rng(seed).standard_normal((15, 2)) + 3
    x = torch.from_numpy(points)
    gram = create_kernel("polynomial", torch.tensor(1.0), 1)(x, x)
    found = solve_one_class(sphere_gram(gram), 0.01)  # nu n < 1: nothing may lie outside
    centre, radius = smallest_disc(points)
    np.testing.assert_allclose(found.weights.numpy() @ points, centre, atol=1e-2)
    assert found.energy - 2 * found.level == pytest.approx(radius, rel=1e-3)


@pytest.mark.parametrize("nu", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("plane", [True, False])
@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_nu_bounds_what_lies_outside_and_what_has_weight(kernel: str, plane: bool, nu: float) -> None:
    """And the conditions of optimality: within the boundary without weight, beyond it with the full one."""
    gram = gram_of(kernel, 300)
    gram = gram if plane else sphere_gram(gram)
    found = solve_one_class(gram, nu)
    values, slack = gram @ found.weights, 1e-3 * float(gram.abs().mean())
    beyond = values < found.level - slack
    assert float(beyond.double().mean()) <= nu
    assert float((found.weights > 0).double().mean()) >= nu
    assert found.weights[beyond].numpy() == pytest.approx(1 / (nu * 300))
    assert (found.weights[values > found.level + slack] == 0).all()
    assert float(found.weights.min()) >= 0 and float(found.weights.max()) <= 1 / (nu * 300) + 1e-12


def test_level_and_weights_are_those_of_scikit_learn() -> None:
    x = np.random.default_rng(0).standard_normal((200, 4))
    reference = OneClassSVM(kernel="rbf", gamma=0.2, nu=0.1, tol=1e-6).fit(x)
    gram = create_kernel("rbf", torch.tensor(0.2), 1)(torch.from_numpy(x), torch.from_numpy(x))
    found = solve_one_class(gram, 0.1)
    wanted = reference.decision_function(x) / (0.1 * 200)  # scikit-learn's weights sum to nu n
    np.testing.assert_allclose(gram @ found.weights - found.level, wanted, atol=1e-4)


def test_sphere_and_plane_are_one_with_rbf_and_two_with_a_polynomial() -> None:
    for kernel, same in (("rbf", True), ("polynomial", False)):
        gram = gram_of(kernel, 100)
        sphere, plane = (solve_one_class(g, 0.1).weights for g in (sphere_gram(gram), gram))
        assert (float((sphere - plane).abs().max()) < 1e-3) is same


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_of_the_kernel_does_not_matter(factor: float) -> None:
    gram = sphere_gram(gram_of("polynomial", 60))
    one, other = solve_one_class(gram, 0.2), solve_one_class(gram * factor, 0.2)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-9)
    assert other.level == pytest.approx(one.level * factor)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_or_equal_vectors(count: int) -> None:
    found = solve_one_class(sphere_gram(torch.ones(count, count)), 0.1)
    assert float(found.weights.sum()) == pytest.approx(1)
    assert (found.level, found.energy) == (0, 0)


def test_the_global_random_state_stays() -> None:
    before = np.random.get_state()[1].copy()
    solve_one_class(gram_of("rbf", 10), 0.5)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_the_sum_over_support_vectors(kernel: str) -> None:
    rng = np.random.default_rng(0)
    x, weights, queries = (
        rng.standard_normal((9, 3)),
        rng.random(9) * (np.arange(9) % 2),
        rng.standard_normal((2, 4, 3)),
    )
    machine = KernelMachine(3, kernel=kernel, degree=3)
    machine.take(torch.from_numpy(x), torch.from_numpy(weights), gamma=torch.tensor(0.4))
    assert machine.vectors.shape == (4, 3)
    products = queries @ x.T
    squares = (queries**2).sum(-1, keepdims=True) + (x**2).sum(-1) - 2 * products
    k = np.exp(-0.4 * squares) if kernel == "rbf" else (0.4 * products + 1) ** 3
    np.testing.assert_allclose(machine(torch.from_numpy(queries).float()), k @ weights, rtol=1e-4)


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="kernel"):
        KernelMachine(3, kernel="linear", degree=2)
    with pytest.raises(InputError, match="degree"):
        KernelMachine(3, kernel="polynomial", degree=0)
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'amiss\[fit\]'"):
        solve_one_class(torch.eye(3), 0.5)
