"""All that measure refuse images that the inspector was made from, and all say it alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import amiss
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
    return amiss.fit(folder / "known", method="knn", preset="tiny", size=64, calibration=0.9)


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
