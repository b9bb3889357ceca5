"""The table of docs/theory/monitoring.md is what the code computes."""

from pathlib import Path

import numpy as np
import pytest

from amiss.monitoring import Cusum, Ewma
from amiss.monitoring.design import calibration_law, sets_for
from amiss.monitoring.run_length import cusum_run_length

PAGE = Path(__file__).parents[2] / "docs" / "theory" / "monitoring.md"
ROWS = [
    [float(cell) for cell in line.strip("| \n").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and line[2].isdigit()
]


def test_the_table_is_there() -> None:
    assert [row[0] for row in ROWS] == [20, 50, 100, 300, 1000]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"n={row[0]:.0f}")
def test_a_row(row: list[float]) -> None:
    n = int(row[0])
    textbook = cusum_run_length(calibration_law(n, draws=sets_for(n)), 0.5, 4.095)
    design = Cusum().design(n)
    assert row[1:] == pytest.approx(
        [
            1 / (1 / textbook).mean(),
            np.quantile(textbook, 0.1),
            design.limit,
            design.arl,
            design.arl_typical,
            design.arl_low,
            design.delay,
        ],
        rel=0.006,
    )
    assert np.log(design.arl_interval[1] / design.arl_interval[0]) / 2 < (0.07 if n == 20 else 0.06)


def test_the_last_row_and_the_words() -> None:
    assert Cusum().run_length(4.095) == pytest.approx(370, rel=2e-3)
    assert Cusum().run_length(4.095, shift=1.0) == pytest.approx(8.6, abs=0.05)
    lucky = cusum_run_length(calibration_law(20, draws=sets_for(20)), 0.5, Cusum().design(20).limit).mean()
    assert lucky > 1e6
    assert Cusum().design(1000).arl_interval[1] / Cusum().design(1000).arl < 1.02
    small = [chart.run_length(limit, shift=0.5) for chart, limit in ((Cusum(), 4.095), (Ewma(), 2.73))]
    assert small[1] < small[0]
