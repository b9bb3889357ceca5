"""`amiss bench` where others do the runs, in another order: the same lines."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from amiss.evaluation.benchmark import runs
from amiss.evaluation.benchmark.lines import FIGURES, Line, Run, read_lines
from amiss.evaluation.benchmark.runs import BenchmarkPlan, Step, run_all


def wanted(method: str, seed: int) -> Run:
    return Run(method=method, preset="tiny", data="cloth", seed=seed, size=(64, 64), address="/somewhere")


def figures(run: Run) -> Line:
    if run.method == "pca":
        return {"failed": "a worker was lost", "commit": "c", "hardware": "h"}
    areas = dict.fromkeys(FIGURES, 0.5 + run.seed / 10)
    costs = {"fit_seconds": 1.0, "seconds_per_image": 0.1, "commit": "c"}
    return {**areas, **costs, "n_good": 2, "n_defective": 3}


def test_runs_that_come_in_any_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    plan = BenchmarkPlan(tuple(wanted(method, seed) for method in ("mvg", "pca") for seed in range(3)))
    monkeypatch.setattr(runs, "_figures", lambda run, progress: figures(run))
    here = run_all(plan, tmp_path / "here")

    def launch(pending: Sequence[Run]) -> Iterator[tuple[Run, Line]]:
        yield from ((run, figures(run)) for run in reversed(pending))

    steps: list[Step] = []
    there = run_all(plan, tmp_path / "there", launch=launch, tell=steps.append)
    assert here == there and [step.done for step in steps] == [*range(7)] and steps[-1].seconds_left == 0
    assert sorted(map(str, read_lines(tmp_path / "here"))) == sorted(map(str, read_lines(tmp_path / "there")))
    again: list[Run] = []
    run_all(plan, tmp_path / "there", launch=lambda pending: again.extend(pending) or launch(pending))
    assert [run.method for run in again] == ["pca"] * 3, "what has failed is done again"


def test_the_options(amiss, tmp_path: Path):
    code, _, err = amiss("bench", "cloth", "--output", tmp_path, "--workers", "2")
    assert code == 2 and "--workers must come with --on ray" in err
    code, _, err = amiss("bench", "cloth", "--output", tmp_path, "--on", "dask")
    assert code == 2 and "on must be" in err
