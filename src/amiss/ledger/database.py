"""Opening the database of a store: SQLite beside the images, or PostgreSQL by its URL; schemas and their steps.

SQLite runs with a write-ahead log that is forced to disk at each commit. One connection, that of the writer, commits
and checkpoints; all others open the file for reading only. SQLite up to 3.51.2 can lose a commit when two connections
reset the log at once, so no second one ever may.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from amiss.core.errors import DataError, InputError, MissingExtraError, OutputError

BUSY_SECONDS = 30
_SCHEMA_LOCK = 0x616D6973  # of PostgreSQL: one process at a time changes the schema


def parse_url(address: str) -> URL:
    """The address of a PostgreSQL database, without its password, which libpq takes from PGPASSWORD or ~/.pgpass.

    Raises:
        InputError: Not such an address.
    """
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise InputError(f"url must be such as postgresql://user@host/database, got {address!r}") from error
    if url.get_backend_name() != "postgresql":
        raise InputError(f"url must begin with postgresql://, got {url.drivername}://; without one SQLite is used")
    return url.set(drivername="postgresql+psycopg")


def writing_engine(place: Path | URL) -> Engine:
    """The engine of the writer: one connection that commits and, in SQLite, checkpoints.

    Args:
        place: File of SQLite, or URL of PostgreSQL.
    """
    if isinstance(place, URL):
        return _postgresql(place)
    engine = create_engine("sqlite://", creator=lambda: _connect(str(place), uri=False), poolclass=NullPool)
    _begin_with(engine, "BEGIN IMMEDIATE")

    @event.listens_for(engine, "connect")
    def durable(connection: sqlite3.Connection, _: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def reading_engine(place: Path | URL) -> Engine:
    """An engine that can only read.

    Raises:
        DataError: There is no such file.
    """
    if isinstance(place, URL):
        engine = _postgresql(place)
        return engine.execution_options(postgresql_readonly=True)
    if not place.is_file():
        raise DataError(f"{place}: no such file; amiss watch makes a store")
    address = f"file:{quote(str(place.absolute()))}?mode=ro"
    engine = create_engine("sqlite://", creator=lambda: _connect(address, uri=True), poolclass=NullPool)
    _begin_with(engine, "BEGIN")
    return engine


def memory_engine(path: Path) -> Engine:
    """A database for scratch work in a file that nobody needs after a crash."""
    engine = create_engine("sqlite://", creator=lambda: _connect(str(path), uri=False), poolclass=NullPool)
    _begin_with(engine, "BEGIN IMMEDIATE")

    @event.listens_for(engine, "connect")
    def careless(connection: sqlite3.Connection, _: Any) -> None:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url, poolclass=NullPool)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"a store in PostgreSQL needs {error.name}; pip install 'amiss[postgresql]'") from error
    except ImportError as error:  # psycopg without libpq
        raise MissingExtraError(f"psycopg cannot be used here ({error}); pip install 'amiss[postgresql]'") from error


def _connect(address: str, *, uri: bool) -> sqlite3.Connection:
    return sqlite3.connect(
        address, uri=uri, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def _begin_with(engine: Engine, words: str) -> None:
    """SQLite's module would begin transactions late, and not at all for reads."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(words)


def checkpoint(connection: Connection, how: str) -> None:
    """Move what is committed from SQLite's log into its file: "PASSIVE", or "TRUNCATE" to empty the log as well."""
    if connection.dialect.name == "sqlite":
        raw = connection.connection.driver_connection
        if raw is not None:
            raw.execute(f"PRAGMA wal_checkpoint({how})").close()


@contextmanager
def working(what: object, *, reading: bool = False) -> Iterator[None]:
    """Every failure of a database is one of ours, and names it.

    Args:
        what: The store, for the message.
        reading: Whether a failure means that it cannot be read, rather than written.

    Raises:
        DataError: It cannot be read.
        OutputError: It cannot be written.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        words = " ".join(str(cause).split()) or type(cause).__name__
        if reading:
            raise DataError(f"{what}: cannot be read ({words})") from error
        raise OutputError(f"{what} cannot be written ({words})") from error


def migrate(engine: Engine, upto: str = "head") -> None:
    """Bring the schema to that of this Amiss, step by step, all in one transaction.

    Args:
        engine: That of the writer.
        upto: Number of the last step, for tests.
    """
    from alembic import command

    config = _config()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})"))
        check_schema(connection, older=True)
        config.attributes["connection"] = connection
        command.upgrade(config, upto)


def check_schema(connection: Connection, *, older: bool) -> None:
    """Refuse a database of a schema that this Amiss does not know.

    Args:
        connection: To the database.
        older: Whether an older schema, or none yet, will do, because it is going to be brought up to date.

    Raises:
        DataError: Another schema.
    """
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_config())
    found = None
    if inspect(connection).has_table("alembic_version"):
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    known = [step.revision for step in script.walk_revisions()]
    if found is not None and found not in known:
        raise DataError(
            f"the store has schema {found}, of a newer Amiss; this one knows up to {known[0]}: upgrade Amiss"
        )
    if found != known[0] and not older:
        raise DataError(
            f"the store has schema {found or 'none'}, and this Amiss reads {known[0]}; amiss watch, or amiss results "
            "rebuild, brings it up to date"
        )


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def take_station(connection: Connection, station: str) -> None:
    """In PostgreSQL, be the only writer of a station as long as this connection lives.

    Raises:
        OutputError: Another process writes it.
    """
    if connection.dialect.name != "postgresql":
        return
    number = zlib.crc32(station.encode())
    if not connection.execute(text(f"SELECT pg_try_advisory_lock({_SCHEMA_LOCK}, {number - 2**31})")).scalar():
        raise OutputError(f"station {station!r} is being written by another process; choose another name")
