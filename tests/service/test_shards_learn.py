"""`amiss fit` by two processes, by shares, and on a Ray cluster, with workers that are killed: the same model."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from amiss.inspector import Inspector
from amiss.testing import toy_texture

IMAGES = 700
"""Three blocks to learn from, the last one small, and 140 to calibrate on."""

METHOD = ("--method", "patchcore", "--preset", "tiny", "--size", "64", "--set", "bank_size=60")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good")
    for number, image in enumerate(toy_texture(IMAGES, seed=0).images):
        (path / f"{number:04}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def command(folder: Path, *words: object) -> list[str]:
    return [sys.executable, "-m", "amiss.cli", "fit", *map(str, (folder, *METHOD, *words))]


def fit(folder: Path, *words: object, **environment: object) -> None:
    given = {name: str(value) for name, value in environment.items()}
    done = subprocess.run(
        command(folder, *words), capture_output=True, text=True, env={**os.environ, **given}, check=False
    )
    assert done.returncode == 0, done.stderr


def bits(path: Path) -> tuple[bytes, bytes | None, float]:
    found = Inspector.load(path)
    return found.parts.weights, found.parts.graph, found.rule.threshold


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes | None, float]:
    output = tmp_path_factory.mktemp("alone") / "one.amiss"
    fit(folder, "--output", output, AMISS_THREADS="2", OMP_NUM_THREADS="2")
    assert Inspector.load(output).learned.learned_from == 560
    return bits(output)


def workers(name: bytes) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if name in words:
            found.append(int(process.name))
    return found


def kill_one(name: bytes, child: subprocess.Popen[bytes], folder: Path) -> None:
    """As soon as there is a file of a block, in the middle of the next one."""
    end = time.monotonic() + 900
    while not (list(folder.glob("blocks-*/*.safetensors")) and workers(name)):
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.kill(workers(name)[0], signal.SIGKILL)


@pytest.mark.parametrize(("on", "name"), [("local", b"amiss.shards.worker"), ("ray", b"ray::_answer")])
def test_two_workers_of_which_one_is_killed(folder: Path, alone: object, tmp_path: Path, on: str, name: bytes):
    if on == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'amiss[cluster]'")
    output, cache = tmp_path / "many.amiss", tmp_path / "cache"
    words = command(folder, "--on", on, "--workers", 2, "--output", output)
    child = subprocess.Popen(words, env={**os.environ, "AMISS_CACHE": str(cache)})
    kill_one(name, child, cache)
    assert child.wait(timeout=1800) == 0
    assert bits(output) == alone


def test_three_shares(folder: Path, alone: object, tmp_path: Path):
    cache, output = tmp_path / "cache", tmp_path / "one.amiss"
    for index in (1, 2, 0):
        fit(folder, "--shard", f"{index}/3", AMISS_CACHE=cache, AMISS_THREADS=1)
    there = {path: path.stat().st_mtime_ns for path in cache.glob("blocks-*/*")}
    assert len(there) == 3
    fit(folder, "--output", output, AMISS_CACHE=cache)
    assert bits(output) == alone
    assert {path: path.stat().st_mtime_ns for path in cache.glob("blocks-*/*")} == there
