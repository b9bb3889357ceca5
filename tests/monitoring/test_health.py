"""What is measured of an image, whatever it shows."""

import cv2
import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.monitoring import measure_health
from amiss.monitoring.health import as_columns
from amiss.testing import toy_part


def scene(seed: int = 0) -> np.ndarray:
    """A sharp image of 600 x 800 with soft margins in value: no clipping when it is scaled."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(40, 150, (150, 200, 3))
    return cv2.resize(small, (800, 600), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def test_each_measure_sees_its_own_change() -> None:
    plain, image = measure_health(scene()), scene().astype(float)
    dim = measure_health((image * 0.7).astype(np.uint8))
    assert dim.brightness == pytest.approx(0.7 * plain.brightness, rel=0.01)
    assert dim.contrast == pytest.approx(0.7 * plain.contrast, rel=0.03)
    assert dim.sharpness == pytest.approx(plain.sharpness, rel=0.03)
    assert dim.colour == pytest.approx(plain.colour, abs=0.005)
    brighter = measure_health((image + 40).astype(np.uint8))
    assert brighter.brightness == pytest.approx(plain.brightness + 40, abs=0.5)
    assert brighter.contrast == pytest.approx(plain.contrast, abs=1) and brighter.sharpness == pytest.approx(
        plain.sharpness, rel=0.01
    )
    blurred = measure_health(cv2.GaussianBlur(scene(), (0, 0), 3))
    assert blurred.sharpness < 0.3 * plain.sharpness and blurred.brightness == pytest.approx(plain.brightness, abs=1)
    warm = measure_health((image * np.array([1.2, 1.0, 0.8])).astype(np.uint8))
    assert warm.colour == pytest.approx(plain.colour + 0.2, abs=0.02)


def test_sizes_do_not_matter_much_and_defects_little() -> None:
    image = scene()
    small = measure_health(cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA))
    assert small.brightness == pytest.approx(measure_health(image).brightness, rel=0.01)
    marked = image.copy()
    marked[100:130, 100:130] = 255
    assert measure_health(marked).contrast == pytest.approx(measure_health(image).contrast, rel=0.02)


def test_extremes() -> None:
    black, one = measure_health(np.zeros((30, 40, 3), np.uint8)), measure_health(np.full((1, 1, 3), 9, np.uint8))
    assert (black.brightness, black.contrast, black.sharpness, black.colour) == (0, 0, 0, 0)
    assert one.brightness == 9 and np.isfinite([one.contrast, one.sharpness, one.colour]).all()
    with pytest.raises(InputError, match="RGB uint8"):
        measure_health(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="RGB uint8"):
        measure_health(np.zeros((4, 4), np.uint8))


def test_columns() -> None:
    health = [measure_health(image) for image in toy_part(3, seed=0).images]
    columns = as_columns([health[0], None, health[2]])
    assert list(columns) == ["brightness", "contrast", "sharpness", "colour"]
    assert np.isnan(columns["brightness"][1]) and columns["brightness"][2] == health[2].brightness
