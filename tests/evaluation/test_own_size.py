"""Images that keep their size: metrics from counts against the exact ones, of masks at the size of the images."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import amiss
from amiss.core.images import Images
from amiss.data import Dataset
from amiss.data.truth import RegionFiles, Saturation
from amiss.evaluation import compare, evaluate
from amiss.evaluation.own_size import OwnSizePixels
from amiss.inspector import Inspector
from amiss.metrics import aupimo, aupro, auroc, average_precision, seg_f1, spro
from amiss.testing import write_image

SIZES = ((64, 96), (100, 70), (80, 80))
ERROR = 1e-4


def cloth(count: int, seed: int, *, defective: bool = False) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.bool_]]]:
    rng = np.random.default_rng(seed)
    images, masks = [], []
    for number in range(count):
        size = SIZES[number % 3]
        image = 128 + 20 * rng.standard_normal((*size, 3))
        mask = np.zeros(size, bool)
        if defective:
            row, column = (int(rng.integers(0, side - 16)) for side in size)
            mask[row : row + 12, column : column + 9] = True
            image[mask] += 25
        images.append(image.clip(0, 255).astype(np.uint8))
        masks.append(mask)
    return images, masks


@pytest.fixture(scope="module")
def tiled() -> Inspector:
    return amiss.fit(Images(cloth(24, 0)[0]), preset="tiny", tile=48, overlap=16, calibration=0.5)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    good, _ = cloth(18, 1)
    bad, masks = cloth(12, 2, defective=True)
    defects = ("good",) * 18 + ("one", "two") * 6
    return Dataset("cloth", Images(good[:1]), Images(good + bad), defects, (*[None] * 18, *masks))


@pytest.fixture(scope="module")
def truth(tiled: Inspector, dataset: Dataset) -> tuple[list[NDArray[np.bool_]], list[NDArray[np.float32]]]:
    maps = [verdict.map for verdict in tiled.inspect(dataset.test)]
    assert [one.shape for one in maps[:3]] == list(SIZES)
    return [dataset.mask(index, one.shape) for index, one in enumerate(maps)], maps


def test_metrics_are_those_of_all_pixels(tiled, dataset, truth) -> None:
    masks, maps = truth
    evaluation = evaluate(tiled, dataset)
    labels, scores = (np.concatenate([one.ravel() for one in part]) for part in truth)
    found = evaluation.metrics
    assert found.pixel_auroc == pytest.approx(auroc(labels, scores), abs=ERROR)
    assert found.pixel_ap == pytest.approx(average_precision(labels, scores), abs=ERROR)
    wide, narrow = aupro(masks, maps, (0.3, 0.05))
    assert found.pixel_aupro == pytest.approx(wide, abs=ERROR)
    assert found.pixel_aupro_05 == pytest.approx(narrow, abs=ERROR)
    pimo = aupimo(masks, maps)
    assert found.aupimo == pytest.approx(pimo.mean, abs=ERROR) and found.n_aupimo == pimo.n == 12
    assert found.aupimo_median == pytest.approx(pimo.median, abs=ERROR)
    assert found.seg_f1 == pytest.approx(seg_f1(masks, maps, tiled.rule.threshold))
    for name in ("pixel_auroc", "pixel_ap", "pixel_aupro", "aupimo", "seg_f1"):
        low, high = found.interval(name)
        assert low <= getattr(found, name) <= high
    chosen = [number for number, defect in enumerate(dataset.defects) if defect in ("good", "two")]
    wanted = aupro([masks[number] for number in chosen], [maps[number] for number in chosen], (0.3, 0.05))
    assert evaluation.types["two"].pixel_aupro == pytest.approx(wanted[0], abs=ERROR)
    assert evaluation.types["two"].pixel_aupro_05 == pytest.approx(wanted[1], abs=ERROR)


def test_saturations_are_read_when_they_are_needed(tiled, dataset, truth, tmp_path: Path) -> None:
    masks, maps = truth
    sources = []
    for number, mask in enumerate(masks[18:]):
        write_image(tmp_path / f"{number}.png", mask)
        sources.append(RegionFiles((tmp_path / f"{number}.png",), {255: Saturation(50, relative=False)}))
    logical = dataclasses.replace(dataset, masks=(*[None] * 18, *sources))
    found = evaluate(tiled, logical)
    regions = [logical.regions(index, mask.shape) for index, mask in enumerate(masks)]
    for name, wanted in zip(("pixel_spro_05", "pixel_spro_30"), spro(regions, maps, (0.05, 0.3)), strict=True):
        assert getattr(found.metrics, name) == pytest.approx(wanted, abs=ERROR)
    assert found.types["one"].pixel_spro_05 > 0


def test_compared_with_an_inspector_that_resizes(tiled, dataset, truth) -> None:
    resized = amiss.fit(Images(cloth(24, 3)[0]), preset="tiny", size=64, calibration=0.5)
    comparison = compare(tiled, resized, dataset)
    (wanted,) = aupro(*truth, limits=(0.3,))
    assert comparison.pixel_aupro.first == pytest.approx(wanted, abs=ERROR)
    whole = evaluate(resized, dataset)
    assert comparison.pixel_aupro.second == pytest.approx(whole.metrics.pixel_aupro, abs=1e-9)


def test_without_masks_and_with_images_that_are_too_small(tiled, dataset) -> None:
    small = Images([*list(dataset.test)[:29], np.zeros((47, 200, 3), np.uint8)])
    evaluation = evaluate(tiled, dataclasses.replace(dataset, test=small, masks=None))
    assert len(evaluation.errors) == 1 and "smaller than a tile" in evaluation.errors[0].reason
    usable = ~np.isnan(evaluation.scores)
    wanted = roc_auc_score(evaluation.labels[usable], evaluation.scores[usable])
    assert np.isnan(evaluation.metrics.pixel_auroc) and evaluation.metrics.image_auroc == pytest.approx(wanted)


def test_maps_lie_in_a_file_and_come_back(dataset) -> None:
    pixels = OwnSizePixels(dataset)
    rng = np.random.default_rng(0)
    maps = [rng.random(dataset.test[index].shape[:2]).astype(np.float32) for index in range(30)]
    for index in (0, 5, 20, 29):
        pixels.add(index, maps[index])
        np.testing.assert_array_equal(pixels.maps[-1], maps[index])
    assert len(pixels) == 4 and pixels.defects == ["good", "good", "one", "two"]
    for found, mask, index in zip(pixels.maps, pixels.masks, pixels.indices, strict=True):
        np.testing.assert_array_equal(found, maps[index])
        np.testing.assert_array_equal(mask, dataset.mask(index, maps[index].shape))
        assert found.base is not None and not found.flags.writeable  # a view of the file, no copy in memory
    assert [one.shape for one in pixels.maps[1:3]] == [maps[5].shape, maps[20].shape]
