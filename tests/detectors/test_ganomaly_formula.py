"""GANomaly's statistic and losses against plain NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from amiss.core.errors import InputError
from amiss.detectors.reconstruction.ganomaly import GANomaly
from amiss.features.batch import to_batch
from amiss.testing import toy_part

TINY = {**GANomaly.card.presets["tiny"], "steps": 3}


def batch_of(count: int) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(toy_part(count, seed=1, defective=True).images))))


def arrays(*tensors: torch.Tensor) -> list[np.ndarray]:
    return [tensor.detach().double().numpy() for tensor in tensors]


def test_the_map_is_the_distance_of_the_codes() -> None:
    detector = GANomaly(**TINY).fit(toy_part(8, seed=0).images)
    batch = batch_of(2)
    with torch.no_grad():
        code = detector.encoder(batch)
        again = detector.again(detector.decoder(code, (64, 64)))
    first, second = arrays(code, again)
    grid = torch.from_numpy(((first - second) ** 2).mean(axis=1))[:, None]
    large = nn.functional.interpolate(grid, (64, 64), mode="bilinear", align_corners=False)[:, 0].numpy()
    wanted = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in large])
    found = detector.score(toy_part(2, seed=1, defective=True).images).map
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5 * wanted.max())


def test_the_generators_loss_by_its_formula() -> None:
    detector = GANomaly(**{**TINY, "adversarial": 2.0, "contextual": 30.0, "latent": 4.0})
    detector.fit(toy_part(8, seed=0).images)
    batch = batch_of(3)
    with torch.no_grad():
        code, image, again = detector.rebuild(batch)
        seen = arrays(detector.discriminator.features(batch), detector.discriminator.features(image))
        found = float(detector.generator_loss(batch))
    x, y, z, z_again = arrays(batch, image, code, again)
    wanted = 2 * ((seen[0] - seen[1]) ** 2).mean() + 30 * np.abs(x - y).mean() + 4 * ((z - z_again) ** 2).mean()
    assert found == pytest.approx(wanted, rel=1e-4)


def test_a_discriminator_that_has_won_rests() -> None:
    detector = GANomaly(**TINY).fit(toy_part(8, seed=0).images).train()
    batch = batch_of(3)
    assert float(detector.discriminator_loss(batch).detach()) > 0
    with torch.no_grad():
        detector.discriminator.head.weight.zero_()
        detector.discriminator.head.bias.fill_(50.0)  # all look real: made images are told wrong
    assert float(detector.discriminator_loss(batch).detach()) > 1

    detector.discriminator.forward = lambda images: (
        torch.where(  # type: ignore[method-assign]
            (images == batch).flatten(1).all(dim=1), 50.0, -50.0
        )
        * detector.discriminator.head.bias
        / 50
    )
    detector.zero_grad()
    loss = detector.discriminator_loss(batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0 and float(detector.discriminator.head.bias.grad.abs().sum()) == 0


def test_small_images_say_the_least_side() -> None:
    with pytest.raises(InputError, match="at least 128 x 128 pixels to be halved 7 times, got 64 x 64"):
        GANomaly(**{**TINY, "levels": 7}).fit(toy_part(4, seed=0).images)
