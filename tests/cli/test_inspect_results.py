"""What `amiss inspect` leaves, whatever happens to it: kept, resumed, refused, stopped, and never forged."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amiss.cli.console import plain
from amiss.cli.exit_codes import ExitCode, exit_code_lines
from amiss.front import fit
from amiss.storage import claim
from amiss.testing import toy_part, write_images

COMMAND = (sys.executable, "-m", "amiss.cli", "inspect")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, eight good parts and three defective ones."""
    root = tmp_path_factory.mktemp("line")
    fit(toy_part(40, seed=1).images, method="padim", preset="tiny", size=64, calibration=0.5).save(root / "m.amiss")
    write_images(root / "good", toy_part(8, seed=2).images)
    write_images(root / "bad", toy_part(3, seed=3, defective=True).images)
    return root


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def results(folder: Path) -> list[object]:
    """All that a run leaves, without its name and times."""
    head = json.loads((folder / "run.json").read_text())
    images = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("*/*.png"))}
    table = [{**row, "run": ""} for row in rows(folder)]
    return [[{**line, "run": ""} for line in lines(folder)], table, images, head["counts"], head["complete"]]


def test_a_run_goes_on_where_it_was_stopped(amiss, world: Path, tmp_path: Path) -> None:
    command = ("inspect", world / "m.amiss", world / "good", world / "bad")
    assert amiss(*command, "--output", tmp_path / "whole")[0] == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    head = json.loads((tmp_path / "cut" / "run.json").read_text())
    (tmp_path / "cut" / "run.json").write_text(json.dumps({**head, "complete": False}))
    os.truncate(tmp_path / "cut" / "results.jsonl", sum(map(len, map(json.dumps, lines(tmp_path / "cut")[:4]))) + 20)
    code, out, _ = amiss(*command, "--output", tmp_path / "cut", "--resume", "--batch", "30%")
    assert code == 0 and "4 of 11 images have a verdict already." in out and "11 images: " in out
    assert "of 11 images are named anomalous" in out and results(tmp_path / "cut") == results(tmp_path / "whole")
    code, out, _ = amiss(*command, "--output", tmp_path / "cut", "--resume", "--json")
    assert code == 0 and json.loads(out)["run"]["judged"] == 11  # one line: no verdict was given again


