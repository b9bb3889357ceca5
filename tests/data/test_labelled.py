"""Folders named good and defective: read as what they are, or refused; never is a defective image taken for good."""

import cv2
import numpy as np
import pytest

import amiss
from amiss.core.errors import DataError
from amiss.data import open_dataset
from amiss.data.labelled import check_all_good
from amiss.data.open import read_address
from amiss.data.words import DEFECTIVE_WORDS, GOOD_WORDS, is_defective_folder, is_defective_word


def write(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((8, 8), number, np.uint8))


@pytest.mark.parametrize(
    ("text", "defective"),
    [
        *(
            (word, False)
            for word in (*GOOD_WORDS, "i.O.", "Gut", "良品", "정상", "No-Defect", "sağlam", "non defective")
        ),
        *(
            (word, True)
            for word in (*DEFECTIVE_WORDS, "n.i.O.", "Not_OK", "DÉFAUT", "不良品", "불량", "zły", "hatal\u0131")
        ),
        *((word, None) for word in ("scratch", "", "-1", "2", "10", "goodness", "good bad", "o", "test")),
    ],
)
def test_words_for_good_and_defective(text, defective):
    assert is_defective_word(text) is defective


@pytest.mark.parametrize(
    ("name", "defective"),
    [("NG_2", True), ("ok1", False), ("0", None), ("1", None), ("true", None), ("False", None), ("lot7", None)],
)
def test_folders_may_be_numbered_but_a_number_says_nothing(name, defective):
    assert is_defective_folder(name) is defective


def test_a_folder_that_is_itself_called_defective_is_not_taken_for_good(tmp_path, monkeypatch):
    write(tmp_path / "NG", *(f"{n}.png" for n in range(4)))
    monkeypatch.chdir(tmp_path / "NG")
    for source in (tmp_path / "NG", "../NG/", "."):
        with pytest.raises(DataError, match=r"the name says defective, and only good .* say so with folder:"):
            open_dataset(source)
        with pytest.raises(DataError, match="the name says defective"):
            amiss.fit(source, method="knn", preset="tiny", size=32)
    assert len(open_dataset("folder:../NG").normal) == 4 and len(amiss.Images("../NG")) == 4
    write(tmp_path / "NG", "OK/1.png", "NG/2.png")
    (tmp_path / "part").mkdir()
    (tmp_path / "part/ok").symlink_to(tmp_path / "NG")  # the name that was typed counts
    for name in ("0.png", "1.png", "2.png", "3.png"):
        (tmp_path / "NG" / name).unlink()
    assert len(open_dataset(tmp_path / "NG", seed=0).test) >= 1  # whose folders say what is in them


def test_ok_and_ng_are_read_as_what_they_are(tmp_path):
    write(
        tmp_path, *(f"lot{lot}/OK/{n}.png" for lot in (1, 2) for n in range(5)), "lot1/NG/a.png", "lot2/NG/dent/b.png"
    )
    assert read_address(tmp_path).kind == "labelled"
    data = open_dataset(tmp_path, seed=3)
    assert len(data.normal) == 8 and sorted(data.defects) == ["defective", "dent", "good", "good"]
    assert all("/OK/" in name for name in data.normal.names)
    for name, defect in zip(data.test.names, data.defects, strict=True):
        assert ("/OK/" in name) == (defect == "good")
    assert open_dataset(tmp_path, seed=3).normal.names == data.normal.names
    assert "divided with the seed" in data.notes[0]


def test_train_and_test_are_the_split_and_train_needs_no_word(tmp_path):
    write(tmp_path, "train/a.png", "train/b.png", "train/ng/c.png", "test/OK/d.png", "test/Fail/e.png", "masks/e.png")
    data = open_dataset(tmp_path)
    assert len(data.normal) == 2 and data.defects == ("defective", "good")
    assert data.notes == (
        "1 masks are not read in this layout; a manifest can name them.",
        "1 defective images of train are left out.",
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("OK/a.png", "NG/b.png", "other/c.png"), "1 images lie in folders that say neither good nor defective"),
        (("NG/b.png", "a.png"), "say neither"),
        (("OK/NG/a.png", "OK/b.png"), "its folders say both good and defective"),
        (("NG/a.png",), "no folder in it says good"),
        (("train/a.png", "OK/b.png", "NG/c.png"), r"outside train/ and test/"),
        (("test/OK/b.png", "test/NG/c.png"), r"no good image in train/"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


def test_a_defective_folder_is_never_learned_from(tmp_path):
    write(tmp_path, "good/a.png", "deep/er/Ausschuss/b.png")
    for read in (
        lambda: amiss.fit(tmp_path),
        lambda: open_dataset(f"folder:{tmp_path}"),
        lambda: check_all_good(tmp_path),
    ):
        with pytest.raises(DataError, match=r"Ausschuss: the name says defective, and only good images"):
            read()
    check_all_good(tmp_path / "good")


def test_linked_and_hidden_folders_are_told_apart(tmp_path):
    write(tmp_path, "set/OK/a.png", "set/.trash/NG/b.png", "away/c.png")
    assert read_address(tmp_path / "set").kind == "folder"
    (tmp_path / "set/NG").symlink_to(tmp_path / "away")
    data = open_dataset(tmp_path / "set")
    assert data.defects == ("defective",) and len(data.normal) == 1


def test_another_word_for_good_is_no_defect_in_the_layout_of_mvtec(tmp_path):
    write(
        tmp_path,
        "train/OK/a.png",
        "train/OK/b.png",
        "test/ok/c.png",
        "test/scratch/d.png",
        "ground_truth/scratch/d_mask.bmp",
    )
    assert read_address(tmp_path).kind == "mvtec"
    data = open_dataset(tmp_path)
    assert data.defects == ("good", "scratch") and len(data.normal) == 2
    assert data.masks[1].name == "d_mask.bmp" and data.masks[0] is None


def test_data_sets_in_folders_right_inside_come_first(tmp_path):
    write(tmp_path, "bolt/train/good/a.png", "bolt/test/good/b.png", "bolt/test/defective/c.png")
    with pytest.raises(DataError, match="several data sets in the layout of MVTec AD"):
        open_dataset(tmp_path)
