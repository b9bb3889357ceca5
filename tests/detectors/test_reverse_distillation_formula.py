"""Reverse distillation and RD++: their common map and loss against plain NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import Detector, to_batch
from amiss.detectors.student_teacher.reverse_distillation import ReverseDistillation
from amiss.registry import create
from amiss.testing import toy_part, toy_texture

METHODS = ["reverse_distillation", "reverse_distillation_pp"]


def plain_cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of the vectors along axis 1."""
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def both(detector: Detector, images: Images) -> list[tuple[np.ndarray, np.ndarray]]:
    """What teacher and student say, a stage each."""
    with torch.no_grad():
        teacher = detector.teach(detector.features(to_batch(torch.from_numpy(np.stack(list(images))))))
        read = detector.project(teacher) if hasattr(detector, "project") else teacher
        pairs = list(zip(teacher, detector.student(read), strict=True))
    return [(one.double().numpy(), other.double().numpy()) for one, other in pairs]


def plain_difference(one: np.ndarray, other: np.ndarray, compare: str) -> np.ndarray:
    """At each position."""
    return ((one - other) ** 2).mean(axis=1) if compare == "values" else 1 - plain_cosine(one, other)


@pytest.mark.parametrize(
    ("size", "balance", "compare"),
    [
        ((64, 64), True, "values"),
        ((63, 97), True, "angles"),
        ((63, 97), False, "values"),
        ((63, 97), False, "whole maps"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_map_equals_the_formula(method: str, size: tuple[int, int], balance: bool, compare: str) -> None:
    settings = {"steps": 5, "stages": (4, 8, 16), "balance": balance, "compare": compare}
    detector = create(method, "tiny", **settings).fit(toy_part(8, seed=0).images.resized(size))
    usual = detector.balancing.usual.numpy()
    assert (usual != 1).all() == balance
    test = toy_part(2, seed=1, defective=True).images.resized(size)
    wanted = np.zeros((2, *size))
    for (one, other), scale in zip(both(detector, test), usual, strict=True):
        for number, grid in enumerate(plain_difference(one, other, compare) / scale):
            large = nn.functional.interpolate(torch.from_numpy(grid)[None, None], size, mode="bilinear")[0, 0]
            wanted[number] += gaussian_filter(large.numpy(), detector.smoothing * min(size) / 256)
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-4 * wanted.max())


class Watched(ReverseDistillation):
    """Notes what the student was asked to say in training."""

    def loss(self, teacher: list[torch.Tensor], student: list[torch.Tensor]) -> torch.Tensor:
        self.seen |= {one.numpy().tobytes() for one in teacher[0]}
        return super().loss(teacher, student)


def test_stages_are_standardised_and_weighed_by_their_error_on_images_that_were_held_out() -> None:
    images = toy_texture(20, seed=0).images
    detector = Watched(**{**ReverseDistillation.card.presets["tiny"], "steps": 60})
    detector.seen = set()
    detector.fit(images)
    pairs = both(detector, images)
    raw = detector.features(torch.from_numpy(np.stack(list(images))).movedim(3, 1) / 255)
    for (teacher, _), features in zip(pairs, raw, strict=True):
        variance = features.double().numpy().var(axis=(0, 2, 3))
        wanted = np.sqrt(variance / (variance + 1e-3 * variance.mean()))  # 1 but for a channel that hardly varies
        np.testing.assert_allclose(teacher.mean(axis=(0, 2, 3)), 0 * variance, atol=1e-4)
        np.testing.assert_allclose(teacher.std(axis=(0, 2, 3)), wanted, atol=1e-3)
    unseen = [one.astype(np.float32).tobytes() not in detector.seen for one in pairs[0][0]]
    assert sum(unseen) == 2
    wanted = [plain_difference(*pair, "values")[unseen].mean() for pair in pairs]
    np.testing.assert_allclose(detector.balancing.usual, wanted, rtol=1e-3)


def test_without_them_features_and_maps_stay_as_they_are() -> None:
    images = toy_part(4, seed=0).images
    detector = create("reverse_distillation", "tiny", steps=2, standardise=False, balance=False).fit(images)
    features = [torch.randn(1, channels, 4, 4) for channels in detector.features.channels]
    assert all(torch.equal(one, other) for one, other in zip(features, detector.teach(features), strict=True))
    assert (detector.balancing.usual == 1).all()


@pytest.mark.parametrize("compare", ["values", "angles", "whole maps"])
def test_loss_equals_the_formula(compare: str) -> None:
    images = toy_texture(4, seed=0).images
    detector = create("reverse_distillation", "tiny", steps=2, compare=compare).fit(images)
    pairs = both(detector, images)
    whole = [(one.reshape(4, -1), other.reshape(4, -1)) for one, other in pairs]
    vectors = whole if compare == "whole maps" else pairs
    wanted = sum(float(plain_difference(*pair, compare).mean()) for pair in vectors)
    teacher, student = ([torch.from_numpy(side) for side in sides] for sides in zip(*pairs, strict=True))
    np.testing.assert_allclose(detector.loss(teacher, student), wanted, rtol=1e-6)


def test_whole_maps_weigh_positions_by_their_length() -> None:
    """Wrong at one of four positions, where the features are three times as long."""
    detector = ReverseDistillation(compare="angles")
    teacher = torch.zeros(1, 2, 2, 2)
    teacher[:, 0] = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    student = teacher.clone()
    student[:, :, 0, 0] = torch.tensor([0.0, 3.0])
    np.testing.assert_allclose(detector.loss([teacher], [student]), 1 / 4, rtol=1e-5)
    detector.compare = "whole maps"
    np.testing.assert_allclose(detector.loss([teacher], [student]), 9 / 12, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_scores_do_not_depend_on_the_neighbours(method: str) -> None:
    """With the teacher of the default preset, at a size where no stage is a whole multiple of the next."""
    images = toy_texture(4, seed=0).images.resized((63, 97))
    detector = create(method, "default", steps=2, batch=2, blocks=(1,)).fit(images)
    assert not any(module.training for module in detector.modules())
    norms = [module for module in detector.student.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all(float(norm.running_mean.abs().sum()) > 0 for norm in norms)
    at_once, singly = detector.score(images).image, [detector.score(images.subset([i])).image[0] for i in range(4)]
    np.testing.assert_allclose(at_once, singly, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_two_images_of_one_cell_are_enough(method: str) -> None:
    """The deepest grid has a single cell; a batch still holds two (equal) images for the normalisations."""
    images = toy_part(2, seed=0).images.resized((8, 8))
    detector = create(method, "tiny", steps=2, stages=(4, 8)).fit(images)
    assert np.isfinite(detector.score(images).image).all()


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_comparison_is_refused(method: str) -> None:
    with pytest.raises(InputError, match=r"compare must be one of values, angles, whole maps, got 'vectors'"):
        create(method, "tiny", compare="vectors").fit(toy_part(2, seed=0).images)