def test_every_line_names_model_run_and_image(amiss, world: Path, tmp_path: Path) -> None:
    import hashlib

    from amiss.front import load

    (world / "good" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    try:
        assert amiss("inspect", world / "m.amiss", world / "good", "--output", tmp_path / "r")[0] == 3
    finally:
        content = (world / "good" / "torn.png").read_bytes()
        (world / "good" / "torn.png").unlink()
    inspector, found = load(world / "m.amiss"), lines(tmp_path / "r")
    assert {line["model"] for line in found} == {inspector.fingerprint}
    assert {line["run"] for line in found} == {json.loads((tmp_path / "r" / "run.json").read_text())["run"]}
    assert found[-1]["label"] == "error" and found[-1]["sha256"] == hashlib.sha256(content).hexdigest()
    for line, row in zip(found[:-1], rows(tmp_path / "r"), strict=False):
        assert line["sha256"] == row["sha256"] == hashlib.sha256(Path(line["name"]).read_bytes()).hexdigest()
        assert line["threshold"] == float(row["threshold"]) == inspector.rule.threshold
        assert line["margin"] == float(row["margin"]) == line["score"] - line["threshold"]


def test_results_of_another_run(amiss, world: Path, tmp_path: Path) -> None:
    out = ("--output", tmp_path / "r")
    assert amiss("inspect", world / "m.amiss", world / "bad", *out)[0] == 0
    code, _, err = amiss("inspect", "no.amiss", "nothing", *out)  # refused first
    assert code == 1 and f"{tmp_path / 'r'} holds the results of another run (3 images" in err and "--overwrite" in err
    code, _, err = amiss("inspect", world / "m.amiss", world / "good", *out, "--resume")
    assert code == 2 and "images must be as when" in err
    assert amiss("inspect", world / "m.amiss", world / "good" / "000.png", *out, "--overwrite")[0] == 0
    assert len(rows(tmp_path / "r")) == len(list((tmp_path / "r").glob("overlays/*"))) == 1
    for words in (("--resume",), ("--overwrite",), ("--resume", "--overwrite", *out)):
        assert amiss("inspect", world / "m.amiss", world / "good", *words)[0] == 2
    with claim(tmp_path / "r", folder=True):
        code, _, err = amiss("inspect", world / "m.amiss", world / "good", *out, "--overwrite")
    assert code == 1 and "r is being written by another run" in err and len(rows(tmp_path / "r")) == 1


def test_codes_for_scripts(amiss, world: Path, tmp_path: Path) -> None:
    assert amiss("inspect", world / "m.amiss", world / "bad")[0] == 0
    assert amiss("inspect", world / "m.amiss", world / "bad", "--exit-code")[0] == ExitCode.ANOMALOUS
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_text("not an image")
    assert amiss("inspect", world / "m.amiss", world / "bad", tmp_path / "bad", "--exit-code")[0] == ExitCode.UNUSABLE
    out = amiss("--help")[1]
    page = (Path(__file__).parents[2] / "docs" / "exit_codes.md").read_text()
    words = " ".join(out.split())  # lines are as long as the terminal is wide
    assert all(" ".join(line.split()) in words for line in exit_code_lines())
    assert [line for line in page.splitlines() if line.startswith("| ") and line[2].isdecimal()] == [
        f"| {code.value} | {code.meaning} |" for code in ExitCode
    ]


def test_a_run_whose_images_cannot_be_drawn(amiss, world: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("amiss.reporting.results.overlay", lambda *_: 1 / 0)
    code, _, err = amiss("inspect", world / "m.amiss", *[world / "good"] * 2, "--output", tmp_path / "r")
    assert code == ExitCode.UNUSABLE and len(rows(tmp_path / "r")) == len(lines(tmp_path / "r")) == 16
    assert "000.png: not drawn (division by zero); its verdict is kept" in err


@pytest.mark.parametrize("kept", [True, False])
def test_a_reader_that_goes_away(world: Path, tmp_path: Path, kept: bool) -> None:
    """`amiss inspect ... | head -1`: the files are the purpose where there are some."""
    output = ["--output", str(tmp_path / "r")] if kept else []
    child = subprocess.Popen(
        [*COMMAND, str(world / "m.amiss"), *[str(world / "good")] * 6, *output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "AMISS_THREADS": "1"},
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait() == (0 if kept else 141) and "Traceback" not in said and "Exception ignored" not in said
    if kept:
        assert len(rows(tmp_path / "r")) == len(lines(tmp_path / "r")) == 48


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_stop(amiss, world: Path, tmp_path: Path, number: int, code: int) -> None:
    command = ["inspect", str(world / "m.amiss"), *[str(world / "good")] * 40, "--output", str(tmp_path / "r")]
    child = subprocess.Popen(
        [*COMMAND[:3], *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "AMISS_THREADS": "1"},
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    child.send_signal(number)
    rest, said = child.communicate()
    told = len((first + rest).splitlines())
    assert child.returncode == code and said.decode().splitlines()[-1].startswith("amiss: interrupted")
    assert 1 <= told < 320 and told == len(lines(tmp_path / "r")) == len(rows(tmp_path / "r"))
    assert {path.name for path in (tmp_path / "r").glob("*")} == {
        *("overlays", "masks", "thumbnails", "run.json", "results.jsonl", "results.csv")
    }


FORGED = "0\x1b[2K\rGOOD      b.png\nGOOD      c\u202egnp.png"


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_a_name_forges_no_line(amiss, world: Path, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "parts", toy_part(1, seed=2).images, name=FORGED.replace("0", "{}"))
    (folder / "zz\udcff\x9b.png").write_text("not an image")
    code, out, err = amiss("inspect", world / "m.amiss", folder, "--output", tmp_path / "r")
    verdicts = [line for line in out.splitlines() if line.startswith(("GOOD", "ANOM", "ERROR"))]
    assert code == 3 and len(verdicts) == 2 and "\\x1b[2K\\x0dGOOD      b.png\\x0aGOOD" in verdicts[0]
    assert "zz\\udcff\\x9b.png" in verdicts[1] and out.replace("\n", "").isprintable()
    assert [Path(line["name"]).name for line in lines(tmp_path / "r")] == ["zz\udcff\x9b.png", FORGED][::-1]
    assert [Path(row["name"]).name for row in rows(tmp_path / "r")] == [FORGED, "zz\udcff\x9b.png"]
    _, _, err = amiss("inspect", tmp_path / FORGED, folder)
    assert err.count("\n") == 1 and err.rstrip("\n").isprintable()


def test_plain_words_stay() -> None:
    assert plain("Prüfling 7 (良品), 5 %, n = 40") == "Prüfling 7 (良品), 5 %, n = 40"
    hidden = [*range(32), *range(127, 160), 0xAD, 0x200B, 0x200E, 0x2028, 0x202A, 0x202E, 0x2066, 0xFEFF, 0xDC80]
    assert all(plain(chr(code)).isascii() and plain(chr(code)).isprintable() for code in [*hidden, 0xE0001])
