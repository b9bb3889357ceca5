"""The figures of the protocol page are those of the results that its commands have written."""

import json
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "theory" / "protocol.md").read_text(encoding="utf-8")


def results(name):
    return json.loads((DOCS / "results" / name).read_text(encoding="utf-8"))


def percent(rate):
    return f"{round(100 * rate, 1):g} %"


def test_the_rates_of_thresholds_from_training_scores():
    words = " ".join(PAGE.split())
    patchcore, padim = results("training_scores.json")
    assert [patchcore["method"], padim["method"]] == ["patchcore", "padim"]
    for key, sentence in (
        ("training_95_quantile", "{} false alarms with `patchcore` and {} with `padim`"),
        ("training_mean_plus_3_sd", "of the same scores raises {} and {}"),
        ("held_out_conformal", "promises 5 % on average and raises {} and {}"),
    ):
        assert sentence.format(percent(patchcore[key]["rate"]), percent(padim[key]["rate"])) in words
    assert f"{patchcore['n_learned']} functional solar cells" in words
    assert f"On {patchcore['training_95_quantile']['n']} functional cells" in words


def test_the_table_of_folds():
    for row in results("coverage_folds.json"):
        mean, error = 100 * row["mean_rate"], 100 * row["standard_error"]
        start = f"| {row['method']} | {row['calibration']} | {row['n_calibration']} | {row['splits']} |"
        (line,) = [line for line in PAGE.splitlines() if line.startswith(start)]
        assert f"{100 * row['promised_mean_at_most']:.1f} % | {mean:.1f} ± {error:.1f} %" in line
