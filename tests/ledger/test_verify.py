"""Whatever is changed afterwards is found; and everything but the events can be made anew."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amiss.core.errors import DataError
from amiss.ledger import outbox, tables
from amiss.ledger import verify as checks
from amiss.ledger.events import Draft, link
from amiss.ledger.images import Keeping
from amiss.ledger.prune import prune
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import rebuild, verify
from amiss.ledger.writer import Writer
from tests.ledger.drafts import bytes_of, every_kind, judged, part_id
from tests.ledger.tamper import WAYS, tamper


def change(store: Store, *statements: str) -> None:
    with closing(sqlite3.connect(store.folder / "ledger.sqlite")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_what_was_written_is_sound(kept: Store, reader):
    with reader(kept) as found:
        checked = verify(found, read_images=True)
        assert (checked.faults, checked.events, checked.images) == (0, len(list(every_kind())) + 1, 28)
        assert checked.summary()["sound"] and checked.head == found.head()[1]


def test_tamperings(kept: Store, tmp_path: Path, reader):
    """10,000 of them: bench/tampering.py."""
    rng, copy = random.Random(0), tmp_path / "ledger.sqlite"
    with reader(kept) as found:
        head = found.head()[1]
    store = Store(tmp_path, kept.station, None, kept.secret)
    (tmp_path / "images").symlink_to(kept.images)
    for number in range(24):
        copy.write_bytes((kept.folder / "ledger.sqlite").read_bytes())
        done = tamper(copy, rng, WAYS[number % len(WAYS)])
        with reader(store) as found:
            assert verify(found, heads={head: "a witness"}).faults, done


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE part SET label = 'good' WHERE label = 'anomalous'", "table part: the row of event 6 was changed"),
        ("UPDATE part SET score = score + 1e-7 WHERE seq = 5", "table part: the row of event 5 was changed"),
        ("DELETE FROM label", "table label: the row of event 35 is missing"),
        ("UPDATE image SET state = 'gone' WHERE seq = 9", "table image: the row of event 9 was changed"),
        ("INSERT INTO deployment VALUES ('station', 99, '', 'r', 1, '', 'x')", "is not from any event"),
        ("UPDATE event SET actor = 'bob' WHERE seq = 3", "actor must be 'anna' as in its body, got 'bob'"),
        ("DELETE FROM event WHERE seq = 7", "event 7: missing; event 8 comes after 6"),
        ("UPDATE event SET body = x'ff00' WHERE seq = 7", "not of the kinds of values that were written"),
    ],
)
def test_what_is_found_is_said(store: Store, reader, statement: str, fault: str):
    change(store, statement)
    with reader(store) as found:
        assert any(fault in one for one in verify(found).shown)


def test_what_is_written_meanwhile_is_no_fault(store: Store, reader, monkeypatch: pytest.MonkeyPatch):
    """Between the events and the tables, and between the rows of images and their files."""
    check_tables, kept_images = checks._check_tables, checks._kept_images
    with Writer(store) as writer, reader(store) as found:
        before = found.head()
        gone = store.image(judged(25).data["sha256"])  # a chart speaks of it, so that it is not pruned
        gone.unlink()

        def write_first(*args: Any) -> None:
            late = {"part": part_id(7), "label": "good", "score": 0.1, "reason": "640 ms"}
            writer.submit(judged(50), bytes_of(50)), writer.submit(Draft("late", late)).result()
            assert prune(writer, found, Keeping({}, 20 * 72))["quota"]["images"]
            check_tables(*args)

        def prune_first(one: Reader) -> Iterator[Any]:
            rows = list(kept_images(one))
            assert prune(writer, found, Keeping({}, 0))["quota"]["images"]
            yield from rows

        monkeypatch.setattr(checks, "_check_tables", write_first)
        monkeypatch.setattr(checks, "_kept_images", prune_first)
        checked = verify(found, read_images=True)
        assert (checked.events, checked.head) == before
        assert [one.partition(":")[0] for one in checked.shown] == [f"image of event {25 + 4}"]
        assert found.head()[0] > before[0]


def test_a_forged_chain_is_found_by_whoever_has_seen_its_head(store: Store, reader):
    """Someone who can write the database can also compute hashes: only a hash that is elsewhere shows it."""
    with reader(store) as found:
        head, events = found.head()[1], list(found.events())
    forged, prev = [], events[4].prev
    for event in events[4:]:
        body = event.body.replace('"label":"anomalous"', '"label":"good"')
        forged.append((body, prev, link(prev, body), event.seq))
        prev = forged[-1][2]
    with closing(sqlite3.connect(store.folder / "ledger.sqlite")) as connection:
        connection.executemany("UPDATE event SET body = ?, prev = ?, hash = ? WHERE seq = ?", forged)
        connection.commit()
    with Writer(store) as writer:
        rebuild(writer)
    with reader(store) as found:
        assert verify(found).faults == 0
        assert "a witness: event" in verify(found, heads={head: "a witness"}).shown[0]


def test_images_that_are_not_what_was_judged(store: Store, reader):
    missing, changed, shorter = (store.image(judged(number).data["sha256"]) for number in (5, 6, 7))
    missing.unlink()
    changed.write_bytes(changed.read_bytes()[::-1])
    shorter.write_bytes(b"")
    with reader(store) as found:
        assert [one.partition(":")[0] for one in verify(found).shown] == ["image of event 9", "image of event 11"]
        assert verify(found, read_images=True).faults == 3


def test_everything_is_made_anew_from_the_events(store: Store, reader):
    with Writer(store) as writer:
        outbox.delivered(writer, ["result-folder"], [4, 5]).result()
        outbox.failed(writer, ["result-folder"], [6], "no such folder").result()
    with reader(store) as found, found.connect() as connection:
        before = [sorted(map(tuple, connection.execute(table.select())), key=repr) for table in tables.PROJECTIONS]
    change(
        store, "DELETE FROM part", "UPDATE image SET bytes = 0", "DELETE FROM outbox WHERE seq = 8", "DELETE FROM chart"
    )
    with Writer(store) as writer:
        assert rebuild(writer) == 1 + len(list(every_kind()))
    with reader(store) as found, found.connect() as connection:
        after = [sorted(map(tuple, connection.execute(table.select())), key=repr) for table in tables.PROJECTIONS]
        assert verify(found).faults == 0
    assert after == before


def test_nothing_is_made_from_a_broken_chain(store: Store, reader):
    change(store, "UPDATE event SET body = replace(body, 'anomalous', 'good') WHERE seq = 6", "DELETE FROM part")
    with Writer(store) as writer, pytest.raises(DataError, match="event 6: the hash must be"):
        rebuild(writer)


def test_a_file_so_damaged_that_the_database_gives_up(store: Store, reader):
    path = store.folder / "ledger.sqlite"
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 6 * 4096] = b"\xff" * (3 * 4096)
    path.write_bytes(data)
    with reader(store) as found:
        assert verify(found).faults
