"""The one thread that writes: order, keys, groups, failures, and who may write at all."""

import errno
import os
import resource
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amiss.core.errors import ConflictError, DataError, InputError, OutputError
from amiss.ledger.events import ORIGIN, Draft, check_chain
from amiss.ledger.images import write_images
from amiss.ledger.store import Store, file_system, refuse_share
from amiss.ledger.verify import verify
from amiss.ledger.writer import GROUP, Writer
from amiss.storage import UNFINISHED
from tests.ledger.drafts import bare, bytes_of, fill, judged, part_id


def test_events_follow_one_another_whoever_sends_them(tmp_path: Path, reader):
    store = Store.make(tmp_path / "store", "line 1")
    with Writer(store) as writer:
        futures = [[] for _ in range(4)]

        def send(own: int) -> None:
            futures[own].extend(writer.submit(judged(own * 100 + n), bytes_of(own * 100 + n)) for n in range(20))

        threads = [threading.Thread(target=send, args=(own,)) for own in range(4)]
        [thread.start() for thread in threads], [thread.join() for thread in threads]
        seqs = [[one.result().event.seq for one in own] for own in futures]
    assert sorted(seq for own in seqs for seq in own) == list(range(2, 82))
    assert all(own == sorted(own) for own in seqs)
    with reader(store) as found:
        events = list(found.events())
        assert list(check_chain(events)) == [] and events[0].prev == ORIGIN
        assert found.head() == (81, events[-1].hash) and found.stations() == ["line 1"]
        assert len(found.parts(limit=1000)) == 80


def test_a_key_belongs_to_one_image_and_is_written_once(tmp_path: Path):
    with Writer(Store.make(tmp_path / "store")) as writer:
        first = writer.submit(bare(1)).result()
        again = writer.submit(bare(1, id="another")).result()
        both = [writer.submit(bare(2)), writer.submit(bare(2, id="another"))]
        assert first.fresh and not again.fresh and again.event == first.event
        assert [one.result().fresh for one in both] == [True, False]
        with pytest.raises(ConflictError, match="a key must belong to one image"):
            writer.submit(bare(1, sha256="0" * 64)).result()
        with pytest.raises(
            ConflictError, match="must belong to one recipe, got 'key 1' for 'felt', and 'cloth' has it"
        ):
            writer.submit(bare(1, recipe="felt")).result()
        assert writer.submit(bare(3)).result().event.seq == 4


def test_a_disk_that_cannot_be_looked_at_does_not_end_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store.make(tmp_path / "store")
    draft, data = judged(0, "anomalous"), bytes_of(0)
    bad, real = store.image(draft.data["sha256"]), os.stat

    def broken(path: object, **how: object) -> os.stat_result:
        if str(path) == str(bad):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, **how)

    with Writer(store) as writer:
        monkeypatch.setattr(os, "stat", broken)
        with pytest.raises(OutputError, match="Input/output error"):
            writer.submit(draft, data).result(timeout=20)
        assert writer.submit(judged(1), bytes_of(1)).result(timeout=20).fresh and writer.alive


def test_a_fault_of_its_own_does_not_end_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Writer(Store.make(tmp_path / "store")) as writer:
        with monkeypatch.context() as patched:
            patched.setattr(writer, "_with_images", lambda group: {}["nothing"])
            with pytest.raises(OutputError, match="cannot be written"):
                writer.submit(bare(0)).result(timeout=20)
        assert writer.submit(bare(1)).result(timeout=20).fresh


def test_one_that_cannot_be_written_takes_no_other_with_it(tmp_path: Path, reader):
    store = Store.make(tmp_path / "store")
    with Writer(store) as writer:
        good = [writer.submit(bare(number)) for number in range(6)]
        bad = writer.submit(bare(7, id=part_id(2)))  # an id twice: no table takes it
        worse = writer.submit(Draft("judged", {"key": "k", "sha256": "0" * 64}))
        more = [writer.submit(bare(number)) for number in range(8, 12)]
        assert [one.result().event.seq for one in [*good, *more]] == list(range(2, 12))
        with pytest.raises(OutputError, match="cannot be written"):
            bad.result()
        with pytest.raises(DataError, match="must hold more than it does"):
            worse.result()
    with reader(store) as found:
        assert verify(found).faults == 0


