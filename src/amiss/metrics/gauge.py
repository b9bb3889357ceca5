"""How much of the spread of a measurement is the gauge's own: variance components of a crossed study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError

Floats = NDArray[np.float64]

POOL_ABOVE = 0.25
"""An interaction with a larger p-value is pooled with the repeatability, as in the AIAG manual."""

ACCEPTABLE, UNACCEPTABLE, LEAST_CATEGORIES = 0.10, 0.30, 5
"""Limits of AIAG, Measurement Systems Analysis, 4th edition: %GRR below 10 % is acceptable, above 30 % it is not; at
least 5 distinct categories."""

DRAWS = 40_000
"""Draws behind an interval; its ends are then certain to about a hundredth of its width."""


@dataclass(frozen=True)
class Source:
    """One row of the analysis of variance; F and p-value are None for the last one."""

    name: str
    squares: float
    freedom: int
    f: float | None
    p_value: float | None

    @property
    def mean_square(self) -> float:
        """Sum of squares over degrees of freedom."""
        return self.squares / self.freedom


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, or another confidence if it was asked for."""

    value: float
    interval: tuple[float, float]

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where not finite."""
        return {"value": _finite(self.value), "interval": [_finite(end) for end in self.interval]}


@dataclass(frozen=True, kw_only=True)
class GaugeVariance:
    """What the spread of a measurement is made of.

    Args:
        shape: Numbers of parts, stations and repeats.
        table: The analysis of variance.
        pooled: The interaction of part and station was pooled with the repeatability (p above 0.25).
        deviations: Standard deviations, in the unit of the measurement: "repeatability" (the same part at the same
            station), "reproducibility" (between stations, with the interaction; only with several), "gauge" (both),
            "parts" and "total".
        grr: Standard deviation of the gauge over the total one, in [0, 1]: AIAG's %GRR of study variation.
        categories: 1.41 x parts / gauge, not rounded; AIAG's ndc is its whole part.
        confidence: Confidence of every interval.
    """

    shape: tuple[int, int, int]
    table: tuple[Source, ...]
    pooled: bool
    deviations: Mapping[str, Estimate]
    grr: Estimate
    categories: Estimate
    confidence: float

    @property
    def judgement(self) -> str:
        """What the limits of AIAG say of the estimate: "acceptable", "conditional" or "not acceptable"."""
        if self.grr.value > UNACCEPTABLE:
            return "not acceptable"
        return "acceptable" if self.grr.value < ACCEPTABLE else "conditional"

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        parts, stations, repeats = self.shape
        return {
            "parts": parts,
            "stations": stations,
            "repeats": repeats,
            "anova": [asdict(row) | {"mean_square": row.mean_square} for row in self.table],
            "pooled": self.pooled,
            "deviations": {name: one.summary() for name, one in self.deviations.items()},
            "grr": self.grr.summary(),
            "ndc": None if math.isinf(self.categories.value) else math.floor(self.categories.value),
            "categories": self.categories.summary(),
            "aiag": {"judgement": self.judgement, "grr_limits": [ACCEPTABLE, UNACCEPTABLE], "ndc": LEAST_CATEGORIES},
            "confidence": self.confidence,
        }


def gauge_variance(values: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> GaugeVariance:
    """Variance components of a crossed study in which every part was measured equally often at every station.

    The random-effects analysis of variance of AIAG's manual; a component whose estimate is below 0 is 0. With one
    station there is no reproducibility. Intervals are generalised confidence intervals (Hamada and Weaver 2000;
    Burdick, Borror and Montgomery 2005): each mean square over its expectation is chi-square over its degrees of
    freedom, so dividing the observed ones by random chi-squares gives draws of every component and ratio. They take
    the effects as normally distributed, and pool nothing: chosen by the same data, an interval covers too seldom.

    Args:
        values: Measurements, (parts, stations, repeats); at least 2 parts, 1 station and 2 repeats.
        confidence: Confidence of the intervals, in (0, 1).
        seed: Random seed.

    Raises:
        InputError: Another shape, a number that is not finite, or no spread at all.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = gauge_variance(rng.normal(size=(10, 1, 1)) + 0.1 * rng.normal(size=(10, 3, 3)))
        >>> found.judgement, round(found.deviations["repeatability"].value, 2)
        ('conditional', 0.09)
    """
    data = np.asarray(values, np.float64)
    if data.ndim != 3 or data.shape[0] < 2 or data.shape[1] < 1 or data.shape[2] < 2:
        raise InputError(
            f"values must be (parts, stations, repeats) with at least 2 parts and 2 repeats, got shape {data.shape}"
        )
    if not np.isfinite(data).all():
        raise InputError("values must be finite numbers")
    if np.ptp(data) == 0:
        raise InputError(f"values must differ, got {data.flat[0]:g} for every part and repeat")
    tail = (1 - check_rate("confidence", confidence)) / 2
    squares, freedom = _squares(data)
    table = _table(squares, freedom)
    p_value = next((row.p_value for row in table if row.name == "part x station"), None)
    pooled = p_value is not None and p_value > POOL_ABOVE
    rng = np.random.default_rng(check_count("seed", seed, least=0))
    drawn = {name: squares[name] / rng.chisquare(freedom[name], DRAWS) for name in squares}
    if pooled:
        squares["repeat"] += squares.pop("part x station")
        freedom["repeat"] += freedom.pop("part x station")
    means = {name: np.array(squares[name] / freedom[name]) for name in squares}
    shape = (data.shape[0], data.shape[1], data.shape[2])
    found, spread = _numbers(means, shape), _numbers(drawn, shape)
    with np.errstate(invalid="ignore"):
        ends = {name: np.quantile(spread[name], [tail, 1 - tail], method="nearest") for name in found}
    estimates = {name: Estimate(float(found[name]), (float(ends[name][0]), float(ends[name][1]))) for name in found}
    grr, categories = estimates.pop("grr"), estimates.pop("categories")
    return GaugeVariance(
        shape=shape,
        table=table,
        pooled=pooled,
        deviations=estimates,
        grr=grr,
        categories=categories,
        confidence=confidence,
    )


def _squares(data: Floats) -> tuple[dict[str, float], dict[str, int]]:
    """Sums of squares and degrees of freedom by source."""
    parts, stations, repeats = data.shape
    mean, by_part, by_station = data.mean(), data.mean(axis=(1, 2)), data.mean(axis=(0, 2))
    cells = data.mean(axis=2)
    squares = {"part": stations * repeats * float(((by_part - mean) ** 2).sum())}
    freedom = {"part": parts - 1}
    if stations > 1:
        squares["station"] = parts * repeats * float(((by_station - mean) ** 2).sum())
        both = cells - by_part[:, None] - by_station[None] + mean
        squares["part x station"] = repeats * float((both**2).sum())
        freedom |= {"station": stations - 1, "part x station": (parts - 1) * (stations - 1)}
    squares["repeat"] = float(((data - cells[:, :, None]) ** 2).sum())
    freedom["repeat"] = parts * stations * (repeats - 1)
    return squares, freedom


def _table(squares: Mapping[str, float], freedom: Mapping[str, int]) -> tuple[Source, ...]:
    """Effects are tested against the interaction where there is one, and the interaction against the repeats."""
    from scipy.special import fdtrc

    below = {"part": "part x station" if "station" in squares else "repeat", "station": "part x station"}
    below["part x station"] = "repeat"
    rows = []
    for name, total in squares.items():
        other = below.get(name)
        f = p_value = None
        if other is not None and squares[other] > 0:
            f = total / freedom[name] / (squares[other] / freedom[other])
            p_value = float(fdtrc(freedom[name], freedom[other], f))
        rows.append(Source(name, total, freedom[name], f, p_value))
    return tuple(rows)


def _numbers(means: Mapping[str, Any], shape: tuple[int, int, int]) -> dict[str, Any]:
    """Standard deviations and ratios from mean squares, of one study or of many draws."""
    parts, stations, repeats = shape
    noise = means["repeat"]
    both = means.get("part x station", noise)
    part = np.maximum(0, (means["part"] - both) / (stations * repeats))
    variances = {"repeatability": noise}
    gauge = noise
    if stations > 1:
        between = np.maximum(0, (means["station"] - both) / (parts * repeats)) + np.maximum(0, (both - noise) / repeats)
        variances["reproducibility"] = between
        gauge = noise + between
    total = gauge + part
    variances |= {"gauge": gauge, "parts": part, "total": total}
    with np.errstate(divide="ignore", invalid="ignore"):
        categories = 1.41 * np.sqrt(part) / np.sqrt(gauge)
    ratios = {"grr": np.sqrt(gauge / total), "categories": categories}
    return {name: np.sqrt(variance) for name, variance in variances.items()} | ratios


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
