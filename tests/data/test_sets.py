"""Every published data set: which images are normal, which are tested, with which defect names, masks and notes."""

import json
import re
from collections import Counter

import numpy as np
import pytest
import tifffile

from amiss.core.errors import DataError, ImageError, InputError
from amiss.data import (
    GOOD,
    Origin,
    read_btad,
    read_kolektor,
    read_mvtec,
    read_mvtec_3d,
    read_mvtec_ad2,
    read_mvtec_loco,
    read_nanofibres,
    read_positions,
    read_severstal,
    read_visa,
)


def names(images, root):
    return [path.relative_to(root).as_posix() for path in images.paths]


def is_block(mask, trees):
    return np.array_equal(mask, trees.block() > 0)


def test_mvtec_reads_the_licence_beside_it_and_notes_what_is_odd(trees):
    root = trees.build("mvtec")
    assert read_mvtec(root).licence == "" and read_mvtec(root).notes == ()
    (root / "license.txt").write_text(
        "under a Creative Commons\nAttribution-NonCommercial-ShareAlike\n4.0 International"
    )
    (root / "test/bent").mkdir()
    trees.write(root / "ground_truth/dent/9_mask.png")
    (root / "test/good/0.png").unlink()
    data = read_mvtec(root)
    assert data.licence == "CC BY-NC-SA 4.0"
    assert [re.match(r"\w+ \w+ \w+ \w+", note)[0] for note in data.notes] == [
        "There is no test",
        "There is no test",
        "1 masks belong to",
    ]


def test_mvtec_ad2_is_its_public_part_and_a_scene_is_a_part(trees):
    root = trees.build("mvtec_ad2")
    data = read_mvtec_ad2(root)
    assert names(data.normal, root) == [
        "train/good/000_regular.png",
        "train/good/001_regular.png",
        "validation/good/000_regular.png",
    ]
    assert data.defects == ("bad", "bad", GOOD, GOOD) and data.licence == "CC BY-NC-SA 4.0"
    assert is_block(data.mask(0, (12, 16)), trees) and data.masks[2] is None
    assert [origin.part for origin in data.test_origins] == ["test_public/bad/000"] * 2 + ["test_public/good/000"] * 2
    assert data.normal_origins[2] == Origin(product="can", part="validation/good/000")
    assert any("train/good and validation/good" in note for note in data.notes)


def test_mvtec_loco_has_regions_with_saturations(trees):
    root = trees.build("mvtec_loco")
    data = read_mvtec_loco(root)
    assert len(data.normal) == 2 and data.defects == (GOOD, "logical_anomalies", "structural_anomalies")
    assert data.has_saturation and data.regions(0, (12, 16)) == []
    logical, structural = (data.regions(index, (12, 16)) for index in (1, 2))
    assert [(int(region.mask.sum()), region.saturation) for region in logical] == [(12, 5.0), (60, 30.0)]
    assert [(int(region.mask.sum()), region.saturation) for region in structural] == [(12, 12.0)]
    np.testing.assert_array_equal(data.mask(1, (12, 16)), logical[0].mask | logical[1].mask)


def test_a_loco_folder_without_its_list_of_defects_or_with_a_damaged_one_is_refused(trees):
    root = trees.build("mvtec_loco")
    config = root / "defects_config.json"
    entries = json.loads(config.read_text())
    for text in ("{", "[1]", '[{"pixel_value": 255}]', json.dumps([{**entries[0], "relative_saturation": "no"}])):
        config.write_text(text)
        with pytest.raises(DataError, match=r"defects_config\.json: not a list of defects with pixel_value"):
            read_mvtec_loco(root)
    config.unlink()
    with pytest.raises(DataError, match=r"defects_config\.json is missing\. MVTec LOCO AD is laid out as"):
        read_mvtec_loco(root)


def test_a_loco_image_without_regions_is_refused(trees):
    root = trees.build("mvtec_loco")
    (root / "ground_truth/structural_anomalies/000/000.png").unlink()
    with pytest.raises(DataError, match=r"structural_anomalies/000\.png: its masks .*000/\*\.png are missing"):
        read_mvtec_loco(root)


def test_mvtec_3d_has_colour_images_and_positions(trees):
    root = trees.build("mvtec_3d")
    data = read_mvtec_3d(root)
    assert names(data.normal, root) == ["train/good/rgb/000.png", "validation/good/rgb/000.png"]
    assert data.defects == (GOOD, "hole") and data.masks[0] is None and is_block(data.mask(1, (12, 16)), trees)
    path = data.test.paths[1]
    positions = read_positions(path)
    assert positions.dtype == np.float32 and positions.shape == (12, 16, 3)
    np.testing.assert_array_equal(positions, tifffile.imread(root / "test/hole/xyz/000.tiff"))


