"""Masks: what they mean, how they get to another size, and what is refused."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from amiss.core.errors import DataError, ImageError
from amiss.core.images import Images
from amiss.data import GOOD, Dataset, GroundTruthRegion
from amiss.data.truth import RegionFiles, RunLengths, Saturation, doubtful_masks, read_levels, resize_mask

SIDES = st.integers(1, 20)


def dataset(masks, size=(12, 16)):
    images = Images([np.zeros(size, np.uint8)] * len(masks))
    return Dataset("x", images, images, tuple(GOOD if mask is None else "dent" for mask in masks), tuple(masks))


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_no_defect_vanishes_and_what_nearest_neighbour_keeps_stays(height, width, tall, wide, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    small = resize_mask(mask, (tall, wide))
    nearest = cv2.resize(mask.astype(np.uint8), (wide, tall), interpolation=cv2.INTER_NEAREST) > 0
    assert small.shape == (tall, wide) and small.dtype == bool
    assert not (nearest & ~small).any()
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    taken = labels[np.ix_(np.arange(tall) * height // tall, np.arange(wide) * width // wide)]
    for label in range(1, count):
        rows, columns = np.nonzero(labels == label)
        assert (taken == label).any() or small[rows * tall // height, columns * wide // width].all()
    assert small.any() == mask.any()


def test_a_thin_scratch_survives_and_a_block_beside_it_is_not_fattened():
    mask = np.zeros((64, 64), bool)
    mask[1, 1:60] = True  # between the rows that nearest neighbour takes
    mask[32:40, 32:40] = True
    small = resize_mask(mask, (16, 16))
    assert small[0].tolist() == [True] * 15 + [False]
    assert small[8:].sum() == 4 and small[8:10, 8:10].all()


def test_a_mask_that_grows_is_nearest_neighbour():
    mask = np.eye(3, dtype=bool)
    np.testing.assert_array_equal(resize_mask(mask, (6, 6)), np.kron(mask, np.ones((2, 2))) > 0)


def test_a_mask_may_be_an_array():
    mask = np.zeros((12, 16), np.uint8)
    mask[2, 3] = 7
    data = dataset([mask, None])
    assert np.argwhere(data.mask(0, (12, 16))).tolist() == [[2, 3]] and not data.mask(1, (12, 16)).any()
    with pytest.raises(DataError, match=r"a mask: \(3, 3\) pixels, but its image has \(12, 16\)"):
        dataset([np.ones((3, 3), bool)]).mask(0, (4, 4))


def test_run_lengths_count_down_the_columns_from_one():
    """Against a plain loop over an image that is not square."""
    rng = np.random.default_rng(0)
    truth = rng.random((5, 7)) < 0.4
    flat, runs = truth.T.ravel(), []
    for start in range(flat.size):
        if flat[start] and (start == 0 or not flat[start - 1]):
            stop = next((at for at in range(start, flat.size) if not flat[at]), flat.size)
            runs += [start + 1, stop - start]
    text = " ".join(map(str, runs))
    np.testing.assert_array_equal(RunLengths("x", (text,)).read((5, 7)), truth)
    both = RunLengths("x", (" ".join(map(str, runs[:4])), " ".join(map(str, runs[4:]))))
    np.testing.assert_array_equal(dataset([both], (5, 7)).mask(0, (5, 7)), truth)


@pytest.mark.parametrize(
    "text, words",
    [
        *(
            ("1", "not a list of pairs"),
            ("a 2", "not a list of pairs"),
            ("-1 2", "not a list of pairs"),
            ("1.5 2", "not a list"),
        ),
        *(("0 2", "leaves the image of 6 pixels"), ("6 2", "leaves the image")),
    ],
)
def test_other_run_lengths_are_refused(text, words):
    with pytest.raises(DataError, match=f"steel: .*{words}"):
        RunLengths("steel", (text,)).read((2, 3))


def test_the_last_pixel_may_be_defective():
    assert RunLengths("x", ("6 1",)).read((2, 3)).sum() == 1


def test_a_mask_of_16_bits_keeps_its_small_numbers(trees):
    values = np.zeros((12, 16), np.uint16)
    values[1, 2] = 3
    path = trees.write(trees.root / "mask.png", values)
    assert read_levels(path)[1, 2] == 3 and dataset([path]).mask(0, (12, 16)).sum() == 1


def test_alpha_is_no_part_of_a_mask(trees):
    values = np.zeros((12, 16, 4), np.uint8)
    values[..., 3] = 255
    assert not read_levels(trees.write(trees.root / "mask.png", values)).any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_masks_of_every_kind_of_png(trees, mode):
    """As an independent library writes them; a palette's first colour is black."""
    image = Image.new(mode, (16, 12))
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 0, 0])
    mark = {"LA": (1, 255), "RGB": (0, 1, 0), "RGBA": (0, 0, 1, 255)}.get(mode, 1)
    image.paste(mark, (4, 3, 8, 6))
    path = trees.root / "mask.png"
    image.save(path)
    assert np.array_equal(dataset([path]).mask(0, (12, 16)), trees.block() > 0)


