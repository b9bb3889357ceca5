"""Images of a model in the making: which are kept, under which names, and until when."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amiss.core.errors import ConflictError, DataError
from amiss.station.learnings import Learnings, file_name


class Decoder:
    """Takes any bytes; calls what a test wants to happen while it decodes."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    def decode(self, data: bytes, size: object, bits: object) -> None:
        self.meanwhile()


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


@pytest.fixture
def learnings(tmp_path: Path, decoder: Decoder) -> Iterator[Learnings]:
    found = Learnings(tmp_path / "learnings", None, decoder)  # type: ignore[arg-type]
    yield found
    found.close()


@pytest.fixture
def name(learnings: Learnings) -> str:
    return learnings.begin("toy", "padim", "tiny", 64, "conformal", "ann").id


def test_an_image_that_comes_after_the_start_is_refused(learnings, decoder, name, tmp_path):
    learnings.put(name, "a.png", b"a")
    decoder.meanwhile = lambda: learnings.start(name)  # while the next one is under way
    with pytest.raises(ConflictError, match="it takes no more images"):
        learnings.put(name, "b.png", b"b")
    assert learnings.get(name).state == "running" and learnings.get(name).images == 1
    assert len(list((tmp_path / "learnings" / name / "images").iterdir())) == 1


def test_an_image_of_what_was_removed_meanwhile_leaves_nothing(learnings, decoder, name, tmp_path):
    decoder.meanwhile = lambda: learnings.remove(name)
    with pytest.raises(DataError, match="must be one that was begun"):
        learnings.put(name, "a.png", b"a")
    assert list((tmp_path / "learnings").iterdir()) == []


def test_a_child_that_was_cancelled_says_nothing_of_the_next(learnings, name):
    learnings.put(name, "a.png", b"a")
    one = learnings.start(name)
    cancelled = subprocess.Popen([sys.executable, "-c", "exit(15)"], stdout=subprocess.PIPE, text=True)
    learnings._follow(one, cancelled)  # its thread may be as late as this
    assert one.state == "running"


def test_every_name_is_an_image_of_its_own(learnings, name, tmp_path):
    given = [
        "lot1/001.png",
        "lot2/001.png",
        "部品一.png",
        "部品二.png",
        "a b.png",
        "a_b.png",
        "lot1/001.png",
        "..",
        "x" * 300,
    ]
    counts = [learnings.put(name, each, b"image") for each in given]
    assert counts == [1, 2, 3, 4, 5, 6, 6, 7, 8]
    kept = [path.name for path in (tmp_path / "learnings" / name / "images").iterdir()]
    assert all(len(each) < 128 and each.isascii() and not each.startswith(".") for each in kept)
    assert file_name("lot1/001.png").startswith("001-") and file_name("lot1/001.png").endswith(".png")
