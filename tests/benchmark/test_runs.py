"""`amiss bench` as a user meets it: real processes, real files, a real crash, a real kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amiss.cli import main as entry
from amiss.core.errors import AmissError, DataError
from amiss.evaluation.benchmark import child, runs
from amiss.evaluation.benchmark.child import code_version
from amiss.evaluation.benchmark.lines import Run, keep_line, read_lines, without_folders
from amiss.evaluation.benchmark.runs import locate, seconds_left
from amiss.testing import toy_part, write_mvtec

TINY = ("--presets", "tiny", "--size", "64")

METHODS = """
import os, signal, torch
from typing import Annotated
from amiss.core.card import Card, Learning
from amiss.core.ranges import AtLeast
from amiss.detectors.detector import Detector

def card(name):
    presets = {"default": {}, "paper": {}, "tiny": {"power": 2}}
    words = {"paper": "None", "url": "https://example.org", "year": 2026, "weights_licence": "none", "title": "T"}
    return Card(name=name, family="test", learning=Learning.ONE_PASS, exportable=False, presets=presets, **words)

class Average(Detector):
    card = card("average")

    power: Annotated[int, AtLeast(1)] = 1

    def build(self, *, pretrained):
        self.register_buffer("mean", torch.zeros(0))

    def learn(self, images, rng, progress):
        self.mean = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)

    def statistic(self, batch):
        return (batch - self.mean).abs().mean(dim=1) ** self.power

