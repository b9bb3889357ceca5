"""A store in PostgreSQL is the same store: two stations on one, kills, a server that goes away, an upgrade."""

import threading
import time
from pathlib import Path

import pytest
from bench.station_kill import run

from amiss.core.errors import DataError, OutputError
from amiss.ledger import database, tables
from amiss.ledger.images import Keeping
from amiss.ledger.prune import prune
from amiss.ledger.reader import Filter, Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import rebuild, verify
from amiss.ledger.writer import Writer
from tests.ledger.drafts import bytes_of, every_kind, judged


def test_two_stations_share_one(tmp_path: Path, postgresql):
    url = postgresql.database("shared")
    stores = [Store.make(tmp_path / name, name, url) for name in ("line 1", "line 2")]
    with Writer(stores[0]) as one, Writer(stores[1]) as two:
        futures = [
            writer.submit(judged(n, id=f"{k}{judged(n).data['id'][1:]}"), bytes_of(n))
            for n in range(40)
            for k, writer in ((0, one), (1, two))
        ]
        assert [future.result().event.seq for future in futures] == [n // 2 + 2 for n in range(80)]
        with (
            pytest.raises(OutputError, match="is being written by another"),
            Writer(Store(tmp_path, "line 1", url, "")),
        ):
            pass
    for store in stores:
        with store.reading() as engine:
            found = Reader(engine, store)
            assert found.stations() == ["line 1", "line 2"] and len(found.parts(Filter(lot="L1"))) == 10
            assert verify(found, read_images=True).faults == 0
    with stores[0].reading() as engine:
        other = Reader(engine, stores[0], "line 2")
        assert len(other.parts(limit=100)) == 40


def test_every_kind_of_event_and_a_table_made_anew(tmp_path: Path, postgresql):
    store = Store.make(tmp_path / "store", url=postgresql.database("kinds"))
    with Writer(store) as writer, store.reading() as engine:
        for draft, image in every_kind():
            writer.submit(draft, image).result()
        found = Reader(engine, store)
        for number in (0, 1):
            store.image(judged(number).data["sha256"]).unlink()
        assert verify(found, read_images=True).faults == 0
        writer.call(lambda connection: connection.execute(tables.part.update().values(label="good"))).result()
        assert verify(found).faults > 5
        assert rebuild(writer) == 1 + len(list(every_kind())) and verify(found).faults == 0
        removed = prune(writer, found, Keeping.of(quota="1K"))
        assert removed["quota"]["images"] > 5 and verify(found, read_images=True).faults == 0


def test_a_server_that_goes_away_and_comes_back(tmp_path: Path, postgresql):
    store = Store.make(tmp_path / "store", url=postgresql.database("away"))
    with Writer(store) as writer:
        writer.submit(judged(0), bytes_of(0)).result()
        postgresql.stop()
        with pytest.raises(OutputError, match="cannot be written"):
            writer.submit(judged(1), bytes_of(1)).result()
        postgresql.start()
        assert writer.submit(judged(1), bytes_of(1)).result().event.seq == 3
    with store.reading() as engine:
        assert verify(Reader(engine, store), read_images=True).faults == 0


def test_an_old_schema_is_brought_up_to_date(tmp_path: Path, postgresql):
    store = Store.make(tmp_path / "store", url=postgresql.database("old"))
    engine = database.writing_engine(store.place)
    database.migrate(engine, "0001")
    engine.dispose()
    with pytest.raises(DataError, match="the store has schema 0001"), store.reading():
        pass
    done: list[bool] = []

    def begin(name: str) -> None:
        with Writer(Store.make(tmp_path / name, name, store.url)) as writer:
            done.append(writer.submit(judged(0, id=f"{name}{judged(0).data['id'][1:]}"), bytes_of(0)).result().fresh)

    threads = [threading.Thread(target=begin, args=(name,)) for name in "ab"]  # both upgrade it at once
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert done == [True, True]
    with store.reading() as engine, engine.connect() as connection:
        database.check_schema(connection, older=False)


def test_kills(tmp_path: Path, postgresql):
    """200 of them: bench/station_kill.py."""
    began = time.monotonic()
    found = run(3, 1, postgresql.database("kills"), tmp_path, 2.0)
    assert found["answers"] > 0 and time.monotonic() > began
