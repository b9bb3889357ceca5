"""Variance components against the worked example of AIAG's manual, and intervals against their coverage."""

import numpy as np
import pytest
from scipy.stats import chi2

from amiss.core.errors import InputError
from amiss.metrics.gauge import gauge_variance

AIAG = """
0.29 -0.56 1.34 0.47 -0.80 0.02 0.59 -0.31 2.26 -1.36
0.41 -0.68 1.17 0.50 -0.92 -0.11 0.75 -0.20 1.99 -1.25
0.64 -0.58 1.27 0.64 -0.84 -0.21 0.66 -0.17 2.01 -1.31
0.08 -0.47 1.19 0.01 -0.56 -0.20 0.47 -0.63 1.80 -1.68
0.25 -1.22 0.94 1.03 -1.20 0.22 0.55 0.08 2.12 -1.62
0.07 -0.68 1.34 0.20 -1.28 0.06 0.83 -0.34 2.19 -1.50
0.04 -1.38 0.88 0.14 -1.46 -0.29 0.02 -0.46 1.77 -1.49
-0.11 -1.13 1.09 0.20 -1.07 -0.67 0.01 -0.56 1.45 -1.77
-0.15 -0.96 0.67 0.11 -1.45 -0.49 0.21 -0.49 1.87 -2.16
"""
"""Measurement Systems Analysis, 4th edition: three appraisers, three trials each, ten parts."""


def aiag() -> np.ndarray:
    rows = np.array([[float(cell) for cell in row.split()] for row in AIAG.strip().splitlines()])
    return rows.reshape(3, 3, 10).transpose(2, 0, 1)


def test_the_example_of_the_manual():
    found = gauge_variance(aiag())
    table = {row.name: row for row in found.table}
    squares = {"part": 88.3619, "station": 3.1673, "part x station": 0.3590, "repeat": 2.7589}
    for name, value in squares.items():
        assert table[name].squares == pytest.approx(value, abs=6e-5)
    assert [row.freedom for row in found.table] == [9, 2, 18, 60]
    assert found.pooled and table["part x station"].f == pytest.approx(0.434, abs=5e-4)
    deviations = {"repeatability": 0.199933, "reproducibility": 0.226838, "gauge": 0.302373, "parts": 1.042327}
    for name, value in deviations.items():
        assert found.deviations[name].value == pytest.approx(value, abs=2e-6)
    assert found.grr.value == pytest.approx(0.279, abs=5e-4) and found.judgement == "conditional"
    assert found.summary()["ndc"] == 4


def test_the_interval_of_the_repeatability_is_the_exact_one():
    found = gauge_variance(aiag()[:, :1])
    assert "reproducibility" not in found.deviations
    row = found.table[-1]
    exact = np.sqrt(row.squares / chi2.ppf([0.975, 0.025], row.freedom))
    assert found.deviations["repeatability"].interval == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("stations", [1, 3])
def test_the_intervals_cover(stations):
    rng = np.random.default_rng(5)
    truth = {"repeatability": 0.3, "parts": 1.0, "gauge": np.sqrt(0.09 + 0.05 * (stations > 1))}
    inside = dict.fromkeys([*truth, "grr"], 0)
    trials = 300
    for seed in range(trials):
        parts, offsets = rng.normal(size=(10, 1, 1)), rng.normal(size=(1, stations, 1)) * np.sqrt(0.05)
        data = parts + offsets * (stations > 1) + 0.3 * rng.normal(size=(10, stations, 3))
        found = gauge_variance(data, seed=seed)
        shown = dict(found.deviations) | {"grr": found.grr}
        wanted = truth | {"grr": truth["gauge"] / np.hypot(truth["gauge"], 1)}
        for name in inside:
            low, high = shown[name].interval
            inside[name] += low <= wanted[name] <= high
    assert all(0.91 * trials <= count for count in inside.values()), inside


def test_what_cannot_be_analysed():
    with pytest.raises(InputError, match="at least 2 parts and 2 repeats"):
        gauge_variance(np.zeros((5, 3, 1)))
    with pytest.raises(InputError, match="must differ"):
        gauge_variance(np.ones((5, 3, 2)))
    with pytest.raises(InputError, match="finite"):
        gauge_variance(np.full((5, 3, 2), np.nan))


def test_parts_that_do_not_differ_are_no_categories():
    rng = np.random.default_rng(1)
    found = gauge_variance(rng.normal(size=(8, 2, 3)))
    assert found.judgement == "not acceptable" and found.categories.interval[0] == 0