def test_positions_are_x_y_z_as_another_library_wrote_them(trees):
    root = trees.build("mvtec_3d")
    known = np.random.default_rng(0).normal(size=(12, 16, 3)).astype(np.float32)
    tifffile.imwrite(root / "test/hole/xyz/000.tiff", known, photometric="rgb")
    np.testing.assert_array_equal(read_positions(root / "test/hole/rgb/000.png"), known)


def test_a_3d_image_needs_its_positions(trees):
    root = trees.build("mvtec_3d")
    trees.write(root / "test/good/xyz/000.tiff", 0)
    with pytest.raises(DataError, match=r"uint8 \(12, 16\); a position map is float32"):
        read_positions(root / "test/good/rgb/000.png")
    (root / "test/good/xyz/000.tiff").unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        read_positions(root / "test/good/rgb/000.png")
    with pytest.raises(DataError, match="1 images have no position map, such as"):
        read_mvtec_3d(root)


def test_btad_masks_may_end_differently_from_their_images(trees):
    root = trees.build("btad")
    data = read_btad(root)
    assert data.name == "btad_01" and names(data.normal, root) == ["train/ok/0000.bmp"]
    assert data.defects == ("ko", "ko", GOOD) and data.licence == "CC BY-NC-SA 4.0"
    assert [mask and mask.name for mask in data.masks] == ["0000.png", "0001.bmp", None]
    assert is_block(data.mask(1, (12, 16)), trees)


def test_kolektor_learns_from_images_with_an_empty_mask_alone(trees):
    root = trees.build("kolektorsdd2")
    data = read_kolektor(root)
    assert names(data.normal, root) == ["train/00000.png", "train/00002.png"]
    assert names(data.test, root) == ["test/00003.png", "test/00004.png"] and data.defects == (GOOD, "defect")
    assert is_block(data.mask(1, (12, 16)), trees) and data.notes == ("1 defective images of train/ are left out.",)


def test_kolektor_without_anything_good_or_without_a_mask_is_refused(trees):
    root = trees.build("kolektorsdd2")
    for number in (0, 2):
        trees.write(root / f"train/{number:05d}_GT.png", 255)
    with pytest.raises(DataError, match="nothing good to learn from"):
        read_kolektor(root)
    (root / "test/00003_GT.png").unlink()
    with pytest.raises(DataError, match=r"its mask .*00003_GT\.png is missing"):
        read_kolektor(root)


@pytest.mark.parametrize("older", [False, True])
def test_severstal_is_divided_with_the_seed(trees, older):
    root = trees.build("severstal")
    if older:
        found = {
            tuple(row.split(",")[:2]): row.split(",")[2] for row in (root / "train.csv").read_text().split("\n")[1:-1]
        }
        keys = [(f"{number:02d}.jpg", kind) for number in range(12) for kind in "1234"]
        rows = [f"{name}_{kind},{found.get((name, kind), '')}" for name, kind in keys]
        (root / "train.csv").write_text("ImageId_ClassId,EncodedPixels\n" + "\n".join(rows) + "\n")
    data = read_severstal(root, seed=1)
    assert Counter(data.defects) == {GOOD: 2, "class_3": 1, "class_1+class_4": 1} and len(data.normal) == 8
    assert not set(data.normal.paths) & set(data.test.paths)
    index = data.defects.index("class_3")
    assert is_block(data.mask(index, (12, 16)), trees)
    both = data.mask(data.defects.index("class_1+class_4"), (12, 16))
    assert np.argwhere(both).tolist() == [[0, 0], [1, 0], [11, 15]]
    assert read_severstal(root, seed=1).normal.paths == data.normal.paths != read_severstal(root, seed=2).normal.paths
    assert "Amiss's own" in data.notes[0] and not data.has_saturation


def test_severstal_rows_that_are_not_understood_are_refused(trees):
    root = trees.build("severstal")
    for text, words in (
        ("ImageId,EncodedPixels\n00.jpg,1 1\n", "the columns are ImageId, EncodedPixels"),
        ("ImageId,ClassId,EncodedPixels\n99.jpg,1,1 1\n", r"1 images are not in train_images/, such as 99\.jpg"),
        ("ImageId,ClassId,EncodedPixels\n00.jpg,1,1 1\n00.jpg,1,3 1\n", "row 2: .* each pair once"),
        (
            "ImageId,ClassId,EncodedPixels\n00.jpg,x,1 1\n",
            "row 1: must be an image and a class, each pair once, got '00.jpg_x'",
        ),
    ):
        (root / "train.csv").write_text(text)
        with pytest.raises(DataError, match=words):
            read_severstal(root)


def test_nanofibres_have_no_good_test_image_and_say_so(trees):
    data = read_nanofibres(trees.build("nanofibres"))
    assert len(data.normal) == 1 and data.defects == ("anomalous",) and is_block(data.mask(0, (12, 16)), trees)
    assert "no good test images" in data.notes[0]


