"""Folders of classes: which images learn and which test, near-copies on one side, and what is refused."""

import cv2
import numpy as np
import pytest

from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.data import GOOD, open_dataset
from amiss.data.classes import label_by_folder
from amiss.data.near import SHARE, group, near_copies


def write(root, name, pixels):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def noise(seed, near=None):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (32, 32)).astype(np.uint8)
    return image if near is None else np.where(rng.random((32, 32)) < 0.005, image, noise(near))


@pytest.fixture
def folder(tmp_path):
    """Three classes of 10 images; in each the last four nearly repeat the first."""
    for number, name in enumerate("abc"):
        for index in range(10):
            seed = 100 * number + index
            write(tmp_path / "set", f"{name}/{index}.png", noise(seed, 100 * number if index >= 6 else None))
    return tmp_path / "set"


def where(data):
    return [set(images.names) for images in (data.normal, data.test)]


def test_each_class_is_divided_and_near_copies_stay_together(folder):
    data = open_dataset(f"classes:{folder}", seed=3)
    assert sorted(set(data.normal.labels)) == sorted(set(data.test.labels)) == ["a", "b", "c"]
    assert len(data.normal) + len(data.test) == 30 and set(data.defects) == {GOOD}
    learn, test = where(data)
    for name in "abc":
        near = {str(folder / name / f"{index}.png") for index in (0, 6, 7, 8, 9)}
        assert near <= learn or near <= test
    parts = [origin.part for origin in (*data.normal_origins, *data.test_origins)]
    assert sorted({part for part in parts if part}) == ["a 0", "b 0", "c 0"] and sum(map(bool, parts)) == 15
    assert any("15 of 30 images nearly repeat others" in note and "3 parts" in note for note in data.notes)
    assert (
        where(open_dataset(f"classes:{folder}", seed=3))
        == [learn, test]
        != where(open_dataset(f"classes:{folder}", seed=4))
    )


def test_only_the_classes_asked_for_are_learned_and_all_others_are_unknown(folder):
    data = open_dataset(f"classes:{folder}#c,a", seed=3)
    assert sorted(set(data.normal.labels)) == ["a", "c"]
    unknown = [label for label, defect in zip(data.test.labels, data.defects, strict=True) if defect != GOOD]
    assert unknown == ["b"] * 10 and data.anomalous.sum() == 10
    both = open_dataset(f"classes:{folder}", seed=3)  # the split of a class does not depend on the others
    assert where(data)[0] == {name for name in where(both)[0] if f"{folder}/b" not in name}
    with pytest.raises(InputError, match="class must be one of a, b, c, got 'd'"):
        open_dataset(f"classes:{folder}#a,d")


def test_train_and_test_are_the_split_where_they_are_there(folder):
    (folder / "a").rename(folder.parent / "a")
    for place in ("train", "test"):
        for name in "bc":
            for index in range(3):
                write(
                    folder.parent / "two",
                    f"{place}/{name}/{index}.png",
                    noise(1000 * len(place) + 10 * ord(name) + index),
                )
    (folder.parent / "a").rename(folder.parent / "two/test/a")
    data = open_dataset(f"classes:{folder.parent / 'two'}")
    assert data.normal.labels == ("b",) * 3 + ("c",) * 3
    assert data.anomalous.sum() == 10 and {d for d in data.defects if d != GOOD} == {"a"}
    one = open_dataset(f"classes:{folder.parent / 'two'}#b")
    assert one.normal.labels == ("b",) * 3 and sorted(set(one.defects)) == ["a", "c", GOOD]


def test_a_folder_is_read_as_classes_for_a_method_that_learns_them_unless_a_reader_is_forced(folder):
    assert open_dataset(folder, classes=True).normal.labels
    assert not open_dataset(folder).normal.labels and not open_dataset(f"folder:{folder}", classes=True).normal.labels


def test_images_outside_of_all_classes_and_classes_that_cannot_be_divided_are_refused(folder):
    write(folder, "d/only.png", noise(7))
    with pytest.raises(DataError, match=r"class 'd': good images of at least 2 parts are needed"):
        open_dataset(f"classes:{folder}")
    assert len(open_dataset(f"classes:{folder}#a,b").test.labels) >= 11
    write(folder, "bare.png", noise(8))
    with pytest.raises(DataError, match="must lie in a folder named after its class, got 1 outside, such as bare"):
        label_by_folder(folder)


def test_near_copies_are_pairs_far_nearer_than_usual_and_chains_of_them():
    rng = np.random.default_rng(0)
    grids = rng.standard_normal((40, 1024)).astype(np.float32)
    usual = np.median([np.linalg.norm(grids[i] - grids[j]) for i in range(40) for j in range(i)])
    step = rng.standard_normal(1024)
    step *= 0.9 * SHARE * usual / np.linalg.norm(step)
    grids[10], grids[20] = grids[0] + step, grids[0] + 2 * step  # 0 - 10 - 20
    grids[31] = grids[30] + 2 * step
    found = group(grids)
    assert found[0] == found[10] == found[20] and found[30] != found[31]
    assert len(set(found.tolist())) == 38


def test_parts_that_always_lie_alike_are_not_all_near_copies_and_classes_are_apart():
    rng = np.random.default_rng(0)
    part = rng.integers(60, 200, (32, 32))
    pixels = [np.clip(part + rng.normal(0, 2, (32, 32)), 0, 255).astype(np.uint8) for _ in range(12)]
    pixels.append(pixels[0])
    origins = near_copies(Images(pixels, labels=["a"] * 12 + ["b"]))
    assert [origin.part for origin in origins] == [None] * 13
    assert near_copies(Images([pixels[0], pixels[0], pixels[1]], labels=["a"] * 3))[0].part == "a 0"


def test_an_image_that_cannot_be_read_is_left_to_those_who_use_it(folder):
    (folder / "a" / "2.png").write_bytes(b"\x89PNG broken")
    data = open_dataset(f"classes:{folder}")
    assert len(data.normal) + len(data.test) == 30
