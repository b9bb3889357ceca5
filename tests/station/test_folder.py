"""A folder as a source of parts: each file once, whatever happens to it, and results for whoever waits for them."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from amiss.connect.folder import FolderSource, Watching, check_places
from amiss.connect.names import About, NamePattern, read_sidecar
from amiss.connect.result_files import ResultFiles, sink_of, witnessed
from amiss.core.errors import DataError, InputError
from amiss.ledger.events import Draft
from amiss.ledger.reader import Filter
from amiss.ledger.verify import verify
from amiss.reporting.shift_page import write_shift
from amiss.station.engine import Station
from amiss.station.shift import collect_shift
from amiss.testing.line import NAMES, FakeLine
from tests.station.toy_station import job, png, stopped

Begin = Callable[..., Station]


def watch_once(found: Station, folder: Path, **how: object) -> list[str]:
    """Look until everything has a verdict; what was told."""
    told: list[str] = []
    watching = Watching(folder, "toy", 0.05, **{"once": True, "results": folder.parent / "results", **how})
    FolderSource(found, watching, told.append).run(threading.Event())
    return told


def restart(found: Station) -> None:
    """`FolderSource.run` ends with a drained station; these tests go on with it."""
    found._draining.clear()
    found._ends.clear()
    for name, target in [("w", lambda: found._work(0)), ("k", found._keep_watch)]:
        thread = threading.Thread(target=target, name=name, daemon=True)
        found._workers = [thread] if name == "w" else found._workers
        found._keeper = thread if name == "k" else found._keeper
        thread.start()


def test_a_line_from_the_first_part_to_the_page(station: Begin, tmp_path: Path):
    """Lots, defects, broken files, a writer that stalls in the middle of one; all of it is on the page."""
    (tmp_path / "in").mkdir()
    line = FakeLine(tmp_path / "in", parts=120, seed=2, lot=20, broken=0.05, stalls=40)
    found, made, ends = station(deadline=60), [], threading.Event()
    runner = threading.Thread(target=lambda: made.extend(line.run(0.002)))
    watching = Watching(tmp_path / "in", "toy", 0.6, NamePattern(NAMES), results=tmp_path / "out")
    source = FolderSource(found, watching)
    thread = threading.Thread(target=source.run, args=(ends,))
    runner.start(), thread.start(), runner.join()
    limit = time.monotonic() + 60
    while sum(found.counts.values()) < 120 and time.monotonic() < limit:
        time.sleep(0.05)
    ends.set(), thread.join()
    first = found.reader.part("00061")["seq"]  # as `test_charts.py` finds
    chart = {"recipe": "toy", "alarm": True, "first": first, "last": None, "kind": "light", "text": "Brighter."}
    found.writer.submit(Draft("chart", chart)).result()
    parts = {part["name"]: part for part in found.reader.every_part()}
    assert parts.keys() == {part.path for part in made} and len(made) == 120
    for part in made:
        one = parts[part.path]
        assert (one["serial"], one["lot"]) == (part.serial, part.lot)
        assert (one["label"] == "error") == part.broken
        told = json.loads((tmp_path / "out" / f"{part.path}.json").read_text())
        assert told["accept"] == one["accept"] == (one["label"] == "good") and told["seq"] == one["seq"]
    assert not [one for one in parts.values() if one["late"]]
    heads = dict(witnessed(tmp_path / "out"))
    assert len(heads) == 120 and verify(found.reader, heads=heads, read_images=True).faults == 0
    look_at_the_page(found, tmp_path / "shift.html", sum(part.broken for part in made))


def look_at_the_page(found: Station, path: Path, broken: int) -> None:
    """It says what is in the store, and what a chart spoke of."""
    shift = collect_shift(found.reader, Filter(), photos=4)
    write_shift(path, shift)
    text = path.read_text()
    assert shift.counts["error"] == broken and sum(shift.counts.values()) == 120
    assert sum(row.parts for row in shift.lots) == 120 and len(shift.lots) == 6
    (quarantine, *_) = shift.quarantines
    assert quarantine.parts[0]["serial"] == "00061" and f"{quarantine.count} parts since 00061" in text
    assert text.count("data:image/jpeg") == 4 and "<script" not in text
    assert shift.photos[0].part["score"] >= shift.photos[-1].part["score"]
    with pytest.raises(DataError, match="no part with"):
        collect_shift(found.reader, Filter(lot="none"))


def test_each_file_once_across_restarts(station: Begin, tmp_path: Path):
    found, folder = station(), tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    data = png(job_image(1))
    for name in ("a.png", "deep/b.png", "no_ending", ".hidden.png", "c.png.part", os.fsdecode(b"d\xff.png")):
        (folder / name).write_bytes(data)
    (folder / "notes.txt").write_text("not an image")
    (folder / "broken.png").write_bytes(b"junk")
    watch_once(found, folder)
    names = sorted(part["name"] for part in found.reader.parts())
    assert names == ["a.png", "broken.png", "d\\udcff.png", "deep/b.png", "no_ending"]
    for _ in range(2):
        restart(found)
        watch_once(found, folder)
    assert len(found.reader.parts()) == 5
    restart(found)
    (folder / "a.png").write_bytes(data + b"")  # written again: another part
    os.utime(folder / "a.png", ns=(1, 1))
    (folder / "c.png.part").rename(folder / "c.png")
    shutil.copytree(folder, tmp_path / "other")  # other files, of the same names
    watch_once(found, folder)
    assert sorted(part["name"] for part in found.reader.parts(limit=2)) == ["a.png", "c.png"]
    restart(found)
    watch_once(found, tmp_path / "other")
    assert len(found.reader.parts()) == 13


def job_image(number: int):
    from amiss.testing import toy_part

    return toy_part(1, seed=number).images[0]


def test_a_file_that_grows_is_left_alone(station: Begin, tmp_path: Path):
    found, folder, ends = station(), tmp_path / "in", threading.Event()
    folder.mkdir()
    data = png(job_image(2))
    source = FolderSource(found, Watching(folder, "toy", 0.1))
    thread = threading.Thread(target=source.run, args=(ends,))
    thread.start()
    with (folder / "a.png").open("wb") as file:
        for start in range(0, len(data), len(data) // 12 + 1):
            file.write(data[start : start + len(data) // 12 + 1])
            file.flush()
            time.sleep(0.05)
    limit = time.monotonic() + 20
    while not found.counts and time.monotonic() < limit:
        time.sleep(0.02)
    ends.set(), thread.join()
    assert dict(found.counts) == {"good": 1}


def test_sidecars_and_names(station: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("amiss.connect.folder.SIDECAR_SECONDS", 0.2)
    found, folder = station(), tmp_path / "in"
    folder.mkdir()
    for name in ("L1_1", "L1_2", "L1_3", "L1_4"):
        (folder / f"{name}.png").write_bytes(png(job_image(3)))
    (folder / "L1_1.json").write_text('{"serial": 17, "camera": "top", "time": "2026-01-01", "more": 1}')
    (folder / "L1_2.png.json").write_text('{"serial": null, "lot": "L9"}')
    (folder / "L1_3.json").write_text('{"serial": [1]}')
    watch_once(found, folder, sidecars=True, names=NamePattern("{lot}_{serial}"))
    rows = {part["name"]: part for part in found.reader.parts()}
    fields = {name: (row["serial"], row["lot"], row["camera"], row["taken_at"]) for name, row in rows.items()}
    assert fields["L1_1.png"] == ("17", "L1", "top", "2026-01-01") and fields["L1_2.png"] == ("2", "L9", None, None)
    assert rows["L1_3.png"]["reason"].startswith("serial in L1_3.json must be text")
    assert rows["L1_4.png"]["reason"] == "no L1_4.json came beside it" and rows["L1_4.png"]["label"] == "error"
    with pytest.raises(InputError, match="must be JSON"):
        (folder / "x.json").write_text("[" * 100_000)
        read_sidecar(folder / "x.json")
    assert NamePattern("*/{lot}-{time}").read("a/b-c.x.png") == About(lot="b", time="c.x")
    for wrong in ("", "{other}", "{lot}{serial}", "{lot}_{lot}"):
        with pytest.raises(InputError, match="names must"):
            NamePattern(wrong)


def test_results_are_told_once_their_folder_is_back(station: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, results = station(), tmp_path / "results"
    monkeypatch.setattr("amiss.ledger.outbox.LONGEST", 0.1)
    sink = ResultFiles(results, found.writer, found.reader, deadline=False)
    sink.start()
    results.rmdir()
    results.write_text("a file in its place")
    event = found.submit(job(1, sinks=(sink.sink,)), wait=30).committed.result(timeout=30)
    sink.tell(event, True)
    limit = time.monotonic() + 20
    while not sink.error and time.monotonic() < limit:
        time.sleep(0.02)
    assert "results" in sink.error
    results.unlink()
    while sink.error and time.monotonic() < limit:
        time.sleep(0.02)
    sink.stop()
    assert json.loads((results / "1.png.json").read_text())["accept"] is True
    box = found.reader.part(event.data["id"])["outbox"][0]
    assert box["done_at"] and box["tries"] >= 1


@pytest.mark.parametrize("deadline", [True, False])
def test_what_a_restart_left_untold(station: Begin, tmp_path: Path, deadline: bool):
    """With a deadline nobody waits so long: it is told as reject, and the record says so too."""
    found = station()
    event = found.submit(job(1, sinks=(sink_of(tmp_path / "results"),)), wait=30).committed.result(timeout=30)
    sink = ResultFiles(tmp_path / "results", found.writer, found.reader, deadline=deadline)
    sink.start()
    path, limit = tmp_path / "results" / "1.png.json", time.monotonic() + 20
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.02)
    sink.stop()
    told, part = json.loads(path.read_text()), found.reader.part(event.data["id"])
    assert told["accept"] is part["accept"] is not deadline and verify(found.reader).faults == 0


def test_a_full_queue_makes_the_folder_wait(station: Begin, tmp_path: Path):
    found, folder = station(), tmp_path / "in"
    folder.mkdir()
    for number in range(28):
        (folder / f"{number:02d}.png").write_bytes(png(job_image(number)))
    with stopped(found):
        thread = threading.Thread(target=watch_once, args=(found, folder))
        thread.start()
        time.sleep(0.5)
        assert found.waiting <= 20 + 1
    thread.join(timeout=60)
    assert sorted(part["name"] for part in found.reader.every_part()) == [f"{number:02d}.png" for number in range(28)]


def test_a_look_that_fails_is_not_the_last_one(station: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A database that begins anew, a folder that is gone for a while, a disk that cannot be looked at."""
    monkeypatch.setattr("amiss.connect.folder._AGAIN", 0.05)
    found, folder, told, ends = station(), tmp_path / "in", [], threading.Event()
    folder.mkdir()
    source = FolderSource(found, Watching(folder, "toy", 0.05), told.append)

    def failing(real: Callable[..., object], *fails: Exception) -> Callable[..., object]:
        left = list(fails)

        def call(*words: object) -> object:
            if left:
                raise left.pop()
            return real(*words)

        return call

    monkeypatch.setattr(
        found.reader, "known", failing(found.reader.known, *[DataError("the store: cannot be read")] * 5)
    )
    thread = threading.Thread(target=source.run, args=(ends,))
    thread.start()

    def put(name: str, count: int) -> None:
        (folder / name).write_bytes(png(job_image(count)))
        limit = time.monotonic() + 20
        while found.counts["good"] < count and time.monotonic() < limit:
            time.sleep(0.02)

    put("a.png", 1)
    assert told == ["no part is taken: the store: cannot be read", f"{folder} is looked through again"]
    folder.rename(tmp_path / "away")
    limit = time.monotonic() + 20
    while not source.trouble and time.monotonic() < limit:
        time.sleep(0.02)
    assert "cannot be looked through" in source.trouble
    (tmp_path / "away").rename(folder)
    monkeypatch.setattr("shutil.disk_usage", failing(shutil.disk_usage, OSError(5, "Input/output error")))
    put("b.png", 2)
    ends.set(), thread.join()
    assert found.counts["good"] == 2 and not source.trouble
    assert [line for line in told if "its disk cannot be looked at (Input/output error)" in line]


def test_places(tmp_path: Path):
    with pytest.raises(DataError, match="no such folder"):
        check_places(Watching(tmp_path / "none", "toy"), tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(InputError, match="store must lie outside the folder that is watched"):
        check_places(Watching(tmp_path / "in", "toy"), tmp_path / "link" / "store")
    with pytest.raises(InputError, match="results must lie outside"):
        check_places(Watching(tmp_path / "in", "toy", results=tmp_path / "in"), tmp_path / "store")
