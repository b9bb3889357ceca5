"""Readers of data sets: which images are normal, which are tested, and which layouts are refused."""

import importlib.util

import cv2
import numpy as np
import pytest

from amiss.core.errors import DataError, ImageError, InputError
from amiss.core.images import Images
from amiss.core.survey import survey
from amiss.data import GOOD, Dataset, open_dataset, read_elpv, read_folder, read_mvtec
from amiss.data.elpv import elpv_cells

needs_elpv = pytest.mark.skipif(
    importlib.util.find_spec("elpv_dataset") is None, reason="elpv-dataset is not installed: pip install 'amiss[demo]'"
)


def write(path, value=0, size=(12, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = value if isinstance(value, np.ndarray) else np.full(size, value, np.uint8)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def root(tmp_path):
    """Two training images; two good, two scratched and one dented test images, without masks."""
    root = tmp_path / "bolt"
    for name in ("train/good/0", "train/good/1", "test/good/0", "test/good/1"):
        write(root / f"{name}.png")
    for name in ("dent/0", "scratch/0", "scratch/1"):
        write(root / f"test/{name}.png")
    return root


@pytest.fixture
def masked(root):
    for name in ("dent/0", "scratch/0"):
        mask = np.zeros((12, 16), np.uint8)
        mask[3:6, 4:8] = 255
        write(root / f"ground_truth/{name}_mask.png", mask)
    mask = np.zeros((12, 16), np.uint8)
    mask[0, 0] = 1
    write(root / "ground_truth/scratch/1.png", mask)
    return root


def test_a_flat_folder_is_all_normal_and_has_nothing_to_test(tmp_path):
    for name in ("b.png", "a.png", "more/c.png"):
        write(tmp_path / "bolts" / name)
    data = open_dataset(tmp_path / "bolts")
    assert data.name == "bolts" and len(data.normal) == 3 and len(data.test) == 0
    assert data.defects == () and data.masks is None and data.anomalous.shape == (0,)
    assert data.normal.names == read_folder(tmp_path / "bolts").normal.names


def test_the_mvtec_layout_names_the_defects(root):
    data = open_dataset(str(root))
    assert data.name == "bolt" and len(data.normal) == 2
    assert data.defects == ("dent", GOOD, GOOD, "scratch", "scratch")
    assert data.anomalous.tolist() == [True, False, False, True, True]
    assert data.masks is None
    with pytest.raises(DataError, match="bolt has no masks"):
        data.mask(0, (12, 16))


def test_masks_belong_to_their_images(masked):
    data = read_mvtec(masked)
    assert [mask and mask.name for mask in data.masks] == ["0_mask.png", None, None, "0_mask.png", "1.png"]
    mask = data.mask(0, (12, 16))
    assert mask.dtype == bool and mask.sum() == 12 and mask[3:6, 4:8].all()
    assert not data.mask(1, (12, 16)).any()
    assert data.mask(4, (12, 16)).sum() == 1  # a mask drawn with 1 instead of 255


@pytest.mark.parametrize("size", [(24, 32), (6, 8), (12, 32), (24, 8)])
def test_masks_are_resized_by_nearest_neighbour(masked, size):
    data = read_mvtec(masked)
    rows, columns = ((np.arange(side) * full) // side for side, full in zip(size, (12, 16), strict=True))
    np.testing.assert_array_equal(data.mask(0, size), data.mask(0, (12, 16))[np.ix_(rows, columns)])


def test_a_coloured_mask_counts_in_every_colour(masked):
    colours = np.zeros((12, 16, 3), np.uint8)
    colours[1, 1], colours[2, 2], colours[3, 3] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    write(masked / "ground_truth/dent/0_mask.png", colours)
    assert np.argwhere(read_mvtec(masked).mask(0, (12, 16))).tolist() == [[1, 1], [2, 2], [3, 3]]


def test_a_mask_of_another_size_than_its_image_is_refused(masked):
    write(masked / "ground_truth/dent/0_mask.png", 255, size=(16, 12))
    with pytest.raises(DataError, match=r"0_mask\.png: \(16, 12\) pixels, but its image has \(12, 16\)"):
        read_mvtec(masked).mask(0, (12, 16))


def test_a_missing_mask_is_an_error_while_others_are_there(masked):
    (masked / "ground_truth/scratch/1.png").unlink()
    with pytest.raises(DataError, match=r"its mask .*1_mask\.png is missing"):
        read_mvtec(masked)


def test_an_image_directly_in_test_or_too_deep_is_an_error(root):
    write(root / "test/deep/er/0.png")
    with pytest.raises(DataError, match=r"expected test/<type>/<image>"):
        read_mvtec(root)
    (root / "test/deep/er/0.png").rename(root / "test/0.png")
    with pytest.raises(DataError, match=r"0\.png: expected test/<type>/<image>"):
        read_mvtec(root)


def test_train_without_test_is_an_error(root):
    (root / "test").rename(root.parent / "elsewhere")
    with pytest.raises(DataError, match="test/ is not"):
        open_dataset(root)


def test_test_without_train_is_an_error_and_no_defect_is_taken_for_normal(root):
    (root / "train").rename(root.parent / "elsewhere")
    with pytest.raises(DataError, match="train/good/ is not"):
        open_dataset(root)


def test_a_folder_of_several_data_sets_is_an_error_and_no_defect_is_taken_for_normal(root):
    with pytest.raises(DataError, match="give one of them: bolt"):
        open_dataset(root.parent)


def test_a_missing_an_empty_folder_and_a_file_are_errors(tmp_path):
    (tmp_path / "file.txt").write_text("words")
    for name in ("missing", "file.txt"):
        with pytest.raises(DataError, match="no such folder"):
            open_dataset(tmp_path / name)
    with pytest.raises(DataError, match="no image inside"):
        open_dataset(tmp_path)


def test_a_damaged_image_is_found_when_it_is_used(root):
    (root / "train/good/1.png").write_bytes(b"")
    data = open_dataset(root)
    with pytest.raises(ImageError, match="the file is empty"):
        list(data.normal)


def test_a_folder_whose_name_begins_like_a_known_set_is_a_folder(tmp_path, monkeypatch):
    write(tmp_path / "elpv_images/a.png")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("elpv_images").name == "elpv_images"


def test_labels_and_masks_are_as_many_as_the_images():
    images = Images(np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="1 defects for 2 test images"):
        Dataset("x", images, images, defects=(GOOD,))
    with pytest.raises(DataError, match="1 masks for 2 test images"):
        Dataset("x", images, images, defects=(GOOD, GOOD), masks=(None,))


@needs_elpv
def test_elpv_has_2624_cells_of_two_kinds():
    cells = {kind: elpv_cells(kind) for kind in ("mono", "poly")}
    assert {kind: len(found) for kind, found in cells.items()} == {"mono": 1074, "poly": 1550}
    probabilities = {round(p, 2) for found in cells.values() for _, p in found}
    assert probabilities == {0.0, 0.33, 0.67, 1.0}
    assert all(path.is_file() for found in cells.values() for path, _ in found)


@needs_elpv
def test_elpv_learns_from_functional_cells_and_tests_on_others():
    data = open_dataset("elpv:poly")
    assert data.name == "elpv_poly" and data.licence == "CC BY-NC-SA 4.0"
    assert len(data.normal) == 200 and not set(data.normal.paths) & set(data.test.paths)
    truth = dict(elpv_cells("poly"))
    assert all(truth[path] == 0 for path in data.normal.paths)
    assert [truth[path] for path in data.test.paths] == data.anomalous.astype(float).tolist()
    assert data.normal[0].shape == (300, 300, 3)


@needs_elpv
def test_the_elpv_split_depends_on_the_seed_alone():
    paths = [read_elpv("mono", seed=seed).normal.paths for seed in (0, 0, 1)]
    assert paths[0] == paths[1] != paths[2]
    assert open_dataset("elpv").normal.paths == paths[0]
    assert open_dataset("elpv:mono", seed=1).normal.paths == paths[2]


@needs_elpv
def test_elpv_refuses_what_it_does_not_have():
    with pytest.raises(DataError, match="train = 5000, but there are"):
        read_elpv("mono", train=5000)
    with pytest.raises(InputError, match="Did you mean 'mono'"):
        open_dataset("elpv:momo")
    with pytest.raises(InputError, match="train must be a whole number of at least 1, got 0"):
        read_elpv("mono", train=0)


def test_test_images_that_are_normal_images_too_are_left_out_and_counted():
    rng = np.random.default_rng(0)
    normal = rng.integers(0, 256, (4, 8, 8, 3), np.uint8)
    fresh = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    test = [fresh[0], normal[2], fresh[1], fresh[2]]
    masks = (None, None, np.ones((8, 8), bool), None)
    whole = Dataset("bolt", Images(list(normal)), Images(test), (GOOD, GOOD, "scratch", GOOD), masks)
    known = survey(whole.normal).identities
    kept = whole.without_copies(known, survey(whole.test).identities)
    assert kept.defects == (GOOD, "scratch", GOOD) and len(kept.test) == 3 and kept.mask(1, (8, 8)).all()
    assert kept.notes == ("left out 1 of 4 test images: the model has seen them while it was made.",)
    assert kept.without_copies(known, survey(kept.test).identities) is kept


def test_of_copies_one_is_measured_and_what_a_model_has_seen_is_not():
    rng = np.random.default_rng(1)
    a, b, c = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    whole = Dataset("bolt", Images([c]), Images([a, b, a, c]), (GOOD, "dent", GOOD, GOOD))
    identities = survey(whole.test).identities
    kept = whole.without_copies((), identities)
    assert kept.defects == (GOOD, "dent", GOOD)
    assert kept.notes == ("left out 1 of 4 test images: they are copies of others, pixel by pixel.",)
    seen = whole.without_copies([identities[1]], identities)
    assert seen.defects == (GOOD, GOOD) and "left out 1 of 4 test images: the model has seen them" in seen.notes[0]
    with pytest.raises(DataError, match="all 4 test images were seen in learning or calibration"):
        whole.without_copies(identities, identities)
    mixed = Dataset("bolt", Images([]), Images([a, a]), (GOOD, "dent"))
    with pytest.raises(DataError, match=r"image 0 \(good\) and image 1 \(dent\) are the same image"):
        mixed.without_copies((), survey(mixed.test).identities)
