"""RD++: the losses of its projections against plain NumPy, their signs, and the noise."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from amiss.detectors.student_teacher.reverse_distillation_pp import (
    BLUR,
    InstanceNorm,
    ReverseDistillationPP,
    contrast_loss,
    noisy,
    projection,
    transport_distance,
)
from amiss.features.cache import cached_features
from amiss.statistics.transport import sinkhorn_divergence
from amiss.testing import toy_part, toy_texture

TINY = ReverseDistillationPP.card.presets["tiny"]


def built(**settings: object) -> ReverseDistillationPP:
    detector = ReverseDistillationPP(**{**TINY, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector.build(pretrained=True)
    return detector.eval()


def features(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 8, 5, 6, generator=generator), torch.randn(4, 8, 3, 3, generator=generator)]


def plain_cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.mark.parametrize(
    ("compare", "weight"), [("values", 1.0), ("angles", 1.0), ("whole maps", 1.0), ("values", 0.25), ("values", 0.0)]
)
def test_the_whole_loss_equals_the_formula(compare: str, weight: float) -> None:
    """Tien et al., section 3.3, with their weights; the student's part as in reverse distillation."""
    detector, normal, strange = built(compare=compare, transport=weight), features(0), features(1)
    strange = [one + 3 * other for one, other in zip(strange, detector.project(normal), strict=True)]  # some contrast
    strange = [one.detach() for one in strange]
    with torch.no_grad():
        clean, noise = detector.project(normal), detector.project(strange)
        rebuilt = detector.student(clean)
        torch.manual_seed(5)
        transport = sum(float(transport_distance(one, 1).mean()) for one in clean)
        torch.manual_seed(5)
        found = detector.loss(normal, strange, shift=1)
    distillation = reconstruction = contrast = 0.0
    for teacher, student, odd, clear, blurred in zip(normal, rebuilt, strange, clean, noise, strict=True):
        t, s, o, c, b = (one.double().numpy() for one in (teacher, student, odd, clear, blurred))
        flat = [one.reshape(4, -1) for one in (t, s, o, c)]
        one, other = flat[:2] if compare == "whole maps" else (t, s)
        apart = (one - other) ** 2 if compare == "values" else 1 - plain_cosine(one, other)
        distillation += apart.mean()
        reconstruction += (1 - plain_cosine(b, c)).mean()
        contrast += np.maximum(0, plain_cosine(flat[2], flat[3]) - 0.5).mean()
    assert contrast > 0.1
    wanted = distillation + 0.2 * (weight * transport + 0.01 * reconstruction + 0.1 * contrast) / 1.11
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_transport_compares_each_image_with_the_next() -> None:
    one = features(0)[0]
    clouds = (one / one.norm(dim=1, keepdim=True)).flatten(2).transpose(1, 2)  # all 30 positions fit in
    found = transport_distance(one, 1)
    for number in range(4):
        wanted = sinkhorn_divergence(clouds[number], clouds[number - 1], blur=BLUR)
        np.testing.assert_allclose(found[number], wanted, rtol=1e-3)


def test_transport_takes_fewer_points_of_large_maps_and_sees_what_differs() -> None:
    generator = torch.Generator().manual_seed(0)
    alike = torch.randn(1, 8, 40, 40, generator=generator).repeat(2, 1, 1, 1)
    other = alike.clone()
    other[1, 0] += 3  # one image leans into one direction
    assert float(transport_distance(alike, 1).max()) < 1e-5 < float(transport_distance(other, 1).min())


def test_contrast_drives_apart_what_agrees() -> None:
    one = features(0)[0]
    np.testing.assert_allclose(contrast_loss(one, 2 * one), 0.5, rtol=1e-4)  # cosine 1, margin 1/2
    assert float(contrast_loss(one, -one).max()) == 0
    projected = (one + 0.1 * features(1)[0]).requires_grad_()
    contrast_loss(one, projected).sum().backward()
    assert projected.grad is not None
    stepped = projected.detach() - 10 * projected.grad
    assert float(contrast_loss(one, stepped).sum()) < float(contrast_loss(one, projected.detach()).sum())


@pytest.mark.parametrize("channels", [1, 3, 24, 112])
def test_projections_narrow_and_widen_again(channels: int) -> None:
    one = projection(channels)
    widths = [layer.out_channels for layer in one if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [max(1, channels // 2), max(1, channels // 4), max(1, channels // 2), channels]
    assert one(torch.randn(2, channels, 7, 5)).shape == (2, channels, 7, 5)


def test_instance_normalisation_is_torchs() -> None:
    x = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(0)) * 7 + 2
    torch.testing.assert_close(InstanceNorm()(x), F.instance_norm(x), atol=1e-5, rtol=1e-4)
    assert float(InstanceNorm()(torch.full((1, 2, 1, 1), 4.0)).abs().max()) == 0


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (63, 130)])
def test_noise_lies_in_one_small_rectangle(size: tuple[int, int]) -> None:
    images = toy_part(3, seed=0).images.resized(size)
    strange = noisy(images, 0.2, 2, seed=0)
    assert len(strange) == 6 and strange.size == images.size
    for number, image in enumerate(strange):
        changed = (image != images[number // 2]).any(axis=2)
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        assert image.dtype == np.uint8 and image.shape == (*size, 3)
        for places in (rows, columns):
            assert 1 <= np.ptp(places) + 1 <= max(3, min(size) // 8)


def test_noise_is_drawn_once_and_differs_between_versions_and_seeds() -> None:
    images = toy_texture(2, seed=0).images
    first, again, other = (noisy(images, 0.2, 2, seed=seed) for seed in (0, 0, 1))
    assert [first.sha256(i) for i in range(4)] == [again.sha256(i) for i in range(4)]
    assert len({batch.sha256(i) for batch in (first, other) for i in range(4)}) == 8
    assert first.names[2:] == ("image 1 with noise",) * 2


def test_louder_noise_changes_more() -> None:
    images = toy_part(4, seed=0).images
    moved = [
        np.mean(
            [np.abs(a.astype(float) - b).sum() for a, b in zip(noisy(images, loud, 1, seed=0), images, strict=True)]
        )
        for loud in (0.05, 0.1, 0.2)
    ]
    assert moved[0] * 1.5 < moved[1] < moved[2] / 1.5


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_averages_the_losses_of_its_batches(accumulate: int) -> None:
    """So its gradient is that of as many batches that are accumulated; each is normalised by itself."""
    images, chosen = toy_texture(6, seed=0).images, np.arange(6)
    detector = built(accumulate=accumulate)
    odd = noisy(images, 0.2, 1, seed=0)
    with (
        cached_features(detector.features, "a", images) as cache,
        cached_features(detector.features, "b", odd) as other,
    ):
        torch.manual_seed(3)
        found = detector._step(cache, other, chosen, np.random.default_rng(4))
        torch.manual_seed(3)
        rng = np.random.default_rng(4)
        losses = [detector._batch_loss(cache, other, chosen, rng).item() for _ in range(accumulate)]
    assert len(set(losses)) == accumulate
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-6)
