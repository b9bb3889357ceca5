"""Methods x presets x data sets x seeds: each run in a process of its own, finished runs are kept.

Nothing can be chosen by test scores here, by construction:

* A run is `amiss.fit` on the normal images, then one look at the test images (`child.measure_run`). There is
  no other place where test images are read, and no argument through which a score could come back into learning.
* Every seed that was asked for enters the mean; there is no best seed, and a failed one is listed as failed.
* Runs with settings of their own are kept under their own hyper-parameters. They make rows of their own, marked as
  such, and take part in no ranks: a row of a preset can never become the best of several tries.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import IO, Any, cast

from amiss.core.checks import check_choice
from amiss.core.errors import DataError, InputError, MissingExtraError
from amiss.core.progress import Progress, silent
from amiss.evaluation.benchmark.child import code_version, origin
from amiss.evaluation.benchmark.lines import Line, Run, keep_line, key, read_lines, without_folders

CHILD = "amiss.evaluation.benchmark.child"
DATA_FOLDER = "AMISS_DATA"
"""Environment variable: the folder in which data sets without a path are looked up."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """What a benchmark is going to do.

    Args:
        runs: All runs that were asked for, one seed after the other.
        skipped: Data sets that are not on this machine, with the reason.
    """

    runs: tuple[Run, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """Where a benchmark is.

    Args:
        done: Runs that are finished, with those of earlier calls.
        total: Runs that were asked for.
        run: The run that has just ended, or None at the start.
        line: Its line.
        seconds_left: Estimate of what remains, or None when nothing is known yet.
    """

    done: int
    total: int
    run: Run | None = None
    line: Line | None = None
    seconds_left: float | None = None


Launch = Callable[[Sequence[Run]], Iterator[tuple[Run, Line]]]
"""Does runs, in whatever order, and gives each with its figures."""


def locate(name: str) -> str:
    """The address of a data set for `amiss.data.open_dataset`.

    A name that is not a folder here is looked up in the folder that the environment variable AMISS_DATA names.
    """
    home = os.environ.get(DATA_FOLDER)
    if not Path(name).is_dir() and home and (Path(home) / name).is_dir():
        return str(Path(home) / name)
    return name


def plan_runs(
    data: Sequence[str],
    methods: Sequence[str],
    *,
    presets: Sequence[str] = ("default",),
    seeds: Sequence[int] = (0,),
    size: tuple[int, int] = (256, 256),
    settings: Mapping[str, Any] | None = None,
    skip_missing: bool = False,
) -> BenchmarkPlan:
    """Check everything that was asked for, before anything runs.

    Args:
        data: Data sets, see `locate`.
        methods: Registry names, or "module:Class" for methods that every Python process here can import.
        presets: Presets of every method.
        seeds: Whole numbers from 0.
        size: Height and width of the detector's input.
        settings: Hyper-parameters that differ from the presets, for every method.
        skip_missing: Leave out data sets that are not on this machine instead of raising.

    Raises:
        InputError: An unknown method, preset or hyper-parameter, or two data sets of one name.
        DataError: A data set that is not there or has no test images.
        MissingExtraError: torch is not installed.
    """
    from amiss.registry import list_methods

    for method in methods:
        if ":" not in method:
            check_choice("method", method, list_methods())
    found, skipped = _open_all(data, skip_missing)
    if not found:
        return BenchmarkPlan((), tuple(skipped))
    asked = list(dict.fromkeys(itertools.product(methods, presets)))
    own = dict(settings or {})
    known = _ask({"configs": asked, "settings": own})
    if "refused" in known:
        raise InputError(known["refused"])
    _check_names([method for method, _ in asked], [entry["name"] for entry in known["answer"]])
    runs = [
        _run(method, preset, name, address, seed, size, own, entry)
        for seed, (name, address) in itertools.product(dict.fromkeys(seeds), found.items())
        for (method, preset), entry in zip(asked, known["answer"], strict=True)
    ]
    return BenchmarkPlan(tuple(runs), tuple(skipped))


def _check_names(methods: Sequence[str], names: Sequence[str]) -> None:
    """Lines are kept by the method's name, so that two of one name would mix."""
    for name in names:
        several = sorted({method for method, own in zip(methods, names, strict=True) if own == name})
        if len(several) > 1:
            raise InputError(f"methods must have different names, got {' and '.join(several)}, both {name!r}")


def kept_lines(runs: Iterable[Run], folder: Path) -> dict[str, Line]:
    """The finished ones of these runs, by key. A failed run is not finished."""
    lines = {key(line): line for line in read_lines(folder) if "failed" not in line}
    return {one: lines[one] for one in (key(run.line()) for run in runs) if one in lines}


def run_all(
    plan: BenchmarkPlan,
    folder: Path,
    *,
    again: bool = False,
    tell: Callable[[Step], None] = lambda step: None,
    progress: Progress = silent,
    launch: Launch | None = None,
) -> list[Line]:
    """Do what is missing, one process per run, and keep each run's line as soon as it is there.

    A run that crashes, raises or is killed is kept as failed, with its reason, and the others go on. A later call does
    what is missing and what has failed.

    Args:
        plan: From `plan_runs`.
        folder: Where the lines are kept. One call at a time works on a folder.
        again: Do the finished runs again too.
        tell: Called at the start and after each run.
        progress: Progress of the current run; see `amiss.core.progress`.
        launch: Who does the runs; here, one after the other, when None.

    Returns:
        One line for each run of the plan, in its order.
    """
    lines = {} if again else kept_lines(plan.runs, folder)
    pending = [run for run in plan.runs if key(run.line()) not in lines]
    history = read_lines(folder)
    tell(Step(len(lines), len(plan.runs), seconds_left=seconds_left(pending, history)))
    waiting = {key(run.line()): run for run in pending}
    done = ((run, _figures(run, progress)) for run in pending) if launch is None else launch(pending)
    for run, figures in done:
        line = {**run.line(), **figures}
        keep_line(folder, line)
        lines[key(line)] = line
        history.append(line)
        waiting.pop(key(line), None)
        left = seconds_left(list(waiting.values()), history)
        tell(Step(len(lines), len(plan.runs), run, line, left))
    return [lines[key(run.line())] for run in plan.runs]


