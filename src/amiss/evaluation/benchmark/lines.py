"""What is kept of a benchmark: one JSON line per run in FOLDER/<method>.jsonl. No path of a machine is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amiss.core.errors import DataError
from amiss.core.plain_json import is_finite, parse_json
from amiss.recipe import Recipe
from amiss.storage import write_file

Line = dict[str, Any]
"""One run as it is kept: who ran on what, and either the figures or, under "failed", why there are none."""

ORIGIN = ("method", "preset", "data", "seed")
FIGURES = ("image_auroc", "pixel_auroc", "pixel_aupro", "pixel_aupro_05")
PARTS = ("n_good_parts", "n_defective_parts", "n_lots", "intervals_over")
EXTRAS = (
    "pixel_spro_05",
    "rim_peaks",
    "rim_area",
    *PARTS,
    *(f"{name}_interval" for name in (*FIGURES, "pixel_spro_05")),
)
"""Kept where they are measured; lines of older code lack them."""
COUNTS = ("alpha", "false_alarms", "detections", "n_calibration", "n_good", "n_defective")

_FOLDERS = re.compile(r"(?<![\w./])(?:[A-Za-z]:)?[\\/](?:[^\s\\/'\"]+[\\/])+")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run that is asked for.

    Args:
        method: Name of the method.
        preset: One of the method's presets.
        data: Name of the data set.
        seed: Seed of the split, the hold-out draw and learning.
        size: Height and width of the detector's input.
        address: Where the data set is on this machine; never kept.
        settings: Hyper-parameters that differ from the preset, as asked for.
        config: All hyper-parameters, and the size.
        source: "module:Class" of a method that is not in the registry.
    """

    method: str
    preset: str
    data: str
    seed: int
    size: tuple[int, int]
    address: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def recipe(self) -> Recipe:
        """What the fit is asked for."""
        method = self.source or self.method
        return Recipe(method=method, preset=self.preset, settings=self.settings, size=self.size, seed=self.seed)

    def line(self) -> Line:
        """What every line of this run says, with or without figures."""
        kept = {"settings": without_folders(self.settings), "config": without_folders(self.config)}
        return {**{name: getattr(self, name) for name in ORIGIN}, **kept}

    def __str__(self) -> str:
        own = "".join(f" {name}={value}" for name, value in self.settings.items())
        return f"{self.method} {self.preset}{own}, {self.data}, seed {self.seed}"


def key(line: Mapping[str, Any]) -> str:
    """What makes two runs the same: method, preset, data, seed and every hyper-parameter."""
    return json.dumps([*(line[name] for name in ORIGIN), line["config"]], sort_keys=True)


def read_lines(folder: Path) -> list[Line]:
    """All lines of a folder, by method and file order; none when it is not there.

    Raises:
        DataError: A line that no benchmark wrote.
    """
    return [line for path in sorted(folder.glob("*.jsonl")) for line in read_file(path)]


def read_file(path: Path) -> list[Line]:
    """The lines of one method's file; none when it is not there.

    Raises:
        DataError: A line that no benchmark wrote.
    """
    lines = []
    try:
        texts = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); choose another folder, or take it out") from error
    for number, text in enumerate(texts[:-1] if texts[-1:] == [""] else texts, start=1):
        try:
            line = parse_json(text)
        except ValueError:
            line = None
        if not _is_line(line):
            raise DataError(f"{path}, line {number}: no line of a benchmark; choose another folder, or take it out")
        lines.append(line)
    return lines


def _is_line(line: Any) -> bool:
    """Whether a benchmark can have written it: who ran on what, and finite figures or why there are none."""
    wanted = {*ORIGIN, "config"}
    if not isinstance(line, dict) or not ({*wanted, *FIGURES} <= set(line) or {*wanted, "failed"} <= set(line)):
        return False
    named = all(isinstance(line[name], str) for name in ("method", "preset", "data"))
    counted = [line.get(name) for name in ("false_alarms", "detections")]
    figures = [line.get(name) for name in (*FIGURES, *COUNTS) if name not in ("false_alarms", "detections")]
    return (
        named
        and isinstance(line["seed"], int)
        and isinstance(line["config"], dict)
        and isinstance(line.get("settings", {}), dict)
        and isinstance(line.get("failed", ""), str)
        and all(figure is None or is_finite(figure) for figure in figures)
        and all(each is None or (isinstance(each, dict) and is_finite(each.get("rate"))) for each in counted)
    )


def keep_line(folder: Path, line: Line) -> None:
    """Write a line into its method's file, in place of an older one that was asked for with the same words."""
    path = folder / f"{line['method']}.jsonl"
    lines = [old for old in read_file(path) if _asked(old) != _asked(line)] + [line]
    lines.sort(key=lambda entry: [str(entry[name]) for name in ORIGIN] + [_asked(entry)])
    write_file(path, "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in lines).encode())


def without_folders(value: Any) -> Any:
    """A JSON value whose texts name files without the folders they are in; tuples become lists.

    Example:
        >>> without_folders({"backbone": "file:/home/me/nets/wide.pth", "stages": (4, 8)})
        {'backbone': 'file:wide.pth', 'stages': [4, 8]}
    """
    if isinstance(value, str):
        return _FOLDERS.sub("", value)
    if isinstance(value, Mapping):
        return {name: without_folders(entry) for name, entry in value.items()}
    return [without_folders(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _asked(line: Mapping[str, Any]) -> str:
    size = line["config"].get("size")
    return json.dumps([*(line[name] for name in ORIGIN), line.get("settings", {}), size], sort_keys=True)
