"""Stages as multiples of their usual error."""

import numpy as np
import torch

from amiss.background.balance import LEAST, Balance


def test_batches_of_any_size_give_the_mean_over_images() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.random((7, 6, 5)), rng.random((7, 3, 3)) * 100]
    balance = Balance(2)
    parts = [slice(0, 3), slice(3, 4), slice(4, 7)]
    balance.learn([torch.from_numpy(one[part]) for one in maps] for part in parts)
    np.testing.assert_allclose(balance.usual, [one.mean() for one in maps], rtol=1e-6)
    large = [torch.rand(2, 8, 8), torch.rand(2, 8, 8)]
    wanted = sum(one.numpy() / scale for one, scale in zip(large, [one.mean() for one in maps], strict=True))
    np.testing.assert_allclose(balance(large), wanted, rtol=1e-5)


def test_before_learning_maps_are_added_as_they_are() -> None:
    maps = [torch.rand(2, 4, 4), torch.rand(2, 4, 4)]
    torch.testing.assert_close(Balance(2)(maps), maps[0] + maps[1])


def test_a_stage_without_error_stays_finite() -> None:
    balance = Balance(1)
    balance.learn([[torch.zeros(3, 4, 4)]])
    assert float(balance.usual) == np.float32(LEAST)
    assert torch.isfinite(balance([torch.ones(1, 4, 4)])).all()
