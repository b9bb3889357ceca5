"""The gallery of a run: every verdict in it, safe whatever files are called, the strangest when there are too many."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import amiss
from amiss.inspector import Inspector
from amiss.reporting import inspection_page
from amiss.reporting.inspection_page import write_index
from amiss.testing import toy_part


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return amiss.fit(toy_part(20, seed=0).images, method="padim", preset="tiny", size=32, calibration=0.5)


def line(name: str, label: str, score: float | None, **more: Any) -> dict[str, Any]:
    region = {"box": [1, 2, 3, 4], "area": 9, "peak": 7.0}
    margin = None if score is None else score - 2
    known = {"name": name, "label": label, "score": score, "margin": margin, "p_value": None, "recognised": None}
    return {**known, "regions": [region] if label == "anomalous" else [], "reason": "", "image": "", **more}


def data(page: Path) -> list[list[Any]]:
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return list(json.loads(found))


def write(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))


def test_every_line_is_in_the_page(inspector: Inspector, tmp_path: Path):
    name = "</script><img src=x onerror=alert(1)>&.png"
    write(
        tmp_path,
        [line(f"a/{name}", "anomalous", 3.25, image="x.png"), line("a/b.png", "error", None, reason="cut off")],
    )
    page = write_index(tmp_path, inspector, "parts")
    assert data(page) == [
        [name, "anomalous", 3.25, 1.25, None, "x.png", [[1, 2, 3, 4, 9, 7.0]], "", ""],
        ["b.png", "error", None, None, None, "", [], "cut off", ""],
    ]
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text and "1 error, 1 anomalous." in text and "parts: 2 images inspected" in text
    assert "connect-src" not in text and "default-src 'none'" in text


def test_of_too_many_the_strangest_are_shown(inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inspection_page, "MOST", 3)
    scores = [1.0, 5.0, 3.0, None, 0.5]
    write(tmp_path, [line(f"{n}.png", "good" if s else "error", s) for n, s in enumerate(scores)])
    page = write_index(tmp_path, inspector, "parts")
    assert [row[0] for row in data(page)] == ["1.png", "2.png", "3.png"]
    assert (
        "The 2 least strange images are left out here" in page.read_text() and "5 images inspected" in page.read_text()
    )


def test_inspect_writes_it_and_another_run_replaces_it(amiss, inspector: Inspector, tmp_path: Path):
    from amiss.testing import write_images

    inspector.save(tmp_path / "m.amiss")
    write_images(tmp_path / "parts", toy_part(3, seed=3, defective=True).images)
    code, out, _ = amiss("inspect", tmp_path / "m.amiss", tmp_path / "parts", "-o", tmp_path / "out")
    assert code == 0 and "index.html in a browser" in out
    rows = data(tmp_path / "out" / "index.html")
    assert len(rows) == 3 and all(
        (tmp_path / "out" / "thumbnails" / row[5]).with_suffix(".jpg").is_file() for row in rows
    )
    assert out.count(inspector.statement()) == 1
    amiss("inspect", tmp_path / "m.amiss", tmp_path / "parts" / "000.png", "-o", tmp_path / "out", "--overwrite")
    assert len(data(tmp_path / "out" / "index.html")) == 1
