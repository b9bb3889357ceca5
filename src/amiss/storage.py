"""Nothing half-written: a file appears under its name complete and on disk, or not at all.

What is being written lies under a temporary name, locked as long as its writer lives, so that what a dead run has left
can be told from what another one is writing. `claim` tests a place before the work and holds it until the end.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from amiss.core.errors import AmissError, OutputError

UNFINISHED = ".amiss-unfinished"
"""Ending of temporary names and of locks."""

_DIGEST = hashlib.sha256().digest_size
_ROOM = 1 << 16  # bytes that must fit before work begins
_BINARY = getattr(os, "O_BINARY", 0)  # Windows


def write_file(path: Path, data: bytes) -> None:
    """Write under a temporary name in the same folder, force to disk, rename. Its mode is that of the umask.

    Raises:
        OutputError: It cannot be written; nothing has changed.
    """
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """As `write_file`, for what is too long to be in memory: a file to write to, which gets its name at the end.

    Raises:
        OutputError: It cannot be written; nothing has changed.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = _temporary(path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":  # while it is locked; Windows renames no open file
                    temporary.replace(path)
            if os.name == "nt":
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_files(files: Mapping[Path, bytes]) -> None:
    """As `write_file` for several files, forced to disk together, which takes hardly longer than one of them.

    Raises:
        OutputError: One cannot be written; others may have been.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            with _naming(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary[path], handle = _temporary(path.parent)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
        for path, beside in temporary.items():
            with _naming(path), beside.open("rb+") as file:
                os.fsync(file.fileno())
        for path, beside in temporary.items():
            with _naming(path):
                beside.replace(path)
        for folder in {path.parent for path in files}:
            with _naming(folder):
                sync_folder(folder)
    except BaseException:
        for beside in temporary.values():
            beside.unlink(missing_ok=True)
        raise


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files under a temporary name, force to disk, rename; an older one is replaced.

    Raises:
        OutputError: It cannot be written; nothing has changed.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = _temporary_folder(path.parent)
        try:
            for name, data in files.items():
                write_file(temporary / name, data)
            if not path.exists():
                temporary.replace(path)
            elif not _exchange(temporary, path):
                _replace(temporary, path)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # after success: gone, or the older folder
            if handle is not None:
                os.close(handle)


@contextmanager
def claim(path: Path, *, folder: bool) -> Iterator[None]:
    """Hold the place that a run is going to write to: tested before the work, and by no other run meanwhile.

    Missing folders are made, and removed again when nothing was written into them. What dead runs have left unfinished
    there is removed.

    Args:
        path: A file, or a folder of files, that may be there already or not.
        folder: Which of the two.

    Raises:
        OutputError: It cannot be written, or another run holds it.
    """
    with _naming(path), suppress(FileNotFoundError, NotADirectoryError):
        path.stat()  # says when there can be no such name
    if folder and path.exists() and not path.is_dir():
        raise OutputError(f"{path} must be a folder, got a file; choose another name")
    home = path if folder else path.parent
    mark = "" if folder else hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    lock = home / f".lock{mark}{UNFINISHED}"
    made: list[Path] = []
    try:
        with _naming(path):
            _make(home, made)
            handle = _hold(lock, path)
        try:
            with _naming(path):
                os.write(handle, bytes(_ROOM))
                os.fsync(handle)
                os.ftruncate(handle, 0)
                sweep(home)
            yield
        finally:
            _release(lock, handle)
    finally:
        for each in reversed(made):
            with suppress(OSError):  # something was written into it
                each.rmdir()


def sweep(folder: Path) -> None:
    """Remove what dead runs have left unfinished in a folder. What a live one is writing is locked, and stays."""
    for path in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):
            below = path.is_dir() and not path.is_symlink()
            handle = _open_folder(path, lock=False) if below else os.open(path, os.O_RDWR | _BINARY)
            if handle is None:
                continue
            try:
                dead = try_lock(handle)
                if dead and os.name != "nt":  # before the lock is given up
                    shutil.rmtree(path) if below else path.unlink()
            finally:
                os.close(handle)
            if dead and os.name == "nt":
                path.unlink()


def try_lock(handle: int) -> bool | None:
    """Lock an open file until it is closed or the process ends. False: another has it. None: no locks here."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


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
    data = entry_data(content, key)
    if data is None:
        with suppress(OSError):
            path.unlink()
    return data


def entry_data(content: bytes, key: str) -> bytes | None:
    """The data of the file of an entry; None where it is damaged or of another key."""
    data, digest = content[:-_DIGEST], content[-_DIGEST:]
    return data if digest == _entry_digest(data, key) else None


def _entry_digest(data: bytes, key: str) -> bytes:
    return hashlib.sha256(hashlib.sha256(key.encode()).digest() + data).digest()


def sync_folder(folder: Path) -> None:
    """Force names of a folder to disk, where the system can."""
    handle = _open_folder(folder, lock=False)
    if handle is None:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Every failure names the path that was asked for."""
    try:
        yield
    except AmissError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error
    except ValueError as error:  # a zero byte in the name
        raise OutputError(f"{str(path)!r} cannot be written ({error})") from error


def _name() -> str:
    return f".{secrets.token_hex(6)}{UNFINISHED}"


def _temporary(folder: Path) -> tuple[Path, int]:
    """A new file, locked. Between opening and locking, another run may sweep it away: then there is a next one."""
    while True:
        path = folder / _name()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        if try_lock(handle) is not False and os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)


def _temporary_folder(folder: Path) -> tuple[Path, int | None]:
    while True:
        path = folder / _name()
        path.mkdir()
        with suppress(FileNotFoundError):
            handle = _open_folder(path)
            if handle is None or os.fstat(handle).st_nlink:
                return path, handle
            os.close(handle)


def _open_folder(folder: Path, *, lock: bool = True) -> int | None:
    """A handle of a folder, locked when asked for; Windows has none."""
    if os.name == "nt":
        return None
    handle = os.open(folder, os.O_RDONLY)
    if lock:
        try_lock(handle)
    return handle


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it; `made` gets the new ones."""
    if not folder.is_dir():
        if folder.parent != folder:
            _make(folder.parent, made)
        with suppress(FileExistsError):
            folder.mkdir()
            made.append(folder)
        if not folder.is_dir():
            raise NotADirectoryError(20, f"{folder} is not a folder")


def _hold(lock: Path, path: Path) -> int:
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
        if try_lock(handle) is False:
            os.close(handle)
            raise OutputError(f"{path} is being written by another run; wait for its end, or choose another name")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        os.close(handle)  # its last holder has removed it meanwhile


def _release(lock: Path, handle: int) -> None:
    if os.name != "nt":
        lock.unlink(missing_ok=True)
    os.close(handle)
    if os.name == "nt":
        with suppress(OSError):
            lock.unlink(missing_ok=True)


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
