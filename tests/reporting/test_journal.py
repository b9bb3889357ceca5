"""The journal of a run: on disk before it is told, resumed without a line lost or doubled, one run at a time."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from amiss.core.errors import InputError, OutputError
from amiss.core.images import Images
from amiss.reporting import Journal
from amiss.reporting.journal import LINES, RUN, TABLE
from amiss.testing import write_images

IGNORED = [{"name": "notes.txt", "reason": "not an image"}]
OPTIONS = {"images": ["parts"], "backend": "onnxruntime"}


def line(images: Images, index: int) -> dict:
    return {"name": images.names[index], "label": "good", "score": 0.5, "regions": [], "sha256": images.sha256(index)}


def run(folder: Path, images: Images, stop: int, *, resume: bool = False, model: str = "a1") -> list[int]:
    """Give verdicts on the images that have none, up to `stop`; which they are."""
    given = []
    with Journal(folder, resume=resume) as journal:
        done = journal.begin(model, OPTIONS, images)
        for index in range(len(images)):
            if index not in done and len(given) + len(done) < stop:
                journal.add(line(images, index))
                given.append(index)
        if stop == len(images):
            journal.complete({"good": stop}, IGNORED)
    return given


def names(folder: Path) -> tuple[list[str], list[str]]:
    """By both files."""
    with (folder / TABLE).open(newline="", encoding="utf-8") as file:
        table = [row["name"] for row in csv.DictReader(file)]
    return [json.loads(text)["name"] for text in (folder / LINES).read_text().splitlines()], table


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(write_images(tmp_path / "parts", [np.full((8, 8), shade, np.uint8) for shade in range(5)]))


def test_told_when_it_is_on_disk_and_never_before(tmp_path: Path, images: Images, monkeypatch) -> None:
    forced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (forced.append(handle), fsync(handle)))
    with Journal(tmp_path / "out") as journal:
        journal.begin("a1", OPTIONS, images)
        for index in range(5):

            def tell(told: int = index + 1) -> None:
                assert [len(found) for found in names(tmp_path / "out")] == [told, told] and forced

            forced.clear()
            journal.add(line(images, index), tell)
            journal.commit()


def test_a_run_that_ends_says_so(tmp_path: Path, images: Images) -> None:
    run(tmp_path / "out", images, 3)
    assert not json.loads((tmp_path / "out" / RUN).read_text())["complete"]
    assert run(tmp_path / "out", images, 5, resume=True) == [3, 4]
    head = json.loads((tmp_path / "out" / RUN).read_text())
    assert head["complete"] and head["images"] == 5 and head["counts"] == {"good": 5}
    assert head["ignored"] == IGNORED and head["model"] == "a1" and head["options"] == OPTIONS
    assert names(tmp_path / "out") == (list(images.names), list(images.names))
    assert run(tmp_path / "out", images, 5, resume=True) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [TABLE, LINES, RUN]


@pytest.mark.parametrize("file", [LINES, TABLE])
@pytest.mark.parametrize("cut", [1, 30])
def test_a_line_that_was_cut_off_is_written_again(tmp_path: Path, images: Images, file: str, cut: int) -> None:
    run(tmp_path / "whole", images, 5)
    run(tmp_path / "out", images, 3)
    path = tmp_path / "out" / file
    os.truncate(path, path.stat().st_size - cut)
    assert run(tmp_path / "out", images, 5, resume=True) == ([2, 3, 4] if file == LINES else [3, 4])
    assert names(tmp_path / "out") == names(tmp_path / "whole")


def test_images_that_came_meanwhile_are_inspected_and_those_that_went_keep_their_verdict(
    tmp_path: Path, images: Images
) -> None:
    run(tmp_path / "out", images, 3)
    Path(images.names[0]).unlink()
    write_images(tmp_path / "parts", [np.zeros((4, 4), np.uint8)], name="0000{}.png")
    later = Images(tmp_path / "parts")
    assert len(run(tmp_path / "out", later, 6, resume=True)) == 3
    found = names(tmp_path / "out")[0]
    assert set(found) == {*images.names, *later.names} and len(found) == 6


def test_what_cannot_be_resumed(tmp_path: Path, images: Images) -> None:
    run(tmp_path / "out", images, 3)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(InputError, match=r"the model must be the one that began .* \(a1\), got b2"):
        run(tmp_path / "out", images, 5, resume=True, model="b2")
    with Journal(tmp_path / "out", resume=True) as journal, pytest.raises(InputError, match="backend must be as when"):
        journal.begin("a1", {**OPTIONS, "backend": "openvino"}, images)
    write_images(tmp_path / "parts", [np.full((8, 8), 99, np.uint8)])
    with pytest.raises(InputError, match="has changed since its verdict"):
        run(tmp_path / "out", images, 5, resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("damage", [b"not json\n", b'{"name": "a", "label": "good", "sha256": "", "run": "other"}\n'])
def test_lines_of_somebody_else(tmp_path: Path, images: Images, damage: bytes) -> None:
    run(tmp_path / "out", images, 3)
    with (tmp_path / "out" / LINES).open("ab") as file:
        file.write(damage)
    with pytest.raises(InputError, match=r"line 4: not a verdict of run"):
        run(tmp_path / "out", images, 5, resume=True)


@pytest.mark.parametrize("head", ["", "{}", "[]", "[" * 100_000])
def test_a_head_that_says_nothing(tmp_path: Path, images: Images, head: str) -> None:
    run(tmp_path / "out", images, 3)
    (tmp_path / "out" / RUN).write_text(head)
    with pytest.raises(InputError, match=r"run\.json"):
        run(tmp_path / "out", images, 5, resume=True)
    with pytest.raises(OutputError, match="3 images"):
        run(tmp_path / "out", images, 5)


def test_results_of_another_run_are_refused_and_replaced_with_their_images(tmp_path: Path, images: Images) -> None:
    out = tmp_path / "out"
    run(out, images, 3)
    (out / "overlays").mkdir()
    (out / "overlays" / "old.png").write_bytes(b"")
    with pytest.raises(OutputError, match=r"another run \(3 images, begun .*, not complete\); --resume .* --overwrite"):
        run(out, images, 3)
    with Journal(out, overwrite=True) as journal:
        journal.begin("b2", OPTIONS, images)
        journal.add(line(images, 4))
    assert names(out) == ([images.names[4]],) * 2 and not (out / "overlays").exists()
    with pytest.raises(InputError, match="resumed or overwritten"):
        Journal(out, resume=True, overwrite=True)


def test_other_things_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "truth.png").write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="masks holds other things"), Journal(tmp_path, overwrite=overwrite):
            pass
    assert (tmp_path / "masks" / "truth.png").read_bytes() == b"mine" and len(list(tmp_path.iterdir())) == 1


def test_two_runs_cannot_share_a_folder(tmp_path: Path, images: Images) -> None:
    with Journal(tmp_path / "out") as journal:
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="another run"), Journal(tmp_path / "out", **options):
                pass
        journal.begin("a1", OPTIONS, images)
        journal.add(line(images, 0))
    assert len(names(tmp_path / "out")[0]) == 1


def test_a_disk_that_fills_loses_no_line_that_was_told(tmp_path: Path, images: Images, monkeypatch) -> None:
    told = []
    write = os.write
    with (
        pytest.raises(OutputError, match=r"results\.(csv|jsonl) cannot be written \(No space left.*--resume goes on"),
        Journal(tmp_path / "out") as journal,
    ):
        journal.begin("a1", OPTIONS, images)
        journal.add(line(images, 0), lambda: told.append(0))
        journal.commit()
        monkeypatch.setattr(os, "write", lambda handle, data: full(handle, data, write))
        journal.add(line(images, 1), lambda: told.append(1))
        journal.commit()
    monkeypatch.undo()
    assert told == [0] and names(tmp_path / "out") == ([images.names[0]],) * 2
    assert run(tmp_path / "out", images, 5, resume=True) == [1, 2, 3, 4]


def full(handle: int, data: bytes, write) -> int:
    """Half of it fits, then nothing."""
    if len(data) > 40:
        return write(handle, bytes(data[:40]))
    raise OSError(28, "No space left on device")
