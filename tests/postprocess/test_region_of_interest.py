"""A region of interest: what lies outside cannot alarm, whatever is there; masks that do not fit are refused."""

import base64
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

import amiss
from amiss.core.errors import ImageError, InputError
from amiss.core.scores import Scores
from amiss.inspector import Inspector
from amiss.postprocess import MinArea, RegionOfInterest, create_score_filter, read_region
from amiss.testing import toy_texture


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (17, 9)])
def test_kept_in_a_record_and_made_again(size: tuple[int, int]) -> None:
    inside = np.random.default_rng(0).random(size) < 0.5
    inside[0, 0] = True
    region = RegionOfInterest.of_mask(inside)
    again = create_score_filter(region.name, **json.loads(json.dumps(region.config())))
    assert again == region
    np.testing.assert_array_equal(again.inside, inside)


def test_outside_gets_the_lowest_score_inside_and_never_decides() -> None:
    rng = np.random.default_rng(1)
    inside = rng.random((8, 9)) < 0.4
    maps = rng.normal(size=(5, 8, 9)).astype(np.float32)
    filtered = RegionOfInterest.of_mask(inside)(Scores.of_map(maps))
    for before, after, image in zip(maps, filtered.map, filtered.image, strict=True):
        np.testing.assert_array_equal(after[inside], before[inside])
        assert set(after[~inside]) == {before[inside].min()}
        assert image == before[inside].max()


def test_what_does_not_fit_is_refused() -> None:
    region = RegionOfInterest.of_mask(np.ones((4, 4)))
    with pytest.raises(InputError, match=r"\(4, 4\)"):
        region(Scores.of_map(np.zeros((1, 5, 4))))
    with pytest.raises(InputError, match="one score per image"):
        region(Scores(np.zeros(2)))
    with pytest.raises(InputError, match="at least 1 pixel"):
        RegionOfInterest.of_mask(np.zeros((4, 4)))
    with pytest.raises(InputError, match="cannot be read"):
        RegionOfInterest((4, 4), "###")
    with pytest.raises(InputError, match="must have 2 bytes"):
        RegionOfInterest((4, 4), base64.b64encode(zlib.compress(bytes(10**6))).decode())
    with pytest.raises(InputError, match=r"\(H, W\)"):
        RegionOfInterest.of_mask(np.ones((4, 4, 3)))


def test_masks_from_files(tmp_path: Path) -> None:
    inside = np.zeros((40, 60), np.uint8)
    inside[:, 30:] = 255
    hole = np.zeros((40, 60, 3), np.uint8)
    hole[:20, :, 2] = 7
    cv2.imwrite(str(tmp_path / "roi.png"), inside)
    cv2.imwrite(str(tmp_path / "hole.png"), hole)
    region = read_region(tmp_path / "roi.png", tmp_path / "hole.png", (40, 60), (20, 20))
    wanted = np.zeros((20, 20), bool)
    wanted[10:, 10:] = True
    np.testing.assert_array_equal(region.inside, wanted)
    np.testing.assert_array_equal(read_region(None, tmp_path / "hole.png", (40, 60), (2, 1)).inside, [[0], [1]])
    assert read_region(None, None, (40, 60), (2, 1)) is None
    with pytest.raises(InputError, match=r"41 x 60 .*got 40 x 60 pixels"):
        read_region(tmp_path / "roi.png", None, (41, 60), (20, 20))
    with pytest.raises(InputError, match="leaves no pixel"):
        read_region(tmp_path / "roi.png", tmp_path / "roi.png", (40, 60), (20, 20))
    with pytest.raises(ImageError, match="cannot be read"):
        read_region(tmp_path / "none.png", None, (40, 60), (20, 20))


def test_an_inspector_keeps_its_region(tmp_path: Path) -> None:
    inside = np.zeros((64, 64), bool)
    inside[:32] = True
    inspector = amiss.fit(
        toy_texture(40, seed=0).images,
        preset="tiny",
        size=64,
        calibration=0.5,
        score_filters=(RegionOfInterest.of_mask(inside),),
    )
    inspector.save(tmp_path / "part.amiss")
    loaded = Inspector.load(tmp_path / "part.amiss")
    top, bottom = (toy_texture(1, seed=3).images[0].copy() for _ in range(2))
    top[10:20, 10:20], bottom[50:60, 10:20] = 255, 255
    assert [str(loaded.inspect_one(image).label) for image in (top, bottom)] == ["anomalous", "good"]


@pytest.mark.parametrize(("method", "settings"), [("mvg", {}), ("autoencoder_gmm", {"bottleneck": True, "steps": 1})])
def test_filters_of_maps_are_refused_before_learning_where_there_is_no_map(
    method: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amiss.folds.Lab.fit", lambda *_, **__: pytest.fail("it learned"))
    options = {"method": method, "preset": "tiny", "settings": settings, "size": 64, "rule": "conformal:20%"}
    images, region = toy_texture(12, seed=0).images, RegionOfInterest.of_mask(np.ones((64, 64)))
    for name, filters in (
        ("region_of_interest", {"score_filters": [region]}),
        ("min_area", {"mask_filters": [MinArea(4)]}),
    ):
        with pytest.raises(InputError, match=f"must have a map to work on, got {name} for {method}, which gives one"):
            amiss.fit(images, **options, **filters)
