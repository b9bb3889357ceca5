"""The variational autoencoder's bound and statistics against NumPy, torch's distributions and finite differences."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.distributions import Normal, kl_divergence

from amiss.core.errors import InputError
from amiss.detectors.reconstruction.vae import VariationalAutoencoder, divergence
from amiss.features.batch import to_batch
from amiss.front import fit
from amiss.testing import toy_part

TINY = {**VariationalAutoencoder.card.presets["tiny"], "steps": 4}


def batch_of(count: int) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(toy_part(count, seed=1, defective=True).images))))


def learned(**settings: object) -> VariationalAutoencoder:
    return VariationalAutoencoder(**{**TINY, **settings}).fit(toy_part(8, seed=0).images)


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    wanted = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(divergence(mean, log_variance), wanted)


def test_the_bound_by_its_formula() -> None:
    detector = learned(deviation=0.2, beta=3.0)
    batch = batch_of(2)
    with torch.no_grad():
        mean, log_variance = (part.double().numpy() for part in detector.encode(batch))
        image = detector.decoder(torch.from_numpy(mean).float(), (64, 64)).double().numpy()
        found = detector.bound(batch, sample=False).numpy()
    log_density = ((batch.double().numpy() - image) ** 2 / (2 * 0.2**2)).sum(axis=(1, 2, 3))
    apart = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found, (log_density + 3 * apart) / (3 * 64 * 64), rtol=1e-4)


def test_the_reconstruction_is_the_squared_difference() -> None:
    detector, batch = learned(), batch_of(2)
    with torch.no_grad():
        image = detector.decoder(detector.encode(batch)[0], (64, 64)).double().numpy()
        found = detector(batch).numpy()
    wanted = ((batch.double().numpy() - image) ** 2).mean(axis=1)
    smooth = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in wanted])
    np.testing.assert_allclose(found, smooth, rtol=1e-3, atol=1e-6)


def test_the_gradient_by_finite_differences() -> None:
    detector = learned(statistic_of="gradient", smoothing=0.0).double()
    batch = batch_of(1).double()
    found = detector.statistic(batch)[0]
    for row, column in ((5, 9), (30, 31), (63, 0)):
        slopes = []
        for channel in range(3):
            step = torch.zeros_like(batch)
            step[0, channel, row, column] = 1e-5
            with torch.no_grad():
                above, below = (float(detector.bound(batch + sign * step, sample=False)) for sign in (1, -1))
            slopes.append(abs(above - below) / 2e-5 * batch.numel())
        assert float(found[row, column]) == pytest.approx(np.mean(slopes), rel=1e-3)


def test_the_gradient_has_no_graph_and_is_inspected_in_torch() -> None:
    images = toy_part(30, seed=0).images
    inspector = fit(images, method="vae", preset="tiny", settings={"statistic_of": "gradient", "steps": 4}, size=64)
    assert inspector.parts.graph is None
    assert len(list(inspector.inspect(toy_part(2, seed=1).images))) == 2


def test_the_divergence_needs_places() -> None:
    with pytest.raises(InputError, match='must not be "kl" with a bottleneck'):
        VariationalAutoencoder(statistic_of="kl", bottleneck=True)
    assert learned(statistic_of="kl").score(toy_part(1, seed=1).images).map.shape == (1, 64, 64)
