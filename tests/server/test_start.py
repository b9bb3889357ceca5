"""How a server begins: whoever is told that it is ready is heard."""

from __future__ import annotations

import http.client
import shutil
import socket
import threading
from contextlib import closing
from pathlib import Path

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
