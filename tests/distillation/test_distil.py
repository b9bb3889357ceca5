"""The whole way: images to a teacher's file; killed runs go on bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from amiss.core.errors import ImageError, InputError
from amiss.core.images import Images
from amiss.distillation import Distilled, default_steps, distil
from amiss.distillation.patches import LossWeights
from amiss.distillation.pixels import GREY, stored_pixels
from amiss.features.teacher import Teacher
from amiss.synthesis.images import procedural_images

DRAWN = procedural_images(10, (64, 64), seed=0)
BOTH = pytest.mark.parametrize("architecture", ["pdn-tiny", "students-tiny"])


def make(architecture: str, steps: int = 12, **options) -> Distilled:
    return distil(architecture, DRAWN, backbone="tiny-random", steps=steps, size=64, **options)


class Killer:
    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "distilling" and done == self.step:
            raise KeyboardInterrupt


@BOTH
def test_a_killed_run_goes_on_bit_for_bit(architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amiss.distillation.teachers.EVERY", 5)
    whole = make(architecture)
    with pytest.raises(KeyboardInterrupt):
        make(architecture, checkpoint=tmp_path, progress=Killer(8))
    again = make(architecture, checkpoint=tmp_path)
    assert again.losses == whole.losses and again.to_bytes() == whole.to_bytes()
    with pytest.raises(InputError, match="another run"):
        make(architecture, steps=13, checkpoint=tmp_path)


@BOTH
def test_the_loss_falls_and_the_seed_decides(architecture: str) -> None:
    state = torch.random.get_rng_state()
    made = make(architecture, steps=100)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.mean(made.losses[-10:]) < 0.8 * np.mean(made.losses[:3])
    assert make(architecture, steps=3).to_bytes() == make(architecture, steps=3).to_bytes()
    assert make(architecture, steps=3).to_bytes() != make(architecture, steps=3, seed=1).to_bytes()


@BOTH
def test_the_file_is_a_teacher_of_16_bits(architecture: str, tmp_path: Path) -> None:
    made, file = make(architecture, steps=3), tmp_path / "teacher.safetensors"
    file.write_bytes(made.to_bytes({**made.record, "command": "by hand"}))
    teacher = Teacher(architecture, str(file))
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        np.testing.assert_allclose(teacher(image), made.network(image), atol=1e-2)
    with safe_open(file, "pt") as opened:
        record = opened.metadata()
        kinds = {opened.get_tensor(name).dtype for name in opened.keys()}  # noqa: SIM118
    assert kinds == {torch.float16}
    assert record == {**made.record, "command": "by hand"}
    assert record["architecture"] == architecture and record["backbone"] == "tiny-random"
    assert (record["images"], record["steps"], record["seed"], record["licence"]) == ("10", "3", "0", "none")


def test_weights_of_the_losses_make_another_teacher() -> None:
    metric = make("students-tiny", steps=3, weights=LossWeights(knowledge=0, metric=1))
    assert metric.to_bytes() != make("students-tiny", steps=3).to_bytes()


def test_every_image_is_stored_once_and_a_tenth_of_them_is_grey() -> None:
    images = Images([np.full((20, 30, 3), (200, 100, 50), np.uint8)] * 400, size=None)
    with stored_pixels(images, 32, seed=0, progress=lambda *_: None) as pixels:
        assert pixels.shape == (400, 32, 32, 3)
        grey = (pixels == pixels[:, :, :, :1]).all(axis=(1, 2, 3))
        assert abs(grey.mean() - GREY) < 0.045  # three standard errors
        assert set(np.unique(pixels[grey])) == {124}  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50
        assert (pixels[~grey] == (200, 100, 50)).all()


def test_errors_come_before_the_work() -> None:
    def nothing(stage: str, *_: object) -> None:
        raise AssertionError(stage)

    for words, options in [
        ("pdn-tiny", {"architecture": "pdn-tyni"}),
        ("efficientnet-lite0", {"backbone": "efficientnet-lite"}),
        ("at least 64 pixels and a multiple of 32", {"size": 48}),
        ("at least 64 pixels", {"size": 32}),
        ("steps", {"steps": 0}),
        ("seed", {"seed": -1}),
    ]:
        given = {"architecture": "pdn-tiny", "backbone": "tiny-random", "steps": 1, "size": 64, **options}
        with pytest.raises(InputError, match=words):
            distil(images=DRAWN, progress=nothing, **given)
    assert default_steps("pdn-xs") == 2000


def test_a_bad_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"torn\.png"):
        distil("pdn-tiny", Images(tmp_path), backbone="tiny-random", steps=1, size=64)
