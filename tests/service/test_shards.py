"""5,000 tiny images through `amiss score`: one worker, many, shards, a Ray cluster, kills and a full disk."""

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from pyarrow import parquet

from amiss.testing import toy_part, write_mvtec

IMAGES, KINDS = 5000, 40
BAD = 20 + 20 + 30 + 1
"""Rows that are errors; one of those that come twice is."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many files are the same, 20 are not images, 20 are missing; 30 rows without a path, 50 rows twice."""
    folder = tmp_path_factory.mktemp("images")
    files = [cv2.imencode(".png", image)[1].tobytes() for image in toy_part(KINDS, seed=1).images]
    for number in range(IMAGES - 100):
        data = b"words" if number % 245 == 7 else files[number % KINDS]
        (folder / f"{number:05}.png").write_bytes(data)
    names = [f"{number:05}.png" for number in range(IMAGES - 50)]
    rows = ["path", *names[:-30], *[""] * 30, *names[:50]]
    (folder / "list.csv").write_text("".join(f'"{row}"\n' for row in rows))
    return folder / "list.csv"


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "amiss.cli", "score", *map(str, words)]


def score(*words: object) -> dict[str, object]:
    done = subprocess.run(command(*words, "--json"), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def sha256(output: Path) -> str:
    return hashlib.sha256((output / "scores.parquet").read_bytes()).hexdigest()


def parts(output: Path) -> list[Path]:
    return sorted((output / "parts").glob("*.parquet"))


def wait(holds: Callable[[], object], child: subprocess.Popen[bytes]) -> None:
    """Until it holds, while a process runs."""
    end = time.monotonic() + 120
    while not holds():
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def wanted(model: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash that one worker gives."""
    output = tmp_path_factory.mktemp("one")
    found = score(model, table, "--output", output, "--workers", "1")
    assert found["images"] == IMAGES and found["labels"]["error"] == BAD and len(parts(output)) == 5
    rows = parquet.read_table(output / "scores.parquet").to_pylist()
    assert [row["row"] for row in rows] == [*range(IMAGES)]
    assert all(one["score"] == two["score"] for one, two in zip(rows[:50], rows[-50:], strict=True))
    return sha256(output)


def test_two_workers(model: Path, table: Path, wanted: str, tmp_path: Path):
    score(model, table, "--output", tmp_path, "--workers", "2")
    assert sha256(tmp_path) == wanted


def test_three_shards(model: Path, table: Path, wanted: str, tmp_path: Path):
    for index in (1, 2, 0):
        score(model, table, "--output", tmp_path, "--shard", f"{index}/3", "--workers", "1")
    score("--merge", tmp_path)
    assert sha256(tmp_path) == wanted


def test_a_driver_that_is_killed(model: Path, table: Path, wanted: str, tmp_path: Path):
    """Its workers end with the block that they have; the next run goes on, and scores nothing twice."""
    child = subprocess.Popen(command(model, table, "--output", tmp_path, "--workers", "2"))
    wait(lambda: parts(tmp_path), child)
    child.kill()
    child.wait()
    there = {path: path.stat().st_mtime_ns for path in parts(tmp_path)}
    found = score(model, table, "--output", tmp_path, "--workers", "2")
    assert found["done_before"] >= len(there) >= 1 and sha256(tmp_path) == wanted
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())
    assert not list(tmp_path.rglob("*.amiss-unfinished"))


def test_interrupted(model: Path, table: Path, tmp_path: Path):
    """Ctrl-C ends it at once, with no process left."""
    child = subprocess.Popen(command(model, table, "--output", tmp_path, "--workers", "2"), stderr=subprocess.PIPE)
    wait(lambda: parts(tmp_path), child)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=20) == 130 and b"interrupted" in child.stderr.read()
    child.stderr.close()


def test_a_full_disk(small_disk: Path, model: Path, table: Path, wanted: str):
    """It ends with 1 and says so; once there is room, the same command goes on."""
    output = small_disk / "out"
    with (small_disk / "other").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    os.truncate(small_disk / "other", (small_disk / "other").stat().st_size - 40_000)
    done = subprocess.run(command(model, table, "--output", output, "--workers", "2"), capture_output=True, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr, done.stderr
    (small_disk / "other").unlink()
    found = score(model, table, "--output", output, "--workers", "2")
    assert found["images"] == IMAGES and sha256(output) == wanted


def ray_workers() -> list[int]:
    """Processes of Ray that have a block in hand."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::_answer"):
            found.append(int(folder.name))
    return found


def test_ray_and_a_worker_that_is_killed(model: Path, table: Path, wanted: str, tmp_path: Path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'amiss[cluster]'")
    child = subprocess.Popen(command(model, table, "--output", tmp_path, "--on", "ray", "--workers", "2"))
    wait(lambda: parts(tmp_path) and ray_workers(), child)
    os.kill(ray_workers()[0], signal.SIGKILL)
    assert child.wait(timeout=300) == 3
    assert sha256(tmp_path) == wanted


def test_a_benchmark_on_ray(tmp_path: Path):
    """The same lines as without it, but for what they cost."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'amiss[cluster]'")
    good, test = (toy_part(count, seed=seed).images for count, seed in ((12, 1), (4, 2)))
    write_mvtec(tmp_path / "parts", good, test, blot=toy_part(4, seed=3, defective=True))
    found = []
    for where in ("local", "ray"):
        words = ["bench", tmp_path / "parts", "--methods", "mvg,pca", "--presets", "tiny", "--size", "64"]
        words += ["--seeds", "0,1", "--on", where, "--output", tmp_path / where, "--json"]
        command = [sys.executable, "-m", "amiss.cli", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout)["lines"])
    costs = {"fit_seconds", "seconds_per_image", "peak_mb"}
    one, two = ([{k: v for k, v in line.items() if k not in costs} for line in lines] for lines in found)
    assert one == two and len(one) == 4 and not any("failed" in line for line in one)


def test_ray_says_what_is_missing(model: Path, table: Path, tmp_path: Path):
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("Ray is installed")
    words = command(model, table, "--output", tmp_path, "--on", "ray")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install 'amiss[cluster]'" in done.stderr
