"""What each preset was measured to find and to need: one line per method and preset, from the figures of record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from statistics import mean, median

from amiss.evaluation.benchmark.lines import Line
from amiss.splitting import HELD_OUT

FILE = "measured.jsonl"

DEVELOPMENT = {
    "magnetic_tile": "tiles",
    "crackforest_tiles": "asphalt",
    "solder_joints": "solder",
    "casting_impeller": "castings",
    "potato_conveyor": "belt",
    "elpv_poly": "solar cells",
}
"""The data sets by which defaults are chosen, and what they show."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One preset of one method.

    Args:
        method: Registry name.
        preset: Name of the preset.
        image_auroc: Mean over seeds on each data set of `DEVELOPMENT` that was run.
        seeds: Fewest seeds of a data set.
        ms_per_image: Median over the runs: decode, resize, score and decide; None where nothing was timed.
        fit_ms_per_image: Least and most milliseconds that learning and calibrating took over all runs, for each good
            image, when a fifth of them is held out; of gradient methods it depends on the steps instead.
        peak_mb: Largest memory of a process that learned and measured.
        hardware: On what; several kinds joined by "; ".
    """

    method: str
    preset: str
    image_auroc: Mapping[str, float]
    seeds: int
    ms_per_image: float | None
    fit_ms_per_image: tuple[float, float]
    peak_mb: int
    hardware: str

    @property
    def mean(self) -> float | None:
        """Of image AUROC over the development sets; None unless all of them were run."""
        return mean(self.image_auroc.values()) if set(self.image_auroc) == set(DEVELOPMENT) else None

    def words(self) -> str:
        """For people, with the number of data sets and seeds."""
        found = "accuracy not measured"
        if self.image_auroc:
            seeds = f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
            sets = f"{len(self.image_auroc)} of {len(DEVELOPMENT)} sets ({seeds})"
            found = f"image AUROC {mean(self.image_auroc.values()):.3f} over {sets}"
        speed = "" if self.ms_per_image is None else f", {self.ms_per_image:.0f} ms per image"
        return f"{found}{speed}, {self.peak_mb} MB to learn"


def measure_presets(lines: Iterable[Line]) -> list[Measured]:
    """From finished lines without settings of their own, by method and preset; other data sets give speed only."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if "failed" not in line and not line.get("settings"):
            groups.setdefault((line["method"], line["preset"]), []).append(line)
    return [_measured(*key, group) for key, group in sorted(groups.items())]


def _measured(method: str, preset: str, lines: list[Line]) -> Measured:
    runs = {data: [line["image_auroc"] for line in lines if line["data"] == data] for data in DEVELOPMENT}
    runs = {data: values for data, values in runs.items() if values}
    times = [line["seconds_per_image"] for line in lines if line["seconds_per_image"] is not None]
    learned = [line["fit_seconds"] * HELD_OUT / line["n_calibration"] for line in lines]
    return Measured(
        method=method,
        preset=preset,
        image_auroc={data: round(mean(values), 4) for data, values in runs.items()},
        seeds=min((len(values) for values in runs.values()), default=0),
        ms_per_image=round(1000 * median(times), 1) if times else None,
        fit_ms_per_image=(round(1000 * min(learned), 1), round(1000 * max(learned), 1)),
        peak_mb=max(line["peak_mb"] for line in lines),
        hardware="; ".join(sorted({line["hardware"] for line in lines})),
    )


def to_text(found: Iterable[Measured]) -> str:
    """As `measured` reads it."""
    return "".join(json.dumps(asdict(one)) + "\n" for one in found)


@cache
def measured() -> dict[tuple[str, str], Measured]:
    """What is known, by method and preset; `docs/generate.py` writes it from `docs/results`."""
    text = resources.files("amiss.evaluation.benchmark").joinpath(FILE).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    found = [Measured(**{**row, "fit_ms_per_image": tuple(row["fit_ms_per_image"])}) for row in rows]
    return {(one.method, one.preset): one for one in found}
