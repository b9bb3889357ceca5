"""Result files: images complete or absent, never over each other; rows harmless to spreadsheets."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest

from amiss.core.images import Images
from amiss.core.scores import Region, Scores
from amiss.core.verdict import Label, Verdict
from amiss.reporting import Journal, ResultsWriter
from amiss.reporting.journal import COLUMNS
from amiss.reporting.results import safe_stem
from amiss.rules import Fixed

RULE = Fixed(2.0).calibrate(Scores(np.array([0.0, 1.0, 9.0])))


def verdict(name: str, *, peak: float = 5.0) -> Verdict:
    scores = np.zeros((16, 16), np.float32)
    scores[2:6, 4:8] = peak
    mask = scores > 2
    regions = (Region((1, 1, 2, 2), 4, 9.0), Region((12, 5, 12, 10), 120, 5.0)) if mask.any() else ()
    label = Label.ANOMALOUS if mask.any() else Label.GOOD
    return Verdict(
        name=name, label=label, score=peak, p_value=0.05, regions=regions, threshold=2.0, map=scores, mask=mask
    )


def image(height: int = 40, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def write(folder: Path, *pairs: tuple[Verdict, np.ndarray | None], root: str | None = None) -> list[str]:
    """A run over these verdicts and images; the names of those that could not be drawn."""
    names: Sequence[str] = [found.name for found, _ in pairs]
    with Journal(folder) as journal:
        journal.begin("f00d", {}, Images([]))
        writer = ResultsWriter(journal, RULE, names, root=root)
        for index, (found, pixels) in enumerate(pairs):
            writer.draw(index, found, pixels)
            writer.add(index, found)
        journal.complete({})
    return list(writer.failures)


def test_images_and_tables(tmp_path: Path) -> None:
    write(tmp_path, (verdict("/line/a/0.png"), image()), (verdict("/line/b/0.png", peak=-0.5), image()), root="/line")
    first, second = rows(tmp_path)
    assert tuple(first) == COLUMNS
    assert first["name"] == "/line/a/0.png"
    assert (first["label"], first["score"], first["p_value"], first["n_regions"]) == ("anomalous", "5.0", "0.05", "2")
    assert [first[key] for key in ("left", "top", "width", "height", "area")] == ["12", "5", "12", "10", "120"]
    assert (second["label"], second["score"], second["area"]) == ("good", "-0.5", "")
    assert (first["image"], second["image"]) == ("a__0.png", "b__0.png")
    shown = cv2.imread(str(tmp_path / "overlays" / "a__0.png"))
    mask = cv2.imread(str(tmp_path / "masks" / "a__0.png"), cv2.IMREAD_UNCHANGED)
    assert shown.shape == (40, 48, 3)
    assert (shown[25:, 30:] == 90).all()
    assert shown[9, 17, 2] > 120 > 80 > shown[9, 17, 0]  # red, and not blue
    beside = cv2.imread(str(tmp_path / "thumbnails" / "a__0.jpg"))
    assert beside.shape == (40, 48 + 6 + 48, 3)
    assert abs(beside[:, :48].astype(int) - 90).max() < 25  # left the image as it was
    assert beside[9, 54 + 17, 2] > 110 > beside[9, 54 + 17, 0]
    assert set(np.unique(mask)) == {0, 255}
    np.testing.assert_array_equal(np.argwhere(mask).min(axis=0), [5, 12])
    np.testing.assert_array_equal(np.argwhere(mask).max(axis=0), [14, 23])
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    made = {"model": "f00d", "run": json.loads((tmp_path / "run.json").read_text())["run"]}
    assert [json.loads(line) for line in lines] == [
        {**verdict("/line/a/0.png").summary(), "image": "a__0.png", **made},
        {**verdict("/line/b/0.png", peak=-0.5).summary(), "image": "b__0.png", **made},
    ]
    assert (first["threshold"], first["margin"], first["model"], first["run"]) == ("2.0", "3.0", *made.values())


def test_errors_get_a_row_and_no_images(tmp_path: Path) -> None:
    write(tmp_path, (Verdict(name="x.png", label=Label.ERROR, reason="the file is empty"), None))
    (row,) = rows(tmp_path)
    assert (row["label"], row["score"], row["n_regions"], row["reason"]) == ("error", "", "", "the file is empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.jsonl", "run.json"]


def test_names_never_meet_and_never_leave_the_folder(tmp_path: Path) -> None:
    names = ["a/0.png", "b/0.png", "a__0.png", "a/0.jpg", "A/0.PNG", "../../0.png", "/etc/passwd", "..", "", ".png"]
    names += ["x" * 400 + "1.png", "x" * 400 + "2.png", "CON?<img>:\x00|.png", "é.png", "e\u0301.png", "\udcff.png"]
    out = tmp_path / "out"
    write(out, *((verdict(name), image()) for name in names))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(out) for path in files)
    for kind in ("overlays", "masks"):
        found = [path.name for path in (out / kind).iterdir()]
        assert len(found) == len(names)
        assert len({name.casefold() for name in found}) == len(names)
        assert all(len(name.encode()) <= 200 and not name.startswith((".", "-")) for name in found)
    assert len(rows(out)) == len((out / "results.jsonl").read_text().splitlines()) == len(names)


@pytest.mark.parametrize("name", ["=1+1.png", "+cmd.png", "-2.png", "@SUM(A1).png", "\t=1.png"])
def test_no_cell_is_a_formula(tmp_path: Path, name: str) -> None:
    write(
        tmp_path,
        (Verdict(name=name, label=Label.ERROR, reason="=HYPERLINK(1)"), None),
        (verdict(name, peak=-3.0), image()),
    )
    error, good = rows(tmp_path)
    assert (error["name"], error["reason"]) == (f"'{name}", "'=HYPERLINK(1)")
    assert float(good["score"]) == -3.0  # numbers stay numbers
    assert not good["image"].startswith(("=", "+", "-", "@"))
    assert json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])["name"] == name


def test_a_name_with_a_line_break_stays_one_row(tmp_path: Path) -> None:
    write(tmp_path, (verdict('a\n"b",c.png'), image()))
    assert [row["name"] for row in rows(tmp_path)] == ['a\n"b",c.png']
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1


def test_large_images_are_shown_smaller_and_masked_at_full_size(tmp_path: Path) -> None:
    write(tmp_path, (verdict("wide.png"), image(100, 4096)))
    assert cv2.imread(str(tmp_path / "overlays" / "wide.png")).shape == (50, 2048, 3)
    assert cv2.imread(str(tmp_path / "masks" / "wide.png"), 0).shape == (100, 4096)


def test_without_a_map_there_is_a_row_and_a_thumbnail(tmp_path: Path) -> None:
    write(tmp_path, (Verdict(name="a.png", label=Label.ANOMALOUS, score=3.0, p_value=None), image()))
    (row,) = rows(tmp_path)
    assert (row["p_value"], row["image"]) == ("", "a.png")
    assert not (tmp_path / "overlays").exists()
    assert cv2.imread(str(tmp_path / "thumbnails" / "a.jpg")).shape == (40, 48, 3)


def test_an_empty_run_has_a_header_and_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "new")
    assert (tmp_path / "new" / "results.csv").read_text().strip() == ",".join(COLUMNS)
    assert (tmp_path / "new" / "results.jsonl").read_bytes() == b""


def test_a_verdict_that_cannot_be_drawn_is_written(tmp_path: Path) -> None:
    (tmp_path / "overlays").write_text("in the way")
    assert write(tmp_path, (verdict("a.png"), image()), (verdict("b.png", peak=-1.0), image())) == ["a.png", "b.png"]
    assert [(row["name"], row["label"], row["image"]) for row in rows(tmp_path)] == [
        ("a.png", "anomalous", ""),
        ("b.png", "good", ""),
    ]


def test_a_name_that_is_not_utf_8_keeps_its_bytes(tmp_path: Path) -> None:
    name = b"caf\xe9\xff.png".decode("utf-8", "surrogateescape")
    write(tmp_path, (verdict(name), image()), (Verdict(name="\ud800.png", label=Label.ERROR), None))
    assert [row["name"] for row in rows(tmp_path)] == [name, "\\ud800.png"]  # no file can have the second name
    lines = (tmp_path / "results.jsonl").read_text("ascii").splitlines()
    assert [json.loads(line)["name"] for line in lines] == [name, "\ud800.png"]


def test_safe_stem_is_relative_to_the_root() -> None:
    assert safe_stem("/data/x/0.png", PurePath("/data")) == "x__0"
    assert safe_stem("/data/x/0.png", PurePath("/data/x/0.png")) == "0"
    assert safe_stem("/other/0.png", PurePath("/data")) == "other__0"
    assert safe_stem("image 3") == "image_3"
