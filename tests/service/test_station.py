"""A whole station as its own process: killed, ended, changed while it runs; and a store of a hundred thousand parts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from bench.station_kill import run
from sqlalchemy import event

import amiss
from amiss.ledger.reader import Filter, Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.ledger.writer import Writer
from amiss.rules import Fixed
from amiss.testing.line import FakeLine
from tests.ledger.drafts import bare


@contextmanager
def watching(tmp_path: Path, model: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "amiss.cli", "watch", model, tmp_path / "in", "--store", tmp_path / "store"]
    command += ["--result-folder", tmp_path / "out", "--poll", "0.1", "--deadline", "0", *words]
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def count(tmp_path: Path, least: int) -> None:
    """Wait until so many results are there."""
    end = time.monotonic() + 120
    while len(list((tmp_path / "out").rglob("*.json"))) < least:
        assert time.monotonic() < end, "no results"
        time.sleep(0.05)


def until(child: subprocess.Popen[str], words: str) -> None:
    """Read what it says up to a line with these words."""
    while words not in (line := child.stdout.readline()):
        assert line or child.poll() is None, "it has ended"


def test_kills(tmp_path: Path):
    """200 of them: bench/station_kill.py."""
    assert run(5, 0, None, tmp_path, 2.0)["answers"] > 0


def test_sigterm_sighup_and_kill(tmp_path: Path, model: Path):
    """SIGTERM ends it with 0 and nothing lost; SIGHUP changes the model; kill -9, and every file is judged once."""
    (tmp_path / "in").mkdir()
    mine = tmp_path / "mine.amiss"
    mine.write_bytes(model.read_bytes())
    line = FakeLine(tmp_path / "in", parts=300, seed=4, broken=0)
    made = line.run()
    [next(made) for _ in range(100)]
    with watching(tmp_path, mine) as child:
        count(tmp_path, 20)
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=30) == 0 and time.monotonic() - began < 20
    with watching(tmp_path, mine) as child:
        until(child, "will be rejected")  # it watches; all that was there may have been judged before
        count(tmp_path, 100)
        amiss.load(model).with_rule(Fixed(-1.0)).save(mine)
        child.send_signal(signal.SIGHUP)
        until(child, "version 2 of mine judges from now on")
        [next(made) for _ in range(50)]
        count(tmp_path, 130)
        os.kill(child.pid, signal.SIGKILL)
    list(made)
    with watching(tmp_path, mine, "--once") as child:
        assert child.wait(timeout=120) == 0
    store = Store.open(tmp_path / "store")
    with store.reading() as engine:
        reader = Reader(engine, store)
        parts = list(reader.every_part())
        assert len(parts) == 300 == len({part["name"] for part in parts})
        assert {part["label"] for part in parts if part["version"] == 2} == {"anomalous"}
        assert [row["version"] for row in reader.deployments()] == [1, 2]
        assert verify(reader, read_images=True).faults == 0
    assert len(list((tmp_path / "out").rglob("*.json"))) == 300


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A hundred thousand parts."""
    store = Store.make(tmp_path_factory.mktemp("large") / "store")
    with Writer(store) as writer:
        waiting = []
        for number in range(100_000):
            waiting.append(writer.submit(bare(number, sinks=[], watched=None)))
            if len(waiting) == 1000:
                [one.result() for one in waiting]
                waiting.clear()
    return store


@pytest.mark.parametrize(
    "only",
    [
        Filter(),
        Filter(label="anomalous"),
        Filter(lot="L4321"),
        Filter(lot="none"),
        Filter(label="review", recipe="cloth"),
        Filter(label="error", since="2020", until="2099"),
        Filter(since="2099"),
        Filter(until="2020"),
        Filter(label="good", since="middle"),
        Filter(until="middle"),
        Filter(serial="S00017"),
    ],
    ids=str,
)
def test_lists_of_a_hundred_thousand_parts(large: Store, only: Filter):
    """By index: SQLite counts its own steps. A look at every part in time took a million, and 50 ms or more."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 100
        return 0

    with large.reading() as engine:
        reader = Reader(engine, large)
        middle = reader.parts(before=50_000, limit=1)[0]["at"]
        only = replace(only, **{name: middle for name in ("since", "until") if getattr(only, name) == "middle"})
        event.listen(engine, "checkout", lambda connection, *_: connection.set_progress_handler(count, 100))
        for edge in ({}, {"before": 50_000}, {"after": 50_000}):
            steps = 0
            page = reader.parts(only, **edge, limit=100)
            assert 0 < steps < 25_000, f"{steps} steps for {len(page)} parts"


def test_memory_stays_flat_over_a_hundred_thousand_parts(large: Store):
    """Verified in a process of its own, whose memory does not grow with the number of parts."""
    code = f"""
import resource
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
store = Store.open({str(large.folder)!r})
with store.reading() as engine:
    reader = Reader(engine, store)
    next(reader.every_part())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in reader.every_part()) == 100_000
    found = verify(reader)
    assert found.faults == 0 and found.events == 100_001
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000, f"{done.stdout} kB more"
