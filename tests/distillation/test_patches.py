"""Patches at random scales, other views of them, and the sum of three losses."""

import numpy as np
import pytest
import torch
from torch import nn

from amiss.core.decode import resize
from amiss.core.errors import InputError
from amiss.distillation import patches as module
from amiss.distillation.losses import compactness_loss, knowledge_loss
from amiss.distillation.patches import (
    BATCH,
    LossWeights,
    PatchLoss,
    PatchTargets,
    distil_patches,
    draw_patches,
    other_view,
)
from amiss.distillation.pixels import as_batch
from amiss.distillation.run import Run
from amiss.features import FeatureExtractor
from amiss.features.patch_network import PatchNetwork


def ramp(side: int) -> np.ndarray:
    """One image that grows by 1 a pixel to the right."""
    row = np.arange(side, dtype=np.uint8)
    return np.broadcast_to(row[None, None, :, None], (1, side, side, 3)).copy()


def test_scales_are_those_of_images_of_4_to_16_patches() -> None:
    side, patch = 240, 15
    drawn = draw_patches(ramp(side), np.zeros(400, int), patch, np.random.default_rng(0))
    assert drawn.shape == (400, 3, patch, patch)
    slopes = 255 * np.diff(drawn[:, 0].numpy(), axis=2)[:, :, 4:-4].mean(axis=(1, 2))  # pixels of 240 a pixel of 15
    # an image resized to s pixels shows 240 / s of its own in each
    assert slopes.min() == pytest.approx(240 / (16 * patch), rel=0.2)
    assert slopes.max() == pytest.approx(240 / (4 * patch), rel=0.05)


def test_a_patch_of_the_smallest_scale_is_a_plain_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    """At s = 64, an image of 64 pixels is cut without being resized."""
    monkeypatch.setattr(module, "SIDES", (4, 4))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    for index, patch in enumerate(draw_patches(pixels, np.array([1, 0]), 16, np.random.default_rng(3))):
        image = pixels[1 - index]
        windows = np.lib.stride_tricks.sliding_window_view(image, (16, 16), axis=(0, 1))  # (49, 49, 3, 16, 16)
        assert (windows == np.round(255 * patch.numpy()).astype(np.uint8)).all(axis=(2, 3, 4)).any()


def test_other_views_are_moved_within_the_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIGHT", 0.0)
    monkeypatch.setattr(module, "NOISE", 0.0)
    wide = torch.rand(50, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    moves = set()
    for whole, view in zip(wide, other_view(wide, 3, np.random.default_rng(0)), strict=True):
        at = [(y, x) for y in range(7) for x in range(7) if torch.equal(whole[:, y : y + 14, x : x + 14], view)]
        assert len(at) == 1
        moves.add(at[0])
    assert len({y for y, _ in moves}) == len({x for _, x in moves}) == 7


def test_other_views_differ_in_light_and_noise() -> None:
    wide = torch.full((300, 3, 8, 8), 0.5)
    view = other_view(wide, 0, np.random.default_rng(1))
    light = view.mean(dim=(1, 2, 3)) / 0.5
    assert light.min() == pytest.approx(1 - module.LIGHT, abs=0.02)
    assert light.max() == pytest.approx(1 + module.LIGHT, abs=0.02)
    assert float(view.std(dim=(1, 2, 3)).mean()) == pytest.approx(module.NOISE, rel=0.05)


def test_targets_are_standardised_means_over_the_cells() -> None:
    features = FeatureExtractor("tiny-random", (8, 16))
    targets, probes = PatchTargets(features), torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    targets.learn_scale(probes)
    found = targets(probes)
    assert found.shape == (200, sum(features.channels))
    np.testing.assert_allclose(found.mean(dim=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(dim=0, correction=0), 1, atol=1e-3)
    one = (np.round(probes[0].permute(1, 2, 0).numpy() * 255)).astype(np.uint8)
    seen = as_batch(resize(one, (64, 64))[None])
    with torch.no_grad():
        wanted = torch.cat([stage.mean(dim=(2, 3)) for stage in features(seen)], dim=1)
    np.testing.assert_allclose(targets.raw(probes[:1]), wanted, atol=0.02)


def losses_of(weights: LossWeights) -> tuple[PatchLoss, float]:
    torch.manual_seed(0)
    network, features = PatchNetwork("students-tiny"), FeatureExtractor("tiny-random", (8, 16))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    decoder = nn.Linear(network.channels, sum(features.channels))
    loss = PatchLoss(network, decoder, PatchTargets(features), pixels, weights)
    with torch.no_grad():
        return loss, float(loss(0, np.random.default_rng(7)))


def test_the_loss_is_the_weighted_sum() -> None:
    loss, found = losses_of(LossWeights(knowledge=2.0, metric=0.0, compactness=3.0))
    rng = np.random.default_rng(7)
    order = rng.permutation(5)
    patches = draw_patches(loss.pixels, np.resize(order, BATCH), loss.network.patch, rng)
    with torch.no_grad():
        descriptors = loss.network(patches)[:, :, 0, 0]
        wanted = 2 * knowledge_loss(loss.decoder(descriptors), loss.targets(patches)) + 3 * compactness_loss(
            descriptors
        )
    assert found == pytest.approx(float(wanted), rel=1e-5)


def test_each_weight_counts_and_triplets_need_no_backbone() -> None:
    _, everything = losses_of(LossWeights(1, 1, 1))
    alone = [losses_of(LossWeights(*weights))[1] for weights in [(1, 0, 0), (0, 1, 0), (0, 1, 1)]]
    assert all(np.isfinite([everything, *alone])) and everything > alone[1] and alone[2] > alone[1] > 0
    with pytest.raises(InputError, match="knowledge or metric must be above 0"):
        LossWeights(0, 0, 1)
    with pytest.raises(InputError, match="metric"):
        LossWeights(1, -1, 1)


def test_triplets_need_another_image() -> None:
    network, features = PatchNetwork("students-tiny"), FeatureExtractor("tiny-random", (8, 16))
    with pytest.raises(InputError, match="at least 2, got 1"):
        distil_patches(network, features, ramp(64), LossWeights(metric=1), Run(1))
