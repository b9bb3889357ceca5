"""A database of every schema that was released is brought up to date, with all that is in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from amiss.core.errors import DataError
from amiss.ledger import tables
from amiss.ledger.database import migrate, writing_engine
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.ledger.writer import Writer
from tests.ledger.drafts import bare, every_kind

KEPT = sorted((Path(__file__).parent / "kept").glob("*.sql"))


def old_store(folder: Path, dump: Path) -> Store:
    """A store as an earlier Amiss left it."""
    store = Store.make(folder / "store")
    with closing(sqlite3.connect(store.folder / "ledger.sqlite")) as connection:
        connection.executescript(dump.read_text())
    for draft, image in every_kind():
        if image is not None and draft.data["key"] not in ("key 0", "key 1"):  # whose images are gone
            path = store.image(draft.data["sha256"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
    return store


@pytest.mark.parametrize("dump", KEPT, ids=lambda path: path.stem)
def test_an_old_store_goes_on(tmp_path: Path, dump: Path, reader):
    store = old_store(tmp_path, dump)
    with pytest.raises(DataError, match=f"the store has schema {dump.stem}, and this Amiss reads"), store.reading():
        pass
    with Writer(store) as writer:
        seq = writer.head[0]
        assert writer.submit(bare(100)).result().event.seq == seq + 1
    with reader(store) as found:
        checked = verify(found, read_images=True)
        assert checked.faults == 0 and checked.images == 28, checked.shown
        assert len(found.parts(limit=1000)) == 31
        with found.connect() as connection:
            assert [row.first for row in connection.execute(tables.chart.select())] == [20]


def test_the_steps_lead_to_the_tables_that_queries_are_written_with(tmp_path: Path):
    engine = writing_engine(tmp_path / "new.sqlite")
    migrate(engine)
    engine.dispose()
    other = create_engine(f"sqlite:///{tmp_path / 'plain.sqlite'}")
    tables.metadata.create_all(other)
    other.dispose()

    def schema(path: Path) -> dict[str, object]:
        with closing(sqlite3.connect(path)) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                name: (
                    [row[1:] for row in connection.execute(f"PRAGMA table_info({name})")],
                    {
                        row[1]: (row[2], [column[2] for column in connection.execute(f"PRAGMA index_info({row[1]})")])
                        for row in connection.execute(f"PRAGMA index_list({name})")
                    },
                )
                for name in names
                if name != "alembic_version"
            }

    assert schema(tmp_path / "new.sqlite") == schema(tmp_path / "plain.sqlite")


def test_every_released_schema_is_kept():
    """A new step needs the dump of the schema before it: sqlite3 ledger.sqlite .dump of `tests.ledger.drafts.fill`."""
    steps = list((Path(tables.__file__).parent / "migrations" / "versions").glob("[!_]*.py"))
    assert [path.stem for path in KEPT] == [f"{number:04d}" for number in range(1, len(steps))]
