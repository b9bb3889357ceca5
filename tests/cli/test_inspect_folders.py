"""Of a folder `amiss inspect` says each thing once: judged, an error, or ignored with a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from amiss.core.decode import read_image
from amiss.front import fit
from amiss.testing import toy_part, write_images


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.amiss"
    fit(toy_part(20, seed=1).images, method="knn", preset="tiny", size=64, calibration=0.5).save(path)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    write_images(folder, toy_part(4, seed=2).images)
    return folder


def run(amiss, *words) -> tuple[int, dict, dict[str, dict], str]:
    code, out, err = amiss("inspect", *words, "--json")
    *verdicts, end = map(json.loads, out.splitlines())
    return code, end["run"], {Path(verdict["name"]).name: verdict for verdict in verdicts}, err


JUDGED = (".hidden.png", "part.dat", "deep/inside/e.png", "twice/linked.png")
ERRORS = {"gone.png", "circle.png", "pipe.png", "film.gif", "cut.png", "empty.png", "pages.tif", "locked"}
IGNORED = {
    ".cache/.old/thumb2.png": "in a hidden folder",
    ".cache/pipe.png": "in a hidden folder",
    ".cache/thumb.png": "in a hidden folder",
    ".shut": "a hidden folder that cannot be listed",
    "deep/up": "a link to a folder that is read already",
    "gone.txt": "a link to nothing",
    "notes.txt": "not an image",
    "pipe.log": "a pipe, device or socket",
    "to_it_again": "a link to a folder that is read already",
    "to_itself": "a link to a folder that is read already",
}


def fill(parts: Path, tmp_path: Path) -> None:
    """Everything that a folder may hold."""
    first, *_ = sorted(parts.iterdir())
    png = first.read_bytes()
    for name in (*JUDGED, ".cache/thumb.png", ".cache/.old/thumb2.png", "locked/unseen.png", ".shut/unseen.png"):
        (parts / name).parent.mkdir(parents=True, exist_ok=True)
        (parts / name).write_bytes(png)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "f.png").write_bytes(png)
    for name, to in {
        "to_a_folder": tmp_path / "elsewhere",
        "to_it_again": tmp_path / "elsewhere",
        "to_itself": parts,
        "deep/up": parts / "deep",
        ".cache/.loop": parts,
        "gone.png": tmp_path / "nothing",
        "circle.png": parts / "circle.png",
        "gone.txt": tmp_path / "nothing",
    }.items():
        (parts / name).symlink_to(to)
    for name in ("pipe.png", "pipe.log", ".cache/pipe.png"):
        os.mkfifo(parts / name)
    (parts / "notes.txt").write_text("words")
    (parts / "film.gif").write_bytes(b"GIF89a" + bytes(40))
    (parts / "cut.png").write_bytes(png[:-20])
    (parts / "empty.png").mkdir()
    frames = [Image.fromarray(read_image(first))] * 2
    frames[0].save(parts / "pages.tif", save_all=True, append_images=frames[1:])


def test_everything_in_a_folder_is_accounted_for(amiss, model: Path, parts: Path, tmp_path: Path, monkeypatch) -> None:
    fill(parts, tmp_path)
    scan = os.scandir

    def refuse(path):
        if Path(path).name in ("locked", ".shut"):  # whoever runs this test may be root, whom no permission stops
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    code, found, verdicts, _ = run(amiss, model, parts)
    assert code == 3 and {name for name, verdict in verdicts.items() if verdict["label"] == "error"} == ERRORS
    assert {Path(name).name for name in JUDGED} | {"f.png"} <= set(verdicts) - ERRORS
    ignored = {Path(one["name"]).relative_to(parts).as_posix(): one["reason"] for one in found["ignored"]}
    assert ignored == IGNORED and len(found["ignored"]) == len(IGNORED)
    assert found["found"] == found["judged"] + found["errors"] + len(IGNORED)
    assert (found["judged"], found["errors"]) == (4 + len(JUDGED) + 1, len(ERRORS))
    assert sum(found["labels"].values()) == len(verdicts)


def test_what_was_ignored_is_no_reason_for_another_code(amiss, model: Path, parts: Path, tmp_path: Path) -> None:
    (parts / ".cache").mkdir()
    (parts / "notes.txt").write_text("words")
    code, out, _ = amiss("inspect", model, parts, "--output", tmp_path / "out")
    assert code == 0 and "4 images: " in out and "Ignored 2: " in out
    head = json.loads((tmp_path / "out" / "run.json").read_text())
    assert sum(head["counts"].values()) == 4 and len(head["ignored"]) == 2


def test_each_page_is_judged_where_that_is_asked_for(amiss, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    frames = [Image.fromarray(image) for image in toy_part(3, seed=2).images]
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    code, found, verdicts, _ = run(amiss, model, folder)
    assert code == 3 and found["errors"] == 1 and "--pages each" in verdicts["pages.tif"]["reason"]
    code, found, verdicts, _ = run(amiss, model, folder, "--pages", "each")
    assert code == 0 and found["judged"] == 3 and set(verdicts) == {f"pages.tif#{number}" for number in (1, 2, 3)}
