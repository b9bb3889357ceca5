"""`Store`: the folder of a station, with its events, the images it keeps, and the models that judged.

amiss-store.json      which station this is; the marker without which nothing here is ever deleted
ledger.sqlite         events and projections, unless they lie in PostgreSQL
images/ab/abcd...     images by their SHA-256, as they came
models/abcd....amiss  artefacts by their fingerprint
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from amiss.core.errors import DataError, InputError
from amiss.core.plain_json import parse_json
from amiss.ledger import database
from amiss.storage import claim, write_file

MARKER = "amiss-store.json"
FORMAT = 1

_SHARES = {"cifs", "smb3", "smbfs", "nfs", "nfs4", "9p", "afs", "ncpfs", "fuse.sshfs", "fuse.s3fs", "fuse.davfs2"}
"""File systems of other machines, whose locks and syncs a database cannot trust."""


@dataclass(frozen=True)
class Store:
    """Where a station keeps its record.

    Args:
        folder: The folder.
        station: Name of the station whose chain is written here.
        url: Of PostgreSQL, without a password; None for SQLite in the folder.
        secret: Key of random draws of this station, hex: nobody without it can tell which part will be drawn.
    """

    folder: Path
    station: str
    url: str | None
    secret: str

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def place(self) -> Path | URL:
        """Where the database is."""
        return self.folder / "ledger.sqlite" if self.url is None else database.parse_url(self.url)

    @property
    def images(self) -> Path:
        """Folder of the images."""
        return self.folder / "images"

    def image(self, sha256: str) -> Path:
        """Where an image lies, if it is kept."""
        return self.images / sha256[:2] / sha256

    def model(self, fingerprint: str) -> Path:
        """Where an artefact lies."""
        return self.folder / "models" / f"{fingerprint}.amiss"

    @classmethod
    def open(cls, folder: str | Path, url: str | None = None) -> Store:
        """A store that is there.

        Args:
            folder: The folder.
            url: Of its PostgreSQL, with user and, where it must be so, password; None for the one it was made with.

        Raises:
            DataError: There is none, or its marker cannot be read.
        """
        folder = Path(folder)
        marker = folder / MARKER
        try:
            found = parse_json(marker.read_bytes())
        except OSError as error:
            raise DataError(f"{folder}: not a store, {MARKER} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise DataError(f"{marker}: must be JSON ({error})") from error
        known = isinstance(found, dict) and {"format", "station", "url", "secret"} <= set(found)
        if not known or found["format"] != FORMAT:
            raise DataError(f"{marker}: must be that of a store of format {FORMAT}")
        return cls(folder, found["station"], url or found["url"], found["secret"])

    @classmethod
    def make(cls, folder: str | Path, station: str | None = None, url: str | None = None) -> Store:
        """The store in a folder, which is made when there is none.

        Args:
            folder: Empty or missing, or a store.
            station: Letters, digits, blanks, dots, dashes and underscores, up to 64; "station" for a new store when
                None. Fixed once the store is made.
            url: Of PostgreSQL; None for SQLite, or for the one it was made with.

        Raises:
            DataError: The folder holds other things, or is on another machine.
            InputError: A name or URL that cannot be one, or another station than that of the store.
            OutputError: It cannot be written.
        """
        folder = Path(folder)
        if (folder / MARKER).exists():
            store = cls.open(folder, url)
            if station is not None and station != store.station:
                raise InputError(f"station must be {store.station!r}, whose store {folder} is, got {station!r}")
            return store
        name = "station" if station is None else station
        if not re.fullmatch(r"[\w .-]{1,64}", name) or name != name.strip():
            raise InputError(
                f"station must be 1 to 64 letters, digits, blanks, dots, dashes, underscores, got {name!r}"
            )
        bare = None if url is None else _without_password(url)
        refuse_share(folder)
        if folder.is_dir() and any(not one.name.startswith(".") for one in folder.iterdir()):
            raise DataError(f"{folder}: holds other things than a store; choose an empty or new folder")
        new = cls(folder, name, url, secrets.token_hex(32))
        with claim(folder, folder=True):
            marker = {"format": FORMAT, "station": name, "url": bare, "secret": new.secret}
            write_file(folder / MARKER, json.dumps(marker, indent=2).encode())
            (folder / MARKER).chmod(0o600)
        return new

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only process that writes here.

        Raises:
            OutputError: Another one does, or the folder cannot be written.
        """
        refuse_share(self.folder)
        with claim(self.folder, folder=True):
            yield

    @contextmanager
    def reading(self) -> Iterator[Engine]:
        """An engine that reads, of the schema of this Amiss.

        Raises:
            DataError: The database is missing, of another schema, or cannot be read.
        """
        engine = database.reading_engine(self.place)
        with database.working(self, reading=True):
            with engine.connect() as connection:
                database.check_schema(connection, older=False)
            yield engine


def refuse_share(folder: Path) -> None:
    """A store on another machine's disk would lose what was answered.

    Raises:
        DataError: The folder lies on a network share.
    """
    kind = file_system(folder)
    if kind in _SHARES:
        raise DataError(f"{folder}: a store must lie on a disk of this machine, got a share ({kind})")


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Kind of file system that a folder lies on, or will; "" where it is not known.

    Args:
        folder: Need not exist.
        mounts: What is mounted where, as Linux tells it.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    real, found, kind = os.path.realpath(folder), "", ""
    for line in lines:
        words = line.split(" ")
        if len(words) > 2:
            point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), words[1])
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(found):
                found, kind = point, words[2]
    return kind


def _without_password(url: str) -> str:
    bare = database.parse_url(url)._replace(drivername="postgresql", password=None)
    return bare.render_as_string(hide_password=False)
