"""``amiss results`` and ``amiss watch`` as people meet them: words, JSON, exit codes, and what they refuse."""

import json
from pathlib import Path

import pytest
from tests.ledger.drafts import fill, part_id

from amiss.ledger.writer import Writer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an event of every kind."""
    return fill(tmp_path_factory.mktemp("results"))[0].folder


def test_list_and_show(amiss, folder: Path):
    code, out, _ = amiss("results", "list", folder, "--label", "anomalous", "--limit", 2)
    assert code == 0 and out.count("ANOMALOUS") == 2 and "More: --before 24" in out
    code, out, _ = amiss("results", "list", folder, "--limit", 100, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(lines) == 30 and {"accept", "late", "lot"} <= set(lines[0])
    code, out, _ = amiss("results", "show", folder, "S00002")
    assert code == 0 and part_id(2) in out and "ANOMALOUS (reject)" in out and "anna" in out and "not told yet" in out
    code, out, _ = amiss("results", "show", folder, "S00003", "--json")
    assert json.loads(out)["late"] and json.loads(out)["path"].startswith(str(folder))
    assert "GOOD, too late (reject)" in amiss("results", "show", folder, "#7")[1]
    assert "not kept" in amiss("results", "show", folder, "S00000")[1]


def test_verify_and_export(amiss, folder: Path, tmp_path: Path):
    code, out, _ = amiss("results", "verify", folder, "--images", "--json")
    found = json.loads(out)
    assert code == 0 and found["sound"] and found["images"] == 28
    code, out, _ = amiss("results", "verify", folder, "--head", found["head"])
    assert code == 0 and "40 events" in out and "sound" in out and "elsewhere" not in out
    code, out, _ = amiss("results", "verify", folder, "--head", "0" * 64)
    assert code == 1 and "NOT SOUND, 1 faults" in out and "--head: event 000000000000 is not in the chain" in out
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.json").write_text(json.dumps({"accept": True, "hash": "f" * 64}))
    (tmp_path / "results" / "other.json").write_text("[]")
    assert amiss("results", "verify", folder, "--witness", tmp_path / "results")[0] == 1
    code, out, _ = amiss("results", "export", folder, tmp_path / "a.csv", "--lot", "L1", "--json")
    assert code == 0 and json.loads(out)["rows"] == 10
    assert amiss("results", "export", folder, tmp_path / "a.xls")[0] == 2


def test_what_changes_the_store_waits_for_the_station(amiss, tmp_path: Path):
    store = fill(tmp_path, parts=3)[0]
    assert amiss("results", "rebuild", store.folder)[1] == "Tables made anew from 4 events.\n"
    code, out, _ = amiss("results", "prune", store.folder, "--quota", "100", "--json")
    assert code == 0 and json.loads(out)["removed"]["quota"] == {"images": 2, "bytes": 126}
    with Writer(store):
        for verb in ("rebuild", "prune"):
            code, _, error = amiss("results", verb, store.folder)
            assert code == 1 and "is being written by another run" in error


def test_report_and_replay(amiss, folder: Path, tmp_path: Path):
    code, out, _ = amiss("results", "report", folder, "--output", tmp_path / "shift.html", "--json")
    assert code == 0 and json.loads(out)["counts"] == {"good": 15, "review": 5, "anomalous": 5, "error": 5}
    page = (tmp_path / "shift.html").read_text()
    assert "parts since S00016" in page and "About 1 good part in 20." in page
    code, out, _ = amiss("results", "replay", folder, "--limit", 3)  # its model was never there
    assert code == 3 and "3 not to be replayed" in out
    code, _, error = amiss("results", "report", folder, "--lot", "none", "--output", tmp_path / "x.html")
    assert code == 2 and "no part with" in error and not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "STORE", "--label", "bad"], "label must be one of"),
        (["list", "STORE", "--since", "yesterday"], "a time must be such as"),
        (["list", "STORE", "--station", "other"], "station must be one of station"),
        (["show", "STORE", "nobody"], "part must be an id"),
        (["list", "nowhere"], "not a store"),
        (["prune", "STORE", "--quota", "much"], "quota must be a size"),
    ],
)
def test_what_is_refused(amiss, folder: Path, words: list[str], message: str):
    code, _, error = amiss("results", *(str(folder) if word == "STORE" else word for word in words))
    assert code == 2 and message in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "MODEL, FOLDER and --store must be given"),
        (["m.amiss", "."], "MODEL, FOLDER and --store must be given"),
        (["m.amiss", "none", "--store", "s"], "no such folder"),
        (["m.amiss", ".", "--store", "s"], "store must lie outside"),
        (["m.amiss", "in", "--store", "s", "--names", "x"], "names must hold"),
        (["m.amiss", "in", "--store", "s", "--keep", "good"], "keep must be such as"),
        (["m.amiss", "in", "--store", "s"], "m.amiss"),
        (["m.amiss", "--demo"], "--demo makes its own model"),
    ],
)
def test_what_watch_refuses(amiss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, error = amiss("watch", *words)
    assert code == 2 and message in error and sorted(path.name for path in tmp_path.iterdir()) == ["in"]
