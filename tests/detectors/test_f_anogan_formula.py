"""f-AnoGAN's statistic and losses against plain NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from amiss.detectors.reconstruction.f_anogan import PENALTY, FastAnoGAN
from amiss.features.batch import to_batch
from amiss.testing import toy_part

TINY = {**FastAnoGAN.card.presets["tiny"], "levels": 3, "steps": 2, "encoder_steps": 2}


def enlarged(grid: np.ndarray, side: int) -> np.ndarray:
    return nn.functional.interpolate(torch.from_numpy(grid)[:, None], (side, side), mode="bilinear")[:, 0].numpy()


def test_the_map_by_its_formula() -> None:
    detector = FastAnoGAN(**{**TINY, "kappa": 3.0}).fit(toy_part(8, seed=0).images)
    test = toy_part(2, seed=1, defective=True).images
    full = to_batch(torch.from_numpy(np.stack(list(test))))
    small = full.double().numpy().reshape(2, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    with torch.no_grad():
        batch = torch.from_numpy(small).float()
        made = detector.generator(detector.encoder(batch))
        seen = [detector.critic.features(each).double().numpy() for each in (batch, made)]
    residual = ((small - made.double().numpy()) ** 2).mean(axis=1)
    residual = residual + 3 * enlarged(((seen[0] - seen[1]) ** 2).mean(axis=1), 32)
    wanted = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in enlarged(residual, 64)])
    np.testing.assert_allclose(detector.score(test).map, wanted, rtol=1e-3, atol=1e-5 * wanted.max())


def test_the_critics_loss_by_its_formula() -> None:
    detector = FastAnoGAN(**TINY).fit(toy_part(8, seed=0).images)
    for parameter in detector.critic.parameters():
        parameter.requires_grad_(True)
    real = torch.rand(4, 3, 32, 32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        found = float(detector.critic_loss(real).detach())
        torch.manual_seed(5)
        made = detector.generator(torch.randn(4, detector.latent)).detach()
        share = torch.rand(4, 1, 1, 1)
    between = (share * real + (1 - share) * made).requires_grad_()
    (slope,) = torch.autograd.grad(detector.critic(between).sum(), between)
    length = np.sqrt((slope.double().numpy() ** 2).sum(axis=(1, 2, 3)))
    scores = [detector.critic(each).detach().double().numpy().mean() for each in (made, real)]
    assert found == pytest.approx(scores[0] - scores[1] + PENALTY * ((length - 1) ** 2).mean(), rel=1e-4)


def test_the_encoder_leaves_generator_and_critic_as_they_are() -> None:
    states = []
    for steps in (1, 6):
        detector = FastAnoGAN(**{**TINY, "encoder_steps": steps}).fit(toy_part(8, seed=0).images)
        states.append({**detector.generator.state_dict(), **detector.critic.state_dict()})
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], msg=name)
