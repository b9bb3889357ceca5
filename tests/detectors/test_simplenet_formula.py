"""SimpleNet against plain NumPy with the trained weights, and its training against the definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from amiss.background.border_level import BorderLevel
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.one_class.simplenet import SimpleNet
from amiss.testing import toy_texture

TINY = {**SimpleNet.card.presets["tiny"], "steps": 20}
Arrays = dict[str, np.ndarray]


def raw_features(detector: SimpleNet, images: Images) -> np.ndarray:
    """(N, h, w, D) float64 as the network gives them."""
    with torch.no_grad():
        batch = to_batch(torch.from_numpy(np.stack(list(images))))
        standardised = detector.describe(batch)
    return (standardised * detector.deviation + detector.mean).double().numpy()


def plain_normality(weights: Arrays, patches: np.ndarray, running: bool = True) -> np.ndarray:
    """Adaptor, linear, batch normalisation, leaky slope of 0.2, linear: (P, D) standardised to (P,)."""
    hidden = patches @ weights["discriminator.0.weight"].T + weights["discriminator.0.bias"]
    mean, variance = (weights[f"discriminator.1.running_{name}"] for name in ("mean", "var"))
    if not running:
        mean, variance = hidden.mean(axis=0), hidden.var(axis=0)
    hidden = (hidden - mean) / np.sqrt(variance + 1e-5)
    hidden = hidden * weights["discriminator.1.weight"] + weights["discriminator.1.bias"]
    return np.where(hidden > 0, hidden, 0.2 * hidden) @ weights["discriminator.3.weight"][0]


def weights_of(detector: SimpleNet) -> Arrays:
    return {name: value.double().numpy() for name, value in detector.state_dict().items()}


def adapt(weights: Arrays, patches: np.ndarray) -> np.ndarray:
    return patches @ weights["adaptor.weight"].T + weights["adaptor.bias"]


def test_map_equals_the_formula() -> None:
    detector = SimpleNet(**TINY).fit(toy_texture(6, seed=0).images)
    test = toy_texture(3, seed=1, defective=True).images
    raw, weights = raw_features(detector, test), weights_of(detector)
    standardised = (raw.reshape(-1, raw.shape[3]) - weights["mean"]) / weights["deviation"]
    grid = -plain_normality(weights, adapt(weights, standardised)).reshape(raw.shape[:3])
    levelled = detector.border(torch.from_numpy(grid))[:, None]
    large = torch.nn.functional.interpolate(levelled, (64, 64), mode="bilinear")[:, 0]
    wanted = np.stack([gaussian_filter(one.numpy(), detector.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-4 * np.abs(wanted).max())


def test_scores_near_the_border_are_brought_to_the_level_inside() -> None:
    """As `BorderLevel` does for the scores of the same network without it, on the images that it learned from."""
    images = toy_texture(6, seed=0).images
    plain, levelled = (SimpleNet(**{**TINY, "level_images": count}).fit(images, seed=0) for count in (0, 6))
    with torch.no_grad():
        grid = plain.strangeness(to_batch(torch.from_numpy(np.stack(list(images)))))
        wanted = BorderLevel()
        wanted.learn([grid])
        assert not torch.equal(wanted(grid), grid)
        torch.testing.assert_close(levelled.border(grid), wanted(grid))
        assert torch.equal(plain.border(grid), grid)


def test_features_are_standardised_over_normal_patches_only() -> None:
    images = toy_texture(5, seed=0).images
    detector = SimpleNet(**TINY).fit(images)
    patches = raw_features(detector, images).reshape(-1, 20)
    np.testing.assert_allclose(detector.mean, patches.mean(axis=0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(detector.deviation, patches.std(axis=0, ddof=1), rtol=1e-3)
    raw = SimpleNet(**{**TINY, "standardise": False}).fit(images)
    assert (raw.mean == 0).all() and (raw.deviation == 1).all()


def test_the_loss_is_the_hinge_of_the_paper() -> None:
    """With the same noise: max(0, 1/2 - D) of normal patches, max(0, 1/2 + D) of noisy ones, normalised together."""
    detector = SimpleNet(**TINY)
    detector.build(pretrained=True)
    patches = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(5)
    found = float(detector.train().loss(patches).detach())
    torch.manual_seed(5)
    noise = detector.noise * torch.randn(200, 20).double().numpy()
    weights = weights_of(detector)
    normal = adapt(weights, patches.double().numpy())
    said = plain_normality(weights, np.concatenate([normal, normal + noise]), running=False)
    wanted = np.maximum(0, 0.5 - said[:200]).mean() + np.maximum(0, 0.5 + said[200:]).mean()
    assert found == pytest.approx(wanted, rel=1e-4)


def test_training_lowers_the_loss_and_the_last_step_is_kept(tmp_path: Path) -> None:
    """An interrupted run goes on and ends as one that was not: what is kept is where the last step left it."""
    images, losses = toy_texture(8, seed=0).images, []

    def note(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "learning":
            losses.append(float(note.removeprefix("loss ").partition(",")[0]))

    whole = SimpleNet(**{**SimpleNet.card.presets["tiny"]}).fit(images, progress=note, checkpoint=tmp_path)
    assert len(losses) == whole.steps
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])
    resumed = SimpleNet(**{**SimpleNet.card.presets["tiny"]}).fit(images, checkpoint=tmp_path)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)
    assert not whole.training


def test_larger_noise_is_easier_to_tell() -> None:
    images, last = toy_texture(6, seed=0).images, {}
    for noise in (0.1, 1.0):
        seen = []
        SimpleNet(**{**SimpleNet.card.presets["tiny"], "level_images": 0, "noise": noise}).fit(
            images, progress=lambda stage, done, total, note="", seen=seen: seen.append(note)
        )
        last[noise] = np.mean([float(note.removeprefix("loss ").partition(",")[0]) for note in seen[-20:]])
    assert last[1.0] < last[0.1]


def test_a_step_sees_as_many_patches_as_told() -> None:
    detector, seen = SimpleNet(**{**TINY, "patches": 100, "steps": 3}), []
    loss = detector.loss
    object.__setattr__(detector, "loss", lambda patches: seen.append(tuple(patches.shape)) or loss(patches))
    detector.fit(toy_texture(4, seed=0).images)
    assert seen == [(100, 20)] * 3


def test_patches_kept_are_bounded_and_of_the_normal_images() -> None:
    images = toy_texture(4, seed=0).images
    detector, seen = SimpleNet(**{**TINY, "samples": 7, "steps": 3}), []
    loss = detector.loss
    object.__setattr__(detector, "loss", lambda patches: seen.append(patches) or loss(patches))
    detector.fit(images)
    kept = torch.cat(seen).unique(dim=0).double()
    patches = torch.from_numpy(raw_features(detector, images).reshape(-1, 20))
    standardised = (patches - detector.mean) / detector.deviation
    assert len(kept) == 7
    assert torch.cdist(kept, standardised).amin(dim=1).max() < 1e-3


def test_images_that_do_not_vary_are_refused() -> None:
    """One patch per image, the same in each: larger flat images differ at their border."""
    flat = Images([np.zeros((8, 8, 3), np.uint8)] * 3, size=(8, 8))
    with pytest.raises(InputError, match="patches must vary, got "):
        SimpleNet(**{**TINY, "stages": (8,)}).fit(flat)
