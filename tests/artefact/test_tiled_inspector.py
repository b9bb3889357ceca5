"""An inspector of large images: learned from tiles, calibrated, saved and judged by whole images."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import betabinom
from torch import Tensor

import amiss
from amiss.artefact import read_artefact
from amiss.core.card import Card, Learning
from amiss.core.errors import ImageError, InputError, TamperedArtefactError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.parameters import buffer
from amiss.core.scores import Scores
from amiss.core.survey import survey
from amiss.core.tiling import Tiling
from amiss.core.verdict import Label
from amiss.detectors.detector import Detector
from amiss.inspector import Inspector
from amiss.postprocess import IgnoreBorder, MinArea, RegionOfInterest
from amiss.registry import METHODS
from amiss.rules import Conformal
from amiss.scoring import score_image
from amiss.testing import write_image, write_images

SIZE = (88, 120)


def cloth(count: int, seed: int, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    return [(128 + 20 * rng.standard_normal((*size, 3))).clip(0, 255).astype(np.uint8) for _ in range(count)]


class Brightness(Detector):
    """Distance from the mean colour: quick, and with or without a map or a graph."""

    card: ClassVar[Card] = Card(
        name="brightness",
        family="test",
        title="Brightness",
        paper="None",
        url="https://example.org",
        year=2026,
        learning=Learning.ONE_PASS,
        weights_licence="none",
        presets={"default": {}},
    )
    localise: bool = True
    mean: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.register_buffer("mean", torch.zeros(3))
        vars(self)["card"] = replace(type(self).card, localises=self.localise, exportable=self.localise)

    def learn(self, images, rng, progress) -> None:
        self.shown = [tuple(image.shape) for image in images]
        self.mean = torch.cat([batch.mean(dim=(2, 3)) for batch in self.batches(images, "learning", progress)]).mean(0)

    def statistic(self, batch: Tensor) -> Tensor:
        map = (batch - self.mean[:, None, None]).abs().mean(dim=1)
        return map if self.localise else map.flatten(1).mean(dim=1)


@pytest.fixture(scope="module", autouse=True)
def brightness():
    """The detector above, as a method."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "brightness_method", SimpleNamespace(Brightness=Brightness))
        patch.setitem(METHODS, "brightness", "brightness_method:Brightness")
        yield


def fit(images: list[NDArray[np.uint8]], **options) -> Inspector:
    return amiss.fit(Images(images), **{"method": "brightness", "tile": 32, "overlap": 8, **options})


@pytest.fixture(scope="module")
def tiled() -> Inspector:
    return fit(cloth(40, 0), calibration=0.5)


def test_the_record_knows_the_tiles_and_counts_whole_images(tiled: Inspector) -> None:
    record = tiled.record
    assert (record.size, record.tiling) == ((32, 32), Tiling(32, 8))
    assert record.learned_from == 20 and record.calibration.n == tiled.rule.n == 20
    assert record.calibration.tiles == (20, 20) and tiled.tiling == record.tiling and tiled.size == (32, 32)
    assert "highest score among its tiles" in tiled.statement() and "20 tiles each" in tiled.statement()
    assert len(tiled.seen) == 40


def test_what_was_seen_are_whole_files(tmp_path: Path) -> None:
    write_images(tmp_path, cloth(12, 1))
    images = Images(tmp_path)
    inspector = amiss.fit(images, method="brightness", tile=32, calibration=0.75)
    assert inspector.seen == set(survey(images).identities)
    assert inspector.tiling == Tiling(32, 4)


def test_maps_and_regions_are_those_of_the_image(tiled: Inspector) -> None:
    (image,) = cloth(1, 2)
    image[50:60, 100:112] = 255
    verdict = tiled.inspect_one(image)
    assert verdict.label is Label.ANOMALOUS and verdict.map.shape == verdict.mask.shape == SIZE
    assert verdict.regions[0].box == (100, 50, 12, 10) and verdict.regions[0].area == 120
    tile = tiled.scorer.run(image[None, 48:80, 88:120]).map[0]
    assert verdict.score == pytest.approx(tile.max(), rel=1e-5)
    assert verdict.map[55, 105] == pytest.approx(tile[7, 17], rel=1e-5)


def test_the_calibration_scores_are_the_largest_of_whole_images() -> None:
    images = cloth(30, 3)
    inspector = fit(images, calibration=0.5)
    scores = inspector.image_scores(Images(images)).image
    calibrated = [one in set(inspector.parts.images.calibrated) for one in survey(Images(images)).identities]
    np.testing.assert_allclose(np.sort(scores[calibrated]), inspector.rule.normal)
    by_hand = [
        max(
            float(inspector.scorer.run(p[None, r : r + 32, c : c + 32]).image[0])
            for r, c in Tiling(32, 8).corners(SIZE)
        )
        for p in images
    ]
    assert (scores <= np.array(by_hand, np.float32) * (1 + 1e-6)).all()  # blending averages, and never exceeds


