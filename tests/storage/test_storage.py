"""Places that are written to: tested before the work, held by one run, swept of what dead runs have left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amiss.core.errors import OutputError
from amiss.storage import UNFINISHED, claim, sweep, write_file, write_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes and locks of files are others there")


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_the_umask_counts(tmp_path: Path, umask: None) -> None:
    write_file(tmp_path / "file", b"a")
    write_folder(tmp_path / "folder", {"inside": b"b"})
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "folder", "folder/inside")]
    assert modes == [0o640, 0o750, 0o640]


@pytest.mark.parametrize("folder", [True, False])
def test_a_place_is_left_as_it_was(tmp_path: Path, folder: bool) -> None:
    with claim(tmp_path / "a" / "b" / "c", folder=folder):
        assert (tmp_path / "a" / "b").is_dir()
    assert not list(tmp_path.iterdir())
    with claim(tmp_path / "a" / "b" / "c", folder=folder):
        write_file(tmp_path / "a" / "b" / "c" / "file" if folder else tmp_path / "a" / "b" / "c", b"kept")
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"kept"]


@pytest.mark.parametrize("name", ["file/below/x", "proc", "a" * 300, "zero\0byte"])
@pytest.mark.parametrize("folder", [True, False])
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str, folder: bool) -> None:
    (tmp_path / "file").write_text("in the way")
    path = Path("/proc/nowhere/x") if name == "proc" else tmp_path / name
    with (
        pytest.raises(OutputError, match=r"(nowhere/x|below/x|aaa|byte').* cannot be written"),
        claim(path, folder=folder),
    ):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file must be a folder, got a file"), claim(tmp_path / "file", folder=True):
        pass


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file/x cannot be written"):
        write_file(tmp_path / "file" / "x", b"")
    with pytest.raises(OutputError, match=r"file/x cannot be written"):
        write_folder(tmp_path / "file" / "x", {"a": b""})


def test_one_run_at_a_time(tmp_path: Path) -> None:
    for folder in (True, False):
        with claim(tmp_path / "out", folder=folder):
            with pytest.raises(OutputError, match="out is being written by another run"):
                claim(tmp_path / "out", folder=folder).__enter__()
            with claim(tmp_path / "other", folder=folder):
                pass
        with claim(tmp_path / "out", folder=folder):
            pass


HOLD = """
import os, sys, time
from pathlib import Path
from amiss import storage
home = Path(sys.argv[1])
held = storage.claim(home / "out", folder=True)
held.__enter__()
storage._temporary(home / "out")
folder, _ = storage._temporary_folder(home / "out")
(folder / "inside").write_text("x")
print("ready", flush=True)
time.sleep(60)
"""


def test_what_a_killed_run_leaves_is_taken_over_and_swept(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        out = tmp_path / "out"
        with pytest.raises(OutputError, match="another run"):
            claim(out, folder=True).__enter__()
        sweep(out)
        assert len([path for path in out.iterdir() if path.name.endswith(UNFINISHED)]) == 3  # it lives
    finally:
        child.kill()
        child.communicate()
    (out / ".mine").write_text("no business of ours")
    with claim(out, folder=True):
        pass
    assert [path.name for path in out.iterdir()] == [".mine"]
