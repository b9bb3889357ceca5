"""Scores of tiles blended into those of an image: like the whole image's, without seams, in little memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from amiss.core.errors import ImageError
from amiss.core.images import Images
from amiss.core.scores import Scores
from amiss.core.tiling import Tiling
from amiss.detectors.detector import TorchScorer
from amiss.export import export_onnx
from amiss.registry import create
from amiss.runtime import Graph, Tiles, score_tiles


def contrast(pixels: NDArray[np.uint8]) -> Scores:
    """How far a pixel is from the mean of its 5 x 5 neighbours: a statistic that sees two pixels far."""
    grey = pixels.astype(np.float32).mean(axis=3)
    return Scores.of_map(np.abs(grey - uniform_filter(grey, (0, 5, 5), mode="constant")))


def darkness(pixels: NDArray[np.uint8]) -> Scores:
    """One score per image, without a map."""
    return Scores(-pixels.astype(np.float32).mean(axis=(1, 2, 3)))


def seen_whole(tiling: Tiling, size: tuple[int, int], reach: int) -> NDArray[np.bool_]:
    """Pixels that are at least `reach` away from the edges of every tile on them, but for borders of the image."""
    sides = []
    for length in size:
        clear = np.ones(length, bool)
        for start in tiling.starts(length):
            end = start + tiling.tile
            if start:
                clear[start : start + reach] = False
            if end < length:
                clear[end - reach : end] = False
        sides.append(clear)
    return np.logical_and.outer(*sides)


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@given(st.integers(16, 70), st.integers(16, 70), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_inside_tiles_the_scores_are_those_of_the_whole_image(height: int, width: int, overlap: int) -> None:
    image, tiling = noise(height, width, 3), Tiling(16, overlap)
    blended, whole = score_tiles(contrast, image, tiling), contrast(image[None])
    inside = seen_whole(tiling, (height, width), 2)
    assert blended.map.shape == whole.map.shape and blended.map.dtype == np.float32
    assert inside.mean() > 0.1
    np.testing.assert_allclose(blended.map[0][inside], whole.map[0][inside], rtol=1e-5)
    assert blended.image[0] == blended.map.max()


def test_a_network_with_aligned_strides_scores_the_inside_as_in_the_whole_image() -> None:
    """Features of stride 4 see 8 pixels far, their upsampling 4 more; tiles begin at multiples of 4."""
    image, tiling = noise(160, 256, 3, seed=1), Tiling(64, 16)
    tiles = Tiles(Images([noise(160, 256, 3, seed=2)]), tiling)
    detector = create("knn", "tiny", stages=(4,), smoothing=0.0).fit(tiles.of([0]))
    whole = TorchScorer(detector, (160, 256)).run(image[None]).map[0]
    inside = seen_whole(tiling, (160, 256), 16)
    assert inside.mean() > 0.2
    for run in (TorchScorer(detector, (64, 64)).run, Graph(export_onnx(detector, (64, 64))).run):
        blended = score_tiles(run, image, tiling).map[0]
        np.testing.assert_allclose(blended[inside], whole[inside], rtol=1e-5, atol=1e-5 * whole.max())


@given(st.integers(1, 20), st.data())
@settings(deadline=None)
def test_no_seams_on_a_constant_map(tile: int, data: st.DataObject) -> None:
    tiling = Tiling(tile, data.draw(st.integers(0, tile // 2)))
    size = [data.draw(st.integers(tile, 4 * tile)) for _ in range(2)]
    scores = score_tiles(
        lambda pixels: Scores.of_map(np.full(pixels.shape[:3], -7.5)), np.zeros((*size, 3), np.uint8), tiling
    )
    np.testing.assert_allclose(scores.map, -7.5, rtol=1e-6)


def test_no_seam_where_neighbours_disagree() -> None:
    """Each tile scores another constant: from pixel to pixel the blended map moves by a step of the ramp at most."""
    tiling, numbers = Tiling(32, 15), iter(range(100))
    image = np.zeros((32, 32 + 17 * 4 + 5, 3), np.uint8)

    def run(pixels: NDArray[np.uint8]) -> Scores:
        return Scores.of_map(np.stack([np.full((32, 32), float(next(numbers) % 2)) for _ in pixels]))

    blended = score_tiles(run, image, tiling).map[0]
    assert np.abs(np.diff(blended, axis=1)).max() <= 1 / 16 + 1e-6
    assert blended.min() == 0 and blended.max() == 1


def test_methods_without_a_map_say_the_largest_of_all_tiles() -> None:
    image, tiling = noise(50, 70, 3), Tiling(16, 4)
    wanted = max(-image[r : r + 16, c : c + 16].astype(np.float32).mean() for r, c in tiling.corners((50, 70)))
    scores = score_tiles(darkness, image, tiling)
    assert scores.map is None
    np.testing.assert_allclose(scores.image, [wanted], rtol=1e-6)


def test_tiles_go_in_batches_of_four() -> None:
    sizes = []

    def run(pixels: NDArray[np.uint8]) -> Scores:
        sizes.append(len(pixels))
        return contrast(pixels)

    score_tiles(run, noise(40, 60, 3), Tiling(16, 0))
    assert sizes == [4, 4, 4]


def test_one_tile_is_the_image_itself() -> None:
    image = noise(16, 16, 3)
    np.testing.assert_array_equal(score_tiles(contrast, image, Tiling(16, 8)).map, contrast(image[None]).map)


def test_memory_is_the_map_and_little_more() -> None:
    image = np.zeros((2000, 3000, 3), np.uint8)
    tracemalloc.start()
    try:
        scores = score_tiles(contrast, image, Tiling(128, 16))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    pixels = 2000 * 3000
    assert scores.map.nbytes == 4 * pixels
    assert peak < 4 * pixels + 2 * pixels + 8 * 2**20  # two masks of the check for finite numbers, and some tiles


def test_tiles_of_images_of_several_sizes() -> None:
    images = [noise(20, 30, 3), noise(16, 16, 3), noise(40, 16, 3)]
    tiles = Tiles(Images(images), Tiling(16, 4))
    assert tiles.range([0, 1, 2]) == (1, 6) and tiles.range([2]) == (3, 3)
    cut = tiles.of([2, 0])
    assert len(cut) == 3 + 6 and cut.size == (16, 16)
    np.testing.assert_array_equal(cut[1], images[2][12:28])
    np.testing.assert_array_equal(cut[8], images[0][4:20, 14:30])
    with pytest.raises(ImageError, match="image 1: 15 x 99 pixels"):
        Tiles(Images([images[0], noise(15, 99, 3)]), Tiling(16, 4))