def test_one_process_at_a_time(tmp_path: Path):
    store = Store.make(tmp_path / "store")
    with Writer(store), pytest.raises(OutputError, match="is being written by another run"), Writer(store):
        pass
    with Writer(store) as writer:
        assert writer.submit(bare(0)).result().event.seq == 2


def test_a_writer_goes_on_after_the_disk_was_full(tmp_path: Path, reader):
    """RLIMIT_FSIZE: writes fail as on a full disk; SIGXFSZ is ignored by Python."""
    store = Store.make(tmp_path / "store")
    log = store.folder / "ledger.sqlite-wal"
    with Writer(store) as writer:
        writer.submit(judged(0), bytes_of(0)).result()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 100, before[1]))
        try:
            failed = [writer.submit(judged(number, "good"), bytes_of(number)) for number in (1, 2, 3)]
            for one in failed:
                with pytest.raises(OutputError, match="cannot be written"):
                    one.result()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        again = [writer.submit(judged(number), bytes_of(number)).result() for number in (1, 2, 3)]
        assert [one.event.seq for one in again] == [3, 4, 5] and all(one.fresh for one in again)
    with reader(store) as found:
        assert verify(found, read_images=True).faults == 0


def test_images_of_alarms_come_before_their_verdict_and_good_ones_are_best_effort(tmp_path: Path, reader):
    store = Store.make(tmp_path / "store")
    store.images.write_bytes(b"in the way: no folder can be made here")
    with Writer(store) as writer:
        alarm, good = (writer.submit(judged(number), bytes_of(number)) for number in (2, 1))
        with pytest.raises(OutputError, match="images"):
            alarm.result()
        assert good.result().event.data["image"] is None
    with reader(store) as found:
        assert [part["label"] for part in found.parts()] == ["good"] and found.kept() == {}


def files_of(store: Store) -> set[str]:
    return {path.name for path in store.images.glob("*/*")}


def test_images_of_what_is_not_written_are_not_left_behind(tmp_path: Path, reader):
    """A key of other bytes, alone and in one group with the first; a repeat whose image is gone; no event at all."""
    store = Store.make(tmp_path / "store")
    with Writer(store) as writer:
        first = writer.submit(judged(2), bytes_of(2)).result().event
        with pytest.raises(ConflictError):
            writer.submit(judged(8, key="key 2"), bytes_of(8)).result()
        store.image(first.data["sha256"]).unlink()
        assert not writer.submit(judged(2), bytes_of(2)).result().fresh
        assert files_of(store) == set()
        with stalled(writer):
            group = [writer.submit(judged(number, key="key 3"), bytes_of(number)) for number in (3, 9)]
            twins = [writer.submit(judged(4), bytes_of(4)), writer.submit(judged(4, key="other"), bytes_of(4))]
        assert group[0].result().fresh and isinstance(group[1].exception(), ConflictError)
        assert twins[0].result().fresh and isinstance(twins[1].exception(), OutputError)  # an id twice
        writer.call(lambda connection: None).result()
        assert files_of(store) == {judged(number).data["sha256"] for number in (3, 4)}


def test_a_full_disk_leaves_no_images(tmp_path: Path):
    store = Store.make(tmp_path / "store")
    log = store.folder / "ledger.sqlite-wal"
    with Writer(store) as writer:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 100, before[1]))
        try:
            failed = [writer.submit(judged(number), bytes_of(number)) for number in (1, 2)]
            assert all(isinstance(one.exception(), OutputError) for one in failed)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for _ in range(2):  # the file goes after the group, here with the next one at the latest
            writer.call(lambda connection: None).result()
        assert files_of(store) == set()


def test_an_image_that_was_there_before_stays_whatever_fails(tmp_path: Path):
    """As where the table was lost: a file that this writer has not made is none of its business."""
    store = Store.make(tmp_path / "store")
    path = store.image(judged(8).data["sha256"])
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes_of(8))
    with Writer(store) as writer, stalled(writer):
        both = [writer.submit(judged(number, key="key"), bytes_of(number)) for number in (2, 8)]
    assert both[0].result().fresh and isinstance(both[1].exception(), ConflictError) and path.exists()


@contextmanager
def stalled(writer: Writer) -> Iterator[None]:
    """What comes meanwhile is written as one group."""
    goes_on = threading.Event()
    writer.call(lambda connection: goes_on.wait(20))
    time.sleep(0.1)
    try:
        yield
    finally:
        goes_on.set()


