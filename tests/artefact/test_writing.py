"""Saving never leaves anything half-written, and never replaces what is not an artefact."""

import os
import subprocess
import sys

import pytest

import amiss
from amiss import storage
from amiss.artefact import RECORD, read_artefact
from amiss.core.errors import ArtefactError
from amiss.inspector import Inspector
from amiss.storage import UNFINISHED

KINDS = ("line.amiss", "line")  # a single file, a folder


def test_saving_replaces_an_older_artefact_and_leaves_nothing_else(copied, inspector):
    stricter = inspector.with_rule(amiss.Conformal(0.2))
    stricter.save(copied)
    assert Inspector.load(copied).rule.alpha == 0.2
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


def fill(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", ["precious", "precious.amiss"])
@pytest.mark.parametrize("entry", ["thesis.txt", RECORD])
def test_a_folder_of_the_user_is_never_replaced(name, entry, inspector, tmp_path):
    fill(tmp_path / name, entry, b'{"weights": "of another program"}')
    with pytest.raises(ArtefactError, match="holds other things; choose another name"):
        inspector.save(tmp_path / name)
    assert (tmp_path / name / entry).read_bytes() == b'{"weights": "of another program"}'


def test_an_artefact_beside_which_the_user_keeps_things_is_never_replaced(inspector, tmp_path):
    inspector.save(tmp_path / "line")
    fill(tmp_path / "line", "notes.txt", b"camera 3")
    with pytest.raises(ArtefactError, match="holds other things"):
        inspector.save(tmp_path / "line")
    assert (tmp_path / "line" / "notes.txt").read_bytes() == b"camera 3"


def test_a_file_of_the_user_is_never_replaced(inspector, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ArtefactError, match="choose another name"):
        inspector.save(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_missing_folders_on_the_way_are_made(inspector, tmp_path):
    for kind in KINDS:
        inspector.save(tmp_path / "a" / "b" / kind)
        assert read_artefact(tmp_path / "a" / "b" / kind).record.created == inspector.record.created


KILLED = """
import os, sys
from amiss import artefact, storage
path, where = sys.argv[1:]
old = artefact.read_artefact(path)
def die(*args): os._exit(9)
if where == "exchange":
    storage._exchange = die
elif where == "after exchange":
    exchange = storage._exchange
    storage._exchange = lambda *args: (exchange(*args), os._exit(9))
else:
    setattr(os, where, die)
artefact.write_artefact(path, artefact.Artefact(old.record.model_copy(update={"notes": ("new",)}), old.parts))
"""


@pytest.mark.parametrize("where", ["fdopen", "fsync", "replace", "exchange", "after exchange"])
def test_a_writer_killed_in_the_middle_leaves_a_whole_artefact(where, copied):
    if "exchange" in where and (copied.is_file() or sys.platform != "linux"):
        pytest.skip("only folders are exchanged, and only on Linux in one step")
    done = subprocess.run([sys.executable, "-c", KILLED, str(copied), where], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    notes = read_artefact(copied).record.notes
    assert ("new" in notes) == (where == "after exchange")
    others = [path.name for path in copied.parent.iterdir() if path != copied]
    assert all(name.startswith(".") and name.endswith(UNFINISHED) for name in others)  # the next run sweeps them away


@pytest.mark.parametrize("one_step", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("failing", range(8))
def test_a_failing_disk_leaves_the_old_artefact_and_no_temporary_file(
    failing, one_step, copied, inspector, monkeypatch
):
    rename, count = os.replace, iter(range(100))

    def fail_once(*names):
        if next(count) == failing:
            raise OSError(28, "No space left on device")
        rename(*names)

    monkeypatch.setattr(os, "replace", fail_once)
    if not one_step:
        monkeypatch.setattr(storage, "_exchange", lambda one, other: False)
    try:
        inspector.with_rule(amiss.Conformal(0.2)).save(copied)
    except OSError:
        monkeypatch.undo()
        assert read_artefact(copied).record.model_dump(mode="json") == inspector.record.model_dump(mode="json")
    else:
        assert read_artefact(copied).record.alpha == 0.2
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_before_anything_was_there_leaves_nothing(kind, inspector, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        inspector.save(tmp_path / kind)
    assert list(tmp_path.iterdir()) == []
