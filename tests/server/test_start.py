"""How a server begins: whoever is told that it is ready is heard."""

from __future__ import annotations

import http.client
import shutil
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from amiss.core.errors import OutputError
from amiss.server.run import _watch
from tests.server.running import start


def test_ready_is_said_only_once_it_listens(toy_model: Path, tmp_path: Path) -> None:
    """What systemd begins on READY=1 asks at once; a server that listens a moment later would refuse it."""
    shutil.copy(toy_model, tmp_path)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[object] = []
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(60)

        def hear() -> None:
            while channel.recv(4096) != b"READY=1":
                pass
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                    connection.request("GET", "/readyz")
                    said.append(connection.getresponse().status)
            except OSError as error:
                said.append(error)

        asks = threading.Thread(target=hear)
        asks.start()
        running = start(tmp_path, port=port, NOTIFY_SOCKET=str(tmp_path / "notify"))
        asks.join(timeout=60)
        assert running.stop() == 0
    assert said == [200]


def test_a_source_that_is_stopped_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a share for results comes later than the server; it is said once."""
    monkeypatch.setattr("amiss.server.run._AGAIN", 0.01)
    ends, told = threading.Event(), list[str]()
    fails = [OutputError("the share cannot be written"), OutputError("the share cannot be written"), KeyError("name")]

    class Source:
        def run(self, ends: threading.Event) -> None:
            if fails:
                raise fails.pop(0)
            ends.set()

    thread = threading.Thread(target=_watch, args=("camera", Source(), ends, told.append))
    thread.start(), thread.join(timeout=20)
    assert ends.is_set() and not fails
    assert told == [
        "camera takes no parts: the share cannot be written; it tries again",
        "camera takes no parts: KeyError: 'name'; it tries again",
    ]