def test_visa_follows_the_one_class_split_and_names_the_defects(trees):
    root = trees.build("visa")
    data = read_visa(root, "candle")
    assert names(data.normal, root) == [f"candle/Data/Images/Normal/{number:04d}.JPG" for number in range(2)]
    assert data.defects == (GOOD, "wax melded", "chunk missing+spot") and data.licence == "CC BY 4.0"
    assert data.masks[0] is None and is_block(data.mask(2, (12, 16)), trees)  # drawn with 2, not 255
    other = read_visa(root, "pcb1")
    assert other.defects == (GOOD, "anomaly", "anomaly") and "have no names" in other.notes[0]


def test_visa_refuses_other_objects_rows_and_missing_files(trees):
    root = trees.build("visa")
    table = root / "split_csv/1cls.csv"
    with pytest.raises(InputError, match=r"object must be one of .*, got 'cndle'\. Did you mean 'candle'"):
        read_visa(root, "cndle")
    text = table.read_text()
    table.write_text(text.replace("candle,test,anomaly", "candle,test,anomly", 1))
    with pytest.raises(DataError, match="label is normal or anomaly"):
        read_visa(root, "candle")
    table.write_text(text.replace("candle/Data/Images/Normal/0000.JPG", "../secret.JPG"))
    with pytest.raises(DataError, match=r"'\.\./secret\.JPG' leads out of"):
        read_visa(root, "candle")
    table.write_text(text.replace("object,", "thing,"))
    with pytest.raises(DataError, match="no column object; found: image, label, mask, split, thing"):
        read_visa(root, "candle")
    table.write_text(text)
    (root / "candle/Data/Masks/Anomaly/001.png").unlink()
    with pytest.raises(DataError, match=r"1 masks are missing: .*001"):
        read_visa(root, "candle")


PARTS = [
    (read_mvtec, "mvtec", "test", "test/ is not"),
    (read_mvtec, "mvtec", "train", "train/good/ is missing"),
    (read_mvtec_ad2, "mvtec_ad2", "validation", "validation/good/ is missing"),
    (read_mvtec_ad2, "mvtec_ad2", "test_public/ground_truth", "test_public/ground_truth/bad/ is missing"),
    (read_mvtec_loco, "mvtec_loco", "train", "train/good/ is missing"),
    (read_mvtec_loco, "mvtec_loco", "test", "test/ is missing"),
    (read_mvtec_3d, "mvtec_3d", "train", "train/good/rgb/ is missing"),
    (read_mvtec_3d, "mvtec_3d", "test", "test/ is missing"),
    (read_btad, "btad", "ground_truth", "ground_truth/ko/ is missing"),
    (read_btad, "btad", "test", "test/ is missing"),
    (read_kolektor, "kolektorsdd2", "test", "test/ is missing"),
    (read_severstal, "severstal", "train_images", "train_images/ is missing"),
    (read_severstal, "severstal", "train.csv", r"train\.csv is missing"),
    (read_nanofibres, "nanofibres", "Normal", "Normal/ is missing"),
    (read_nanofibres, "nanofibres", "Anomalous", "Anomalous/images/ is missing"),
]


@pytest.mark.parametrize("read, kind, part, words", PARTS, ids=[f"{kind}-{part}" for _, kind, part, _ in PARTS])
def test_a_missing_part_is_named_with_what_was_expected_and_where_to_get_it(trees, read, kind, part, words):
    root = trees.build(kind)
    (root / part).rename(trees.root / "elsewhere")
    with pytest.raises(DataError, match=rf"{words}.*is laid out as .*; get it from .* \(licence: "):
        read(root)


def test_a_visa_folder_without_its_split_is_refused(trees):
    with pytest.raises(DataError, match=r"split_csv/1cls\.csv is missing\. VisA is laid out as"):
        read_visa(trees.root, "candle")


@pytest.mark.parametrize(
    "read, kind, mask",
    [
        (read_mvtec, "mvtec", "ground_truth/dent/0_mask.png"),
        (read_mvtec_ad2, "mvtec_ad2", "test_public/ground_truth/bad/000_shift_1_mask.png"),
        (read_mvtec_3d, "mvtec_3d", "test/hole/gt/000.png"),
        (read_btad, "btad", "ground_truth/ko/0000.png"),
        (read_nanofibres, "nanofibres", "Anomalous/gt/a1_gt.png"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_missing_mask_is_an_error(trees, read, kind, mask):
    root = trees.build(kind)
    (root / mask).unlink()
    with pytest.raises(DataError, match=r"its mask .* is missing"):
        read(root)


def test_an_empty_type_is_noted_and_an_empty_training_folder_refused(trees):
    root = trees.build("mvtec_loco")
    (root / "test/logical_anomalies/000.png").unlink()
    assert "no test image of the type logical_anomalies" in read_mvtec_loco(root).notes[-1]
    (root / "train/good/000.png").unlink()
    with pytest.raises(DataError, match=r"train/good: no image inside\. MVTec LOCO AD"):
        read_mvtec_loco(root)
