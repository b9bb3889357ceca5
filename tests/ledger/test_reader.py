"""Lists, counts and exports of what a store says, and which images it keeps how long."""

import csv
import hashlib
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from amiss.core.errors import DataError, InputError, OutputError
from amiss.ledger import tables
from amiss.ledger.events import Draft
from amiss.ledger.export import COLUMNS, KINDS, export
from amiss.ledger.images import Keeping
from amiss.ledger.prune import prune, sweep_images
from amiss.ledger.reader import Filter
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.ledger.writer import Writer
from tests.ledger.drafts import LABELS, bare, bytes_of, fill, judged, part_id

SCRIPT = Path(__file__).parents[2] / "docs" / "how-to" / "check-chain.sh"


def test_pages_filters_and_counts(kept: Store, reader):
    with reader(kept) as found:
        first = found.parts(limit=12)
        rest = found.parts(before=first[-1]["seq"], limit=100)
        assert [part["seq"] for part in [*first, *rest]] == list(range(33, 3, -1))
        assert [part["id"] for part in found.every_part()] == [part_id(number) for number in range(30)]
        for name, value in (("label", "anomalous"), ("lot", "L1"), ("serial", "S00007"), ("recipe", "cloth")):
            wanted = [part for part in found.every_part() if part[name] == value]
            assert wanted and list(found.every_part(Filter(**{name: value}))) == wanted
        assert [part["id"] for part in found.parts() if part["late"]] == [part_id(3)]
        assert {part["id"] for part in found.parts() if part["accept"]} == {
            part_id(number) for number in range(30) if LABELS[number % 6] == "good" and number != 3
        }
        assert sum(row["parts"] for row in found.counts(by="lot")) == 30
        assert found.worst(Filter(), 1)[0]["score"] == max(part["score"] or 0 for part in found.parts())
        with pytest.raises(InputError, match="label must be one of good, review, anomalous, error, got 'bad'"):
            Filter(label="bad")


def test_one_part_by_any_of_its_names(kept: Store, reader):
    with reader(kept) as found:
        part = found.part(part_id(2))
        assert part == found.part(f"#{part['seq']}") == found.part(str(part["seq"])) == found.part("S00002")
        assert part["labels"][0]["truth"] == "good" and part["image"]["class"] == "anomalous"
        assert part["outbox"][0]["done_at"] is None
        with pytest.raises(DataError, match="part must be an id, number or serial number"):
            found.part("999999999999999999999")


def test_a_clock_that_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader):
    """Back by an hour, then on by two days: numbers tell the order, and times are found wherever they lie."""
    store, hours = Store.make(tmp_path / "store"), [10, 11, 10, 58, 11]
    with Writer(store) as writer:
        for number, hour in enumerate(hours):
            at = f"2026-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00.000000Z"
            monkeypatch.setattr("amiss.ledger.writer.now", lambda at=at: at)
            writer.submit(bare(number)).result()
    with reader(store) as found:
        assert verify(found).faults == 0
        assert [part["id"] for part in found.every_part()] == [part_id(number) for number in range(5)]
        at_eleven = Filter(since="2026-01-01T11:00", until="2026-01-01T11:30")
        assert [part["id"] for part in found.every_part(at_eleven)] == [part_id(1), part_id(4)]
        early = found.parts(Filter(until="2026-01-01T10:30"))
        assert [part["id"] for part in early] == [part_id(2), part_id(0)]
        assert found.parts(Filter(since="2027")) == []


def test_lists_use_an_index(kept: Store, reader):
    """As `tests/service/test_station.py` counts on 100,000 parts; here SQLite says how it looks."""
    asked = [Filter(), *(Filter(**{name: "good"}) for name in ("label", "lot", "recipe", "serial"))]
    asked += [Filter(label="good", since="2026"), Filter(since="2026", until="2027")]
    part = tables.part
    with reader(kept) as found, found.connect() as connection:
        for only in asked:
            query = found._matching(part.select(), only).order_by(part.c.seq.desc()).limit(100)
            text = query.compile(connection, compile_kwargs={"literal_binds": True})
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
            assert not [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step], (only, plan)


