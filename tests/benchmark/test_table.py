"""Tables and ranks against computations by hand and by scipy, on constructed lines."""

from __future__ import annotations

import csv
import io
import itertools
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from amiss.evaluation.benchmark.published import EVIDENCE, MEAN_OF_MVTEC, published
from amiss.evaluation.benchmark.ranks import compare, holm, rank_rows
from amiss.evaluation.benchmark.table import METRICS, Spread, table_of
from amiss.evaluation.benchmark.text import RANKED, csv_text, markdown, sheets
from amiss.metrics import Rate


def line(method: str, data: str, seed: int, auroc: float | None, **words: object) -> dict:
    figures = {"image_auroc": auroc, "pixel_auroc": auroc, "pixel_aupro": auroc, "pixel_aupro_05": None}
    counts = {"false_alarms": Rate(seed, 20).summary(), "detections": Rate(30, 40).summary(), "alpha": 0.05}
    sizes = {"n_calibration": 42, "n_good": 20, "n_defective": 40}
    costs = {"fit_seconds": 10.0 + seed, "seconds_per_image": 0.01, "peak_mb": 700}
    who = {"method": method, "preset": "default", "data": data, "seed": seed, "config": {"size": 256}}
    return {**who, **figures, **counts, **sizes, **costs, "commit": "abc", "hardware": "x86_64, 2 cores", **words}


def lines_of(values: NDArray[np.float64], methods: str, seeds: int = 1) -> list[dict]:
    """Values (data sets, methods, seeds)."""
    return [
        line(method, f"set{row:02d}", seed, float(values[row, column, seed]))
        for row, (column, method), seed in itertools.product(range(len(values)), enumerate(methods), range(seeds))
    ]


