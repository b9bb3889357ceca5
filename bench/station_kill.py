"""kill -9 a station under load: what was answered is on disk, nothing is half-written, no part is judged twice.

    python bench/station_kill.py                                        200 kills of SQLite
    python bench/station_kill.py --kills 20 --url postgresql://...      a few, of PostgreSQL

A client sends parts over a pipe and keeps a journal of its own, forced to disk, of every answer it got. The station is
killed at a random moment, begun again, and the client sends again what was not answered, with the same keys. After each
kill the store is verified against the hashes that the client was told; after the last one every part has one verdict,
and each image that must be kept is whole. Results go to docs/results/station_kill.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import amiss
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.station.engine import Station
from amiss.station.jobs import Job
from amiss.testing import toy_part, write_images

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "station_kill.json"
PARTS = 64
"""Different images; a part is an image and a number."""


LEARN = """
import sys, amiss
from amiss.testing import toy_part
amiss.fit(toy_part(60, seed=0).images, method="padim", preset="tiny", size=64).save(sys.argv[1])
"""
"""In a process of its own: one that is forked must have no threads."""


class Fault(Exception):
    """Something was lost, doubled or half-written."""


def serve(folder: Path, url: str | None) -> None:
    """A station that judges what comes over standard input, until it is killed: the child of each trial."""
    store = Store.make(folder / "store", "line 1", url)
    images = [path.read_bytes() for path in sorted((folder / "images").iterdir())]
    lock = threading.Lock()

    def tell(number: int, ticket: Any) -> None:
        answer = ticket.answer.result()
        if answer.event is not None:
            line = json.dumps({"part": number, "accept": answer.accept, "hash": answer.event.hash})
            with lock:
                print(line, flush=True)

    with Station(store, cores=2, deadline=None, charts=False) as station:
        station.recipes.deploy("toy", amiss.load(folder / "toy.amiss"), reason="kill")
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            number = int(line)
            job = Job(name=f"{number}.png", data=images[number % PARTS], recipe="toy", key=f"part {number}")
            ticket = station.submit(job, wait=60)
            ticket.answer.add_done_callback(lambda _, n=number, t=ticket: tell(n, t))


class Child:
    """A station in a forked process, which has imported everything: nearly all kills meet work and not imports."""

    def __init__(self, folder: Path, url: str | None) -> None:
        (to_read, to_send), (answers, to_answer) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.setsid()
                os.dup2(to_read, 0), os.dup2(to_answer, 1)
                os.closerange(3, 256)
                sys.stdin, sys.stdout = os.fdopen(0, "r"), os.fdopen(1, "w")
                serve(folder, url)
                code = 0
            finally:
                os._exit(code)
        os.close(to_read), os.close(to_answer)
        self.stdin, self.stdout = os.fdopen(to_send, "w"), os.fdopen(answers, "r")
        self.dead = threading.Event()

    def kill(self) -> None:
        """Nobody can say no."""
        self.dead.set()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> int:
        """The exit code, once it is gone."""
        self.stdout.close()
        with suppress(OSError):
            self.stdin.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Client:
    """Sends parts, and remembers on disk what it was told."""

    def __init__(self, folder: Path) -> None:
        self.journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.told: dict[int, str] = {}
        self.sent: set[int] = set()
        self.next = 0

    def trial(self, folder: Path, url: str | None, rng: random.Random, longest: float) -> float:
        """Begin a station, load it, kill it at a random moment; how long it ran under load."""
        child = Child(folder, url)
        if not child.stdout.readline():
            raise Fault(f"the station did not begin again: exit code {child.close()}")
        seconds = rng.uniform(0, longest)
        killer = threading.Timer(seconds, child.kill)
        killer.start()
        sender = threading.Thread(target=self._send, args=(child,))
        sender.start()
        for line in child.stdout:
            if not line.endswith("\n"):
                break  # cut off by the kill: nobody has read it
            self._hear(json.loads(line))
        killer.join(), sender.join()
        if (code := child.close()) != -signal.SIGKILL:
            raise Fault(f"the station ended by itself: exit code {code}")
        return seconds

    def _send(self, child: Child) -> None:
        again = sorted(self.sent - self.told.keys())
        with suppress(OSError, ValueError):
            while not child.dead.is_set():
                number = again.pop(0) if again else self.next
                self.next = max(self.next, number + 1)
                self.sent.add(number)
                child.stdin.write(f"{number}\n")
                child.stdin.flush()

    def _hear(self, answer: dict[str, Any]) -> None:
        number, found = answer["part"], answer["hash"]
        if self.told.setdefault(number, found) != found:
            raise Fault(f"part {number} has two verdicts, {self.told[number][:12]} and {found[:12]}")
        os.write(self.journal, json.dumps(answer).encode() + b"\n")
        os.fsync(self.journal)


def look(folder: Path, url: str | None, client: Client, *, images: bool) -> int:
    """Verify the store against what the client was told; how many events there are."""
    store = Store.open(folder / "store", url)
    with store.reading() as engine:
        reader = Reader(engine, store)
        heads = {found: f"part {number}" for number, found in client.told.items()}
        checked = verify(reader, heads=heads, read_images=images)
        if checked.faults:
            raise Fault("; ".join(checked.shown[:5]))
        names = [part["key"] for part in reader.every_part()]
        if len(names) != len(set(names)) or not {f"part {number}" for number in client.told} <= set(names):
            raise Fault("a part is missing, or there twice")
        return checked.events


def run(kills: int, seed: int, url: str | None, folder: Path, longest: float) -> dict[str, Any]:
    """All trials."""
    rng, client = random.Random(seed), Client(folder)
    write_images(folder / "images", [*toy_part(PARTS - 8, seed=1).images, *toy_part(8, seed=2, defective=True).images])
    subprocess.run([sys.executable, "-c", LEARN, folder / "toy.amiss"], check=True)
    loaded, events = 0.0, 0
    for number in range(kills):
        loaded += client.trial(folder, url, rng, longest)
        if number % 10 == 9 or number == kills - 1:
            events = look(folder, url, client, images=number == kills - 1)
            print(f"{number + 1} kills, {len(client.told)} answers, {events} events", file=sys.stderr, flush=True)
    os.close(client.journal)
    database = "postgresql" if url else "sqlite"
    facts = {"database": database, "kills": kills, "seed": seed, "answers": len(client.told), "events": events}
    return {**facts, "seconds_under_load": round(loaded, 1), "lost": 0, "doubled": 0, "faults": 0}


def main() -> None:
    """Read the command line, run, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=2.0)
    parser.add_argument("--url")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = run(asked.kills, asked.seed, asked.url, Path(folder), asked.longest)
        found["minutes"] = round((time.monotonic() - began) / 60, 1)
    output = asked.output or RESULTS
    known = json.loads(output.read_text()) if output.is_file() else {}
    output.write_text(json.dumps({**known, found["database"]: found}, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
