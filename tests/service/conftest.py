"""What needs a database server, a disk of its own, or to trace system calls; skipped with a reason where it cannot."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import toy_model  # noqa: F401  a fixture
from tests.station.toy_station import inspector, model, station

collect_ignore = ["clients"]
"""Programs for environments of their own."""

__all__ = ["inspector", "model", "station"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file is run by one process, as its fixtures are dear; and all that kill the workers of blocks by one."""
    for item in items:
        if "tests/service" in item.path.as_posix():
            item.add_marker(pytest.mark.service)
            item.add_marker(pytest.mark.xdist_group("shards" if "shards" in item.path.stem else item.path.stem))


@pytest.fixture(scope="session")
def postgresql() -> Iterator["Server"]:
    """A server of Debian's package, as the user postgres, who owns it: initdb refuses root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.skip("PostgreSQL is not installed, or this is not root: apt-get install postgresql")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        server = Server(found[-1].parent, Path(folder))
        server.make()
        try:
            yield server
        finally:
            server.stop()


class Server:
    """One PostgreSQL on a socket of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder, self.data = programs, folder, folder / "data"

    def run(self, program: str, *words: object) -> None:
        command = ["runuser", "-u", "postgres", "--", self.programs / program, *words]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def make(self) -> None:
        shutil.chown(self.folder, "postgres")
        self.run("initdb", "-D", self.data, "-A", "trust", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c max_connections=40"
        self.run("pg_ctl", "start", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-D", self.data, "-m", "immediate", "-w")

    def database(self, name: str) -> str:
        """A new database; its URL."""
        self.run("createdb", "-h", self.folder, name)
        return f"postgresql://postgres@/{name}?host={self.folder}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
