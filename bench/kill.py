"""kill -9 at random moments: nothing that was told is lost, nothing is half-written, and the same command goes on.

    python bench/kill.py                                   500 kills over six verbs, about half an hour on two cores
    python bench/kill.py --kills 20 --verbs inspect        a few

Each trial begins a verb, kills it at a moment drawn over the time that it takes, looks at what lies there, and begins
it again, to be killed again or to finish. Then its outputs must be those of a run that nobody has killed. The processes
are forked from one that has imported everything, so that nearly all kills meet work and not imports. Results go to
docs/results/kill.json. The first fault ends the run with exit code 1 and leaves the folder as it was found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from amiss.cli import main as entry
from amiss.evaluation.benchmark.lines import read_lines
from amiss.front import fit, load
from amiss.reporting.journal import LINES, RUN, TABLE
from amiss.storage import UNFINISHED
from amiss.testing import toy_part, write_images, write_mvtec

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "kill.json"
SHARES = {"inspect": 0.5, "calibrate": 0.16, "evaluate": 0.12, "certify": 0.12, "fit": 0.08, "bench": 0.02}
"""Of all kills; a run of bench takes much longer than the others."""

TINY = ("--preset", "tiny", "--size", "64")
TIMES = {"seconds_per_image", "fit_seconds", "seconds", "peak_mb", "date", "commit", "created", "machine"}


class Fault(Exception):
    """Something was lost, doubled or half-written."""


@dataclass
class World:
    """What the verbs work on, and how long each of them takes."""

    root: Path
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)
    wanted: dict[str, Any] = field(default_factory=dict)

    def make(self) -> None:
        """Images, a data set and a model."""
        parts = list(toy_part(24, seed=5).images) + list(toy_part(6, seed=6, defective=True).images)
        write_images(self.root / "parts", parts)
        (self.root / "parts" / "0007b.png").write_text("not an image")
        (self.root / "parts" / "notes.txt").write_text("ignored")
        good, test, bad = toy_part(40, seed=1), toy_part(12, seed=2), toy_part(8, seed=3, defective=True)
        write_mvtec(self.root / "cloth", good.images, test.images, blot=bad)
        write_images(self.root / "more", toy_part(40, seed=9).images)
        fit(good.images, method="padim", preset="tiny", size=64, calibration=0.5).save(self.root / "model.amiss")


def start(arguments: Sequence[object], out: Path) -> int:
    """Run the command in a forked process, standard output and error into a file."""
    out.write_bytes(b"")
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(handle, 1), os.dup2(handle, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        sys.argv = ["amiss", *map(str, arguments)]
        entry.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        with suppress(Exception):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def run(arguments: Sequence[object], out: Path, kill_after: float | None = None) -> int | None:
    """Exit code, or None when it was killed."""
    child = start(arguments, out)
    if kill_after is not None:
        end = time.monotonic() + kill_after
        while time.monotonic() < end:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.killpg(child, signal.SIGKILL) if os.getpgid(child) == child else os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code


@dataclass(frozen=True)
class Verb:
    """A verb under attack.

    Args:
        arguments: Of the command, for a folder of outputs, and whether it was killed before.
        look: Raises `Fault` when what lies there after a kill is not whole, given what was told.
        result: What the outputs say, without times, when it has finished.
        codes: Exit codes of a run that finishes.
    """

    arguments: Callable[[Path, bool], list[object]]
    look: Callable[[Path, str], None]
    result: Callable[[Path], Any]
    codes: tuple[int, ...] = (0,)


def verbs(world: World) -> dict[str, Verb]:
    """All of them."""
    root, model = world.root, world.root / "model.amiss"

    def resumed(out: Path, again: bool) -> list[object]:
        words: list[object] = ["inspect", model, root / "parts", "--output", out / "r", "--resume"]
        return [*words, "--json"] if len(out.name) % 2 else words

    def learn(out: Path, again: bool) -> list[object]:
        words: list[object] = ["fit", root / "cloth", *TINY, "--method", "simplenet", "--set", "steps=220"]
        resume = ["--resume"] if (out / "m.amiss.training").is_dir() else []
        return [*words, "--calibration", "0.5", "--output", out / "m.amiss", *resume]

    model_file, results = ["--output", "m.amiss"], ["--output", "r"]
    commands: dict[str, list[object]] = {
        "calibrate": ["calibrate", model, root / "more", "--rule", "certified:10%", *model_file],
        "evaluate": ["evaluate", model, root / "cloth", *results],
        "certify": ["certify", model, root / "cloth", *results],
        "bench": ["bench", root / "cloth", "--methods", "padim", "--presets", *TINY[1:], "--seeds", "0,1", *results],
    }

    def plain(name: str) -> Callable[[Path, bool], list[object]]:
        *words, output = commands[name]
        return lambda out, again: [*words, out / str(output)]

    def figures(file: str) -> Callable[[Path], Any]:
        return lambda out: timeless(json.loads((out / "r" / file).read_text()))

    return {
        "inspect": Verb(resumed, look_at_journal, journal_result, (3,)),
        "fit": Verb(learn, look_at_model, model_result),
        "calibrate": Verb(plain("calibrate"), look_at_model, model_result),
        "evaluate": Verb(plain("evaluate"), look_at_pages, figures("evaluation.json")),
        "certify": Verb(plain("certify"), look_at_pages, figures("certificate.json")),
        "bench": Verb(plain("bench"), look_at_lines, lambda out: timeless(read_lines(out / "r"))),
    }


def timeless(value: Any) -> Any:
    """A JSON value without what differs from run to run."""
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if name not in TIMES}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def look_at_journal(out: Path, told: str) -> None:
    """Every name that was told is in both files, once; images are whole."""
    text = (out / "r" / LINES).read_bytes() if (out / "r" / LINES).is_file() else b""
    table = (out / "r" / TABLE).read_bytes() if (out / "r" / TABLE).is_file() else b""
    kept = [json.loads(line)["name"] for line in text[: text.rfind(b"\n") + 1].splitlines()]
    rows = [row.split(b",")[0].decode() for row in table[: table.rfind(b"\n") + 1].splitlines()[1:]]
    names = [
        match[0]
        for line in told[: told.rfind("\n") + 1].splitlines()
        if line.startswith(("GOOD", "ANOM", "ERROR", '{"name"'))
        for match in [re.search(r"/[^\s\":]*\.png", line)]
        if match
    ]
    for where, found in ((LINES, kept), (TABLE, rows)):
        if twice := [name for name, count in Counter(found).items() if count > 1]:
            raise Fault(f"{where} has {twice} twice")
        if lost := sorted(set(names) - set(found)):
            raise Fault(f"{where} lacks {lost}, which were told")
    for path in (out / "r").glob("*/*.png"):
        if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
            raise Fault(f"{path} is cut off")


def journal_result(out: Path) -> Any:
    """Lines, rows and images without run and time."""
    folder = out / "r"
    head = json.loads((folder / RUN).read_text())
    if not head["complete"]:
        raise Fault(f"{folder / RUN} does not say complete")
    lines = [{**json.loads(line), "run": ""} for line in (folder / LINES).read_text().splitlines()]
    rows = (folder / TABLE).read_text().replace(head["run"], "")
    images = {str(path.relative_to(folder)): path.read_bytes().hex() for path in sorted(folder.glob("*/*.png"))}
    return [lines, rows, images, head["counts"], head["ignored"], head["model"]]


def model_result(out: Path) -> Any:
    """Record and files of an artefact, but for when it was made."""
    inspector = load(out / "m.amiss")
    files = {name: data.hex() for name, data in inspector.parts.files().items()}
    return [timeless(inspector.record.model_dump(mode="json")), files, inspector.rule.normal.tolist()]


def look_at_model(out: Path, told: str) -> None:
    """An artefact is there and whole, or not there; it is there when that was told."""
    path = out / "m.amiss"
    if path.exists():
        load(path)
    elif "Written to" in told:
        raise Fault(f"{path} was told and is not there")


def look_at_pages(out: Path, told: str) -> None:
    """Every JSON file and page under its own name is whole."""
    for path in (out / "r").glob("[!.]*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
            raise Fault(f"{path} is cut off")


def look_at_lines(out: Path, told: str) -> None:
    """Pages, tables and the lines of the runs."""
    look_at_pages(out, told)
    read_lines(out / "r")


def trial(name: str, verb: Verb, world: World, draw: random.Random, number: int) -> int:
    """Kill it once or several times, finish it, compare; how many kills met it alive."""
    out = world.root / f"{name}{'x' * (number % 2)}{number:04}"
    out.mkdir()
    kills = 0
    for again in range(draw.choice((1, 1, 2, 4))):
        code = run(verb.arguments(out, bool(again)), out / "told", draw.uniform(0, world.seconds[name]))
        told = (out / "told").read_text()
        if code is None:
            kills += 1
        elif code not in verb.codes:
            raise Fault(f"{out}: exit code {code}: {told[-500:]}")
        verb.look(out, told)
    code = run(verb.arguments(out, True), out / "told")
    told = (out / "told").read_text()
    if code not in verb.codes:
        raise Fault(f"{out}: exit code {code}: {told[-500:]}")
    verb.look(out, told)
    if verb.result(out) != world.wanted[name]:
        raise Fault(f"{out}: the outputs are not those of an uninterrupted run")
    if left := [str(path) for path in out.rglob(f".*{UNFINISHED}") if "r" in path.parts or path.parent == out]:
        raise Fault(f"{left} were not swept")
    shutil.rmtree(out)
    return kills


def measure(name: str, verb: Verb, world: World) -> None:
    """How long it takes, and what it makes, when nobody kills it."""
    out = world.root / f"{name}-whole"
    out.mkdir()
    began = time.monotonic()
    code = run(verb.arguments(out, False), out / "told")
    world.seconds[name] = time.monotonic() - began
    if code not in verb.codes:
        raise Fault(f"{name}: exit code {code}: {(out / 'told').read_text()[-2000:]}")
    world.wanted[name] = verb.result(out)


def main() -> None:
    """Kill, and write how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--output", type=Path, default=None, help="default: docs/results/kill.json for all verbs")
    asked = parser.parse_args()
    os.environ["AMISS_THREADS"] = "2"
    world = World(Path(tempfile.mkdtemp(prefix="amiss-kill-")), asked.seed)
    os.environ["XDG_CACHE_HOME"] = str(world.root / "cache")
    world.make()
    total = sum(SHARES[name] for name in asked.verbs)
    counts: dict[str, dict[str, int]] = {}
    for name in asked.verbs:
        verb, draw = verbs(world)[name], random.Random(f"{asked.seed} {name}")
        measure(name, verb, world)
        goal, kills, trials = max(1, round(asked.kills * SHARES[name] / total)), 0, 0
        while kills < goal:
            kills += trial(name, verb, world, draw, trials)
            trials += 1
        counts[name] = {"kills": kills, "runs_finished_after_kills": trials, "faults": 0}
        print(f"{name}: {kills} kills, {trials} runs finished after them, no fault", flush=True)
    output = asked.output or (RESULTS if set(asked.verbs) == set(SHARES) else None)
    if output is not None:
        kills = sum(one["kills"] for one in counts.values())
        output.write_text(json.dumps({"seed": asked.seed, "kills": kills, "verbs": counts}, indent=2) + "\n")
    shutil.rmtree(world.root, ignore_errors=True)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    try:
        main()
    except Fault as fault:
        sys.exit(f"FAULT: {fault}")
