"""The page of sentences: everything that the product claims, and the simulation or test that backs it."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import amiss
from amiss.core.sentence import Sentence

ROOT = Path(__file__).parents[1]

WORST = """## How far from what is promised

The worst setting of each simulated promise. A share of 10,000 trials is uncertain by 0.4 points near 95 %, a mean rate
by 1 to 3 % of itself. Scores are normal, exponential, with heavy tails, rounded (ties), and with a second kind of good
parts; n = 20 to 1,000, 1 to 60 lots. Intervals of metrics are in [metrics.md](metrics.md#intervals).

| simulation | what each number is | demanded | worst | where | settings x trials |
|---|---|---|---|---|---|
"""

SIMULATED = ("promises", "shift", "memory_charts", "lots")
"""Results of bench scripts whose promises are listed with their worst setting."""

HEAD = """# Every sentence and what backs it

Amiss prints claims about parts that nobody has seen yet: rates, bounds, intervals, confidences. Each is a `Sentence`
(`core/sentence.py`), a template with the test or simulation that shows it to be true as worded; fields are in braces.
Bounds are rounded up and confidences down (`core/words.py`). A test (`tests/architecture/test_sentences.py`) fails when
a printed claim is not one of these.

`bench/promises.py` simulates; its figures, in `docs/results/promises.json`, are the lowest and highest over all
settings (n, shape of the scores, alpha).
"""


def sentences() -> dict[str, Sentence]:
    """Every `Sentence` of the package by its place, ``module.NAME``, in the order of the names."""
    package = Path(amiss.__file__).parent
    found = {}
    for path in sorted(package.rglob("*.py")):
        if "Sentence(" not in path.read_text(encoding="utf-8") or path.name == "sentence.py":
            continue
        place = ".".join(path.relative_to(package).with_suffix("").parts)
        module = importlib.import_module(f"amiss.{place}")
        found |= {f"{place}.{name}": value for name, value in vars(module).items() if isinstance(value, Sentence)}
    return found


def figures(sentence: Sentence) -> dict[str, Any] | None:
    """The figures of record behind a sentence that a script in bench/ backs; None where a test does.

    Raises:
        KeyError: There are none.
    """
    script, _, case = sentence.backed_by.partition(" ")
    if not script.startswith("bench/"):
        return None
    results = json.loads((ROOT / "docs" / "results" / f"{Path(script).stem}.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = results.get("cases", results)[case] if case else results
    return found


def worst() -> str:
    """A table with the worst setting of each promise that a script in bench/ simulates."""
    rows = []
    for stem in SIMULATED:
        for name, found in _cases(stem).items():
            demanded = found["demanded"]
            if demanded == "nothing":
                continue
            pick = min if demanded.startswith("at least") else max
            if not demanded.startswith("at "):  # a number to be near to
                wanted = float(demanded.split(",")[0])
                setting = max(found["each"], key=lambda one: abs(found["each"][one] - wanted))
            else:
                setting = pick(found["each"], key=found["each"].get)
            value = found["each"][setting]
            missed = ", **not met**" if _missed(demanded, value) else ""
            rows.append(
                f"| `bench/{stem}.py` {name} | {found['what']} | {demanded} | {value:.4g}{missed} | {setting} "
                f"| {_trials(found)} |"
            )
    return WORST + "\n".join(rows) + "\n"


def _missed(demanded: str, value: float) -> bool:
    """Whether a largest value lies above what is demanded by more than what is put down to chance."""
    limit, _, chance = demanded.partition(", but for chance of ")
    return bool(chance) and limit.startswith("at most") and value > float(limit.split()[-1]) + float(chance)


def _trials(found: dict[str, Any]) -> str:
    """Settings times trials of each, by trials where these differ."""
    counted = Counter(row["trials"] for row in found.get("rows", ())) or Counter({found["trials"]: found["settings"]})
    return " and ".join(f"{settings} x {trials:,}" for trials, settings in sorted(counted.items(), reverse=True))


def _cases(stem: str) -> dict[str, Any]:
    results = ROOT / "docs" / "results"
    if stem != "lots":
        known = json.loads((results / f"{stem}.json").read_text(encoding="utf-8"))
        return {name: case | {"rows": known.get("rows", ())} for name, case in known.get("cases", {}).items()}
    return _lots(json.loads((results / "lots_promises.json").read_text(encoding="utf-8"))) | {
        "further parts of these lots": _lots_rate(
            json.loads((results / "lots_these_lots.json").read_text(encoding="utf-8"))
        )
    }


def _lots(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The promises for parts of new lots, as cases."""
    certified = [row for row in rows if row["rule"] == "certified"]
    bounded = [row for row in rows if row["above_bound"] is not None]
    return {
        "new lots, on average": _lots_rate(rows),
        "new lots, with a confidence": _case(
            "share of calibrations whose rate is above alpha, over the share allowed",
            "at most 1",
            {_lots_setting(row): row["above_alpha"] / (1 - row["confidence"]) for row in certified},
            certified,
        ),
        "new lots, this very set": _case(
            "share of calibrations whose true rate is below the bound",
            "at least 0.95",
            {_lots_setting(row): 1 - row["above_bound"] for row in bounded},
            bounded,
        ),
    }


def _lots_rate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    chosen = [row for row in rows if row["rule"] == "conformal"]
    each = {_lots_setting(row): row["mean_rate"] / row["alpha"] for row in chosen}
    return _case("mean true false-alarm rate over alpha", "at most 1, but for chance of 0.03", each, chosen)


def _lots_setting(row: dict[str, Any]) -> str:
    return (
        f"{row['scores']}, {row['lots']} lots of {row['parts']}, {row['between']:.0%} between lots, {row['rule']} "
        f"{row.get('alpha', row.get('k')):g}"
    )


def _case(what: str, demanded: str, each: dict[str, float], rows: list[dict[str, Any]]) -> dict[str, Any]:
    trials = min(row["trials"] for row in rows)
    return {"what": what, "demanded": demanded, "each": each, "settings": len(each), "trials": trials}


def page() -> str:
    """One entry per sentence, by module, and the worst setting of each simulation."""
    parts, last = [HEAD, worst()], ""
    for place, sentence in sentences().items():
        module, _, name = place.rpartition(".")
        if module != last:
            parts.append(f"## {module}\n")
            last = module
        parts.append(f"**{name}** {sentence.template.strip()}\n\n*{_backing(sentence)}*\n")
    return "\n".join(parts)


def _backing(sentence: Sentence) -> str:
    found = figures(sentence)
    test = sentence.backed_by.partition("::")[2].replace("_", " ")
    if found is None:
        return f"`{sentence.backed_by.partition('::')[0]}`: {test}"
    if "what" not in found:
        return f"`{sentence.backed_by}`"
    span = f"{found['lowest']:.4g} to {found['highest']:.4g}"
    return (
        f"`{sentence.backed_by}`: {found['what']}: {span} in {found['settings']} settings of {found['trials']:,} "
        f"trials; demanded {found['demanded']}"
    )