def test_an_image_that_was_cut_off_is_written_again(tmp_path: Path):
    path = tmp_path / "ab" / "abc"
    path.parent.mkdir()
    path.write_bytes(b"")
    assert write_images([(path, b"whole")], durable=False) == {}
    assert path.read_bytes() == b"whole" and [one.name for one in path.parent.iterdir()] == ["abc"]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path):
    store = fill(tmp_path, parts=2)[0]
    left = next(store.images.iterdir()) / f".0123{UNFINISHED}"
    left.write_bytes(b"half")
    with Writer(store):
        assert not left.exists()


def test_the_log_is_forced_to_disk_and_only_the_writer_moves_it(tmp_path: Path):
    store = fill(tmp_path, parts=2)[0]
    with Writer(store) as writer:
        found = []
        writer.call(
            lambda connection: found.extend(
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "wal_autocheckpoint")
            )
        ).result()
        assert found == ["wal", 2, 0]
        writer.submit(bare(5)).result()
        with store.reading() as engine, engine.connect() as connection, pytest.raises(Exception, match="readonly"):
            connection.exec_driver_sql("DELETE FROM event")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("other", {"file": "x"}, "holds other things than a store"),
        ("marker", {"amiss-store.json": "{"}, "must be JSON"),
        ("format", {"amiss-store.json": '{"format": 9}'}, "must be that of a store of format 1"),
    ],
)
def test_folders_that_are_no_stores(tmp_path: Path, name: str, content: dict[str, str], message: str):
    (tmp_path / name).mkdir()
    for file, text in content.items():
        (tmp_path / name / file).write_text(text)
    with pytest.raises(DataError, match=message):
        Store.make(tmp_path / name)


def test_names_and_places_of_stores(tmp_path: Path):
    with pytest.raises(DataError, match="not a store"):
        Store.open(tmp_path)
    with pytest.raises(InputError, match="station must be 1 to 64 letters"):
        Store.make(tmp_path / "a", "a\nb")
    with pytest.raises(InputError, match="url must begin with postgresql"):
        Store.make(tmp_path / "a", url="mysql://host/db")
    store = Store.make(tmp_path / "a", "line 1", "postgresql://anna:hunter2@host/db")
    assert "hunter2" not in (tmp_path / "a" / "amiss-store.json").read_text()
    assert Store.open(tmp_path / "a") == Store(store.folder, "line 1", "postgresql://anna@host/db", store.secret)
    assert store.place.password == "hunter2" and Store.open(store.folder, store.url).place == store.place
    with pytest.raises(InputError, match="station must be 'line 1'"):
        Store.make(tmp_path / "a", "line 2")


def test_shares_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"none / ext4 rw 0 0\n//nas/a {tmp_path}/with\\040blank cifs rw 0 0\n")
    assert file_system(tmp_path / "with blank" / "store", mounts) == "cifs"
    assert file_system(tmp_path / "with blank2", mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "missing") == ""
    monkeypatch.setattr("amiss.ledger.store.file_system", lambda folder: "nfs4")
    with pytest.raises(DataError, match="must lie on a disk of this machine, got a share"):
        refuse_share(tmp_path)


def test_a_store_of_a_newer_amiss_is_left_alone(tmp_path: Path):
    store = fill(tmp_path, parts=1)[0]
    with sqlite3.connect(store.folder / "ledger.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DataError, match="schema 9999, of a newer Amiss"), Writer(store):
        pass
    with pytest.raises(DataError, match="schema 9999"), store.reading():
        pass


def test_a_commit_lingers_while_it_may(tmp_path: Path):
    seconds = 0.0
    with Writer(Store.make(tmp_path / "store"), linger=lambda: seconds) as writer:
        seconds = 60.0
        few = [writer.submit(bare(number)) for number in range(3)]
        with pytest.raises(TimeoutError):
            few[0].result(timeout=0.2)
        rest = [writer.submit(bare(number)) for number in range(3, GROUP)]  # as many as are committed together
        assert [one.result(timeout=30).event.seq for one in few + rest] == list(range(2, GROUP + 2))
        last = writer.submit(bare(GROUP))
        seconds = 0.0
        assert last.result(timeout=30).event.seq == GROUP + 2
