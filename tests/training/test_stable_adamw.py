"""StableAdamW against plain NumPy, and against torch's AdamW where it changes nothing."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from amiss.stable_adamw import StableAdamW


def run(optimiser: torch.optim.Optimizer, weights: torch.Tensor, slopes: np.ndarray) -> np.ndarray:
    for slope in slopes:
        weights.grad = torch.from_numpy(slope)
        optimiser.step()
    return weights.detach().numpy()


def slopes_of(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 3, 2)) * rng.choice([0.1, 1, 20], size=(count, 1, 1))


def test_the_steps_by_their_formula() -> None:
    slopes, weights = slopes_of(30), np.random.default_rng(1).normal(size=(3, 2))
    found = torch.from_numpy(weights.copy()).requires_grad_()
    run(StableAdamW([found], lr=0.03, betas=(0.8, 0.95), weight_decay=0.1), found, slopes)
    mean, square, most = (np.zeros((3, 2)) for _ in range(3))
    shortened = 0
    for count, slope in enumerate(slopes, 1):
        mean, square = 0.8 * mean + 0.2 * slope, 0.95 * square + 0.05 * slope**2
        most = np.maximum(most, square)
        usual = np.sqrt(most / (1 - 0.95**count)) + 1e-10
        root = np.sqrt(np.mean((slope / usual) ** 2))
        shortened += root > 1
        rate = 0.03 / max(1, root)
        weights = weights * (1 - rate * 0.1) - rate * mean / (1 - 0.8**count) / usual
    assert 0 < shortened < 30
    np.testing.assert_allclose(found.detach().numpy(), weights, rtol=1e-9)


def test_adamw_where_no_gradient_is_unusual() -> None:
    slopes = np.sort(np.abs(slopes_of(20)), axis=0)[::-1].copy()  # ever smaller ones
    ours, theirs = (torch.ones(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    run(StableAdamW([ours], lr=0.01, weight_decay=0.1), ours, slopes)
    run(torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1, amsgrad=True, eps=1e-10), theirs, slopes)
    np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-6)


def test_a_sudden_gradient_moves_little() -> None:
    slopes = np.concatenate([np.full((50, 3, 2), 0.01), np.full((1, 3, 2), 100.0)])
    moved = {}
    for name, make in (("ours", StableAdamW), ("theirs", torch.optim.AdamW)):
        weights = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
        optimiser = make([weights], lr=0.1, weight_decay=0.0)
        before = run(optimiser, weights, slopes[:-1]).copy()
        moved[name] = float(np.abs(run(optimiser, weights, slopes[-1:]) - before).max())
    assert moved["ours"] < 0.3 * moved["theirs"]


def test_its_state_can_be_saved_and_loaded() -> None:
    slopes, (one, other) = slopes_of(8), (torch.ones(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    first = StableAdamW([one], lr=0.1)
    wanted = run(first, one, slopes[:4]).copy()
    with torch.no_grad():
        other.copy_(torch.from_numpy(wanted))
    second = StableAdamW([other], lr=0.1)
    second.load_state_dict(deepcopy(first.state_dict()))  # torch would share its tensors
    np.testing.assert_array_equal(run(first, one, slopes[4:]), run(second, other, slopes[4:]))


def test_a_parameter_without_gradient_stays() -> None:
    weights = torch.ones(2, requires_grad=True)
    StableAdamW([weights], lr=0.1, weight_decay=0.5).step()
    assert weights.tolist() == pytest.approx([1, 1])
