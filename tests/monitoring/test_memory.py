"""Streams in which a part resembles the one before: the memory is found, taken out, and said."""

import numpy as np
import pytest
from scipy.signal import lfilter

from amiss.monitoring import Cusum, Stream, monitor, normal_scores
from amiss.monitoring.change import Stretch
from amiss.monitoring.memory import Memory, find_memory


def remembering(rng: np.random.Generator, phi: float, parts: int) -> np.ndarray:
    noise = rng.normal(size=parts) * np.sqrt(1 - phi**2)
    noise[0] = rng.normal()
    return lfilter([1.0], [1.0, -phi], noise)


@pytest.mark.parametrize("phi", [0.3, 0.6, 0.9])
def test_the_correlation_is_estimated_without_bias(phi):
    rng = np.random.default_rng(0)
    found = [find_memory(remembering(rng, phi, 300)).phi for _ in range(200)]
    assert np.mean(found) == pytest.approx(phi, abs=0.025)


def test_residuals_are_independent_again():
    z = remembering(np.random.default_rng(1), 0.7, 20_000)
    rest = Memory(0.7, len(z)).residuals(z)
    assert rest.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(rest[1:], rest[:-1])[0, 1] == pytest.approx(0, abs=0.02)
    assert np.array_equal(Memory(0.0, 5).residuals(z[:5]), z[:5])


def test_one_standard_error_more_is_taken_out():
    assert Memory(0.6, 100).taken == pytest.approx(0.6 + 0.8 / 10) and Memory(0.0, 100).taken == 0
    assert Memory(0.94, 100).taken == 0.95 and Memory(0.6, 100).shift_left == pytest.approx((0.32 / 1.68) ** 0.5)


def test_a_lasting_shift_is_no_memory():
    z = np.random.default_rng(2).normal(size=200)
    z[100:] += 2
    assert find_memory(z).clear and find_memory(z, Stretch(100, 200, 1.0)).phi < 0.2


def test_false_alarms_stay_near_what_is_stated():
    """200 parts at one alarm in 370: 42 % of streams at most; docs/results/memory_charts.json has all figures."""
    rng, chart, normal = np.random.default_rng(3), Cusum(), np.random.default_rng(4).normal(size=1000)
    limit = chart.design(1000, arl=370).limit
    plain = taken_out = 0
    for _ in range(300):
        z = normal_scores(remembering(rng, 0.6, 200), normal)
        plain += chart.path(z).max() > limit
        taken_out += chart.path(find_memory(z).residuals(z)).max() > limit
    assert plain / 300 > 0.85 and taken_out / 300 < 0.47


def test_the_page_says_what_was_done():
    rng = np.random.default_rng(5)
    z, normal = remembering(rng, 0.7, 300).tolist(), rng.normal(size=200)
    found = monitor(Stream(z), normal, threshold=2.0, memory=True)
    assert [run.name for run in found.charts] == ["cusum", "cusum-down"]
    words = " ".join(found.warnings)
    assert "what each part adds to the one before" in words and "Not charted" in words and "martingale" in words
    only = monitor(Stream(z), normal, charts=["martingale"], memory=True)
    assert [run.name for run in only.charts] == ["martingale"] and "come more often than stated" in " ".join(
        only.warnings
    )


def test_independent_parts_are_left_alone():
    rng = np.random.default_rng(6)
    found = monitor(Stream(rng.normal(size=200).tolist()), rng.normal(size=200), threshold=2.0, memory=True)
    assert len(found.charts) == 4 and not any("resemble" in warning for warning in found.warnings)


def test_changes_that_come_and_go_are_not_hidden_unasked():
    stream = [0.0] * 15 + [2.5] * 4 + [0.0] * 41 + [1.5] * 40
    normal = np.random.default_rng(0).normal(size=100)
    found = monitor(Stream(stream), normal, charts=["cusum"])
    assert found.alarm and any("something changed more than once" in warning for warning in found.warnings)
