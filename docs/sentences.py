"""The page of sentences: everything that the product claims, and the simulation or test that backs it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import amiss
from amiss.core.sentence import Sentence

ROOT = Path(__file__).parents[1]

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


def page() -> str:
    """One entry per sentence, by module."""
    parts, last = [HEAD], ""
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
