"""Runs many small cases in child processes that may crash, hang or eat memory, and counts what came of each.

A target is a module with a function ``case(seed, number)`` that gives a group, such as "png: cut", and an action: a
function without arguments that tries the case and gives a word for what came of it, such as "refused". The same seed
and number make the same case. An action that raises, prints to stderr, ends the process, takes more than 20 s, or takes
more memory than it may is a failure, whatever it is about.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
HANG = 20.0
"""Seconds of CPU time that one case may take, and a sixth of the seconds by the clock: a busy machine is no hang."""

MARGIN = 300_000_000
"""Bytes that one case may take beyond what AMISS_MEMORY allows."""


@dataclass
class Found:
    """What came of all cases."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[dict[str, object]] = field(default_factory=list)
    peak: int = 0
    slowest: float = 0.0

    @property
    def cases(self) -> int:
        """How many were tried."""
        return sum(sum(group.values()) for group in self.counts.values())

    def total(self, outcome: str) -> int:
        """How many cases came to this."""
        return sum(group[outcome] for group in self.counts.values())

    def as_json(self) -> dict[str, object]:
        """For a results file."""
        return {
            "cases": self.cases,
            "outcomes": dict(sum(self.counts.values(), Counter())),
            "failures": self.failures,
            "largest_memory_bytes": self.peak,
            "slowest_seconds": round(self.slowest, 2),
            "groups": {name: dict(group) for name, group in sorted(self.counts.items())},
        }


def run(target: str, seed: int, count: int, memory: int = 200_000_000, batch: int = 500) -> Found:
    """Try cases 0 to `count` - 1 of a target.

    Args:
        target: Its module, such as "tests.fuzz.images".
        seed: Any whole number; the cases follow from it.
        count: How many.
        memory: What AMISS_MEMORY says in the children, in bytes.
        batch: Cases per child.
    """
    found, start = Found(), 0
    while start < count:
        start = _child(target, seed, start, min(start + batch, count), memory, found)
    return found


def _child(target: str, seed: int, start: int, stop: int, memory: int, found: Found) -> int:
    """Run one child until it has done all its cases, or one has ended it; gives the case to go on with."""
    command = [sys.executable, "-m", "tests.fuzz.child", target, *map(str, (seed, start, stop, memory + MARGIN))]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "AMISS_MEMORY": str(memory), "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    environment["MALLOC_MMAP_THRESHOLD_"] = "131072"  # what is freed is no longer counted
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=environment) as child,
    ):
        group, number, ended = "start", start, False
        for line in _lines(child):
            word, *rest = line.split("\t")
            if word == "case":
                number, group = int(rest[0]), rest[1]
            elif word == "done":
                outcome, seconds, peak = rest[0], float(rest[1]), int(rest[2])
                found.peak, found.slowest = max(found.peak, peak), max(found.slowest, seconds)
                _note(found, group, number, outcome)
                number += 1
            else:
                ended = word == "end"
        hung = child.poll() is None and not ended
        if hung:
            child.kill()
        child.wait()
        if ended and number == stop:
            return stop
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 500))
        last = errors.read().decode(errors="replace").strip().replace("\n", " | ")
        _note(
            found, group, number, f"FAILED: hung for {HANG:g} s" if hung else f"FAILED: exit {child.returncode}: {last}"
        )
        return number + 1


def _lines(child: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines that the child prints, until it ends or hangs."""
    assert child.stdout is not None
    rest, since, used = b"", time.monotonic(), 0.0
    while True:
        if not select.select([child.stdout], [], [], HANG / 4)[0]:
            if time.monotonic() - since > 6 * HANG or _cpu_seconds(child.pid) - used > HANG:
                return
            continue
        piece = os.read(child.stdout.fileno(), 1 << 16)
        if not piece:
            child.wait()
            return
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode() for line in lines)
        since, used = time.monotonic(), _cpu_seconds(child.pid)


def _cpu_seconds(process: int) -> float:
    """What a process has used so far; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _note(found: Found, group: str, number: int, outcome: str) -> None:
    if outcome.startswith("FAILED"):
        found.failures.append({"group": group, "number": number, "what": outcome})
        outcome = "failed"
    found.counts[group][outcome] += 1
