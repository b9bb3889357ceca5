"""Full disks, disks that fail or are slow, and clocks that jump: no accept, nothing lost, and on it goes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amiss.ledger.images import Keeping
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.station.engine import Station
from tests.service.writing import write
from tests.station.toy_station import job

ROOT = Path(__file__).parents[2]


def test_a_full_disk(small_disk: Path, inspector):
    """8 MB, of which something else takes all that is left; then it goes away."""
    store = Store.make(small_disk / "store")
    with Station(store, cores=1, deadline=None, charts=False, keeping=Keeping.of(floor="0")) as found:
        found.recipes.deploy("toy", inspector, reason="a test")
        assert found.submit(job(1), wait=30).answer.result(timeout=30).accept
        with (small_disk / "other").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        answers = [found.submit(job(number), wait=30).answer.result(timeout=30) for number in range(2, 30)]
        refused = [answer for answer in answers if answer.event is None]
        assert refused and not any(answer.accept for answer in refused)
        assert all("not on disk" in answer.reason for answer in refused)
        (small_disk / "other").unlink()
        again = [found.submit(job(number), wait=30).answer.result(timeout=30) for number in range(2, 30)]
        assert all(answer.event is not None for answer in again) and found.healthy()
        assert len(found.reader.parts(limit=100)) == 29
        assert verify(found.reader, read_images=True).faults == 0


def trace(tmp_path: Path, inject: str, *words: str) -> list[dict[str, object]]:
    """Run `tests.service.writing` with faults injected into its system calls; what it said."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    log = tmp_path / "strace"
    command = ["strace", "-f", "-qq", "-o", log, "-e", "trace=fsync,fdatasync", "-e", inject]
    command += [sys.executable, "-m", "tests.service.writing", tmp_path / "store", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT)
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"strace cannot trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert "INJECTED" in log.read_text() or "DELAYED" in log.read_text()
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(tmp_path: Path, said: list[dict[str, object]]) -> None:
    """Whatever was said to be on disk is, and the store is sound."""
    store = Store.open(tmp_path / "store")
    with store.reading() as engine:
        reader = Reader(engine, store)
        heads = {str(one["hash"]): "said" for one in said if one["hash"]}
        assert verify(reader, heads=heads, read_images=True).faults == 0
        assert len(reader.parts(limit=1000)) == 60


def test_syncs_that_fail(tmp_path: Path):
    """EIO from the 20th to the 60th: what could not be forced to disk was not said, and was written later."""
    said = trace(tmp_path, "inject=fsync,fdatasync:error=EIO:when=20..60")
    failed = [one for one in said if not one["hash"]]
    assert len(failed) >= 5 and "cannot be" in str(failed[0]["error"])
    check(tmp_path, said)


def test_a_disk_that_is_slow(tmp_path: Path):
    """50 ms per sync: nothing is said before it is over."""
    said = trace(tmp_path, "inject=fsync,fdatasync:delay_exit=50000")
    assert all(float(str(one["ms"])) >= 50 for one in said) and all(one["hash"] for one in said)
    check(tmp_path, said)


def test_a_clock_that_jumps(tmp_path: Path):
    """An hour back, a day on, a year back: numbers tell the order, and nothing is late for it."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        pytest.skip("libfaketime is not installed: apt-get install faketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    names = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    environment = {**os.environ, **names, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    command = [sys.executable, "-m", "tests.service.writing", str(tmp_path / "store"), str(clock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    check(tmp_path, [json.loads(line) for line in done.stdout.splitlines()])
    store = Store.open(tmp_path / "store")
    with store.reading() as engine:
        parts = list(Reader(engine, store).every_part())
        times = [part["at"] for part in parts]
        assert times != sorted(times) and [part["seq"] for part in parts] == sorted(part["seq"] for part in parts)


def test_the_script_of_these_tests(tmp_path: Path):
    """Without any fault it says 60 times that all is well."""
    assert len([one for one in write(tmp_path / "store", None) if one["hash"]]) == 60
