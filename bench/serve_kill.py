"""kill -9 `amiss serve` while clients post: what a client was told is on disk, nothing is half-written or judged twice.

    python -m bench.serve_kill                200 kills of SQLite
    python -m bench.serve_kill --kills 20     a few

Each client posts parts with a key of their own over HTTP, again until it has an answer, and keeps a journal, forced to
disk, of every verdict it was told. The server, the whole `amiss serve` with its children, is killed at a random moment
and begun again on the same store. After every tenth kill the record is verified and compared with the journals; after
the last one with every kept image read. Results go to docs/results/serve_kill.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2

from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.testing import toy_part

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "serve_kill.json"
CLIENTS = 3
PATIENCE = 20.0  # seconds that so many answers may take

LEARN = """
import sys, amiss
from amiss.testing import toy_part
images = toy_part(180, seed=0).images
amiss.fit(images, method="padim", preset="tiny", size=64, rule="triage:20%,1%", calibration=0.6).save(sys.argv[1])
"""

SETTINGS = """[station]
deadline_ms = 20000
[http]
port = 0
[audit]
rate = 0.1
[recipe.toy]
artefact = "toy.amiss"
"""


class Fault(Exception):
    """Something was lost, doubled, changed or half-written."""


def part_files(count: int = 24) -> list[bytes]:
    """Toy parts as files, every third one defective."""
    images = [toy_part(1, seed=seed, defective=seed % 3 == 0).images[0] for seed in range(count)]
    return [cv2.imencode(".png", image[:, :, ::-1])[1].tobytes() for image in images]


class Client(threading.Thread):
    """Posts parts, each with a key, again until it has an answer; writes down what it was told.

    Args:
        number: Of the client.
        port: Where the server listens by now, under "port".
        files: The images.
        journal: A file of its own.
    """

    def __init__(self, number: int, port: dict[str, int], files: list[bytes], journal: Path) -> None:
        super().__init__(daemon=True)
        self.number, self.port, self.files = number, port, files
        self.told: dict[str, dict[str, Any]] = {}
        self.ends = threading.Event()
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def run(self) -> None:
        """Until `ends`."""
        part = 0
        while not self.ends.is_set():
            key = f"{self.number}-{part}"
            try:
                status, body = self._post(key, self.files[part % len(self.files)])
            except (OSError, http.client.HTTPException):  # it is dead just now
                time.sleep(0.02)
                continue
            if status == 200:
                os.write(self._journal, body + b"\n")
                os.fsync(self._journal)
                self.told[key] = json.loads(body)
                part += 1
            else:
                time.sleep(0.01)
        os.close(self._journal)

    def _post(self, key: str, data: bytes) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port["port"], timeout=5)) as connection:
            connection.request("POST", "/api/v1/parts?recipe=toy", data, {"Idempotency-Key": key})
            answer = connection.getresponse()
            return answer.status, answer.read()


def begin(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """`amiss serve` in a folder, once it listens, and its port."""
    command = [sys.executable, "-m", "amiss.cli", "serve", "amiss.toml"]
    around = {**os.environ, "AMISS_THREADS": "1"}
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env=around)
    for line in process.stdout or ():
        if found := re.search(r"Open https?://[^:]+:(\d+)/", line):
            return process, int(found[1])
    raise Fault(f"the server does not begin again: {(folder / 'server.log').read_text()[-2000:]}")


def end(process: subprocess.Popen[str], number: int) -> int:
    """Its exit code after a signal."""
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


def look(folder: Path, told: dict[str, dict[str, Any]], *, images: bool = False) -> int:
    """Compare the record with what clients were told; how many events there are.

    Raises:
        Fault: They differ, or the record is not sound.
    """
    store = Store.open(folder / "store")
    with store.reading() as engine:
        reader = Reader(engine, store)
        checked = verify(reader, heads={one["hash"]: f"part {key}" for key, one in told.items()}, read_images=images)
        if checked.faults:
            raise Fault("; ".join(checked.shown[:5]))
        parts = {part["key"]: part for part in reader.every_part()}
        if len(parts) != sum(1 for _ in reader.events(kind="judged")):
            raise Fault("a part was judged twice")
        for key, one in told.items():
            part = parts.get(f"http {key}")
            if part is None or (part["id"], part["label"], part["seq"]) != (one["id"], one["label"], one["seq"]):
                raise Fault(f"part {key} is not in the record as its client was told")
            if one["accept"] and (part["label"] != "good" or part["late"]):
                raise Fault(f"part {key} was accepted, and must not have been")
        return checked.events


def under_load(clients: list[Client], rng: random.Random, most: int = 60) -> float:
    """Let clients post until a random number of answers more have come, and a moment; the seconds that took."""
    began = time.monotonic()
    wanted = sum(len(client.told) for client in clients) + rng.randint(1, most)
    while sum(len(client.told) for client in clients) < wanted and time.monotonic() - began < PATIENCE:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.1))  # somewhere within the next part
    return time.monotonic() - began


def run(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill it so many times; what there is to say of it.

    Args:
        kills: How many.
        seed: Of the moments.
        folder: Empty.

    Raises:
        Fault: Something was lost, doubled, changed or half-written.
    """
    subprocess.run([sys.executable, "-c", LEARN, folder / "toy.amiss"], check=True)
    (folder / "amiss.toml").write_text(SETTINGS)
    rng, port, files = random.Random(seed), {"port": 0}, part_files()
    process, port["port"] = begin(folder)
    clients = [Client(number, port, files, folder / f"journal{number}") for number in range(CLIENTS)]
    for client in clients:
        client.start()
    loaded = 0.0
    for number in range(1, kills + 1):
        loaded += under_load(clients, rng)
        if end(process, signal.SIGKILL) != -signal.SIGKILL:
            raise Fault("the server ended by itself")
        if number % 10 == 0:
            told = {key: one for client in clients for key, one in [*client.told.items()]}
            events = look(folder, told)
            print(f"{number} kills, {len(told)} answers, {events} events", file=sys.stderr, flush=True)
        process, port["port"] = begin(folder)
    for client in clients:
        client.ends.set()
    for client in clients:
        client.join(timeout=30)
    code = end(process, signal.SIGTERM)
    told = {key: one for client in clients for key, one in client.told.items()}
    facts = {"kills": kills, "seed": seed, "clients": CLIENTS, "answers": len(told)}
    facts |= {"events": look(folder, told, images=True), "accepted": sum(one["accept"] for one in told.values())}
    return {**facts, "seconds_under_load": round(loaded, 1), "exit_code": code, "lost": 0, "doubled": 0, "faults": 0}


def main() -> None:
    """Read the command line, run, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(asked.kills, asked.seed, Path(folder))
    asked.output.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
