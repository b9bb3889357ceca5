"""A real `amiss serve` in a process of its own, and a plain client of it."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from amiss.testing import toy_part


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server, and who asks it.

    Args:
        folder: With amiss.toml and the store.
        process: The server.
        port: Where it listens.
        headers: Sent with every request.
    """

    folder: Path
    process: subprocess.Popen[str]
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.ask("POST", path, body, **headers)

    def log_in(self, name: str, password: str) -> Running:
        """The same server, asked by a person."""
        reply = self.post("/login", {"name": name, "password": password})
        assert reply.status == 200, reply.body
        return Running(self.folder, self.process, self.port, {"cookie": reply.headers["set-cookie"].split(";")[0]})

    def bearing(self, token: str) -> Running:
        """The same server, asked with a token."""
        return Running(self.folder, self.process, self.port, {"authorization": f"Bearer {token}"})

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


def png(seed: int, *, defective: bool = False) -> bytes:
    """A toy part as a file."""
    image = toy_part(1, seed=seed, defective=defective).images[0]
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


def amiss(folder: Path, *words: object, said: str = "") -> str:
    """A command in the folder of a server; what it prints."""
    command = [sys.executable, "-m", "amiss.cli", *map(str, words)]
    done = subprocess.run(command, cwd=folder, input=said, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def start(
    folder: Path, *, more: str = "", port: int = 0, audit: float = 0.0, wait: float = 60.0, **environment: str
) -> Running:
    """Serve the recipe "toy" of toy.amiss in a folder."""
    settings = folder / "amiss.toml"
    if not settings.exists():
        settings.write_text(
            f'[station]\nname = "test"\ndeadline_ms = 20000\n[http]\nport = {port}\n[audit]\nrate = {audit}\n'
            f'[recipe.toy]\nartefact = "toy.amiss"\n{more}'
        )
    command = [sys.executable, "-m", "amiss.cli", "serve", "amiss.toml"]
    with (folder / "server.log").open("a") as log:
        around = {**os.environ, "AMISS_THREADS": "1", **environment}
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env=around)
    atexit.register(process.kill)  # a test that fails leaves nothing behind
    assert process.stdout is not None
    until = time.monotonic() + wait
    while time.monotonic() < until:
        line = process.stdout.readline()
        if found := re.search(r"Open https?://[^:]+:(\d+)/", line):
            return Running(folder, process, int(found[1]))
        if not line:
            break
    process.kill()
    process.communicate()
    raise AssertionError(f"it does not begin: {(folder / 'server.log').read_text()}")