@pytest.fixture
def values() -> NDArray[np.float64]:
    """Eight data sets, three methods "a", "b", "c" with b best, four seeds."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0.7, 0.9, (8, 1, 1)) + np.array([0.0, 0.05, 0.01])[None, :, None]
    return np.asarray(level + rng.normal(0, 0.004, (8, 3, 4)))


def sheet(lines: list[dict], title: str) -> tuple[tuple[str, ...], ...]:
    table = table_of(lines)
    found = sheets(table, [rank_rows(table, metric) for metric in RANKED])
    return next((one.rows for one in found if one.title == title), ())


def test_mean_and_spread_over_seeds(values):
    table = table_of(lines_of(values, "abc", 4))
    assert [row.label for row in table.rows] == ["a", "b", "c"] and len(table.data) == 8
    for (number, name), (column, row) in itertools.product(enumerate(table.data), enumerate(table.rows)):
        spread = row.cells[name].spread("image_auroc")
        assert spread is not None and spread.n == 4
        assert spread.mean == pytest.approx(values[number, column].mean())
        assert spread.deviation == pytest.approx(values[number, column].std(ddof=1))
        shown = f"{values[number, column].mean():.4f} ± {values[number, column].std(ddof=1):.4f}"
        assert any(cells[:3] == (name, row.label, "4") and shown in cells for cells in sheet_rows(table))


def sheet_rows(table) -> tuple[tuple[str, ...], ...]:
    return sheets(table, [])[0].rows


def test_mean_over_data_sets_and_its_spread_from_seed_to_seed(values):
    table = table_of(lines_of(values, "abc", 4))
    by_seed = values.mean(axis=0)  # (methods, seeds)
    for column, row in enumerate(table.rows):
        mean = row.mean("image_auroc", table.data)
        assert mean is not None and mean.n == 4
        assert mean.mean == pytest.approx(by_seed[column].mean())
        assert mean.deviation == pytest.approx(by_seed[column].std(ddof=1))
    fewer = [one for one in lines_of(values, "abc", 4) if not (one["method"] == "a" and one["data"] == "set03")]
    assert table_of(fewer).rows[0].mean("image_auroc", table.data) is None, "a mean over other data sets is no mean"


def test_the_csv_says_the_same_as_the_lines(values):
    table = table_of(lines_of(values, "abc", 4))
    rankings = [rank_rows(table, metric) for metric in RANKED]
    rows = list(csv.DictReader(io.StringIO(csv_text(table, rankings))))
    cells = {(row["data"], row["row"]): row for row in rows if not row["data"].startswith("mean of")}
    assert len(cells) == 24
    for number, (column, name) in itertools.product(range(8), enumerate("abc")):
        row = cells[f"set{number:02d}", name]
        assert float(row["image_auroc_mean"]) == pytest.approx(values[number, column].mean())
        assert float(row["image_auroc_sd"]) == pytest.approx(values[number, column].std(ddof=1))
        assert float(row["false_alarms"]) == pytest.approx(np.mean([0, 1, 2, 3]) / 20)
        lows = [stats.beta.ppf(0.025, k, 20 - k + 1) if k else 0.0 for k in range(4)]  # Clopper-Pearson by hand
        assert float(row["false_alarms_low"]) == pytest.approx(np.mean(lows))
        assert row["false_alarms_counts"] == "0/20, 1/20, 2/20, 3/20" and row["seeds"] == "0 1 2 3"
    means = [row for row in rows if row["data"].startswith("mean of 8")]
    ranks = stats.rankdata(-values.mean(axis=2), axis=1).mean(axis=0)
    found = {row["row"]: float(row["image_auroc_rank"]) for row in means if row["image_auroc_rank"]}
    assert found == pytest.approx(dict(zip("abc", ranks, strict=True)))


def test_rank_tests_are_those_of_scipy_called_by_hand(values):
    table = table_of(lines_of(values, "abc", 4))
    ranking = rank_rows(table, "image_auroc")
    means = values.mean(axis=2)
    by_rank = sorted(zip(stats.rankdata(-means, axis=1).mean(axis=0), "abc", strict=True))
    assert ranking.labels == tuple(name for _, name in by_rank) and ranking.labels[0] == "b"
    assert ranking.mean_ranks == pytest.approx([rank for rank, _ in by_rank])
    assert ranking.friedman == pytest.approx(stats.friedmanchisquare(*means.T).pvalue)
    by_hand = {
        frozenset((one, other)): stats.wilcoxon(means[:, "abc".index(one)], means[:, "abc".index(other)]).pvalue
        for one, other in itertools.combinations("abc", 2)
    }
    found = {frozenset((pair.first, pair.second)): pair for pair in ranking.pairs}
    assert set(found) == set(by_hand)
    order = sorted(by_hand, key=lambda pair: by_hand[pair])
    expected = np.maximum.accumulate([by_hand[pair] * factor for pair, factor in zip(order, (3, 2, 1), strict=True)])
    for pair, adjusted in zip(order, expected, strict=True):
        assert found[pair].p_value == pytest.approx(by_hand[pair])
        assert found[pair].adjusted == pytest.approx(min(1.0, adjusted))
    assert by_hand[frozenset("ab")] == pytest.approx(2 / 2**8)  # b wins on all eight
    assert ranking.decisive and "p = " in ranking.statement()


def test_signed_rank_with_ties_and_zeros_is_exact():
    """Against all sign flips, counted one by one."""
    difference = np.array([0.1, 0.1, -0.1, 0.2, 0.3, 0.3, -0.05])
    ranks = stats.rankdata(np.abs(difference))
    flips = np.array(list(itertools.product((-1, 1), repeat=len(difference))))
    observed = abs(float((np.sign(difference) * ranks).sum()))
    exact = np.mean(np.abs(flips @ ranks) >= observed - 1e-9)
    columns = np.stack([0.5 + difference, np.full(7, 0.5)], axis=1)
    assert compare(columns, "xy")[1][0].p_value == pytest.approx(exact)
    assert compare(np.full((7, 3), 0.9), "xyz") == (1.0, compare(np.full((7, 3), 0.9), "xyz")[1])
    assert {pair.p_value for pair in compare(np.full((7, 3), 0.9), "xyz")[1]} == {1.0}


def test_the_tests_keep_their_level():
    """Methods that do not differ: pairs are told apart in at most 5 % of the benchmarks, any pair at all."""
    rng = np.random.default_rng(1)
    families = [[pair.adjusted <= 0.05 for pair in compare(rng.normal(size=(10, 4)), "abcd")[1]] for _ in range(150)]
    wrong = sum(map(any, families))
    assert wrong <= stats.binom.ppf(0.999, 150, 0.05)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_data_sets_get_no_test_and_are_told_why(values, n):
    table = table_of([one for one in lines_of(values, "abc", 4) if int(one["data"][3:]) < n])
    ranking = rank_rows(table, "image_auroc")
    assert ranking.friedman is None and ranking.pairs == () and not ranking.decisive
    assert "no power" in ranking.statement() and f"{2 / 2**n:.3g}" in ranking.statement()
    assert not [title for title in sheet_titles(table) if title.startswith("Pairs")]


def sheet_titles(table) -> list[str]:
    return [one.title for one in sheets(table, [rank_rows(table, metric) for metric in RANKED])]


def test_too_many_pairs_for_the_data_sets_is_said(values):
    ranking = rank_rows(table_of(lines_of(values[:5], "abc", 4)), "image_auroc")
    assert ranking.friedman is not None and not ranking.decisive  # 3 pairs, 2 / 2^5 each
    assert "no pair can be told apart" in ranking.statement() and f"{3 * 2 / 32:.3g}" in ranking.statement()
    assert all(pair.adjusted >= 3 * 2 / 32 - 1e-12 or pair.p_value > 2 / 32 for pair in ranking.pairs)


def test_holm_is_the_definition():
    rng = np.random.default_rng(2)
    for _ in range(20):
        p = rng.uniform(0, 0.2, 6)
        order = np.argsort(p)
        for level in (0.01, 0.05, 0.1):  # the step-down procedure itself: reject until the first failure
            rejected = set()
            for done, place in enumerate(order):
                if p[place] > level / (6 - done):
                    break
                rejected.add(int(place))
            assert {place for place, value in enumerate(holm(list(p))) if value <= level} == rejected


def test_cliques_hold_no_pair_that_differs():
    rng = np.random.default_rng(3)
    values = rng.uniform(0.6, 0.7, (12, 1)) + np.array([0.3, 0.299, 0.1, 0.099, 0.0]) + rng.normal(0, 0.01, (12, 5))
    ranking = rank_rows(table_of(lines_of(values[:, :, None], "abcde")), "image_auroc")
    apart = {frozenset((pair.first, pair.second)) for pair in ranking.pairs if pair.adjusted <= 0.05}
    assert frozenset("ae") in apart and frozenset("ab") not in apart
    inside = [set(ranking.labels[first : last + 1]) for first, last in ranking.cliques()]
    assert inside and all(frozenset(pair) not in apart for group in inside for pair in itertools.combinations(group, 2))
    neighbours = [set(pair) for pair in itertools.pairwise(ranking.labels) if frozenset(pair) not in apart]
    assert all(any(pair <= group for group in inside) for pair in neighbours)
    assert not any(one < other for one, other in itertools.permutations(inside, 2))


def test_rows_of_few_data_sets_or_without_maps_do_not_spoil_the_ranks(values):
    lines = [*lines_of(values, "ab", 4), line("late", "set00", 0, 0.99)]
    flat = [{**one, "method": "flat", "pixel_aupro": None} for one in lines_of(values[:, :1], "a", 4)]
    table = table_of(lines + flat)
    assert rank_rows(table, "image_auroc").left_out == ("late",)
    assert len(rank_rows(table, "image_auroc").data) == 8
    assert set(rank_rows(table, "pixel_aupro").left_out) == {"late", "flat"}


def test_settings_of_ones_own_are_never_the_presets_row(values):
    tuned = {"settings": {"bank_size": 9}, "config": {"size": 256, "bank_size": 9}}
    lines = lines_of(values[:2], "a", 2) + [line("a", "set00", seed, 0.999, **tuned) for seed in range(2)]
    table = table_of(lines)
    assert [row.label for row in table.presets] == ["a"]
    assert [row.label for row in table.own] == ["a bank_size=9"]
    preset = table.presets[0].cells["set00"].spread("image_auroc")
    assert preset is not None and preset.mean == pytest.approx(values[0, 0, :2].mean())
    assert all("a bank_size=9" not in rank_rows(table, metric).labels for metric in METRICS)
    assert "0.9990" not in json.dumps([rows for rows in sheet(lines, "Accuracy")])
    assert "0.9990" in json.dumps([rows for rows in sheet(lines, "With settings of their own")])


def test_a_changed_preset_and_another_size_are_rows_of_their_own():
    lines = [line("a", "set", 0, 0.9), line("a", "set", 1, 0.5, config={"size": 512})]
    assert [row.label for row in table_of(lines).rows] == ["a size=256", "a size=512"]
    assert [row.label for row in table_of(lines[:1]).rows] == ["a"]
    other = [line("a", "set", 0, 0.9, preset="paper"), line("a", "set", 0, 0.9)]
    assert [row.label for row in table_of(other).rows] == ["a", "a paper"]


def test_failed_runs_are_listed_and_counted_nowhere(values):
    lines = lines_of(values[:1], "a", 3)
    failed = {name: lines[1][name] for name in ("method", "preset", "data", "seed", "config", "commit", "hardware")}
    lines[1] = {**failed, "failed": "out of | memory"}
    cell = table_of(lines).rows[0].cells["set00"]
    spread = cell.spread("image_auroc")
    assert cell.seeds == (0, 2) and spread is not None and spread.mean == pytest.approx(values[0, 0, [0, 2]].mean())
    assert sheet(lines, "Failed runs") == (("a", "set00", "1", "out of | memory"),)
    assert "out of \\| memory" in markdown(sheets(table_of(lines), []))


def test_intervals_and_missing_figures():
    lines = [line("a", "set", seed, None, image_auroc_interval=[0.8 + 0.1 * seed, 0.9]) for seed in range(2)]
    cell = table_of(lines).rows[0].cells["set"]
    assert cell.interval("image_auroc") == pytest.approx((0.85, 0.9)) and cell.interval("pixel_aupro") is None
    assert cell.spread("image_auroc") is None
    (row,) = sheet(lines, "Accuracy")
    assert row[4].startswith("-") and rank_rows(table_of(lines), "image_auroc").labels == ()
    assert Spread.of([0.5, None]) == Spread(0.5, None, 1) and str(Spread(0.5, None, 1)) == "0.5000"


def test_published_figures_stand_beside_ours_with_source_and_evidence():
    lines = [line("padim", "mvtec_screw", 0, 0.85), line("padim", "screw", 0, 0.85)]
    rows = {row[0]: row for row in sheet(lines, "Accuracy")}
    (value,) = published(method="padim", data="mvtec_screw", metric="image_auroc")
    assert rows["mvtec_screw"][5].startswith(f"{value.value:g} [") and rows["screw"][5] == "-"
    number = rows["mvtec_screw"][5].split()[-1]
    (reference,) = [row for row in sheet(lines, "Published figures") if row[0] == number]
    assert reference[1:4] == ("padim", "mvtec_screw", "image AUROC") and reference[5] == "verified"
    assert "reimplementation" in reference[6]


def test_every_published_figure_is_whole():
    found = published()
    assert len(found) > 150 and len({one.method for one in found}) > 20
    for one in found:
        assert one.metric in METRICS and one.evidence in EVIDENCE and 0 < one.value <= 1 and one.source
        assert one.data in (MEAN_OF_MVTEC, "mvtec_bottle", "mvtec_screw")
    assert len(set(found)) == len(found)
    for method in ("patchcore", "padim", "stfpm", "efficient_ad", "uninformed_students", "spade", "fastflow", "cflow"):
        assert published(method=method, data=MEAN_OF_MVTEC)
    (us,) = published(method="ocsvm", data=MEAN_OF_MVTEC)
    assert (us.value, us.evidence) == (0.479, "recalled")
    assert [one.evidence for one in published(method="patchcore", data=MEAN_OF_MVTEC, metric="image_auroc")] == sorted(
        (one.evidence for one in published(method="patchcore", data=MEAN_OF_MVTEC, metric="image_auroc")),
        key=list(EVIDENCE).index,
    )
