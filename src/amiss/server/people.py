"""Who may do what: persons with passwords, tokens of machines, sessions of browsers.

Persons and tokens are a file of the store, people.json, which only the command line changes: whoever can write the
store is the administrator. Passwords are kept as scrypt hashes, tokens as SHA-256. Sessions are in memory: after a
restart everybody logs in again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amiss.core.errors import DataError, InputError
from amiss.storage import write_file

FILE = "people.json"
HOURS = 12
"""Of one session."""

QUEUE = 1.0
"""Seconds that a log-in waits for its turn, as one password is checked at a time; then it is asked to come again."""

FAILURES, PAUSE = 5, 30.0
"""After so many wrong passwords in a row a name has to wait for so many seconds, and each time twice as long."""

ROLES = {
    "operator": frozenset({"read", "label"}),
    "engineer": frozenset({"read", "label", "change", "trace"}),
    "auditor": frozenset({"read", "trace", "replay"}),
    "local": frozenset({"read", "label", "change", "trace", "replay", "inspect", "metrics"}),
}
"""What each may do; "local" is everybody at this machine, as long as there are no persons."""

SCOPES = frozenset({"inspect", "read", "metrics"})
"""What a token may be for."""

_COST = {"n": 2**14, "r": 8, "p": 1, "maxmem": 64 * 2**20, "dklen": 32}


@dataclass(frozen=True)
class Who:
    """Whoever asks.

    Args:
        name: Of the person or the token.
        role: One of `ROLES`, or "token".
        may: What is allowed.
    """

    name: str
    role: str
    may: frozenset[str]


LOCAL = Who("local", "local", ROLES["local"])


class People:
    """Persons and tokens of a store.

    Args:
        folder: Of the store.
        clock: Seconds; for tests.
    """

    def __init__(self, folder: Path, clock: Any = time.monotonic) -> None:
        self._path, self._clock = folder / FILE, clock
        self._lock = threading.Lock()
        self._hashing = threading.Lock()  # one at a time, whatever the names: scrypt takes a core, which scores parts
        self._sessions: dict[str, tuple[str, str, float]] = {}
        self._failed: dict[str, tuple[int, float]] = {}
        self._read: tuple[Any, dict[str, Any]] | None = None

    @property
    def any(self) -> bool:
        """Whether there is a person."""
        return bool(self._data["persons"])

    def names(self) -> list[tuple[str, str]]:
        """Every person and token, with its role or scopes."""
        data = self._data
        persons = [(name, one["role"]) for name, one in data["persons"].items()]
        return persons + [(name, "token: " + ", ".join(one["scopes"])) for name, one in data["tokens"].items()]

    def add_person(self, name: str, role: str, password: str) -> None:
        """Add a person, or change role and password of one.

        Raises:
            InputError: Not a name or role, or a password of fewer than 8 characters.
        """
        _check_name(name)
        if role not in ROLES or role == "local":
            raise InputError(f"role must be operator, engineer or auditor, got {role!r}")
        if len(password) < 8:
            raise InputError(f"password must have at least 8 characters, got {len(password)}")
        salt = secrets.token_bytes(16)
        data = self._data
        data["persons"][name] = {"role": role, "salt": salt.hex(), "hash": _hash(password, salt)}
        self._write(data)

    def add_token(self, name: str, scopes: list[str], days: float | None) -> str:
        """Add a token, or make the one of this name anew.

        Returns:
            The token: it is shown once and not kept.

        Raises:
            InputError: Not a name, or another scope.
        """
        _check_name(name)
        if not scopes or not set(scopes) <= SCOPES:
            raise InputError(f"scopes must be of {', '.join(sorted(SCOPES))}, got {', '.join(scopes) or 'none'}")
        token = f"amiss_{secrets.token_urlsafe(32)}"
        until = None if days is None else time.time() + 86400 * days
        data = self._data
        data["tokens"][name] = {"sha256": _digest(token), "scopes": sorted(set(scopes)), "until": until}
        self._write(data)
        return token

    def remove(self, name: str) -> None:
        """Remove a person or token of this name.

        Raises:
            InputError: There is none.
        """
        data = self._data
        if data["persons"].pop(name, None) is None and data["tokens"].pop(name, None) is None:
            raise InputError(f"name must be that of a person or token, got {name!r}")
        self._write(data)

    def log_in(self, name: str, password: str) -> tuple[str, Who] | float:
        """A new session, or the seconds to wait; 0 when name or password are wrong."""
        if (seconds := self._pause(name)) > 0:
            return seconds
        if not self._hashing.acquire(timeout=QUEUE):  # nobody may hold all threads of the server by guessing
            return QUEUE
        try:
            if (seconds := self._pause(name)) > 0:
                return seconds
            person: dict[str, Any] | None = self._data["persons"].get(name)
            salt = bytes.fromhex(person["salt"]) if person else b"\0" * 16  # a name that is not there takes as long
            right = hmac.compare_digest(_hash(password, salt), person["hash"] if person else "")
            if person is None or not right:
                self._fail(name)
                return 0.0
            self._failed.pop(name, None)
        finally:
            self._hashing.release()
        session, role = secrets.token_urlsafe(32), str(person["role"])
        with self._lock:
            self._sessions = {key: one for key, one in self._sessions.items() if one[2] > self._clock()}
            self._sessions[_digest(session)] = (name, _password_of(person), self._clock() + 3600 * HOURS)
        return session, Who(name, role, ROLES[role])

    def _pause(self, name: str) -> float:
        """Seconds for which a name has to wait."""
        _, until = self._failed.get(name, (0, 0.0))
        return float(until - self._clock())

    def _fail(self, name: str) -> None:
        """Count a wrong password."""
        count = self._failed.get(name, (0, 0.0))[0] + 1
        pause = PAUSE * 2 ** (count - FAILURES) if count >= FAILURES else 0.0
        if len(self._failed) > 10_000:
            self._failed.clear()
        self._failed[name] = (count, self._clock() + min(pause, 3600.0))

    def log_out(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(session), None)

    def of_session(self, session: str) -> Who | None:
        """Whose session it is: with the role that the person has now; nobody's once the password is another one."""
        name, password, until = self._sessions.get(_digest(session), ("", "", 0.0))
        if until <= self._clock():
            return None
        person = self._data["persons"].get(name)
        if person is None or not hmac.compare_digest(_password_of(person), password):
            return None
        return Who(name, person["role"], ROLES[person["role"]])

    def of_token(self, token: str) -> Who | None:
        """Whose token it is."""
        digest = _digest(token)
        for name, one in self._data["tokens"].items():
            if hmac.compare_digest(one["sha256"], digest) and (one["until"] is None or one["until"] > time.time()):
                return Who(name, "token", frozenset(one["scopes"]))
        return None

    @property
    def _data(self) -> dict[str, Any]:
        """The file as it is now; read again when it has changed."""
        try:
            status = self._path.stat()
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._read is None or self._read[0] != state:
                self._read = state, json.loads(self._path.read_text(encoding="utf-8"))
            found: dict[str, Any] = json.loads(json.dumps(self._read[1]))
        except FileNotFoundError:
            return {"persons": {}, "tokens": {}}
        except (OSError, ValueError) as error:
            raise DataError(f"{self._path} cannot be read ({error})") from error
        return found

    def _write(self, data: dict[str, Any]) -> None:
        before = os.umask(0o077)  # for nobody else's eyes
        try:
            write_file(self._path, json.dumps(data, indent=1).encode())
        finally:
            os.umask(before)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w][\w .@-]{0,63}", name):
        raise InputError(f"name must be 1 to 64 letters, digits, blanks, dots, dashes, got {name!r}")


def _hash(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, **_COST).hex()


def _password_of(person: dict[str, Any]) -> str:
    """What tells a password from the one before, and a person from another of the same name: the salts are new."""
    return _digest(f"{person['salt']} {person['hash']}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
