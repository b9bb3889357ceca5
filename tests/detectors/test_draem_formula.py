"""DRAEM's losses and drawn defects against plain NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from amiss.core.errors import InputError
from amiss.detectors.reconstruction.draem import DRAEM, FAINTEST, focal
from amiss.features.batch import to_batch
from amiss.statistics.similarity import ssim
from amiss.testing import toy_part, write_images

TINY = {**DRAEM.card.presets["tiny"], "steps": 2}


def batch_of(count: int) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(toy_part(count, seed=1, defective=True).images))))


def test_the_focal_loss_by_its_formula() -> None:
    scores, mask = torch.randn(2, 2, 5, 6), (torch.rand(2, 5, 6) < 0.3).float()
    powers = np.exp(scores.double().numpy())
    chance = np.where(mask.numpy() == 1, powers[:, 1], powers[:, 0]) / powers.sum(axis=1)
    wanted = (-((1 - chance) ** 2) * np.log(chance)).mean()
    assert float(focal(scores, mask)) == pytest.approx(wanted, rel=1e-5)


def test_a_defect_is_inside_its_mask_and_half_of_the_images_are_clean() -> None:
    detector, rng = DRAEM(**TINY), np.random.default_rng(0)
    batch, textures = torch.full((64, 3, 32, 32), 0.2), torch.full((64, 3, 32, 32), 0.9)
    spoilt, mask = detector.spoil(batch, textures, rng)
    outside = mask[:, None].expand_as(batch) == 0
    assert torch.equal(spoilt[outside], batch[outside])
    touched = mask.flatten(1).any(dim=1)
    assert 20 <= int(touched.sum()) <= 44
    changed = (spoilt - batch).abs().amax(dim=(1, 2, 3))[touched]
    assert float(changed.min()) >= FAINTEST * (0.6 * 0.9 - 0.2) - 1e-6  # the faintest share of the darkest texture
    assert bool(((spoilt >= 0) & (spoilt <= 1)).all())


def test_the_loss_and_the_map_by_their_formulas() -> None:
    detector = DRAEM(**TINY).fit(toy_part(6, seed=0).images)
    batch = batch_of(2)
    spoilt, mask = detector.spoil(batch, batch.flip(0), np.random.default_rng(1))
    with torch.no_grad():
        rebuilt, scores = detector.both(spoilt)
        found, map_ = float(detector.training_loss(batch, spoilt, mask)), detector(batch).numpy()
        own = detector.both(batch)[1].double().numpy()
    squares = ((batch - rebuilt).double().numpy() ** 2).mean()
    wanted = squares + float(1 - ssim(batch, rebuilt).mean()) + float(focal(scores, mask))
    assert found == pytest.approx(wanted, rel=1e-4)
    chance = np.exp(own[:, 1]) / np.exp(own).sum(axis=1)
    smooth = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in chance])
    np.testing.assert_allclose(map_, smooth, rtol=1e-3, atol=1e-5)


def test_textures_come_from_a_folder(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_images(tmp_path / "textures", list(toy_part(3, seed=5).images))
    detector = DRAEM(**{**TINY, "textures": str(tmp_path / "textures")}).fit(toy_part(4, seed=0).images)
    assert detector.score(toy_part(1, seed=1).images).map.shape == (1, 64, 64)


def test_small_images_say_the_least_side() -> None:
    with pytest.raises(InputError, match="at least 11 x 11 pixels"):
        DRAEM(**TINY).fit(toy_part(4, seed=0).images.resized((10, 10)))
