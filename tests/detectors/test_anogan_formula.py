"""AnoGAN's slope, search, map and losses against autograd and plain NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from amiss.detectors.reconstruction.anogan import AnoGAN
from amiss.features.batch import to_batch
from amiss.testing import toy_part

TINY = {**AnoGAN.card.presets["tiny"], "steps": 4}


@pytest.fixture(scope="module")
def learned() -> AnoGAN:
    return AnoGAN(**{**TINY, "share": 0.3}).fit(toy_part(8, seed=0).images)


def batch_of(count: int, side: int) -> torch.Tensor:
    full = to_batch(torch.from_numpy(np.stack(list(toy_part(count, seed=1, defective=True).images))))
    return full.unflatten(3, (side, -1)).unflatten(2, (side, -1)).mean(dim=(3, 5))


def of_pixels(detector: AnoGAN, squares: torch.Tensor, code: torch.Tensor) -> np.ndarray:
    """The residual, (N, side, side)."""
    with torch.no_grad():
        made = detector.generator(code)
        seen = [detector.discriminator.features(each).double().numpy() for each in (squares, made)]
    features = torch.from_numpy(np.abs(seen[0] - seen[1]).mean(axis=1))[:, None]
    large = nn.functional.interpolate(features, squares.shape[2:], mode="bilinear")[:, 0].numpy()
    pixels = np.abs(squares.double().numpy() - made.double().numpy()).mean(axis=1)
    return (1 - detector.share) * pixels + detector.share * large


def test_the_slope_is_that_of_autograd(learned: AnoGAN) -> None:
    squares, code = batch_of(3, 32), torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    made = learned.generator(code)
    features = (learned.discriminator.features(squares) - learned.discriminator.features(made)).abs()
    loss = (1 - learned.share) * (squares - made).abs().mean(dim=(1, 2, 3)) + learned.share * features.mean((1, 2, 3))
    (wanted,) = torch.autograd.grad(loss.sum(), code)
    found = learned._slope(squares, learned.discriminator.features(squares), code)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_the_search_goes_down_the_slope_in_steps_that_get_shorter(learned: AnoGAN) -> None:
    squares = batch_of(2, 32)
    seen, code = learned.discriminator.features(squares), np.zeros((2, 8))
    for step in range(3):
        slope = learned._slope(squares, seen, torch.from_numpy(code).float()).detach().double().numpy()
        length = 2.0 * 0.5 * (1 + np.cos(np.pi * step / 3))
        code = code - length * slope / np.linalg.norm(slope, axis=1, keepdims=True)
    found = learned.search(squares)
    np.testing.assert_allclose(found.detach().numpy(), code, atol=1e-3)
    start = of_pixels(learned, squares, torch.zeros(2, 8))
    assert of_pixels(learned, squares, found).mean() < start.mean()


def test_the_map_is_the_residual_of_what_was_found(learned: AnoGAN) -> None:
    test = toy_part(2, seed=1, defective=True).images
    squares = batch_of(2, 32)
    residual = of_pixels(learned, squares, learned.search(squares).detach())
    large = nn.functional.interpolate(torch.from_numpy(residual)[:, None], (64, 64), mode="bilinear")[:, 0].numpy()
    wanted = np.stack([gaussian_filter(one, learned.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(learned.score(test).map, wanted, rtol=1e-3, atol=1e-5 * wanted.max())


def test_squares_are_put_together_where_they_were() -> None:
    whole = AnoGAN(**{**TINY, "tiles": 2, "smoothing": 0.0}).fit(toy_part(8, seed=0).images)
    image = batch_of(1, 64)
    with torch.no_grad():
        found = whole.statistic(image)[0]
        for top, left in ((0, 0), (0, 32), (32, 0), (32, 32)):
            square = image[:, :, top : top + 32, left : left + 32]
            wanted = whole.residual(square, whole.search(square))[0]
            torch.testing.assert_close(found[top : top + 32, left : left + 32], wanted, rtol=1e-4, atol=1e-6)


def test_the_losses_by_their_formulas(learned: AnoGAN) -> None:
    real = batch_of(8, 32)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        losses = [float(learned.generator_loss()), 0.0]
        torch.manual_seed(5)
        losses[1] = float(learned.discriminator_loss(real))
        torch.manual_seed(5)
        made = learned.generator(torch.randn(learned.batch, learned.latent))
        chance = [1 / (1 + np.exp(-learned.discriminator(each).double().numpy())) for each in (real, made)]
    wanted = [-np.log(chance[1]).mean(), -0.5 * (np.log(chance[0]).mean() + np.log(1 - chance[1]).mean())]
    assert losses == pytest.approx(wanted, rel=1e-4)
