"""STFPM against plain NumPy, and what its student must be."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.student_teacher.stfpm import STFPM
from amiss.features.on_runtime import WORTH
from amiss.registry import create
from amiss.testing import toy_part, toy_texture

TINY = {**STFPM.card.presets["tiny"], "steps": 40}


def batch_of(images: Images) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(images))))


def plain_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Wang et al., equation 1: half the squared distance of two unit vectors, position by position."""
    one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
    return 0.5 * ((one - other) ** 2).sum(axis=1)


def plain_distances(detector: STFPM, images: Images) -> list[np.ndarray]:
    with torch.no_grad():
        batch = batch_of(images)
        pairs = list(zip(detector.teacher(batch), detector.student(batch), strict=True))
    return [plain_distance(one.double().numpy(), other.double().numpy()) for one, other in pairs]


@pytest.mark.parametrize("size", [(64, 64), (63, 97)])
@pytest.mark.parametrize("stages", [(4, 8), (2, 4, 16)])
def test_map_equals_the_formula(size: tuple[int, int], stages: tuple[int, ...]) -> None:
    detector = STFPM(**{**TINY, "stages": stages, "steps": 5}).fit(toy_part(8, seed=0).images.resized(size))
    test = toy_part(2, seed=1, defective=True).images.resized(size)
    wanted = np.ones((2, *size))
    for grid in plain_distances(detector, test):
        for number, one in enumerate(grid):
            large = nn.functional.interpolate(torch.from_numpy(one)[None, None], size, mode="bilinear")[0, 0]
            wanted[number] *= gaussian_filter(large.numpy(), detector.smoothing * min(size) / 256)
    wanted = wanted ** (1 / len(stages))
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-4 * wanted.max())


def test_the_root_ranks_as_the_product_does() -> None:
    detector = STFPM(**TINY).fit(toy_part(8, seed=0).images)
    scores = detector.score(toy_part(12, seed=1, defective=True).images)
    assert (np.argsort(scores.image) == np.argsort((scores.map**2).max(axis=(1, 2)))).all()


def test_training_lowers_the_formulas_loss() -> None:
    images = toy_texture(8, seed=0).images
    losses = []
    detector = STFPM(**TINY)
    detector.fit(images, progress=lambda stage, done, total, note="": losses.append((stage, note)))
    learned = sum(float(grid.mean()) for grid in plain_distances(detector, images))
    first = float(next(note for stage, note in losses if stage == "learning").split()[1].rstrip(","))
    assert 0.5 < first < 2.5  # two stages, no direction in common: 1 each
    assert learned < 0.7 * first


def test_the_teacher_is_frozen_and_the_student_ends_in_evaluation_mode() -> None:
    """With batch normalisation in it: scores of an image must not depend on its neighbours."""
    images = toy_texture(4, seed=0).images.resized((32, 32))
    detector = STFPM(stages=(4, 8), steps=3, batch=2).fit(images)
    untrained = STFPM(stages=(4, 8))
    untrained.build(pretrained=True)
    for name, value in untrained.teacher.state_dict().items():
        assert torch.equal(value, detector.teacher.state_dict()[name])
    norms = [module for module in detector.student.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and not any(module.training for module in detector.modules())
    assert all(float(norm.running_mean.abs().sum()) > 0 for norm in norms)
    at_once, singly = detector.score(images).image, [detector.score(images.subset([i])).image[0] for i in range(4)]
    np.testing.assert_allclose(at_once, singly, rtol=1e-4)


@pytest.mark.parametrize("method", ["stfpm", "reverse_distillation", "reverse_distillation_pp"])
def test_from_many_images_it_learns_as_from_few(method: str) -> None:
    """From `WORTH` images on, frozen networks run on ONNX Runtime; the student must go on learning in torch."""
    losses = []
    create(method, "tiny", stages=(4, 8)).fit(
        toy_part(WORTH, seed=0).images, progress=lambda stage, done, total, note="": losses.append((stage, note))
    )
    values = [float(note.split()[1].rstrip(",")) for stage, note in losses if stage == "learning"]
    assert np.mean(values[-5:]) < 0.8 * values[0]


def test_the_student_is_not_the_teacher_of_another_seed() -> None:
    """tiny-random has fixed weights; the student's are drawn with the seed of the fit."""
    images = toy_part(4, seed=0).images
    one, other = (STFPM(**{**TINY, "steps": 1}).fit(images, seed=seed) for seed in (0, 1))
    first = next(one.student.parameters())
    assert not torch.equal(first, next(one.teacher.parameters()))
    assert not torch.allclose(first, next(other.student.parameters()), atol=1e-3)
