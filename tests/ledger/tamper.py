"""Change a database of a store as somebody would who does not want it to be seen."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

WAYS = ("flip", "delete", "insert", "reorder", "truncate", "projection")


def tamper(path: Path, rng: random.Random, way: str) -> str:
    """One random change; what was done, in words."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        count = connection.execute("SELECT max(seq) FROM event").fetchone()[0]
        done = globals()[f"_{way}"](connection, rng, count)
        connection.commit()
    return f"{way}: {done}"


def _flip(connection: sqlite3.Connection, rng: random.Random, count: int) -> str:
    seq, column = rng.randint(1, count), rng.choice(["station", "at", "kind", "actor", "body", "prev", "hash", "seq"])
    old = connection.execute(f"SELECT {column} FROM event WHERE seq = ?", (seq,)).fetchone()[0]
    if column == "seq":
        new = rng.choice([count + rng.randint(1, 1000), -seq])
    else:
        at = rng.randrange(len(old))
        new = old[:at] + chr(ord(old[at]) ^ (1 << rng.randrange(7)) or 1) + old[at + 1 :]
    connection.execute(f"UPDATE event SET {column} = ? WHERE seq = ?", (new, seq))
    return f"{column} of {seq} from {old!r} to {new!r}"


def _delete(connection: sqlite3.Connection, rng: random.Random, count: int) -> str:
    seq = rng.randint(1, count)
    connection.execute("DELETE FROM event WHERE seq = ?", (seq,))
    if rng.random() < 0.5:  # and close the gap
        connection.execute("UPDATE event SET seq = seq - 1 - 1000000 WHERE seq > ?", (seq,))
        connection.execute("UPDATE event SET seq = seq + 1000000 WHERE seq < 0")
    return str(seq)


def _insert(connection: sqlite3.Connection, rng: random.Random, count: int) -> str:
    seq, like = rng.randint(1, count + 1), rng.randint(1, count)
    connection.execute("UPDATE event SET seq = seq + 1 - 1000000 WHERE seq >= ?", (seq,))
    connection.execute("UPDATE event SET seq = seq + 1000000 WHERE seq < 0")
    row = connection.execute("SELECT * FROM event WHERE seq = ?", (like + (like >= seq),)).fetchone()
    connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (row[0], seq, *row[2:]))
    return f"a copy of {like} at {seq}"


def _reorder(connection: sqlite3.Connection, rng: random.Random, count: int) -> str:
    one, other = rng.sample(range(1, count + 1), 2)
    for old, new in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE event SET seq = ? WHERE seq = ?", (new, old))
    return f"{one} and {other}"


def _truncate(connection: sqlite3.Connection, rng: random.Random, count: int) -> str:
    """Thoroughly: what was made from these events goes as well."""
    last = rng.randint(0, count - 1)
    for table in ("event", "part", "version", "deployment", "label", "image", "outbox", "watched", "chart"):
        connection.execute(f"DELETE FROM {table} WHERE seq > ?", (last,))
    return f"after {last}"


def _projection(connection: sqlite3.Connection, rng: random.Random, count: int) -> str:
    table, column, value = rng.choice(
        [
            ("part", "label", "good"),
            ("part", "score", 0.001),
            ("part", "lot", "another"),
            ("part", "late", 1),
            ("image", "keep_until", "2000"),
            ("watched", "size", 1),
            ("label", "truth", "defective"),
            ("deployment", "version", 2),
            ("chart", "alarm", 0),
        ]
    )
    seqs = [row[0] for row in connection.execute(f"SELECT seq FROM {table} WHERE {column} IS NOT ?", (value,))]
    seq = rng.choice(seqs)
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE seq = ?", (value, seq))
    return f"{column} of {table} {seq}"
