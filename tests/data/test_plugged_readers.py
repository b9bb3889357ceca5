"""A reader of another package: named in an entry point, then recognised, opened and forced as our own are."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.data import Dataset, open_dataset, readers
from amiss.data.about import About
from amiss.data.open import read_address
from amiss.data.reader import in_folders
from amiss.data.readers import READERS, list_readers

ABOUT = About("Bolts", "bolts/*.png", "example.org", "CC BY 4.0")


def is_bolts(root: Path) -> bool:
    return (root / "bolts").is_dir()


def read_bolts(root: Path) -> Dataset:
    return Dataset(f"bolts_{root.name}", Images(root / "bolts"), Images([]))


BOLTS = in_folders("bolts", ABOUT, is_bolts, read_bolts)


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch):
    def plug(**found: object) -> None:
        class Point(EntryPoint):
            def load(self):
                return found[self.name]

        points = [Point(name, "elsewhere:READER", readers.ENTRY_POINTS) for name in found]
        monkeypatch.setattr(readers, "plugged_in", lambda group: [one for one in points if one.group == group])
        list_readers.cache_clear()

    yield plug
    list_readers.cache_clear()


def test_it_is_recognised_and_can_be_forced(plug, trees) -> None:
    for name in ("a", "b"):
        trees.write(trees.root / "set" / name / "bolts" / "0.png")
    one = trees.root / "set" / "a"
    assert read_address(one).kind == "folder"
    plug(bolts=BOLTS)
    assert (
        read_address(one).kind == "bolts" and open_dataset(one).name == open_dataset(f"bolts:{one}").name == "bolts_a"
    )
    assert open_dataset(f"{trees.root / 'set'}#b").name == "bolts_b"
    assert list(list_readers()) == [*list(READERS)[:-2], "bolts", "labelled", "folder"]


def test_it_cannot_replace_our_own(plug, trees) -> None:
    plug(mvtec=BOLTS, folder=BOLTS)
    assert list_readers() == READERS
    root = trees.build("mvtec")
    trees.write(root / "bolts" / "0.png")
    plug(bolts=BOLTS)
    assert read_address(root).kind == "mvtec"


@pytest.mark.parametrize("found", [is_bolts, in_folders("nuts", ABOUT, is_bolts, read_bolts)])
def test_what_is_no_reader_of_that_kind_is_refused(plug, trees, found) -> None:
    plug(bolts=found)
    with pytest.raises(InputError, match="entry point bolts = elsewhere:READER must name a Reader of that kind"):
        open_dataset(trees.root)