def test_a_jpeg_and_a_float_mask_and_a_damaged_one_are_refused(trees):
    with pytest.raises(DataError, match=r"a\.jpg: a JPEG is not exact.*save the mask as PNG"):
        read_levels(trees.write(trees.root / "a.jpg", 0))
    with pytest.raises(DataError, match="a mask must have whole numbers, got float32"):
        read_levels(trees.write(trees.root / "a.tiff", np.zeros((4, 4), np.float32)))
    broken = trees.write(trees.root / "b.png", 0)
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(ImageError, match="cut off"):
        dataset([broken]).mask(0, (4, 4))


@pytest.mark.parametrize(
    "threshold, relative, region, area",
    [(5, False, 12, 5), (50, False, 12, 12), (0.5, True, 13, 6), (1.0, True, 13, 13), (0.01, True, 13, 1)],
)
def test_saturation_is_in_pixels_or_a_share_rounded_down(threshold, relative, region, area):
    """As the authors of MVTec LOCO AD compute it; at least one pixel, so that nothing is found for free."""
    assert Saturation(threshold, relative).area(region) == area


def test_regions_carry_their_saturation_to_another_size(trees):
    masks = []
    for number, (rows, columns) in enumerate([((0, 32), (0, 32)), ((9, 10), (1, 60))]):
        values = np.zeros((64, 64), np.uint8)
        values[rows[0] : rows[1], columns[0] : columns[1]] = 200 + number
        masks.append(trees.write(trees.root / f"000/{number}.png", values))
    source = RegionFiles(tuple(masks), {200: Saturation(512, False), 201: Saturation(1.0, True)})
    data = dataset([source, None], (64, 64))
    assert data.has_saturation and data.regions(1, (8, 8)) == []
    own = data.regions(0, (64, 64))
    assert [(region.mask.sum(), region.saturation) for region in own] == [(1024, 512), (59, 59)]
    small = data.regions(0, (16, 16))
    assert all(isinstance(region, GroundTruthRegion) and region.mask.dtype == bool for region in small)
    assert [region.mask.sum() for region in small] == [64, 15]
    assert [region.saturation for region in small] == [512 / 16, 59 / 16]
    np.testing.assert_array_equal(data.mask(0, (64, 64)), own[0].mask | own[1].mask)


@given(st.integers(4, 40), st.integers(4, 40), st.integers(0, 2**16))
def test_to_find_a_whole_region_is_always_enough(tall, wide, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((32, 32), np.uint8)
    top, left = rng.integers(0, 30, 2)
    mask[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)] = 1

    class Memory(RegionFiles):
        def regions(self, size):
            return [GroundTruthRegion(mask > 0, Saturation(float(rng.integers(1, 500)), False).area(int(mask.sum())))]

    (region,) = dataset([Memory((), {})], (32, 32)).regions(0, (tall, wide))
    assert 0 < region.saturation <= region.mask.sum()


def test_a_region_file_holds_one_known_defect(trees):
    two = np.zeros((12, 16), np.uint8)
    two[0, 0], two[1, 1] = 200, 201
    for name, values, words in (
        ("two.png", two, r"there must be exactly one of 200, 201 besides 0, got \[200, 201\]"),
        ("none.png", np.zeros((12, 16), np.uint8), r".* besides 0, got \[\]"),
        ("other.png", np.full((12, 16), 9, np.uint8), r".* besides 0, got \[9\]"),
        ("small.png", np.full((6, 8), 200, np.uint8), r"\(6, 8\) pixels, but its image has \(12, 16\)"),
    ):
        source = RegionFiles(
            (trees.write(trees.root / name, values),), {200: Saturation(1, True), 201: Saturation(1, True)}
        )
        with pytest.raises(DataError, match=rf"{name}: {words}"):
            dataset([source]).regions(0, (12, 16))


def test_without_saturations_there_are_no_regions():
    data = dataset([np.ones((12, 16), bool), None])
    assert not data.has_saturation and not dataset([None]).has_saturation
    with pytest.raises(DataError, match="how much of it is enough"):
        data.regions(0, (12, 16))


def test_masks_that_are_coded_in_another_way_are_named(tmp_path):
    marks = np.zeros((10, 10), np.uint8)
    marks[2:4, 2:5] = 255
    alpha = np.dstack([np.zeros((10, 10, 3), np.uint8), marks])
    inverted, white = 255 - marks, np.dstack([255 - marks, 255 - marks, np.full((10, 10), 255, np.uint8)])
    for name, mask in {"alpha": alpha, "inverted": inverted, "white": white, "usual": marks}.items():
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), mask)
    with pytest.raises(DataError, match=r"alpha\.png: its marks lie in the alpha channel"):
        read_levels(tmp_path / "alpha.png")
    assert doubtful_masks([tmp_path / "usual.png", None]) == []
    for name, share in (("inverted", "94 %"), ("white", "100 %")):
        (note,) = doubtful_masks([tmp_path / "usual.png", tmp_path / f"{name}.png"])
        assert note.startswith("1 of 2 masks mark more than half") and name in note and share in note


def test_opaque_and_coloured_masks_are_read(tmp_path):
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[:, :, 3] = 255
    mask[1, 1, 2] = 200
    assert cv2.imwrite(str(tmp_path / "a.png"), mask)
    assert (read_levels(tmp_path / "a.png") > 0).sum() == 1
