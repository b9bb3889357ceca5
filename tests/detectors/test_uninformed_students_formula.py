"""Uninformed Students against patch by patch in NumPy; held-out images; loss without bias; teachers from files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.student_teacher.uninformed_students import UninformedStudents, _corner
from amiss.features.patch_network import PatchNetwork
from amiss.features.teacher import Teacher
from amiss.testing import toy_part, toy_texture

TINY: dict[str, Any] = {**UninformedStudents.card.presets["tiny"], "steps": 8}
BOTH = ("students-tiny", "pdn-tiny")
GREY = 0.5


def batch_of(images: Images) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(images))))


@torch.no_grad()
def describe(network: PatchNetwork, image: torch.Tensor, row: int, column: int) -> np.ndarray:
    """Descriptor of the patch around one pixel, cut out of an image (3, H, W) with grey around it."""
    size = network.patch
    grey = torch.nn.functional.pad(image, (size,) * 4, value=GREY)
    top, left = row + size - size // 2, column + size - size // 2
    return network(grey[None, :, top : top + size, left : left + size])[0, :, 0, 0].double().numpy()


def terms(detector: UninformedStudents, scale: int, image: torch.Tensor, row: int, column: int) -> list[float]:
    """Error and variance at one pixel: Bergmann et al., equations 8 and 9."""
    standard = detector.standardising[scale]
    answer = describe(detector.features[scale], image, row, column)
    target = (answer - standard.mean.double().numpy()) / standard.spread.double().numpy()
    guesses = np.stack([describe(student, image, row, column) for student in detector.ensembles[scale]])
    error = ((guesses.mean(axis=0) - target) ** 2).sum()
    variance = (guesses**2).sum(axis=1).mean() - (guesses.mean(axis=0) ** 2).sum()
    return [error, variance] if len(guesses) > 1 else [error]


def standard_score(detector: UninformedStudents, scale: int, values: list[float]) -> float:
    level, spread = detector.level[scale].double().numpy(), detector.spread[scale].double().numpy()
    return float(((np.array(values) - level) / spread).sum())


def plain_map(detector: UninformedStudents, image: torch.Tensor) -> np.ndarray:
    """Every patch by itself, every `stride` pixels; linear between the middles of the patches."""
    height, width = image.shape[1:]
    total = np.zeros((height, width))
    for scale, teacher in enumerate(detector.features):
        rows, columns = (np.arange(0, side + teacher.stride - 1, teacher.stride) for side in (height, width))
        grid = np.array(
            [
                [standard_score(detector, scale, terms(detector, scale, image, row, column)) for column in columns]
                for row in rows
            ]
        )
        shift = (teacher.patch - 1) / 2 - teacher.patch // 2  # a patch of even width has its middle between two pixels
        across = np.stack([np.interp(np.arange(width), columns + shift, line) for line in grid])
        total += np.stack([np.interp(np.arange(height), rows + shift, line) for line in across.T], axis=1)
    return total / len(detector.features)


@pytest.mark.parametrize("students", [1, 3])
def test_map_equals_the_formula_patch_by_patch(students: int) -> None:
    size = (21, 34)
    detector = UninformedStudents(**{**TINY, "architectures": BOTH, "students": students})
    detector.fit(toy_part(6, seed=0).images.resized(size))
    test = toy_part(1, seed=1, defective=True).images.resized(size)
    wanted = plain_map(detector, batch_of(test)[0])
    np.testing.assert_allclose(detector.score(test).map[0], wanted, atol=1e-3 * np.abs(wanted).max())


def test_dense_map_equals_the_formula_at_every_pixel() -> None:
    size = (24, 37)
    detector = UninformedStudents(**{**TINY, "architectures": BOTH, "dense": True, "steps": 2})
    detector.fit(toy_texture(4, seed=0).images.resized(size))
    test = toy_texture(1, seed=1, defective=True).images.resized(size)
    image, found = batch_of(test)[0], detector.score(test).map[0]
    assert found.shape == size
    for row, column in [(0, 0), (11, 20), (23, 36), (7, 35)]:
        wanted = np.mean(
            [standard_score(detector, scale, terms(detector, scale, image, row, column)) for scale in (0, 1)]
        )
        assert found[row, column] == pytest.approx(wanted, abs=1e-3 * float(np.abs(found).max()))


def test_a_single_student_has_no_variance() -> None:
    detector = UninformedStudents(**{**TINY, "students": 1}).fit(toy_part(6, seed=0).images)
    batch = batch_of(toy_part(2, seed=1).images)
    with torch.no_grad():
        (grid,) = detector.grids(batch)
    assert grid.shape[1] == 1 and detector.level.shape == detector.spread.shape == (1, 1)


def held_out(count: int, seed: int) -> np.ndarray:
    """One image in ten, one at least: the first of the order that the fit's seed draws."""
    return np.random.default_rng(seed).permutation(count)[: max(1, round(count / 10))]


