"""Large images from the command line: learned in tiles, and then every verb works on whole images."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from amiss.cli import main as entry
from amiss.core.images import Images
from amiss.testing import ToyWorld, write_image, write_images, write_mvtec

SIZE = (100, 130)
TILED = ("--preset", "tiny", "--tile", 48, "--overlap", 8, "--calibration", "0.5")


def cloth(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return (128 + 20 * rng.standard_normal((*size, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in MVTec layout, with masks."""
    rng = np.random.default_rng(0)
    train, good, clean = (np.stack([cloth(rng) for _ in range(count)]) for count in (40, 6, 5))
    masks = np.zeros(clean.shape[:3], bool)
    masks[:, 40:60, 90:110] = True
    bad = ToyWorld(Images(np.where(masks[..., None], np.uint8(255), clean)), masks, clean)
    return write_mvtec(tmp_path_factory.mktemp("world") / "cloth", Images(train), Images(good), blot=bad)


@pytest.fixture(scope="module")
def model(world: Path) -> Path:
    path = world.parent / "cloth.amiss"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["amiss", "fit", str(world), *map(str, TILED), "--output", str(path)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
    assert stop.value.code == 0
    return path


def test_fit_says_how_images_are_cut(amiss, world, tmp_path):
    code, out, _ = amiss("fit", world, *TILED, "--output", tmp_path / "model")
    assert code == 0 and "tiles of 48 x 48 pixels that overlap by 8" in out and "12 tiles each" in out
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    assert record["tiling"] == {"tile": 48, "overlap": 8} and record["calibration"]["tiles"] == [12, 12]


def test_inspect_writes_images_of_the_full_size_and_goes_on_after_a_small_one(amiss, model, world, tmp_path):
    (tmp_path / "parts").mkdir()
    for name in ("000.png", "001.png"):
        (tmp_path / "parts" / name).write_bytes((world / "test" / "blot" / name).read_bytes())
    write_image(tmp_path / "parts" / "0small.png", cloth(np.random.default_rng(1), (47, 300)))
    write_image(tmp_path / "parts" / "2other.png", cloth(np.random.default_rng(1), (48, 300)))
    code, out, _ = amiss("inspect", model, tmp_path / "parts", "--output", tmp_path / "out")
    assert (
        code == 3
        and "ERROR" in out
        and "smaller than a tile of 48 x 48" in out
        and "2 anomalous, 1 error, 1 good" in out
    )
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    left, top, width, height = lines[0]["regions"][0]["box"]
    assert 74 <= left <= 90 and 24 <= top <= 40 and left + width >= 110 and top + height >= 60
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "000.png"), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == SIZE and mask[50, 100] == 255 and mask[10, 10] == 0


def test_evaluate_and_compare_at_the_size_of_the_images(amiss, model, world, tmp_path):
    code, out, _ = amiss("evaluate", model, world, "--json", "--output", tmp_path)
    result = json.loads(out)
    assert code == 0 and result["detections"]["count"] == 5
    assert result["pixel_auroc"] > 0.95 and result["pixel_aupro"] > 0.8
    assert "overlapping by 8; images keep their size" in (tmp_path / "report.html").read_text()
    code, _, _ = amiss("fit", world, "--preset", "tiny", "--size", 64, "--output", tmp_path / "resized.amiss")
    code, out, _ = amiss("compare", model, tmp_path / "resized.amiss", world, "--json")
    assert code == 0 and json.loads(out)["pixel_aupro"]["first"] == pytest.approx(result["pixel_aupro"], abs=1e-6)


def test_calibrate_certify_and_monitor(amiss, model, world, tmp_path):
    rng = np.random.default_rng(2)
    write_images(tmp_path / "new", [cloth(rng) for _ in range(19)])
    code, out, _ = amiss("calibrate", model, tmp_path / "new", "--output", tmp_path / "again.amiss")
    assert code == 0 and "n = 19" in out and "12 tiles each" in out
    code, out, _ = amiss("calibrate", model, "--alpha", "10%", "--output", tmp_path / "other.amiss")
    assert code == 0 and "12 tiles each" in out
    code, out, _ = amiss("certify", tmp_path / "again.amiss", world, "--json")
    assert code == 0 and json.loads(out)["false_alarms"]["n"] == 6
    write_image(tmp_path / "new" / "20.png", cloth(rng, (20, 20)))
    code, out, _ = amiss("monitor", model, tmp_path / "new")
    assert code in (3, 4) and "smaller than a tile" in out


def test_a_region_of_interest_at_the_full_size(amiss, world, tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :80] = 255
    write_image(tmp_path / "roi.png", mask)
    code, _, _ = amiss("fit", world, *TILED, "--roi", tmp_path / "roi.png", "--output", tmp_path / "m.amiss")
    assert code == 0
    code, out, _ = amiss("inspect", tmp_path / "m.amiss", world / "test" / "blot", "--json")
    assert code == 0 and all(
        left + width <= 80
        for line in out.splitlines()[:-1]
        for left, _, width, _ in (r["box"] for r in json.loads(line)["regions"])
    )
    write_image(tmp_path / "wide.png", cloth(np.random.default_rng(3), (100, 131)))
    code, out, _ = amiss("inspect", tmp_path / "m.amiss", tmp_path / "wide.png")
    assert code == 3 and "maps must be (100, 130)" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tile", 48, "--size", 64), ["size must be left out"]),
        (("--overlap", 8), ["overlap = 8", "without a tile"]),
        (("--tile", 48, "--overlap", 25), ["overlap must be at most 24", "got 25"]),
        (("--tile", 0), ["tile must be a whole number of at least", "got 0"]),
        (("--tile", 101), ["train/good/000.png", "100 x 130 pixels", "smaller than a tile of 101 x 101"]),
        (("--tile", 48, "--roi", "SMALL"), ["small.png", "48 x 48", "100 x 130"]),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(amiss, world, tmp_path, arguments, words):
    small = tmp_path / "small.png"
    write_image(small, np.full((48, 48), 255, np.uint8))
    options = [small if argument == "SMALL" else argument for argument in arguments]
    code, out, err = amiss("fit", world, "--preset", "tiny", *options, "--output", tmp_path / "m.amiss")
    assert code == 2 and out == "" and err.startswith("amiss: ") and err.count("\n") == 1
    for word in words:
        assert word in err
    assert not (tmp_path / "m.amiss").exists()
