"""Result files that cannot be written at once: none is lost, none holds up another, none replaces a newer one."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amiss.connect.result_files import SINK, ResultFiles, sink_of
from amiss.core.errors import DataError, OutputError
from amiss.ledger import outbox
from amiss.ledger.events import Event
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.writer import Writer
from amiss.storage import write_files
from tests.ledger.drafts import bare


class Share:
    """A folder for results on another machine, which may be gone."""

    gone = False

    def write(self, files: dict[Path, bytes]) -> None:
        if self.gone:
            raise OutputError("the share is gone")
        write_files(files)


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> Share:
    found = Share()
    monkeypatch.setattr("amiss.connect.result_files.write_files", found.write)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Writer, Reader]]:
    made = Store.make(tmp_path / "store")
    with Writer(made) as writer, made.reading() as engine:
        yield writer, Reader(engine, made)


def begin(folder: Path, store: tuple[Writer, Reader], **more: object) -> ResultFiles:
    """Results of the images of /in, without a deadline."""
    sink = ResultFiles(folder, *store, **{"deadline": False, "images": "/in", **more})
    sink.start()
    return sink


def judge(
    writer: Writer, number: int, name: str, label: str = "good", *, sink: str = SINK, folder: str = "/in"
) -> Event:
    """A verdict on disk, of the file of this name, that is to be told."""
    watched = {"path": f"{folder}/{name}", "size": 1, "mtime_ns": number}
    return writer.submit(bare(number, label=label, name=name, watched=watched, sinks=[sink])).result().event


def soon(true: Callable[[], bool], seconds: float = 15.0) -> bool:
    limit = time.monotonic() + seconds
    while not true() and time.monotonic() < limit:
        time.sleep(0.02)
    return true()


def told(path: Path) -> bool:
    return bool(json.loads(path.read_text())["accept"])


def test_an_older_result_does_not_replace_a_newer_one(tmp_path: Path, store, share: Share):
    """A camera that always writes latest.bmp, and a share that is gone for one part, which was good."""
    writer, reader = store
    sink, path = begin(tmp_path / "out", store), tmp_path / "out" / "latest.bmp.json"
    share.gone = True
    good = judge(writer, 0, "latest.bmp")
    sink.tell(good, True)
    assert soon(lambda: bool(sink.error))
    share.gone = False
    sink.tell(judge(writer, 2, "latest.bmp", "anomalous"), False)
    assert soon(path.exists) and soon(lambda: not sink.error)
    sink.stop()
    (box,) = reader.part(good.data["id"])["outbox"]
    assert not told(path) and box["done_at"] and "newer image" in box["error"]


def test_of_two_results_written_together_the_newer_one_stays(tmp_path: Path, store, share: Share):
    """Also where the older one is told last."""
    writer, _ = store
    sink, path = ResultFiles(tmp_path / "out", *store, deadline=False), tmp_path / "out" / "latest.bmp.json"
    events = [judge(writer, 0, "latest.bmp"), judge(writer, 2, "latest.bmp", "anomalous")]
    for event in reversed(events):
        sink.tell(event, event is events[0])
    sink.start()
    assert soon(path.exists)
    sink.stop()
    assert not told(path)


def test_results_that_failed_are_written_while_others_come(tmp_path: Path, store, share: Share):
    writer, _ = store
    sink, number = begin(tmp_path / "out", store), 1
    share.gone = True
    sink.tell(judge(writer, 0, "0.png"), True)
    assert soon(lambda: bool(sink.error))
    share.gone, limit = False, time.monotonic() + 8
    while not (tmp_path / "out" / "0.png.json").exists() and time.monotonic() < limit:
        sink.tell(judge(writer, number, f"{number}.png"), True)  # never a second without one
        number += 1
        time.sleep(0.1)
    assert (tmp_path / "out" / "0.png.json").exists()
    sink.stop()


def test_a_name_that_cannot_be_written_holds_up_no_other(tmp_path: Path, store):
    writer, reader = store
    sink = begin(tmp_path / "out", store)
    names = ["0.png", "x" * 252, "2.png"]
    events = [judge(writer, number, name) for number, name in enumerate(names)]
    for event in events:
        sink.tell(event, True)
    boxes = [{}]

    def all_done() -> bool:
        boxes[:] = [reader.part(event.data["id"])["outbox"][0] for event in events]
        return all(box["done_at"] or box["tries"] for box in boxes)

    assert soon(all_done)
    assert [bool(box["done_at"]) for box in boxes] == [True, False, True]
    assert "cannot be written" in sink.error  # as long as one is missing
    sink.stop()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png.json", "2.png.json"]


def test_what_was_left_for_one_folder_goes_to_no_other(tmp_path: Path, store):
    """A crash before a result of b was told; then both begin again, a first."""
    writer, reader = store
    left = judge(writer, 0, "1.png", sink=sink_of(tmp_path / "b"))
    one, other = begin(tmp_path / "a", store), begin(tmp_path / "b", store)
    assert soon((tmp_path / "b" / "1.png.json").exists)
    one.stop(), other.stop()
    assert list((tmp_path / "a").iterdir()) == [] and reader.part(left.data["id"])["outbox"][0]["done_at"]


def test_what_an_older_amiss_left_goes_with_its_images(tmp_path: Path, store):
    """It had one name for all folders; its paths tell whose images they were."""
    writer, reader = store
    events = [judge(writer, 0, "1.png", folder="/in a"), judge(writer, 1, "1.png", folder="/in b")]
    events.append(judge(writer, 2, "1.png", folder="/in c"))  # which nobody watches any more
    both = [begin(tmp_path / name, store, images=f"/in {name}") for name in "ab"]
    assert soon(lambda: all((tmp_path / name / "1.png.json").exists() for name in "ab"))
    [sink.stop() for sink in both]
    ids = [json.loads((tmp_path / name / "1.png.json").read_text())["id"] for name in "ab"]
    assert ids == [event.data["id"] for event in events[:2]]
    done = [reader.part(event.data["id"])["outbox"][0]["done_at"] for event in events]
    assert all(done[:2]) and done[2] is None


def test_a_restart_waits_for_no_try_that_was_meant_for_later(tmp_path: Path, store):
    writer, _ = store
    left = judge(writer, 0, "1.png", sink=sink_of(tmp_path / "out"))
    for _ in range(9):
        outbox.failed(writer, [sink_of(tmp_path / "out")], [left.seq], "the share was gone").result()
    sink = begin(tmp_path / "out", store)
    assert soon((tmp_path / "out" / "1.png.json").exists)
    sink.stop()


def test_a_database_that_cannot_be_read_at_the_start_costs_no_result(
    tmp_path: Path, store, monkeypatch: pytest.MonkeyPatch
):
    writer, reader = store
    judge(writer, 0, "1.png", sink=sink_of(tmp_path / "out"))
    real, fails = reader.part, [True]

    def part(name: str) -> dict:
        if fails[0]:
            raise DataError("the store: cannot be read")
        return real(name)

    monkeypatch.setattr(reader, "part", part)
    sink = begin(tmp_path / "out", store)
    assert soon(lambda: "cannot be read" in sink.error)
    fails[0] = False
    assert soon((tmp_path / "out" / "1.png.json").exists) and soon(lambda: not sink.error)
    sink.stop()