@pytest.mark.slow
def test_false_alarms_of_tiled_images_are_as_promised() -> None:
    """20 tiles per image and alpha = 10 %: beyond the beta-binomial band only when tiles were calibrated one by one."""
    n, m, alpha = 79, 300, 0.1
    inspector = fit(cloth(n + 5, 4), calibration=n / (n + 5), rule=Conformal(alpha))
    assert inspector.rule.n == n
    alarms = sum(verdict.label is Label.ANOMALOUS for verdict in inspector.inspect(cloth(m, 5)))
    k = int(alpha * (n + 1))
    low, high = betabinom(m, k, n + 1 - k).ppf([5e-4, 1 - 5e-4])
    assert low <= alarms <= high
    tiles = np.concatenate([p[None, :32, :32] for p in cloth(n, 6)])
    one_by_one = Conformal(alpha).calibrate(Scores(inspector.scorer.run(tiles).image))
    assert (inspector.image_scores(Images(cloth(m, 5))).image > one_by_one.threshold).sum() > high


def test_folds_leave_out_whole_images() -> None:
    images = cloth(12, 7)
    inspector = fit(images, calibration="folds:3")
    assert inspector.record.calibration.kind == "folds" and inspector.rule.n == 12
    order = np.random.default_rng(0).permutation(12)
    wanted = np.zeros(12, np.float32)
    for fold in np.array_split(order, 3):
        others = [images[number] for number in sorted(set(range(12)) - set(fold.tolist()))]
        cut = [p[r : r + 32, c : c + 32] for p in others for r, c in Tiling(32, 8).corners(SIZE)]
        detector = Brightness().fit(Images(cut, size=(32, 32)))
        scorer = SimpleNamespace(size=(32, 32), run=lambda pixels, one=detector: one.score(Images(list(pixels))))
        for number in fold:
            wanted[number] = score_image(scorer, images[number], Tiling(32, 8)).image[0]
    np.testing.assert_allclose(inspector.rule.normal, np.sort(wanted), rtol=1e-5)


