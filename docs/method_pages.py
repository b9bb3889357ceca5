"""A page for each method, from its card, its docstring, its declared hyper-parameters and what was measured."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from amiss.evaluation.benchmark.lines import read_file
from amiss.evaluation.benchmark.published import published
from amiss.evaluation.benchmark.table import table_of
from amiss.evaluation.benchmark.text import accuracy, costs, failures, markdown_table, published_figures
from amiss.features.extractor import GEOMETRY

DOCS = Path(__file__).parent

SOURCES = {
    "normal": "good images",
    "classes": "good images of several classes",
    "unlabelled": "images of which nobody knows whether they are good",
}

OLD = (
    "**Measured before features looked straight** (decision 14), with networks that answered beside what they saw and "
    "rims that raised alarms; to be measured anew.\n"
)

_DIFFERS = "Differs from the paper:"


def method_page(method: Any) -> str:
    """Everything about one method."""
    card, text = method.card, sections(method.__doc__)
    family = card.family.replace("_", " ")
    examples = f"```pycon\n{inspect.cleandoc(text['Example'])}\n```\n"
    source, _, differs = _prose(text["References"]).partition(_DIFFERS)
    parts = [
        f"# {card.title} (`{card.name}`)\n",
        f"{card.paper} ({card.year}), <{card.url}>. Family: {family}. Learning: {card.learning}, "
        f"from {SOURCES[card.learns_from]}. Weights: {card.weights_licence}. [All methods](../methods.md).\n",
        _prose(text[""]) + "\n",
        *(f"**{name}.** {_prose(text[name])}\n" for name in ("Background model", "Statistic", "Assumes", "Cost")),
        *([f"**Differs from the paper:**{differs}\n"] if differs else []),
        "## Hyper-parameters\n",
        _hyperparameters(method, entries(text["Args"])),
        "Presets: " + "; ".join(f"`{key}` {json.dumps(dict(value))}" for key, value in card.presets.items()) + "\n",
        "Raises " + "; ".join(f"`{name}`: {why}" for name, why in entries(text["Raises"]).items()) + "\n",
        "## Example\n",
        examples,
        "## References\n",
        source.strip() + "\n",
        "## What was measured\n",
        _results(card.name),
    ]
    return "\n".join(parts)


def sections(doc: str) -> dict[str, str]:
    """The text under each heading of a docstring; "" is what stands before the first.

    A heading stands alone on its line, and what belongs to it is indented further.
    """
    found, name = {"": ""}, ""
    for line in inspect.cleandoc(doc).splitlines():
        heading = re.fullmatch(r"([A-Z][A-Za-z ]*):", line)
        if heading:
            name = heading[1]
            found[name] = ""
        else:
            found[name] += line.removeprefix("    " if name else "") + "\n"
    return found


def entries(text: str) -> dict[str, str]:
    """Lines such as "name: words", whose words may go on in lines that are indented."""
    found: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, words = line.partition(": ")
        if line.startswith(" ") or not colon:
            last = next(reversed(found))
            found[last] += " " + line.strip()
        else:
            found[name] = words.strip()
    return found


def _prose(text: str) -> str:
    """Paragraphs of one line each; signs that Markdown would read as its own are kept."""
    paragraphs = [" ".join(one.split()) for one in re.split(r"\n\s*\n", text.strip())]
    return "\n\n".join(paragraphs).replace("<", "&lt;").replace("*", r"\*")


def _hyperparameters(method: Any, meaning: dict[str, str]) -> str:
    """Name, default, range and meaning of each, as declared."""
    rows = []
    for one in method.declared.values():
        cells = (f"`{one.name}`", f"`{json.dumps(one.default)}`", one.words(), meaning.get(one.name, ""))
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(["| Name | Default | Must be | Meaning |", "|---|---|---|---|", *rows, ""])


def _results(name: str) -> str:
    """What was measured, and what others have published, each with its source."""
    lines = read_file(DOCS / "results" / f"{name}.jsonl")
    current = [line for line in lines if line["config"].get("geometry") == GEOMETRY]
    table = table_of(current or lines)
    references = published(method=name)
    found = [
        accuracy(table.presets, references),
        costs(table.presets),
        accuracy(table.own, references, "With settings of their own"),
        failures(table),
        published_figures(references),
    ]
    parts = [] if table.rows else ["Not measured yet.\n"]
    if lines and not current:
        parts.append(OLD)
    for sheet in found:
        if sheet.rows:
            parts.append(f"{sheet.title}:\n\n{markdown_table(sheet)}")
    return "\n".join(parts)
