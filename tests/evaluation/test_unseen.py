"""All that measure refuse images that the inspector was made from, and all say it alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import amiss as package
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data import Dataset
from amiss.evaluation import certify, check_unseen, compare, evaluate, watch
from amiss.inspector import Inspector
from amiss.testing import toy_texture

KNOWN, NEW = 24, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cloth")
    for kind, images in (("known", toy_texture(KNOWN, seed=0).images), ("new", toy_texture(NEW, seed=1).images)):
        (folder / kind).mkdir()
        for number, image in enumerate(images):
            cv2.imwrite(str(folder / kind / f"{number:02}.png"), np.ascontiguousarray(image[:, :, ::-1]))
    return folder


@pytest.fixture(scope="module")
def inspector(folder: Path) -> Inspector:
    return package.fit(folder / "known", method="knn", preset="tiny", size=64, calibration=0.9)


def only_good(images: Images) -> Dataset:
    return Dataset("cloth", Images([]), images, ("good",) * len(images))


def watched(inspector: Inspector, images: Images, folder: Path) -> object:
    for number, path in enumerate(images.paths):
        assert path is not None
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    return watch(inspector, folder)


MEASURERS: dict[str, Callable[[Inspector, Images, Path], object]] = {
    "certify": lambda inspector, images, _: certify(inspector, only_good(images)),
    "compare": lambda inspector, images, _: compare(inspector, inspector, only_good(images)),
    "evaluate": lambda inspector, images, _: evaluate(inspector, only_good(images)),
    "watch": watched,
}


@pytest.mark.parametrize("name", MEASURERS)
@pytest.mark.parametrize("which", [0, KNOWN - 1])
def test_one_image_that_was_seen_is_enough(
    inspector: Inspector, folder: Path, tmp_path: Path, name: str, which: int
) -> None:
    mixed = Images.join([Images(folder / "new"), Images(folder / "known").subset([which])])
    with pytest.raises(DataError, match=rf"has seen 1 of these {NEW + 1} images while it was made, such as .*\.png"):
        MEASURERS[name](inspector, mixed, tmp_path)


@pytest.mark.parametrize("name", MEASURERS)
def test_new_images_are_measured(inspector: Inspector, folder: Path, tmp_path: Path, name: str) -> None:
    """The tests above would pass on anything if this one did not."""
    MEASURERS[name](inspector, Images(folder / "new"), tmp_path)


def test_what_cannot_be_read_was_not_seen(inspector: Inspector, folder: Path) -> None:
    images = Images([folder / "new" / "00.png", folder / "gone.png"])
    assert check_unseen(inspector, images, where="cloth") == (images.sha256(0), "")
    found = certify(inspector, only_good(images))
    assert len(found.errors) == 1 and found.false_alarms.rate.n == 2


def test_verbs_leave_out_what_was_seen_and_copies_and_say_so(
    inspector: Inspector, folder: Path, tmp_path: Path, amiss: Callable[..., tuple[int, str, str]]
) -> None:
    root, model = tmp_path / "set", tmp_path / "model.amiss"
    inspector.save(model)
    for name, source in (
        ("train/good/0.png", "known/01.png"),
        ("test/good/a.png", "new/00.png"),
        ("test/good/b.png", "new/00.png"),
        ("test/good/c.png", "known/00.png"),
        ("test/dent/d.png", "new/01.png"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((folder / source).read_bytes())
    left_out = [
        "left out 1 of 4 test images: the model has seen them while it was made.",
        "left out 1 of 4 test images: they are copies of others, byte for byte.",
    ]
    for words, key in (
        (("evaluate", model, root), "notes"),
        (("compare", model, model, root), "notes"),
        (("certify", model, root), "warnings"),
    ):
        code, out, _ = amiss(*words)
        assert code == 0 and all(line in out for line in left_out)
        code, out, _ = amiss(*words, "--json")
        assert code == 0 and json.loads(out)[key][-2:] == left_out