def test_scale_is_that_of_the_held_out_normals() -> None:
    images = toy_texture(20, seed=0).images
    detector = UninformedStudents(**{**TINY, "architectures": BOTH}).fit(images, seed=4)
    aside = held_out(20, 4)
    assert len(aside) == 2
    with torch.no_grad():
        grids = detector.grids(batch_of(images.subset(aside)))
    for scale, grid in enumerate(grids):
        values = grid.double().numpy()
        np.testing.assert_allclose(detector.level[scale], values.mean(axis=(0, 2, 3)), rtol=1e-4)
        np.testing.assert_allclose(detector.spread[scale], values.std(axis=(0, 2, 3), ddof=1), rtol=1e-3)


def test_held_out_images_take_part_in_no_step() -> None:
    arrays = list(toy_texture(12, seed=0).images)
    first = UninformedStudents(**TINY).fit(Images(arrays, size=(64, 64)), seed=4)
    (aside,) = held_out(12, 4)
    strange = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    other = UninformedStudents(**TINY).fit(
        Images([strange if index == aside else array for index, array in enumerate(arrays)], size=(64, 64)), seed=4
    )
    before, after = first.state_dict(), other.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"level", "spread"}
    third = UninformedStudents(**TINY).fit(
        Images([strange if index == (aside + 1) % 12 else array for index, array in enumerate(arrays)], size=(64, 64)),
        seed=4,
    )
    assert any(not torch.equal(value, third.state_dict()[name]) for name, value in before.items() if "ensemble" in name)


def test_standardising_is_that_of_the_training_images() -> None:
    images = toy_part(12, seed=0).images
    detector = UninformedStudents(**TINY).fit(images, seed=4)
    chosen = images.subset(np.setdiff1d(np.arange(12), held_out(12, 4)))
    teacher = detector.features[0]
    before, after = teacher.patch // 2, (teacher.patch - 1) // 2 + teacher.stride - 1
    with torch.no_grad():
        padded = torch.nn.functional.pad(batch_of(chosen), (before, after, before, after), value=GREY)
        vectors = teacher(padded).movedim(1, -1).flatten(0, 2).double().numpy()
    np.testing.assert_allclose(detector.standardising[0].mean, vectors.mean(axis=0), atol=1e-4)
    variance = vectors.var(axis=0, ddof=1)
    np.testing.assert_allclose(detector.standardising[0].spread, np.sqrt(variance + 1e-3 * variance.mean()), rtol=1e-4)


def test_losses_of_a_step_average_to_the_dense_loss() -> None:
    """With a stride of 2 there are 4 phases and so 4 losses; each position of the dense loss is in one of them."""
    detector = UninformedStudents(**TINY).fit(toy_part(4, seed=0).images)
    image = batch_of(toy_part(1, seed=1).images)
    with torch.no_grad():
        found = {float(detector.loss(image, np.random.default_rng(seed))) for seed in range(60)}
        detector.dense = True
        dense = float(detector.loss(image, np.random.default_rng(0)))
        target = detector.standardising[0](detector.features[0].dense(image))
        wanted = [(student.dense(image) - target).square().sum(dim=1).mean() for student in detector.ensembles[0]]
    assert len(found) == 4
    assert dense == pytest.approx(float(sum(wanted)), rel=1e-4)
    assert np.mean(list(found)) == pytest.approx(dense, rel=1e-4)


def test_windows_cover_the_image_and_average_to_its_loss() -> None:
    rng = np.random.default_rng(0)
    assert {_corner(96, 32, rng) for _ in range(100)} == {0, 32, 64}
    assert {_corner(100, 32, rng) for _ in range(100)} == {0, 23, 45, 68}
    assert {_corner(20, 32, rng) for _ in range(9)} == {0}
    detector = UninformedStudents(**{**TINY, "dense": True}).fit(toy_part(4, seed=0).images)
    image = batch_of(toy_part(1, seed=1).images)
    with torch.no_grad():
        whole = float(detector.loss(image, rng))
        detector.crop = 32
        quarters = {float(detector.loss(image, rng)) for _ in range(40)}
    assert len(quarters) == 4
    assert np.mean(list(quarters)) == pytest.approx(whole, rel=1e-4)


def test_teachers_from_a_folder_that_is_gone_later(tmp_path: Path) -> None:
    for name in BOTH:
        save_file(Teacher(name, "random").state_dict(), tmp_path / f"{name}.safetensors", {"architecture": name})
    images, test = toy_part(4, seed=0).images, toy_part(2, seed=1).images
    settings = {**TINY, "architectures": BOTH, "teacher": str(tmp_path)}
    detector = UninformedStudents(**settings).fit(images)
    same = UninformedStudents(**{**settings, "teacher": "random"}).fit(images)
    np.testing.assert_array_equal(detector.score(test).map, same.score(test).map)
    assert str(tmp_path) in detector.features.name and detector.features.licence == "see its file"
    for file in tmp_path.iterdir():
        file.unlink()
    again = UninformedStudents(**settings).load_state(detector.state_dict())
    np.testing.assert_array_equal(detector.score(test).map, again.score(test).map)
    with pytest.raises(InputError, match=r"students-tiny\.safetensors: not a teacher"):
        UninformedStudents(**settings).fit(images)


def test_a_single_image_is_refused() -> None:
    with pytest.raises(InputError, match="held out"):
        UninformedStudents(**TINY).fit(toy_part(1, seed=0).images)