def seconds_left(pending: Sequence[Run], lines: Iterable[Line]) -> float | None:
    """How long the pending runs take, as the finished runs did; None when none is finished.

    A run is taken to last as long as the mean of its method and preset; of all runs where that is not known.
    """
    known: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        if "failed" not in line:
            looking = (line["seconds_per_image"] or 0.0) * (line["n_good"] + line["n_defective"])
            known.setdefault((line["method"], line["preset"]), []).append(line["fit_seconds"] + looking)
    if not known:
        return 0.0 if not pending else None
    usual = mean(value for values in known.values() for value in values)
    return sum(mean(known.get((run.method, run.preset), [usual])) for run in pending)


def other_commits(lines: Iterable[Line]) -> list[str]:
    """The code versions of these lines that are not the present one, sorted."""
    return sorted({line["commit"] for line in lines} - {code_version()})


def _run(
    method: str,
    preset: str,
    data: str,
    address: str,
    seed: int,
    size: tuple[int, int],
    asked: Mapping[str, Any],
    known: Mapping[str, Any],
) -> Run:
    """Settings that only repeat the preset do not count: such a run belongs to the preset."""
    own = {name: value for name, value in asked.items() if known["config"][name] != known["preset"][name]}
    config = {**known["config"], "size": size[0] if size[0] == size[1] else list(size)}
    return Run(
        method=known["name"],
        preset=preset,
        data=data,
        address=address,
        seed=seed,
        size=size,
        settings=own,
        config=config,
        source="" if method == known["name"] else method,
    )


def _open_all(data: Sequence[str], skip_missing: bool) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Name and address of each data set, and what is not there."""
    from amiss.data import open_dataset

    found: dict[str, str] = {}
    skipped = []
    for name in dict.fromkeys(data):
        address = locate(name)
        try:
            dataset = open_dataset(address)
        except (DataError, MissingExtraError) as error:
            nowhere = isinstance(error, DataError) and ":" not in name and not Path(address).exists()
            hint = f"; a name without a folder is looked up in the folder that {DATA_FOLDER} names" if nowhere else ""
            if skip_missing and (nowhere or isinstance(error, MissingExtraError)):
                skipped.append((name, f"{error}{hint}"))
                continue
            if nowhere:
                raise DataError(f"{error}{hint}") from error
            raise
        if len(dataset.test) == 0:
            raise DataError(f"{name}: no test images, so there is nothing to measure on")
        if dataset.name in found:
            raise InputError(f"two data sets are called {dataset.name!r}: {name} and another; their lines would mix")
        found[dataset.name] = address
    return found, skipped


def request_of(run: Run) -> str:
    """What `answer_request` must be told of a run, as JSON."""
    return json.dumps({"run": {"recipe": run.recipe().to_dict(), "address": run.address}})


def answer_request(request: str) -> str:
    """Do a run in a fresh process of this machine; what came of it, as JSON, for `figures_of`."""
    return json.dumps(_ask(json.loads(request)))


def _figures(run: Run, progress: Progress) -> Line:
    return figures_of(run, _ask(json.loads(request_of(run)), progress))


def figures_of(run: Run, reply: Mapping[str, Any]) -> Line:
    """The figures of a run, or why there are none."""
    if "refused" not in reply:
        return dict(reply["answer"])
    reason = reply["refused"].replace(str(Path(run.address).resolve()), run.data).replace(run.address, run.data)
    return {"failed": without_folders(reason), **origin()}


def _ask(request: Mapping[str, Any], progress: Progress = silent) -> dict[str, Any]:
    """Have a fresh process answer: ``{"answer": ...}``, or ``{"refused": why}`` also when it died."""
    command = [sys.executable, "-P", "-m", CHILD]  # -P: a torch.py in this folder is not ours to import
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        )
        requests, answers = cast(IO[str], child.stdin), cast(IO[str], child.stdout)
        reply: dict[str, Any] = {}
        try:
            with suppress(BrokenPipeError):  # it died at once; what it said is read below
                requests.write(json.dumps(request) + "\n")
                requests.flush()
            for text in answers:
                reply = json.loads(text)
                if "progress" in reply:
                    progress(*reply["progress"])
            child.wait()
        finally:
            child.kill()
            child.wait()
            answers.close()
            with suppress(BrokenPipeError):
                requests.close()
        return reply if {"answer", "refused"} & set(reply) else {"refused": _death(child.returncode, errors)}


def _death(code: int, errors: IO[bytes]) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in {int(one) for one in signal.Signals} else f"signal {-code}"
        memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"killed by {name}{memory}"
    errors.seek(0)
    said = [text for text in errors.read().decode("utf-8", "replace").splitlines() if text.strip()]
    return f"ended with exit code {code} and no answer" + (f": {said[-1].strip()}" if said else "")
