"""Cosine distance of maps against SciPy, and where a vector has no direction."""

import numpy as np
import torch
from scipy.spatial.distance import cdist

from amiss.statistics.difference import cosine_distance, unit, whole_map_distance


def maps(seed: int) -> torch.Tensor:
    return torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(seed))


def test_each_position_is_compared_as_scipy_does() -> None:
    one, other = maps(0), maps(1)
    found = cosine_distance(one, other)
    assert found.shape == (3, 4, 6)
    for n, row, column in np.ndindex(3, 4, 6):
        pair = one[n, :, row, column].numpy()[None], other[n, :, row, column].numpy()[None]
        np.testing.assert_allclose(found[n, row, column], cdist(*pair, "cosine")[0, 0], atol=1e-6)


def test_a_whole_map_is_one_vector() -> None:
    one, other = maps(0), maps(1)
    wanted = np.diag(cdist(one.flatten(1).numpy(), other.flatten(1).numpy(), "cosine"))
    np.testing.assert_allclose(whole_map_distance(one, other), wanted, atol=1e-6)


def test_lengths_do_not_matter_and_close_vectors_keep_their_digits() -> None:
    one = maps(0).double()
    assert float(cosine_distance(one, 7 * one).max()) < 1e-12
    angle = 1e-4
    pair = torch.tensor([[1.0, 0.0]]), torch.tensor([[np.cos(angle), np.sin(angle)]], dtype=torch.float32)
    np.testing.assert_allclose(cosine_distance(*pair), angle**2 / 2, rtol=1e-2)  # 1 - cosine in float32: 0 or 6e-8


def test_a_vector_without_direction_has_a_finite_gradient() -> None:
    zero = torch.zeros(1, 3, 2, 2, requires_grad=True)
    distance = cosine_distance(zero, maps(0)[:1, :3, :2, :2])
    np.testing.assert_allclose(distance.detach(), 0.5, rtol=1e-4)
    distance.sum().backward()
    assert zero.grad is not None and zero.grad.abs().max() <= 1e4
    assert float(unit(torch.zeros(1, 3)).abs().sum()) == 0