def test_the_chain_is_checked_by_a_shell_script(kept: Store, tmp_path: Path, reader):
    with reader(kept) as found:
        count = export(found, tmp_path / "a.chain")
        head = found.head()[1]

    def check(path: Path) -> tuple[int, str]:
        done = subprocess.run(["sh", SCRIPT, path], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert check(tmp_path / "a.chain") == (0, f"{count} events, head {head}\n")
    lines = (tmp_path / "a.chain").read_text().splitlines()
    spoilt = [lines[:5] + lines[6:], [*lines[:5], lines[5].replace('"', "'", 1), *lines[6:]], lines[1:]]
    for wrong in spoilt:
        (tmp_path / "b.chain").write_text("\n".join(wrong) + "\n")
        assert check(tmp_path / "b.chain")[0] == 1


def test_tables_for_other_programs(kept: Store, tmp_path: Path, reader):
    pq = pytest.importorskip("pyarrow.parquet")
    with reader(kept) as found:
        counts = [export(found, tmp_path / f"parts{kind}", Filter(lot="L1")) for kind in KINDS[:3]]
        parts = list(found.every_part(Filter(lot="L1")))
        with pytest.raises(InputError, match=r"a file must end in \.csv, \.jsonl, \.parquet, \.chain"):
            export(found, tmp_path / "parts.xlsx")
        with pytest.raises(InputError, match="a chain is exported whole"):
            export(found, tmp_path / "x.chain", Filter(lot="L1"))
        with pytest.raises(OutputError, match="cannot be written"):
            export(found, tmp_path / "parts.csv" / "x.csv")
    assert counts == [10, 10, 10]
    with (tmp_path / "parts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "parts.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "parts.jsonl").read_text().splitlines()]
    assert tuple(rows[0]) == COLUMNS and lines == parts
    for part, row, cells in zip(parts, rows, table, strict=True):
        assert row["id"] == cells["id"] == part["id"] and float(row["score"] or -1) == (part["score"] or -1)
        assert cells["score"] == part["score"] and cells["regions"] == len(part["regions"])
        assert row["left"] == (str(part["regions"][0]["box"][0]) if part["regions"] else "")


def test_names_that_no_database_takes_as_they_are(tmp_path: Path, reader):
    """A file name that is not UTF-8, a formula, a zero byte in a serial number."""
    store = Store.make(tmp_path / "store")
    with Writer(store) as writer:
        name = {"path": "b\udc80.png", "size": 1, "mtime_ns": 1}
        draft = bare(
            0, name="b\udc80.png", serial="=1+1\0", lot="ü", key="b\udc80", watched=name, threshold=float("inf")
        )
        writer.submit(draft).result()
        assert not writer.submit(draft).result().fresh
    with reader(store) as found:
        (part,) = found.parts()
        assert (part["name"], part["serial"], part["lot"], part["threshold"]) == (
            "b\\udc80.png",
            "=1+1\\x00",
            "ü",
            None,
        )
        export(found, tmp_path / "parts.csv")
        assert "'=1+1" in (tmp_path / "parts.csv").read_text() and verify(found).faults == 0


def test_images_go_by_age_then_by_class_and_those_a_chart_speaks_of_stay(tmp_path: Path, reader):
    store, now = fill(tmp_path, parts=0)[0], datetime(2020, 1, 1, tzinfo=UTC)
    keeping = Keeping.of("good=0h,review=2d", quota="600")
    assert keeping.until("good", now) is None and keeping.until("review", now) == "2020-01-03T00:00:00.000000Z"
    with Writer(store) as writer, reader(store) as found:

        def judge(number: int, label: str, keep_until: str = "2099") -> None:
            image = {"bytes": len(bytes_of(number)), "class": label, "keep_until": keep_until}
            writer.submit(judged(number, label, image=image), bytes_of(number)).result()

        judge(0, "good", keeping.until("review", now))  # its time is over
        for number, label in enumerate(["good", "anomalous", "good", "error", "review", "good", "good"], start=1):
            judge(number, label)
        chart = {"recipe": "cloth", "alarm": True, "first": 9, "last": None, "kind": "light", "text": "x"}
        writer.submit(Draft("chart", chart)).result()
        quota = 72 * 4
        removed = prune(writer, found, Keeping({}, quota))
        assert removed == {"age": {"images": 1, "bytes": 63}, "quota": {"images": 3, "bytes": 189}}
        left = {part for part in range(8) if store.image(judged(part).data["sha256"]).exists()}
        assert left == {2, 4, 5, 7}
        assert verify(found, read_images=True).faults == 0
        assert prune(writer, found, Keeping({}, quota)) == {
            "age": {"images": 0, "bytes": 0},
            "quota": {"images": 0, "bytes": 0},
        }


def test_an_image_that_another_part_needs_stays(tmp_path: Path, reader):
    store = Store.make(tmp_path / "store")
    with Writer(store) as writer, reader(store) as found:
        same = hashlib.sha256(bytes_of(0)).hexdigest()
        for number, until in ((0, "2020"), (1, "2099")):
            image = {"bytes": len(bytes_of(0)), "class": "good", "keep_until": until}
            writer.submit(judged(number, "good", sha256=same, image=image), bytes_of(0)).result()
        assert prune(writer, found, Keeping.of())["age"]["images"] == 1
        assert store.image(same).exists() and verify(found).faults == 0
        (store.folder / "amiss-store.json").rename(store.folder / "gone.json")
        writer.call(lambda connection: connection.exec_driver_sql("UPDATE image SET keep_until = '2020'")).result()
        with pytest.raises(OutputError, match="nothing is removed from a folder that is not a store"):
            prune(writer, found, Keeping.of())
        assert store.image(same).exists()
        (store.folder / "gone.json").rename(store.folder / "amiss-store.json")
        assert sweep_images(found) == len(bytes_of(0)) and not store.image(same).exists()


@pytest.mark.parametrize("words", ["good", "bad=1h", "good=1w", "good=-1h"])
def test_words_for_keeping(words: str):
    with pytest.raises(InputError, match="keep must be such as good=24h,review=30d"):
        Keeping.of(words)
    with pytest.raises(InputError, match="quota must be a size such as 500M"):
        Keeping.of(quota="many")
