"""What a server must survive: kill -9 under load, damaged requests by the thousand, floods; what it said is on disk."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import signal
import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from tests.server.running import Running, png, start

pytestmark = pytest.mark.service
KILLS = 20
FILES = [png(seed, defective=seed % 3 == 0) for seed in range(24)]


class Client(threading.Thread):
    """Posts parts, each with a key, again until it has an answer; writes down what it was told."""

    def __init__(self, number: int, address: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.number, self.address, self.told, self.ends = number, address, {}, threading.Event()

    def run(self) -> None:
        part = 0
        while not self.ends.is_set():
            key = f"{self.number}-{part}"
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self.address["port"], timeout=5)) as connection:
                    connection.request(
                        "POST", "/api/v1/parts?recipe=toy", FILES[part % len(FILES)], {"Idempotency-Key": key}
                    )
                    answer = connection.getresponse()
                    body = answer.read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if answer.status == 200:
                self.told[key] = json.loads(body)
                part += 1
            else:
                time.sleep(0.01)


def test_what_clients_were_told_survives_kill_9(toy_model: Path, tmp_path: Path) -> None:
    shutil.copy(toy_model, tmp_path)
    rng, address = random.Random(0), {"port": 0}
    running = start(tmp_path)
    address["port"] = running.port
    clients = [Client(number, address) for number in range(3)]
    for client in clients:
        client.start()
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.1, 1.2))
        running.stop(signal.SIGKILL)
        running = start(tmp_path)
        address["port"] = running.port
    for client in clients:
        client.ends.set()
        client.join(timeout=20)
    assert running.stop() == 0
    told = {key: one for client in clients for key, one in client.told.items()}
    assert len(told) > 10 * KILLS
    store = Store.open(tmp_path / "store")
    with store.reading() as engine:
        reader = Reader(engine, store)
        assert verify(reader, read_images=True).faults == 0
        parts = {part["key"]: part for part in reader.every_part()}
        assert len(parts) == sum(1 for _ in reader.events(kind="judged")), "a part was judged twice"
        for key, one in told.items():
            part = parts[f"http {key}"]
            assert (part["id"], part["label"], part["seq"]) == (one["id"], one["label"], one["seq"])
            assert not one["accept"] or (part["label"] == "good" and not part["late"])


def damaged(rng: random.Random, whole: bytes) -> bytes:
    """A request with some of its bytes changed, cut out, doubled or cut off."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) or 1)
        kind = rng.randrange(4)
        if kind == 0 and data:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at : at + rng.randint(1, 40)]
        elif kind == 2:
            data[at:at] = data[at : at + rng.randint(1, 40)]
        else:
            del data[at:]
            break
    return bytes(data)


def test_damaged_requests_never_accept_and_never_stop_it(toy_model: Path, tmp_path: Path) -> None:
    shutil.copy(toy_model, tmp_path)
    running, rng = start(tmp_path), random.Random(1)
    image = FILES[0]  # anomalous: no damage makes it good, and a damaged file is an error
    body = b'{"inputs": [{"name": "pixels", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [1, 2, 3]}]}'
    wholes = [
        b"POST /api/v1/parts?recipe=toy HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(image) + image,
        b"POST /v2/models/toy/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body,
        b"GET /api/v1/parts?limit=3 HTTP/1.1\r\nhost: localhost\r\ncookie: amiss_session=x\r\n\r\n",
        b"POST /login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /api/v1/parts?recipe=toy HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n",
    ]
    accepted = 0
    for number in range(10_000):
        with closing(socket.create_connection(("127.0.0.1", running.port), timeout=5)) as raw, suppress(OSError):
            raw.sendall(damaged(rng, wholes[number % len(wholes)]))
            raw.shutdown(socket.SHUT_WR)
            said = b""
            while piece := raw.recv(65536):
                said += piece
            accepted += b'"accept":true' in said
        if number % 1000 == 0:
            assert running.get("/healthz").status == 200
    assert accepted == 0
    assert running.get("/healthz").status == 200 and running.stop() == 0
    assert '"trace"' not in (tmp_path / "server.log").read_text(), (tmp_path / "server.log").read_text()[-3000:]


def test_a_flood_of_connections_and_large_bodies_leaves_it_alive(toy_model: Path, tmp_path: Path) -> None:
    shutil.copy(toy_model, tmp_path)
    running = start(tmp_path)
    held = []
    for _ in range(200):
        raw = socket.create_connection(("127.0.0.1", running.port), timeout=5)
        raw.sendall(b"POST /api/v1/parts?recipe=toy HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999\r\n\r\n")
        held.append(raw)
    time.sleep(1)
    refused = 0
    for raw in held:
        raw.setblocking(False)
        with suppress(BlockingIOError):
            refused += raw.recv(100).startswith(b"HTTP/1.1 503")
    assert refused >= 200 - 64, "more are held than there are places"
    for raw in held:
        raw.close()
    until = time.monotonic() + 15
    while time.monotonic() < until and busy(running) != 200:
        time.sleep(0.2)
    assert running.get("/healthz").status == 200
    large = running.ask("POST", "/api/v1/parts?recipe=toy", b"", content_length=str(10**12))
    assert large.status == 413
    assert running.stop() == 0


def busy(running: Running) -> int:
    """Status of a plain question."""
    with suppress(OSError, http.client.HTTPException):
        return running.get("/healthz").status
    return 0
