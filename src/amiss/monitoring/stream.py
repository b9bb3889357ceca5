"""`Stream`: what a line has produced, in time order, and how to read it from a file of results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count
from amiss.core.errors import DataError, InputError
from amiss.core.plain_json import is_finite, parse_json
from amiss.core.verdict import Label
from amiss.monitoring.health import Health, mean_health


@dataclass(frozen=True)
class Stream:
    """Parts in time order.

    Args:
        scores: One number per part, larger = more anomalous; None for an image that could not be used.
        names: What each part is called; "part 1" and so on when left out.
        reasons: Why an image could not be used; empty for the others.
        times: When each image was taken, as text; empty when that is not known.
        health: Measures of each image, None where there was none; empty when there are no images.

    Raises:
        InputError: No part, a score that is not finite, or lists of different lengths.

    Example:
        >>> stream = Stream([0.5, None, 0.7])
        >>> stream.names[2], stream.usable.tolist(), stream.errors
        ('part 3', [0, 2], [('part 2', 'no score')])
    """

    scores: Sequence[float | None]
    names: Sequence[str] = ()
    reasons: Sequence[str] = ()
    times: Sequence[str] = ()
    health: Sequence[Health | None] = ()
    usable: NDArray[np.intp] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.scores) == 0:
            raise InputError("the stream is empty; at least one part is needed")
        for part, score in enumerate(self.scores, start=1):
            if score is not None and not is_finite(score):
                raise InputError(f"the score of part {part} must be a finite number, or None for an error, got {score}")
        object.__setattr__(self, "names", self.names or [f"part {part + 1}" for part in range(len(self.scores))])
        for what in ("names", "reasons", "times", "health"):
            if len(getattr(self, what)) not in ((0, len(self)) if what != "names" else (len(self),)):
                raise InputError(f"{what} must be one per part, got {len(getattr(self, what))} for {len(self)} parts")
        found = [part for part, score in enumerate(self.scores) if score is not None]
        object.__setattr__(self, "usable", np.array(found, np.intp))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def values(self) -> NDArray[np.float64]:
        """Scores of the usable parts, at the float32 precision that rules compare in."""
        return np.array([self.scores[part] for part in self.usable], np.float32).astype(np.float64)

    def in_parts(self, each: int) -> Stream:
        """A stream of images as one of parts: `each` images in a row show one part, which gets their largest score.

        A part of which an image could not be used has no score, since the largest of fewer images is lower. An
        incomplete last part is left out.

        Args:
            each: Images of every part, at least 1.

        Raises:
            InputError: Not a single complete part.

        Example:
            >>> parts = Stream([0.5, 0.9, 0.4, None, 0.7], names=list("abcde")).in_parts(2)
            >>> parts.scores, parts.names
            ((0.9, None), ('b', 'd'))
        """
        if check_count("images per part", each, least=1) == 1:
            return self
        if len(self) < each:
            raise InputError(f"the stream must hold all images of a part, {each}, got {len(self)}")
        groups = [range(start, start + each) for start in range(0, len(self) - each + 1, each)]
        shown = [max(group, key=self._strangeness) for group in groups]
        return Stream(
            tuple(self.scores[image] for image in shown),
            tuple(self.names[image] for image in shown),
            tuple(self.reasons[image] for image in shown) if self.reasons else (),
            tuple(self.times[group[0]] for group in groups) if self.times else (),
            tuple(_together([self.health[image] for image in group]) for group in groups) if self.health else (),
        )

    def _strangeness(self, image: int) -> float:
        score = self.scores[image]
        return math.inf if score is None else score

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Name and reason of every image that could not be used."""
        reasons = self.reasons or [""] * len(self)
        return [(n, r or "no score") for n, r, s in zip(self.names, reasons, self.scores, strict=True) if s is None]

    def describe(self, part: int) -> str:
        """A usable part in words: its number in the stream from 1, its name, and its time where known.

        Example:
            >>> Stream([0.5, 0.7], names=["a.png", "b.png"]).describe(1)
            'part 2 (b.png)'
        """
        at = int(self.usable[part])
        known = [self.names[at], self.times[at] if self.times else ""]
        words = ", ".join(text for text in known if text and text != f"part {at + 1}")
        return f"part {at + 1}" + (f" ({words})" if words else "")

    def place(self, part: int) -> dict[str, Any]:
        """A usable part as plain JSON values: number from 1, name, score, and time or None."""
        at = int(self.usable[part])
        time = self.times[at] if self.times else None
        return {"part": at + 1, "name": self.names[at], "score": self.scores[at], "time": time}


def _together(measured: Sequence[Health | None]) -> Health | None:
    """Of one part; None where an image was not measured."""
    known = [one for one in measured if one is not None]
    return mean_health(known) if len(known) == len(measured) else None


def read_results(
    path: str | Path, normal: NDArray[np.floating], p_value: Callable[[NDArray[Any]], NDArray[Any]] | None = None
) -> Stream:
    """The stream in a ``results.jsonl`` that ``amiss inspect --output`` wrote, in the order of its lines.

    Every p-value is computed again from the calibration scores, so that results of another model are found out.

    Args:
        path: The file.
        normal: Calibration scores of the model, ascending, (n,).
        p_value: Of scores under the model's rule; by default each calibration score counts alike.

    Raises:
        DataError: Missing, empty, a line that is not a verdict, or verdicts of another model.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8; give results.jsonl of amiss inspect") from error
    whole = text.split("\n")[: -1 if _cut_off(text) else None]
    lines = [(number, line) for number, line in enumerate(whole, start=1) if line.strip()]
    verdicts = [_verdict(f"{path}, line {number}", line, p_value or _alike(normal)) for number, line in lines]
    if not verdicts:
        raise DataError(f"{path}: no verdict inside")
    names, scores, reasons = zip(*verdicts, strict=True)
    return Stream(scores, names, reasons)


def _cut_off(text: str) -> bool:
    """Whether the last line was being written when its run ended: it lacks its end, and is not JSON."""
    last = text.rpartition("\n")[2]
    try:
        parse_json(last or "{}")
    except ValueError:
        return "\n" in text
    return False


def _alike(normal: NDArray[np.floating]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    n = len(normal)
    return lambda scores: (1 + n - np.searchsorted(normal, scores, side="left")) / (n + 1)


def _verdict(where: str, line: str, expected: Callable[[NDArray[Any]], NDArray[Any]]) -> tuple[str, float | None, str]:
    try:
        verdict = parse_json(line)
    except ValueError:
        raise DataError(
            f"{where}: not JSON; each line must be a verdict, as `amiss inspect --output` writes them"
        ) from None
    if not isinstance(verdict, dict) or not {"name", "label", "score", "p_value"} <= set(verdict):
        raise DataError(f"{where}: a verdict must have name, label, score and p_value")
    name = str(verdict["name"])
    if verdict["label"] == Label.ERROR:
        return name, None, str(verdict.get("reason", ""))
    score, p_value = verdict["score"], verdict["p_value"]
    if not is_finite(score) or not is_finite(p_value) or abs(score) > float(np.finfo(np.float32).max):
        raise DataError(f"{where}: score and p-value must be finite numbers, got {score!r} and {p_value!r}"[:300])
    if abs(float(expected(np.array(score, np.float32))) - p_value) > 1e-6:
        raise DataError(
            f"{where}: score {score:g} has not p = {p_value:g} under this model; give the model that made it"
        )
    return name, float(score), ""
