"""`amiss data`: what is told of a data set, and which troubles are found."""

import json

import numpy as np

from amiss.core.images import Images
from amiss.data import GOOD, Dataset, Origin, open_dataset
from amiss.data.check import account_for, check_dataset, describe, sample_sizes


def images(*seeds):
    return Images([np.random.default_rng(seed).integers(0, 256, (8, 9), dtype=np.uint8) for seed in seeds])


def test_every_kind_passes_its_check(trees):
    for kind in trees.kinds:
        path = trees.build(kind)
        category = "candle" if kind == "visa" else None
        found = check_dataset(open_dataset(path, category=category, classes=kind == "classes"))
        assert found.errors == () and found.notes == () and found.sizes


def test_progress_counts_every_image():
    seen = []
    check_dataset(Dataset("x", images(0, 1), images(2), (GOOD,)), progress=lambda *step: seen.append(step))
    assert seen == [("checking", 1, 3), ("checking", 2, 3), ("checking", 3, 3)]


def test_an_image_in_both_parts_is_an_error_and_copies_are_noted():
    data = Dataset("x", images(0, 1, 1), images(2, 1, 0), (GOOD,) * 3)
    found = check_dataset(data)
    assert found.errors == (
        "2 images are in both normal and test, so test figures are too good: such as the one of image 1",
    )
    assert found.notes == ("1 of the 3 normal images is a copy of another, pixel by pixel: each image counts once.",)


def test_a_part_in_both_is_an_error_and_a_lot_in_both_is_noted():
    def origins(*parts):
        return tuple(Origin("bolt", lot, part) for lot, part in parts)

    data = Dataset(
        *("x", images(0, 1), images(2, 3), (GOOD,) * 2, None),
        *(origins(("L1", "1"), ("L1", "2")), origins(("L1", "2"), ("L2", "1"))),
    )
    found = check_dataset(data)
    assert found.errors == ("1 parts are shown in both normal and test, so test figures are too good",)
    assert found.notes == ("1 of 2 lots of test are also learned from.",)
    told = describe(data)
    assert told["normal_origins"] == {"products": 1, "lots": 1, "parts": 2}
    assert told["test_origins"] == {"products": 1, "lots": 2, "parts": 2}


def test_masks_are_checked_against_what_they_should_say():
    full, none = np.zeros((8, 9), bool), np.zeros((8, 9), bool)
    full[2:4] = True
    data = Dataset("x", images(0), images(1, 2, 3, 4), ("dent", "dent", GOOD, GOOD), (full, none, full, none))
    found = check_dataset(data)
    assert found.errors == ("image 2: a good image, but its mask marks a defect",)
    assert found.notes == ("1 defective test images have an empty mask: pixel figures see no defect in them.",)
    assert describe(data)["masks"] == 4 and found.sizes == {(8, 9): 5}


def test_broken_files_are_all_listed(trees, amiss):
    root = trees.build("mvtec")
    (root / "train/good/1.png").write_bytes(b"")
    (root / "test/dent/0.png").write_bytes(b"words")
    trees.write(root / "ground_truth/scratch/0_mask.png", 255, size=(5, 5))
    code, out, err = amiss("data", root, "--check", "--json")
    report = json.loads(out)
    assert code == 3 and len(report["errors"]) == 3 and err == "checking: 5 done\n"
    for words in ("1.png: the file is empty", "0.png: not a PNG", "(5, 5) pixels, but its image has (12, 16)"):
        assert any(words in error for error in report["errors"])
    code, out, _ = amiss("data", root, "--check")
    assert code == 3 and out.count("\nerror:   ") == 3 and out.endswith("3 errors in 5 images.\n")
    code, out, _ = amiss("data", root)
    assert code == 0 and "error" not in out and "--check decodes every one" in out
    assert sample_sizes(open_dataset(root)) == {(12, 16): 3}


def test_a_person_reads_ten_errors_and_a_machine_all(trees, amiss):
    for number in range(14):
        trees.write(trees.root / f"parts/{number:02d}.png").write_bytes(b"")
    code, out, _ = amiss("data", trees.root / "parts", "--check")
    assert code == 3 and "error:   4 more; --json lists all of them" in out and "sizes:   none" in out
    assert len(json.loads(amiss("data", trees.root / "parts", "--check", "--json")[1])["errors"]) == 14


