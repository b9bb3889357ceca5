"""Nothing half-written: a file appears under its name complete and on disk, or not at all."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_DIGEST = hashlib.sha256().digest_size


def write_file(path: Path, data: bytes) -> None:
    """Write under a temporary name in the same folder, force to disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def cache_folder() -> Path:
    """Where what can be made again is kept: AMISS_CACHE, else XDG_CACHE_HOME/amiss, else ~/.cache/amiss.

    Raises:
        RuntimeError: None of these is known.
    """
    given, user = os.environ.get("AMISS_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else (Path(user) if user else Path.home() / ".cache") / "amiss"


def write_entry(path: Path, data: bytes, key: str) -> None:
    """Write an entry of a cache: the data, then the SHA-256 of key and data, by which `read_entry` knows both."""
    write_file(path, data + _entry_digest(data, key))


def read_entry(path: Path, key: str) -> bytes | None:
    """The data of an entry of a cache, or None where there is none.

    An entry that is damaged, or was written for another key, is thrown away: what is in a cache can be made again.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    data, digest = content[:-_DIGEST], content[-_DIGEST:]
    if digest == _entry_digest(data, key):
        return data
    with suppress(OSError):
        path.unlink()
    return None


def _entry_digest(data: bytes, key: str) -> bytes:
    return hashlib.sha256(hashlib.sha256(key.encode()).digest() + data).digest()


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files under a temporary name, force to disk, rename; an older one is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for name, data in files.items():
            write_file(temporary / name, data)
        temporary.chmod(0o755)
        if not path.exists():
            temporary.replace(path)
        elif not _exchange(temporary, path):
            _replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # after success: gone, or the older folder


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step. Linux can; elsewhere False and nothing has happened."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _replace(new: Path, old: Path) -> None:
    """Replace a folder in two steps; the first is undone when the second fails."""
    aside = new.with_name(f"{new.name}.old")
    old.replace(aside)
    try:
        new.replace(old)
    except BaseException:
        aside.replace(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