def test_lots_are_never_divided() -> None:
    origins = [Origin(lot=str(number // 10)) for number in range(40)]
    inspector = fit(cloth(40, 8), origins=origins, calibration=0.5, rule="fixed:1")
    assert inspector.record.calibration.lots == 2 and inspector.rule.n == 20


def test_saved_and_loaded(tiled: Inspector, tmp_path: Path) -> None:
    tiled.save(tmp_path / "m.amiss")
    loaded = Inspector.load(tmp_path / "m.amiss")
    assert loaded.tiling == tiled.tiling and loaded.fingerprint == tiled.fingerprint
    images = Images(cloth(3, 9))
    np.testing.assert_array_equal(loaded.score(images).map, tiled.score(images).map)


def test_an_artefact_without_tiles_is_what_it_was(tmp_path: Path) -> None:
    """No new field in its record, so that a record of before gives the same inspector with the same fingerprint."""
    inspector = amiss.fit(Images(cloth(20, 0)), method="brightness", size=32, calibration=0.5)
    inspector.save(tmp_path / "old")
    plain = json.loads((tmp_path / "old" / "model.json").read_text())
    assert "tiling" not in plain and "tiles" not in plain["calibration"]
    loaded = Inspector.load(tmp_path / "old")
    assert loaded.tiling is None and loaded.fingerprint == inspector.fingerprint
    assert loaded.inspect_one(cloth(1, 1)[0]).map.shape == (32, 32)


def test_a_tiling_that_cannot_be_is_refused(tiled: Inspector, tmp_path: Path) -> None:
    object.__setattr__(strange := Tiling(32, 8), "overlap", 99)
    replace(tiled, learned=tiled.learned.model_copy(update={"tiling": strange})).save(tmp_path / "m.amiss")
    with pytest.raises(TamperedArtefactError, match="unexpected"):
        read_artefact(tmp_path / "m.amiss")


def test_too_small_and_corrupt_images(tiled: Inspector, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", cloth(1, 1)[0])
    write_image(tmp_path / "b.png", cloth(1, 1, (31, 200))[0])
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
    good, small, broken = tiled.inspect(Images(tmp_path))
    assert good.label is not Label.ERROR and small.label is broken.label is Label.ERROR
    assert (
        small.reason == "31 x 200 pixels (height x width), smaller than a tile of 32 x 32"
        and "cut off" in broken.reason
    )
    for name in ("b.png", "c.png"):
        with pytest.raises(ImageError, match=name):
            tiled.calibrate(Images([*cloth(20, 13), tmp_path / name]))
        with pytest.raises(ImageError, match=name):
            amiss.fit(Images([*cloth(20, 13), tmp_path / name]), method="brightness", tile=32)
    with pytest.raises(ImageError, match="smaller than a tile"):
        tiled.inspect_one(cloth(1, 1, (40, 30))[0])


def test_images_of_several_sizes_say_what_n_means(tiled: Inspector) -> None:
    mixed = [*cloth(10, 11), *cloth(10, 12, (32, 64))]
    again = tiled.calibrate(Images(mixed))
    assert again.record.calibration.tiles == (3, 20) and again.rule.n == 20
    assert "3 to 20 tiles each" in again.statement() and "larger ones alone raise more alarms" in again.statement()
    assert [len(verdict.map) for verdict in again.inspect(mixed[9:11])] == [88, 32]
    with pytest.raises(InputError, match="maps must have one size, got 2"):
        again.score(Images(mixed))


def test_filters_work_at_the_size_of_the_image() -> None:
    inside = np.zeros(SIZE, bool)
    inside[10:80, 10:60] = True
    region = RegionOfInterest.of_mask(inside)
    inspector = fit(cloth(20, 0), calibration=0.5, score_filters=(region,), mask_filters=(MinArea(4),))
    outside, both, speck = cloth(3, 13)
    outside[20:30, 80:90] = 255
    both[20:30, 50:90] = 255
    speck[40, 40] = 255
    verdicts = list(inspector.inspect([outside, both, speck]))
    assert [str(verdict.label) for verdict in verdicts] == ["good", "anomalous", "good"]
    assert verdicts[1].regions[0].box == (50, 20, 10, 10)
    (other,) = inspector.inspect([cloth(1, 1, (90, 120))[0]])
    assert other.label is Label.ERROR and "maps must be (88, 120)" in other.reason
    with pytest.raises(ImageError, match=r"image \d+: maps must be \(88, 120\)"):
        fit(cloth(20, 0, (90, 120)), calibration=0.5, score_filters=(region,))
    with pytest.raises(ImageError, match="a border of 44 pixels"):
        fit(cloth(20, 0), calibration=0.5, score_filters=(IgnoreBorder(44),))


def test_without_a_map_and_without_a_graph(tmp_path: Path) -> None:
    inspector = fit(cloth(20, 0), settings={"localise": False}, calibration=0.5)
    assert inspector.parts.graph is None
    inspector.save(tmp_path / "m.amiss")
    loaded = Inspector.load(tmp_path / "m.amiss")
    (image,) = cloth(1, 14)
    image[:32, :32] = 200
    verdict = loaded.inspect_one(image)
    assert verdict.map is None and verdict.label is Label.ANOMALOUS
    tiles = np.stack([image[r : r + 32, c : c + 32] for r, c in Tiling(32, 8).corners(SIZE)])
    assert verdict.score == pytest.approx(float(loaded.scorer.run(tiles).image.max()), rel=1e-6)


def test_a_real_method_learns_from_all_tiles_of_its_images_alone() -> None:
    inspector = amiss.fit(Images(cloth(20, 0)), method="patchcore", preset="tiny", tile=32, calibration=0.5)
    detector = inspector.detector()
    assert detector.card.name == "patchcore"
    (image,) = cloth(1, 15)
    image[30:50, 40:60] = 0
    verdict = inspector.inspect_one(image)
    row, column = np.unravel_index(verdict.map.argmax(), SIZE)
    assert 22 <= row < 58 and 32 <= column < 68


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": 64}, "size must be left out"), ({"tile": None}, "without a tile"), ({"overlap": 17}, "at most 16")],
)
def test_options_that_do_not_go_together(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit(cloth(20, 0), **options)


def test_large_images_are_never_in_memory_side_by_side(tiled: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several images at once are for small ones: of these there is one, whatever the number of cores."""
    monkeypatch.setenv("AMISS_THREADS", "4")
    images, alive, most = cloth(12, 16), 0, 0

    class Lent:
        def __init__(self, number: int) -> None:
            self.name, self.number = f"{number}.png", number

        def read(self) -> NDArray[np.uint8]:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return images[self.number]

    for _ in tiled.inspect(Images([Lent(number) for number in range(12)])):
        alive -= 1  # a verdict is here before the next image is read
    assert most == 1 and alive == 0
