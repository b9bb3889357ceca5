"""Nothing is measured on images that the inspector was made from, nor on one image twice, whatever its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import amiss as package
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.survey import survey
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


Measured = tuple[int, tuple[str, ...]]


def certified(inspector: Inspector, images: Images) -> Measured:
    found = certify(inspector, only_good(images))
    return len(found.entries), found.warnings


def compared(inspector: Inspector, images: Images) -> Measured:
    found = compare(inspector, inspector, only_good(images))
    return found.n_good, found.notes


def evaluated(inspector: Inspector, images: Images) -> Measured:
    found = evaluate(inspector, only_good(images))
    return len(found.verdicts), found.tested.notes


MEASURERS = {"certify": certified, "compare": compared, "evaluate": evaluated}


@pytest.mark.parametrize("name", MEASURERS)
def test_images_that_were_seen_and_copies_are_left_out_in_whatever_file(
    inspector: Inspector, folder: Path, tmp_path: Path, name: str
) -> None:
    for number, source in enumerate(("known/00.png", f"known/{KNOWN - 1}.png", "new/01.png")):
        cv2.imwrite(str(tmp_path / f"{number}.bmp"), cv2.imread(str(folder / source)))
    n, notes = MEASURERS[name](inspector, Images.join([Images(folder / "new"), Images(tmp_path)]))
    assert n == NEW and {
        f"left out 2 of {NEW + 3} test images: the model has seen them while it was made.",
        f"left out 1 of {NEW + 3} test images: they are copies of others, pixel by pixel.",
    } <= set(notes)
    n, notes = MEASURERS[name](inspector, Images(folder / "new"))
    assert n == NEW and not any("left out" in note for note in notes)
    with pytest.raises(DataError, match="all 2 test images were seen"):
        MEASURERS[name](inspector, Images(tmp_path).subset([0, 1]))


@pytest.mark.parametrize("which", [0, KNOWN - 1])
def test_a_stream_with_an_image_that_was_seen_is_refused(
    inspector: Inspector, folder: Path, tmp_path: Path, which: int
) -> None:
    mixed = Images.join([Images(folder / "new"), Images(folder / "known").subset([which])])
    with pytest.raises(DataError, match=rf"has seen 1 of these {NEW + 1} images while it was made, such as .*\.png"):
        watched(inspector, mixed, tmp_path)
    (tmp_path / f"{NEW}.png").unlink()
    watched(inspector, Images(folder / "new"), tmp_path)


def test_what_a_reader_of_figures_should_know_of_the_data(inspector: Inspector, folder: Path) -> None:
    deep = [image.astype(np.uint16) * 4 for image in Images(folder / "new")]
    inverted, empty = np.ones((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    data = Dataset("cloth", Images([]), Images(deep), ("good", "dent", "dent"), (None, inverted, empty))
    notes = evaluate(inspector, data).tested.notes
    assert len(notes) == 3 and "seem to hold 10 bits" in notes[0] and "inverted, or drawn on white?" in notes[1]
    assert notes[2] == "1 defective test images have an empty mask: pixel figures see no defect in them."
    again = replace(data, test=Images([image * 64 for image in deep]), masks=None)
    assert evaluate(inspector, again).tested.notes == ()


def test_what_cannot_be_read_was_not_seen(inspector: Inspector, folder: Path) -> None:
    images = Images([folder / "new" / "00.png", folder / "gone.png"])
    assert check_unseen(inspector, images, where="cloth") == (survey(images.subset([0])).identities[0], "")
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
        "left out 1 of 4 test images: they are copies of others, pixel by pixel.",
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
