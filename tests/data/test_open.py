"""One word for every data set: what is recognised, what can be forced, and what every kind has in common."""

import re
from pathlib import Path

import numpy as np
import pytest

from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.data import GOOD, open_dataset
from amiss.data.open import Address, read_address
from amiss.data.readers import READERS

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
KINDS = tuple(READERS)
WITH_CATEGORIES = ("mvtec", "mvtec_ad2", "mvtec_loco", "mvtec_3d", "btad")


NEVER_GUESSED = "classes"
"""A kind that a method asks for, or the user: its folders could hold anything. It reads images, for near-copies."""


def open_built(trees, kind, prefix=""):
    prefix = f"{kind}:" if kind == NEVER_GUESSED else prefix
    suffix = "#candle" if kind == "visa" else ""
    return open_dataset(f"{prefix}{trees.build(kind)}{suffix}")


def test_every_kind_has_a_tree_here_and_a_row_on_the_page(trees):
    rows = re.findall(r"^\| .*? \| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.M)
    assert sorted(rows) == sorted([*KINDS, "elpv"]) and sorted(trees.kinds) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_and_the_reader_state_one_licence(kind):
    if kind not in ("folder", "manifest", "labelled", "classes"):
        row = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"| `{kind}` |" in line)
        stated = row.split("|")[4].strip()
        assert READERS[kind].about.licence.startswith(stated)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_recognised_and_can_be_forced(trees, kind):
    path = trees.build(kind)
    assert (read_address(path).kind == kind) == (kind != NEVER_GUESSED)
    assert read_address(f"{kind}:{path}").kind == kind
    assert read_address(f"{kind}:{path}#x") == Address(kind, path, "x")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_rules_of_a_data_set(trees, kind):
    """Images can be read, and none is in both parts; masks of defective ones, and of no others, mark something."""
    data = open_built(trees, kind)
    assert isinstance(data.normal, Images) and not set(data.normal.names) & set(data.test.names)
    for images in (data.normal, data.test):
        for index in range(len(images)):
            assert images[index].dtype == np.uint8 and images[index].ndim == 3 and len(images.sha256(index)) == 64
    assert len(data.defects) == len(data.test) and data.anomalous.any() == (kind != "folder")
    for index, defective in enumerate(data.anomalous):
        if data.masks is not None:
            assert data.mask(index, data.test[index].shape[:2]).any() == defective
            assert data.mask(index, (5, 7)).any() == defective
    if kind not in ("folder", "manifest", "mvtec", "labelled", "classes"):
        assert data.licence == READERS[kind].about.licence
    assert all(note.endswith(".") for note in data.notes)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != NEVER_GUESSED])
def test_no_image_is_read_when_a_set_is_opened(trees, kind, monkeypatch):
    """KolektorSDD2 reads its masks, because they alone tell which image is good; never an image."""
    from amiss.core import images

    def refuse(*_, **__):
        raise AssertionError("an image was read")

    monkeypatch.setattr(images, "read_bytes", refuse)
    data = open_built(trees, kind)
    assert len(data.normal) > 0


@pytest.mark.parametrize("kind", WITH_CATEGORIES)
def test_the_folder_of_all_categories_lists_them(trees, kind):
    trees.build(kind, "one"), trees.build(kind, "two")
    root = trees.root / kind
    with pytest.raises(DataError, match=rf"give one of them: one, two\. For example .*{kind}#one"):
        open_dataset(root)
    by_hash, by_word = open_dataset(f"{root}#two"), open_dataset(root, category="two")
    assert by_hash.normal.names == by_word.normal.names == open_dataset(root / "two").normal.names
    assert open_dataset(f"{kind}:{root}#two").name == by_hash.name
    with pytest.raises(InputError, match=r"category must be one of one, two, got 'tow'"):
        open_dataset(f"{root}#tow")
    with pytest.raises(InputError, match="has no categories"):
        open_dataset(f"{root / 'one'}#two")


def test_visa_lists_its_objects(trees):
    root = trees.build("visa")
    with pytest.raises(DataError, match=r"give one of them: candle, pcb1\. For example .*VisA#candle"):
        open_dataset(root)
    assert open_dataset(root, category="pcb1").name == "visa_pcb1"


def test_a_product_of_a_manifest_is_its_category(trees):
    path = trees.build("manifest")
    path.write_text("path,product\nimages/a.png,bolt\nimages/b.png,nut\n")
    assert open_dataset(f"{path}#nut").name == "bolts_nut"
    with pytest.raises(DataError, match=r"bolts\.csv#bolt"):
        open_dataset(path)


@pytest.mark.parametrize("kind", ["kolektorsdd2", "severstal", "nanofibres", "wm811k", "mixedwm38"])
def test_a_set_without_categories_says_so(trees, kind):
    with pytest.raises(InputError, match="has no categories"):
        open_dataset(f"{trees.build(kind)}#one")


def test_the_seed_reaches_the_sets_with_an_own_split(trees):
    for kind in ("severstal", "mixedwm38"):
        path = trees.build(kind)
        assert open_dataset(path, seed=0).normal.names != open_dataset(path, seed=1).normal.names


def test_a_forced_kind_tells_what_is_missing(trees):
    root = trees.build("mvtec")
    with pytest.raises(DataError, match=r"train/ok/ is missing\. BTAD is laid out as train/ok"):
        open_dataset(f"btad:{root}")
    assert open_dataset(f"folder:{root}").test.names == ()


def test_a_path_may_hold_a_hash_or_a_colon(trees):
    for name in ("lot #7", "lot:7", "folder:7"):
        trees.write(trees.root / name / "a.png")
        assert open_dataset(trees.root / name).name == name
    assert open_dataset(f"folder:{trees.root / 'lot:7'}").name == "lot:7"


def test_what_nobody_knows_is_refused_with_advice(trees):
    with pytest.raises(DataError, match=r"vsa:none: no such folder or file; did you mean visa:\.\.\.\?"):
        open_dataset("vsa:none")
    for source in (trees.root / "none", f"visa:{trees.root / 'none'}"):
        with pytest.raises(DataError, match="no such folder or file; give a folder of good images"):
            open_dataset(source)
    np.savez(trees.root / "x.npz", a=np.zeros(3))
    with pytest.raises(DataError, match=r"no file that a reader knows \(\.csv, .*kinds: manifest, wm811k"):
        open_dataset(trees.root / "x.npz")
    with pytest.raises(InputError, match="category must be one, got 'a' and 'b'"):
        open_dataset(f"{trees.root}#a", category="b")
    with pytest.raises(DataError, match="a pickle runs whatever code"):
        (trees.root / "LSWMD.pkl").write_bytes(b"")
        open_dataset(trees.root / "LSWMD.pkl")


def test_the_narrow_kinds_win_over_the_layout_that_they_extend(trees):
    """Each of these has train/good too; read as plain MVTec AD it would lose its truth."""
    assert [read_address(trees.build(kind)).kind for kind in WITH_CATEGORIES] == list(WITH_CATEGORIES)
    root = trees.build("mvtec_loco", "merged")
    (root / "defects_config.json").unlink()
    assert read_address(root).kind == "mvtec_loco"  # told by its folders of masks, and then refused
    assert GOOD == "good"
