"""What a server must survive: kill -9 under load, damaged requests by the thousand, floods; what it said is on disk."""

from __future__ import annotations

import http.client
import random
import shutil
import socket
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from bench.serve_kill import run

from tests.server.running import Running, png, start

pytestmark = pytest.mark.service
KILLS = 20
FILES = [png(seed, defective=seed % 3 == 0) for seed in range(24)]


def test_what_clients_were_told_survives_kill_9(tmp_path: Path) -> None:
    found = run(KILLS, 0, tmp_path)
    assert found["answers"] > 10 * KILLS and found["exit_code"] == 0 and found["accepted"] > 0, found


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