class Doomed(Average):
    card = card("doomed")

    def learn(self, images, rng, progress):
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""Of another distribution. `average` needs no network and no export, which would take most of a run's time."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets "cloth" and "broken", whose first good image cannot be read; the methods `average` and `doomed`."""
    root = tmp_path_factory.mktemp("world")
    for name in ("cloth", "broken"):
        bad = toy_part(4, seed=3, defective=True)
        write_mvtec(root / name, toy_part(10, seed=1).images, toy_part(4, seed=2).images, blot=bad)
    (root / "broken" / "train" / "good" / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    about = root / "plugin" / "methods_of_others-1.0.dist-info"
    about.mkdir(parents=True)
    (root / "plugin" / "methods_of_others.py").write_text(METHODS)
    (about / "METADATA").write_text("Name: methods-of-others\nVersion: 1.0\n")
    lines = ["[amiss.detectors]", "average = methods_of_others:Average", "doomed = methods_of_others:Doomed", ""]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return root


def environment(world: Path) -> dict[str, str]:
    """Of the processes: the data sets, and the plug-in beside whatever is on the path already."""
    path = os.pathsep.join(filter(None, [str(world / "plugin"), os.environ.get("PYTHONPATH")]))
    return {"OMP_NUM_THREADS": "1", "AMISS_DATA": str(world), "PYTHONPATH": path}


@pytest.fixture(autouse=True)
def surroundings(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(world).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def first(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run that works, one that is killed."""
    folder = tmp_path_factory.mktemp("first") / "out"
    command = [
        sys.executable,
        "-m",
        "amiss.cli",
        "bench",
        "cloth",
        "--methods",
        "average,doomed",
        *TINY,
        "--seeds",
        "0",
    ]
    done = subprocess.run(
        [*command, "--output", str(folder)], capture_output=True, text=True, env={**os.environ, **environment(world)}
    )
    return done, folder


def test_a_run_is_kept_with_its_figures_and_no_path(first, world):
    _, folder = first
    (line,) = [json.loads(text) for text in (folder / "average.jsonl").read_text().splitlines()]
    names = ["method", "preset", "data", "seed", "image_auroc", "pixel_auroc", "pixel_aupro", "pixel_aupro_05"]
    names += ["fit_seconds", "seconds_per_image", "peak_mb", "config", "commit", "hardware", "alpha", "false_alarms"]
    assert {*names, "detections", "n_calibration", "n_good", "n_defective", "image_auroc_interval"} <= set(line)
    assert (line["method"], line["preset"], line["data"], line["seed"]) == ("average", "tiny", "cloth", 0)
    assert line["n_good"] == line["n_defective"] == 4 and 0.5 < line["image_auroc"] <= 1
    assert line["config"]["size"] == 64 and line["config"]["power"] == 2 and line["settings"] == {}
    assert 100 < line["peak_mb"] < 2000 and line["fit_seconds"] > 0 and line["seconds_per_image"] > 0
    assert line["commit"] == code_version()
    assert str(world.parent) not in (folder / "average.jsonl").read_text() + (folder / "table.md").read_text()


def test_a_killed_run_is_recorded_and_the_others_go_on(first):
    done, folder = first
    (line,) = [line for line in read_lines(folder) if "failed" in line]
    assert done.returncode == 3
    assert line["method"] == "doomed" and "killed by SIGKILL" in line["failed"] and "memory" in line["failed"]
    assert "image_auroc" not in line
    assert "[2/2]" in done.stderr and "1 of 2 runs have figures" in done.stdout
    assert "killed by SIGKILL" in (folder / "table.md").read_text()
    assert {path.name for path in folder.iterdir()} == {
        "doomed.jsonl", "average.jsonl", "table.md", "table.csv", "table.html",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for the child in /proc")
def test_killed_and_resumed(first, world, tmp_path):
    """Killed in the second run: the first is kept, nothing half-written, no child lives on; then the rest is done."""
    _, folder = first
    out = tmp_path / "out"
    (finished,) = [line for line in read_lines(folder) if "failed" not in line]
    keep_line(out, finished)
    before = (out / "average.jsonl").read_bytes()
    code = (
        "import sys, amiss.cli.main as m\ntry: m.main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr, flush=True)"
    )
    command = [sys.executable, "-c", code, "bench", "cloth", "broken", "--methods", "average", *TINY]
    command += ["--set", "power=2", "--output", str(out)]  # the preset's own value: the same run
    parent = subprocess.Popen([*command, "--seeds", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stderr is not None
    assert "1 of 2 runs are finished already" in parent.stderr.readline()
    started = wait_for_child(parent.pid)
    time.sleep(1)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: not running(started), 20)
    assert [path.name for path in out.iterdir() if not path.name.startswith(".lock")] == ["average.jsonl"]
    assert (out / "average.jsonl").read_bytes() == before

    again = subprocess.run([*command, "--seeds", "0", "--json"], capture_output=True, text=True)
    answer = json.loads(again.stdout)
    assert again.returncode == 3 and again.stderr.splitlines()[-1] == "False", "the parent has imported torch"
    assert (answer["runs"], answer["kept"], answer["failed"]) == (2, 1, 1)
    lines = (out / "average.jsonl").read_bytes()
    assert before in lines and lines.count(b"\n") == 2
    (broken,) = [line for line in read_lines(out) if line["data"] == "broken"]
    assert "000.png" in broken["failed"] and str(world.parent) not in broken["failed"]


def wait_for_child(pid: int) -> int:
    """Process of the run that is going on."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until(lambda: bool(children.read_text().split()), 20)
    return int(children.read_text().split()[0])


def wait_until(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ask_here(request: dict) -> dict:
    """What the other process would answer, without the seconds in which it imports torch."""
    try:
        return {"answer": child.configs(request["configs"], request["settings"])}
    except AmissError as error:
        return {"refused": str(error)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), ["nowhere", "no such folder", "AMISS_DATA"]),
        (("GOOD",), ["no test images"]),
        (("cloth", "--methods", "padin"), ["padin", "Did you mean 'padim'"]),
        (("cloth", "--methods", "padim,"), ["methods must be", "got 'padim,'"]),
        (("cloth", "--methods", "padim", "--presets", "tyny"), ["preset must be one of", "got 'tyny'", "tiny"]),
        (("cloth", "--methods", "padim,patchcore", "--set", "bank_size=9"), ["option of padim", "bank_size"]),
        (("cloth", "--seeds", "0,-1"), ["seeds must be", "got '0,-1'"]),
        (("cloth", "--size", "big"), ["size must be", "got 'big'"]),
        (("cloth", "TWIN"), ["two data sets", "cloth"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(world, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.syspath_prepend(str(world / "plugin"))
    monkeypatch.setattr(runs, "_ask", ask_here)
    (tmp_path / "cloth").symlink_to(world / "cloth")
    places = {"TWIN": str(tmp_path / "cloth"), "GOOD": str(world / "cloth" / "train" / "good")}
    given = [places.get(word, word) for word in arguments]
    monkeypatch.setattr(sys, "argv", ["amiss", "bench", *given, "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        entry.main()
    _, err = capsys.readouterr()
    assert stop.value.code == 2 and err.startswith("amiss: ") and err.count("\n") == 1
    for word in words:
        assert word in err
    assert not (tmp_path / "out").exists()


def test_missing_data_can_be_skipped(tmp_path, monkeypatch, capsys):
    arguments = ["bench", "nowhere", "--methods", "padim", "--skip-missing", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["amiss", *arguments])
    with pytest.raises(SystemExit) as stop:
        entry.main()
    out, err = capsys.readouterr()
    assert not stop.value.code and "skipped nowhere: " in err and "Nothing to do" in out


def test_bare_names_are_looked_up_where_the_environment_says(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(locate("cloth")) == world / "cloth"
    assert locate("nowhere") == "nowhere" and locate("elpv:mono") == "elpv:mono"
    (tmp_path / "cloth").mkdir()
    assert locate("cloth") == "cloth"  # a folder here comes first


def make_line(**words: object) -> dict:
    figures = dict.fromkeys(("image_auroc", "pixel_auroc", "pixel_aupro", "pixel_aupro_05"), 0.5)
    costs = {"fit_seconds": 10.0, "seconds_per_image": 0.1, "n_good": 30, "n_defective": 20}
    who = {"method": "padim", "preset": "tiny", "data": "cloth", "seed": 0, "config": {"size": 64}}
    return {**who, **figures, **costs, **words}


def test_a_line_takes_the_place_of_what_was_asked_for_in_the_same_words_only(tmp_path):
    keep_line(tmp_path, make_line(image_auroc=0.1))
    keep_line(tmp_path, make_line(settings={"dimension": 5}, config={"size": 64, "dimension": 5}))
    keep_line(tmp_path, make_line(config={"size": 128}))
    keep_line(tmp_path, make_line(seed=1))
    keep_line(tmp_path, make_line(image_auroc=0.9, settings={}))  # an older line without "settings" is the preset's
    found = read_lines(tmp_path)
    assert len(found) == 4 and 0.1 not in [line["image_auroc"] for line in found]
    keep_line(tmp_path, make_line(settings={}, config={"size": 64, "dimension": 12}))  # the preset has changed
    assert len(read_lines(tmp_path)) == 4


def test_a_file_that_no_benchmark_wrote_is_named(tmp_path):
    keep_line(tmp_path, make_line())
    (tmp_path / "other.jsonl").write_text('{"name": "part.png", "label": "good"}\n')
    with pytest.raises(DataError, match=r"other\.jsonl, line 1"):
        read_lines(tmp_path)


def test_time_left_is_what_finished_runs_took():
    def run(method: str) -> Run:
        return Run(method=method, preset="tiny", data="cloth", seed=0, size=(64, 64), address="")

    lines = [make_line(), make_line(fit_seconds=20.0), make_line(method="spade", fit_seconds=95.0)]
    assert seconds_left([], []) == 0 and seconds_left([run("padim")], []) is None
    assert seconds_left([run("padim"), run("padim")], lines) == pytest.approx(2 * 20)  # (15 + 25) / 2
    assert seconds_left([run("new")], lines) == pytest.approx((15 + 25 + 100) / 3)
    assert seconds_left([run("padim")], [*lines, {**make_line(), "failed": "it was"}]) == pytest.approx(20)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("file:/home/me/nets/wide.pth#resnet", "file:wide.pth#resnet"),
        ("/data/cloth/001.png: cut off, see https://example.org/a/b", "001.png: cut off, see https://example.org/a/b"),
        ("C:\\data\\cloth\\001.png is bad", "001.png is bad"),
        ("3/4 of 10, a/b", "3/4 of 10, a/b"),
    ],
)
def test_folders_are_taken_out(text, kept):
    assert without_folders({"reason": [text]}) == {"reason": [kept]}
