"""Tiles: every pixel is covered, the weights of all tiles sum to one, and pieces cost one decoding per image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiss.core.errors import ImageError, InputError
from amiss.core.images import Images
from amiss.core.pieces import cut_out
from amiss.core.tiling import Tiling, read_input


@st.composite
def lengths(draw: st.DrawFn) -> tuple[Tiling, int]:
    tile = draw(st.integers(1, 40))
    return Tiling(tile, draw(st.integers(0, tile // 2))), draw(st.integers(tile, 6 * tile))


@given(lengths())
def test_tiles_cover_every_side_and_end_at_its_border(case: tuple[Tiling, int]) -> None:
    tiling, length = case
    starts = tiling.starts(length)
    assert starts[0] == 0 and starts[-1] == length - tiling.tile
    steps = np.diff(starts)
    assert (steps > 0).all() and (steps <= tiling.tile - tiling.overlap).all()
    assert (steps[:-1] == tiling.tile - tiling.overlap).all()
    assert len(starts) == 1 + -(-(length - tiling.tile) // (tiling.tile - tiling.overlap))  # no tile too many


@given(lengths())
def test_weights_are_a_partition_of_unity(case: tuple[Tiling, int]) -> None:
    tiling, length = case
    weights, total = tiling.weights(length), np.zeros(length)
    for start, weight in zip(tiling.starts(length), weights, strict=True):
        assert (weight > 0).all() and (weight <= 1).all()
        total[start : start + tiling.tile] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    if length >= 2 * tiling.tile:  # the border of an image belongs to one tile, which counts fully up to the last pixel
        assert weights[0, 0] == weights[-1, -1] == 1


def test_weights_rise_linearly_over_the_overlap() -> None:
    first, middle, last = Tiling(10, 4).weights(22)
    rise = np.arange(1, 5) / 5
    np.testing.assert_allclose(first, [1] * 6 + list(rise[::-1]))
    np.testing.assert_allclose(middle, [*rise, 1, 1, *rise[::-1]], rtol=1e-6)
    np.testing.assert_allclose(last, [*rise, *[1] * 6])


def test_corners_are_those_of_all_rows_and_columns() -> None:
    assert Tiling(4, 0).corners((4, 9)) == [(0, 0), (0, 4), (0, 5)]
    assert Tiling(4, 2).corners((6, 4)) == [(0, 0), (2, 0)]


@pytest.mark.parametrize("size", [(255, 300), (300, 255)])
def test_an_image_smaller_than_a_tile_is_named(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"part.png: {size[0]} x {size[1]} pixels .* smaller than a tile of 256 x 256"):
        Tiling(256, 32).corners(size, "part.png")
    with pytest.raises(InputError, match=r"at least 256 pixels.* got 255"):
        Tiling(256, 32).weights(255)


@pytest.mark.parametrize(
    ("tile", "overlap", "words"),
    [
        (0, 0, "tile must be .*, got 0"),
        (8.5, 0, "tile must be .*, got 8.5"),
        (64, 33, "at most 32"),
        (64, -1, "overlap must be .*, got -1"),
        (1, 1, "at most 0"),
    ],
)
def test_out_of_range(tile: int, overlap: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Tiling(tile, overlap)


def test_size_or_tile() -> None:
    assert read_input(None, None, None) == ((256, 256), None)
    assert read_input(64, None, None) == ((64, 64), None)
    assert read_input((32, 48), None, None) == ((32, 48), None)
    assert read_input(None, 64, None) == ((64, 64), Tiling(64, 8))
    assert read_input(None, 64, 0) == ((64, 64), Tiling(64, 0))
    with pytest.raises(InputError, match="size must be left out"):
        read_input((256, 256), 256, None)
    with pytest.raises(InputError, match="without a tile"):
        read_input(None, None, 32)


class Counted:
    """An image that knows how often it was read."""

    def __init__(self, number: int) -> None:
        self.name, self.reads = f"{number}.png", 0
        self.pixels = np.random.default_rng(number).integers(0, 256, (7, 9, 3), dtype=np.uint8)

    def read(self) -> np.ndarray:
        self.reads += 1
        return self.pixels


def test_pieces_are_cut_where_they_lie_and_each_image_is_read_once_a_pass() -> None:
    images = [Counted(number) for number in range(3)]
    places = [(number, row, column) for number in range(3) for row in (0, 2, 4) for column in (0, 6)]
    pieces = cut_out(Images(images), places, 3)
    for again in (1, 2):
        for (number, row, column), piece in zip(places, pieces, strict=True):
            np.testing.assert_array_equal(piece, images[number].pixels[row : row + 3, column : column + 3])
        assert [image.reads for image in images] == [again] * 3
    assert pieces.size == (3, 3) and pieces.names[-1] == "2.png[row 4, column 6]"
    assert len({pieces.sha256(index) for index in range(len(pieces))}) == len(places)
