"""Standardising: mean and spread against torch's own, and channels that hardly vary."""

import pytest
import torch
from torch import nn

from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.errors import InputError


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_standardising_gives_mean_0_and_deviation_1() -> None:
    maps = [torch.randn(9, 3, 4, 5) * torch.tensor([1.0, 5.0, 0.2]).view(1, 3, 1, 1) + 7, torch.rand(9, 2, 2, 2)]
    stages = nn.ModuleList([Standardising(3), Standardising(2)])
    learn_standardising(stages, [[one[:4] for one in maps], [one[4:] for one in maps]])
    for stage, one in zip(stages, maps, strict=True):
        values = stage(one).movedim(1, -1).flatten(0, 2)
        torch.testing.assert_close(stage.mean, one.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(values.mean(dim=0), torch.zeros(values.shape[1]), atol=1e-4, rtol=0)
        variance = one.movedim(1, -1).flatten(0, 2).var(dim=0)
        torch.testing.assert_close(stage.spread, (variance + 1e-3 * variance.mean()).sqrt())
        torch.testing.assert_close(stage(one.movedim(1, -1).flatten(0, 2)), values)  # vectors and maps alike


def test_a_dead_channel_is_not_blown_up() -> None:
    maps = torch.cat([torch.randn(4, 1, 3, 3), torch.full((4, 1, 3, 3), 2.0)], dim=1)
    (stage,) = stages = nn.ModuleList([Standardising(2)])
    learn_standardising(stages, [[maps]])
    assert stage(maps).isfinite().all()
    assert stage(maps)[:, 1].abs().max() < 1e-5


def test_features_that_do_not_vary_are_refused() -> None:
    with pytest.raises(InputError, match="without any variation"):
        learn_standardising([Standardising(2)], [[torch.ones(2, 2, 3, 3)]])
