"""The discriminator's losses against their formulas."""

import numpy as np
import torch
from torch import nn

from amiss.background.discriminator import Discriminator, gradient_penalty, told_apart


def test_the_cross_entropy_of_two_batches() -> None:
    real, made = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    chance = [1 / (1 + np.exp(-x)) for x in (real.numpy(), made.numpy())]
    wanted = 0.5 * (-np.log(chance[0]).mean() - np.log(1 - chance[1]).mean())
    np.testing.assert_allclose(float(told_apart(real, made)), wanted, rtol=1e-6)


def test_the_penalty_of_a_linear_critic_is_known() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 8, 8))

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return (batch * self.weight).sum(dim=(1, 2, 3))

    critic = Linear()
    found = gradient_penalty(critic, torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8))
    length = float(critic.weight.detach().norm())
    np.testing.assert_allclose(float(found.detach()), (length - 1) ** 2, rtol=1e-5)
    found.backward()  # type: ignore[no-untyped-call]
    wanted = 2 * (length - 1) * critic.weight.detach() / length
    torch.testing.assert_close(critic.weight.grad, wanted)


def test_a_critic_judges_each_image_alone() -> None:
    critic, batch = Discriminator(8, levels=3, normalise=False), torch.rand(4, 3, 32, 32)
    alone = torch.cat([critic(one[None]) for one in batch])
    torch.testing.assert_close(critic(batch), alone)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in critic.modules())
