"""Online discoveries: by definition, by simulation of shared calibration sets, and at the edges."""

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.rules.online import OnlineDiscovery


def by_definition(p: np.ndarray, rate: float, shift: int) -> list[bool]:
    found: list[bool] = []
    for start in range(0, len(p), shift):
        here: list[bool] = []
        for one in p[start : start + shift]:
            here.append(bool(one <= rate * (sum(here) + 1) / shift))
        found += here
    return found


@pytest.mark.parametrize("shift", [1, 7, 50])
def test_by_definition(shift):
    p = np.random.default_rng(0).beta(0.3, 1, size=100)
    procedure = OnlineDiscovery(0.3, shift)
    assert [procedure.decide(float(one)) for one in p] == by_definition(p, 0.3, shift)
    assert procedure.judged == 100


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_the_false_discovery_rate_of_a_shift(share):
    """2,000 shifts of 40 parts, a calibration set of 500 scores for each; bench/online.py has 10,000."""
    rng = np.random.default_rng(1)
    wrong, power = [], []
    for _ in range(2000):
        normal, bad = np.sort(rng.normal(size=500)), rng.random(40) < share
        scores = rng.normal(size=40) + 4 * bad
        p = (501 - np.searchsorted(normal, scores)) / 501
        procedure = OnlineDiscovery(0.1, 40, n=500)
        found = np.array([procedure.decide(float(one)) for one in p])
        wrong.append((found & ~bad).sum() / max(1, found.sum()))
        power += [(found & bad).sum() / bad.sum()] if bad.any() else []
    assert np.mean(wrong) <= 0.1 + 2 * np.std(wrong) / 2000**0.5
    assert share == 0 or np.mean(power) > 0.7


def test_errors_are_not_judged_but_take_their_place():
    procedure = OnlineDiscovery(0.5, 2)
    assert [procedure.decide(p) for p in (None, 0.3, float("nan"), 0.2)] == [None, False, None, True]
    assert procedure.judged == 2 and procedure.named == 1


def test_too_few_calibration_images_are_said():
    assert "no part can be called anomalous. 1999 images" in OnlineDiscovery(0.1, 200, n=100).warning
    assert OnlineDiscovery(0.1, 200, n=1999).warning == ""
    needed = OnlineDiscovery(0.1, 200, n=1999)
    assert needed.decide(1 / 2000) is True


def test_what_is_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        OnlineDiscovery(0.1, 5).decide(1.5)
    with pytest.raises(InputError, match="shift must be a whole number"):
        OnlineDiscovery(0.1, 0)
