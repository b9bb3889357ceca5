"""`amiss monitor` as a user meets it, and the page it writes."""

from __future__ import annotations

import json
import os
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from amiss.cli import main as entry
from amiss.front import fit
from amiss.monitoring import Health, Stream, monitor
from amiss.reporting.monitor_page import write_monitoring
from amiss.testing import toy_part, write_images

pytestmark = pytest.mark.usefixtures("rough_limits")

HOSTILE = "<img src=x onerror=alert(1)>"


write = partial(write_images, name="part{}.png")  # without leading zeros: part 9 comes before part 10


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with n = 40, a quiet stream, and one whose light fails at part 81."""
    root = tmp_path_factory.mktemp("line")
    learned = write(root / "seen", toy_part(80, seed=1).images)
    fit(learned, preset="tiny", size=64, calibration=0.5).save(root / "part.amiss")
    quiet = list(toy_part(80, seed=5).images)
    dark = [(image * 0.8).astype(np.uint8) for image in toy_part(30, seed=3).images]
    write(root / "quiet", quiet)
    write(root / "few", quiet[:3])
    write(root / "dark", quiet + dark)
    (root / "dark" / "part70.png").write_text("no image")
    return root


@pytest.fixture
def amiss(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path):
    """Run the verb with the model; returns exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["amiss", "monitor", str(root / "part.amiss"), *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def test_a_quiet_stream(amiss, root: Path) -> None:
    code, out, _ = amiss(root / "quiet")
    assert code == 0 and "In control" in out and "n = 40" in out and "370" in out


def test_the_light_failed(amiss, root: Path, tmp_path: Path) -> None:
    code, out, _ = amiss(root / "dark", "--output", tmp_path / "out")
    assert code == 4 and "brightness fell" in out and "light and the exposure first" in out
    assert "since part 81 (" in out and "dark/part80.png" in out
    assert "Unusable" in out and "part70.png" in out and "1 of 110" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["monitor.html", "monitor.json"]
    plain = json.loads((tmp_path / "out" / "monitor.json").read_text())
    assert plain["diagnosis"]["kind"] == "light" and plain["since"]["part"] == 81 and plain["parts_changed"] == 30
    assert plain["n"] == 40 and plain["arl"] == 370 and plain["errors"][0]["name"].endswith("part70.png")


def test_json_is_one_object(amiss, root: Path) -> None:
    code, out, _ = amiss(root / "dark", "--json", "--chart", "cusum, rate", "--arl", "555")
    plain = json.loads(out)
    assert code == 4 and [one["chart"] for one in plain["charts"]] == ["cusum", "rate"]
    assert plain["charts"][0]["design"]["arl"] == pytest.approx(1110, rel=0.02) and plain["alarm"] is True


def test_a_reference_folder(amiss, root: Path, tmp_path: Path) -> None:
    dark = tmp_path / "dark"
    write(dark, [(image * 0.8).astype(np.uint8) for image in toy_part(40, seed=8).images])
    code, out, _ = amiss(dark, "--reference", root / "quiet")
    assert code == 4 and "brightness fell" in out and "80 reference images" in out
    code, out, _ = amiss(dark)
    assert code == 4 and "not known" in out


def test_results_of_inspect(amiss, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect = ["amiss", "inspect", str(root / "part.amiss"), str(root / "dark"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", inspect)
    with pytest.raises(SystemExit):
        entry.main()
    for source in (tmp_path / "out" / "results.jsonl", tmp_path / "out"):
        code, out, _ = amiss(source, "--json")
        plain = json.loads(out.splitlines()[-1])
        assert code == 4 and plain["parts"] == 110 and len(plain["errors"]) == 1
        assert len(plain["health"]) >= 3  # the images are still there
    lines = (tmp_path / "out" / "results.jsonl").read_text().replace(str(root), "/gone")
    (tmp_path / "moved.jsonl").write_text(lines)
    code, out, _ = amiss(tmp_path / "moved.jsonl", "--json")
    plain = json.loads(out)
    assert code == 4 and plain["health"] == [] and "no images" in plain["health_note"]
    assert "by-time" in amiss(tmp_path / "moved.jsonl", "--by-time")[2]


def test_images_of_one_part_are_one_part(amiss, root: Path, tmp_path: Path) -> None:
    """Three images of each part, shown as one: the stream is that of the largest score, and n counts parts."""
    images = toy_part(26, seed=5).images
    write(tmp_path / "views", [image for image in images for _ in range(3)])
    code, out, err = amiss(tmp_path / "views", "--images-per-part", 3, "--json")
    assert out, err
    found = json.loads(out)
    assert code == 0 and found["parts"] == 26 and not found["alarm"]
    assert any("Calibration had 40 images of 40 parts" in text for text in found["warnings"])
    (tmp_path / "views" / "part77.png").unlink()
    _, out, _ = amiss(tmp_path / "views", "--images-per-part", 3, "--json")
    found = json.loads(out)
    assert found["parts"] == 25 and any("2 of its 3 images are there" in text for text in found["warnings"])
    code, _, err = amiss(root / "few", "--images-per-part", 4)
    assert code == 2 and "the stream must hold all images of a part, 4, got 3" in err


def test_a_part_gets_its_largest_score_and_mean_measures() -> None:
    rng = np.random.default_rng(0)
    scores, measured = rng.random(12), [Health(*row) for row in rng.random((12, 4))]
    stream = Stream([*scores[:7], None, *scores[8:]], names=[*map(str, range(12))], health=measured)
    parts = stream.in_parts(4)
    assert parts.scores == (scores[:4].max(), None, scores[8:].max()) and parts.names[1] == "7"
    assert parts.health[2].contrast == pytest.approx(np.mean([one.contrast for one in measured[8:]]))
    assert stream.in_parts(1) is stream and len(stream.in_parts(5)) == 2


def test_order_by_time(amiss, root: Path, tmp_path: Path) -> None:
    images = [*toy_part(60, seed=4).images, *((im * 0.8).astype(np.uint8) for im in toy_part(20, seed=3).images)]
    folder = write(tmp_path / "mixed", images)
    for number in range(80):  # the last twenty were taken first
        os.utime(folder / f"part{number}.png", (1_700_000_000 + (number - 60) % 80,) * 2)
    plain = json.loads(amiss(folder, "--by-time", "--json")[1])
    assert plain["since"]["part"] == 1 and plain["since"]["time"].startswith("2023-11-1")
    assert plain["since"]["name"].endswith("part60.png") and plain["until"] is not None


def test_images_in_error_only(amiss, root: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "parts", toy_part(3, seed=4).images)
    (folder / "part1.png").write_bytes(b"")
    code, out, _ = amiss(folder)
    assert code == 3 and "1 of 3" in out
    (folder / "part0.png").write_bytes(b"")
    (folder / "part2.png").write_bytes(b"")
    code, _, err = amiss(folder, "--output", tmp_path / "out")
    assert code == 2 and "none of 3" in err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["few", "--chart", "cusm"], "Did you mean"),
        (["few", "--chart", ","], "no chart"),
        (["few", "--arl", "5"], "got 5"),
        (["few", "--baseline", "3"], "got 3"),
        (["nowhere"], "no such file"),
        (["seen"], "80 of these 80"),
        (["broken.jsonl"], "line 1: not JSON"),
        (["few", "--reference", "nowhere"], "no such file"),
    ],
)
def test_what_is_refused_is_one_line_and_nothing_is_written(
    amiss, root: Path, tmp_path: Path, arguments: list, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    Path("broken.jsonl").write_text("{\n")
    code, out, err = amiss(*arguments, "--output", tmp_path / "out")
    errors = [line for line in err.splitlines() if line.startswith("amiss:")]
    assert code == 2 and out == "" and len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "out").exists()


def test_results_of_another_model(amiss, tmp_path: Path) -> None:
    verdict = {"name": "a.png", "label": "good", "score": 0.01, "p_value": 0.0001}
    (tmp_path / "results.jsonl").write_text(json.dumps(verdict))
    code, _, err = amiss(tmp_path / "results.jsonl")
    assert code == 2 and "model that made it" in err


def page_of(stream: Stream, folder: Path, **options) -> str:
    normal = np.random.default_rng(0).normal(size=60)
    html, _ = write_monitoring(folder, monitor(stream, normal, **options), HOSTILE)
    return html.read_text()


def test_the_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scores: list[float | None] = [*rng.normal(size=100), None, *rng.normal(2, size=40)]
    health = [None if s is None else Health(*rng.normal([100, 50, 0.5, 0.1], [3, 2, 0.02, 0.01])) for s in scores]
    names = [f"{HOSTILE}{number}" for number in range(141)]
    page = page_of(Stream(scores, names, health=health), tmp_path, threshold=2.0)
    assert HOSTILE not in page and "&lt;img src=x" in page
    assert (
        "<script" not in page
        and not re.findall(r"(?:src|href)=\"(?!data:)", page)
        and "http:" not in page
        and "https:" not in page
    )
    assert page.count("<svg") == 9  # the scores, four charts, four measures
    for word in ("n = 60", "370", "ARL0", "part", "CUSUM", "stroke-dasharray", "<circle", "Unusable images"):
        assert word in page
    assert "nan" not in page.lower().replace("nano", "") and "inf," not in page


def test_pages_of_extremes(tmp_path: Path) -> None:
    assert "In control" in page_of(Stream([0.1]), tmp_path / "one", threshold=2.0)
    assert "<svg" in page_of(Stream([5.0] * 40), tmp_path / "constant", threshold=5.0)
    assert "<svg" in page_of(Stream([0.1, None, 0.2]), tmp_path / "none", charts=["ewma", "martingale"])
    long = np.random.default_rng(0).normal(size=6000).tolist()
    assert len(page_of(Stream(long), tmp_path / "long")) < 500_000


def test_calibration_by_folds_is_warned_of(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(toy_part(24, seed=1).images, preset="tiny", size=64).save(tmp_path / "folds.amiss")
    arguments = ["monitor", tmp_path / "folds.amiss", root / "quiet" / "part0.png", "--chart", "martingale"]
    monkeypatch.setattr(sys, "argv", ["amiss", *map(str, arguments)])
    with pytest.raises(SystemExit):
        entry.main()
    assert "calibration was by folds" in capsys.readouterr().out.lower()