def test_what_is_told(trees, amiss):
    code, out, err = amiss("data", trees.build("mvtec_loco"), "--check")
    assert code == 0 and err == "checking: 5 done\n"
    assert out.splitlines()[:6] == [
        "pushpins (read as mvtec_loco)",
        "normal:  2 images",
        "test:    1 good, 1 logical_anomalies, 1 structural_anomalies",
        "masks:   2, each region with its saturation",
        "sizes:   12 x 16 (5); height x width, all images",
        "licence: CC BY-NC-SA 4.0",
    ]
    assert out.splitlines()[6] == "files:   9 found: 5 images, 3 masks, no unused image, 1 ignored"
    assert out.splitlines()[8].startswith("note:    Normal images are") and out.endswith("All 5 images are usable.\n")
    _, out, _ = amiss("data", trees.build("mvtec_ad2"))
    assert "normal:  3 images from 3 parts\n" in out and "good, 2 bad from 2 parts\n" in out


def test_many_sizes_are_told_as_a_range(trees, amiss):
    for side in range(4, 12):
        trees.write(trees.root / f"parts/{side:02d}.png", size=(side, 2 * side))
    out = amiss("data", trees.root / "parts")[1]
    assert "sizes:   8 different ones, height 4 to 11, width 8 to 22, a sample\n" in out
    assert "licence: not known" in out and "masks:   none; images can be judged, pixels cannot" in out


def test_json_is_one_object_with_everything(trees, amiss):
    path = trees.build("severstal")
    reports = [json.loads(amiss("data", path, "--json", "--seed", seed)[1]) for seed in (0, 0, 1)]
    assert reports[0] == reports[1] and reports[0]["kind"] == "severstal" and not reports[0]["checked"]
    assert reports[0]["test"] == {"good": 2, "class_1+class_4": 1, "class_3": 1} and reports[0]["masks"] == 2
    assert reports[0]["sizes"] == [{"height": 12, "width": 16, "images": 12}] and "errors" not in reports[0]


def test_a_wrong_address_is_one_line(trees, amiss):
    code, out, err = amiss("data", trees.root / "none")
    assert code == 2 and out == "" and err.startswith("amiss: ") and err.count("\n") == 1


def test_every_file_is_accounted_for(trees, amiss):
    root = trees.build("mvtec")
    before = account_for(open_dataset(root), root)
    assert before.found == before.used + before.masks and before.used == 5
    trees.write(root / "train/spare.png")
    (root / "train/good/a.txt").write_text("words")
    (root / "train/good/.b.jfif").write_bytes((root / "train/good/0.png").read_bytes())
    after = account_for(open_dataset(root), root)
    assert after.used == 6 and after.unused == (root / "train/spare.png",) and after.masks == before.masks
    assert [one.path.name for one in after.ignored] == ["a.txt"] and after.found == before.found + 3
    report = json.loads(amiss("data", root, "--json")[1])["files"]
    assert report == after.summary()
    assert "1 unused images (such as " in amiss("data", root)[1]


def test_one_image_under_two_names_for_what_it_shows_is_an_error():
    found = check_dataset(Dataset("x", images(0), images(1, 2, 1), (GOOD, GOOD, "dent")))
    assert found.errors == ("image 0 (good) and image 2 (dent) are the same image",)


def test_images_that_hold_fewer_bits_than_their_files_are_noted():
    deep = Images([np.full((4, 4), value, np.uint16) for value in (900, 3000)])
    (note,) = check_dataset(Dataset("x", deep, Images([]))).notes
    assert note.startswith("No value of the 2 16-bit images exceeds 4,095")


def test_most_masks_inverted_is_noted():
    mask = np.ones((8, 9), bool)
    mask[:2] = False
    (note,) = check_dataset(Dataset("x", images(0), images(1), ("dent",), (mask,))).notes
    assert note.startswith("1 of 1 masks mark more than half of their image, such as a mask (75 %): inverted")
