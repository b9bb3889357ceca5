"""What has learned from some images and then takes in others is what would have learned from all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from amiss.background.gaussian_field import FieldWhitening, GaussianField
from amiss.background.reservoir import Reservoir, kept_of
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import silent
from amiss.registry import create
from amiss.testing import toy_part

SIZE = (64, 64)
OLD, NEW = (toy_part(count, seed=seed).images.resized(SIZE) for count, seed in ((20, 0), (12, 1)))
OTHERS, DEFECTS = (toy_part(8, seed=2, defective=defective).images.resized(SIZE) for defective in (False, True))


def twice(method: str, **settings: Any) -> tuple[Any, Any]:
    """The detector that takes in the new images, and the one that learns from all."""
    one = create(method, "tiny", **settings).fit(OLD)
    one = create(method, "tiny", **one.hyperparameters()).load_state(one.state_dict())  # as from an artefact
    return one.update(NEW, len(OLD)), create(method, "tiny", **settings).fit(Images.join([OLD, NEW]))


def test_padim_comes_to_the_same_scores() -> None:
    one, both = twice("padim")
    old = create("padim", "tiny").fit(OLD)
    wanted = both.score(DEFECTS).map
    np.testing.assert_allclose(one.score(DEFECTS).map, wanted, rtol=2e-3)
    assert np.abs(old.score(DEFECTS).map / wanted - 1).max() > 0.05  # it is not that nothing has changed


def test_sums_come_back_from_a_whitening() -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(30, 6, 70, generator=rng) * torch.linspace(0.1, 3, 70) + 5
    field = GaussianField(6, 70)
    field.add(vectors)
    whitening = FieldWhitening(70)
    whitening.take(field, (2, 3), 0.01)
    found = whitening.field(30, 0.01, vectors[3])
    assert found.count == 30
    torch.testing.assert_close(found.mean, field.mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.covariance(), field.covariance(), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="feature cells"):
        whitening.field(30, 0.01, vectors[3, :4])


@pytest.mark.parametrize(("settings", "farther"), [({}, 1.05), ({"bank_size": 0.02}, 1.2), ({"bank_size": 0.1}, 1.3)])
def test_a_coreset_covers_old_and_new(settings: dict[str, Any], farther: float) -> None:
    """A bank whose size is given covers all images as if it were chosen from them; one that grows, nearly."""
    one, both = twice("patchcore", **settings)
    assert one.bank.shape == both.bank.shape
    for images in (OLD, NEW, OTHERS):
        distances = [nearest_of(detector, images) for detector in (one, both)]
        assert distances[0].max() < farther * distances[1].max()
        assert distances[0].mean() < 1.1 * distances[1].mean()


@torch.no_grad()
def nearest_of(detector: Any, images: Images) -> torch.Tensor:
    patches = [detector.describe(batch).flatten(0, 2) for batch in detector.batches(images, "features", silent)]
    return torch.cdist(torch.cat(patches), detector.bank + detector.center).amin(dim=1)


def test_a_sample_holds_some_of_both() -> None:
    one, both = twice("knn")
    old = create("knn", "tiny").fit(OLD)
    assert one.bank.shape == both.bank.shape
    from_old = torch.cdist(one.bank + one.center, old.bank + old.center).amin(dim=1) < 0.02
    assert float(from_old.float().mean()) == pytest.approx(20 / 32, abs=0.12)
    assert one.score(OTHERS).image.mean() == pytest.approx(both.score(OTHERS).image.mean(), rel=0.1)


def test_a_reservoir_goes_on_where_it_was() -> None:
    """Of 40 and 60 vectors in a row each of the last has 10 chances in 100, whether the sample was saved in between."""
    shares = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        first = Reservoir(10, rng)
        first.add(torch.arange(40.0)[:, None])
        again = Reservoir(10, rng)
        again.merge(kept_of(first.sample(), first.seen, rng))
        again.skip(0)
        again.add(torch.arange(40.0, 100.0)[:, None])
        shares.append(float((again.sample() >= 40).float().mean()))
    assert np.mean(shares) == pytest.approx(0.6, abs=4 * 0.155 / np.sqrt(400))


def test_all_are_kept_while_there_is_room() -> None:
    rng = np.random.default_rng(0)
    reservoir = Reservoir(10, rng)
    reservoir.merge(kept_of(torch.arange(4.0)[:, None], 4, rng))
    reservoir.add(torch.arange(4.0, 8.0)[:, None])
    assert sorted(reservoir.sample().flatten().tolist()) == [*range(8)]


def test_an_ensemble_has_each_member_take_them_in() -> None:
    members = [{"method": "padim", "preset": "tiny"}, {"method": "patchcore", "preset": "tiny"}]
    one = create("ensemble", members=members, stretch=100.0).fit(OLD)
    scale = one.mean.clone()
    fields = [member.state_dict() for member in one.detectors]
    one.update(NEW, len(OLD))
    assert one.takes_more and torch.equal(one.mean, scale)
    assert not torch.equal(fields[0]["gaussians.mean"], one.detectors[0].gaussians.mean)
    assert not torch.equal(fields[1]["bank"], one.detectors[1].bank)


def test_methods_that_cannot_say_so() -> None:
    detector = create("mvg", "tiny").fit(OLD)
    assert not detector.takes_more
    with pytest.raises(InputError, match="mvg cannot take in more images"):
        detector.update(NEW, len(OLD))
    with pytest.raises(InputError, match="have a size"):
        create("knn", "tiny").fit(OLD).update(OLD.subset([]), len(OLD))
