"""`ResultsWriter`: verdicts as files in a folder, one image at a time."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from amiss.core.rule import Rule
from amiss.core.verdict import Label, Verdict
from amiss.reporting.overlay import ColourScale, fit_inside, overlay, resize_mask
from amiss.storage import write_file

COLUMNS = (
    "name",
    "label",
    "score",
    "p_value",
    "n_regions",
    "left",
    "top",
    "width",
    "height",
    "area",
    "reason",
    "image",
)
"""Of ``results.csv``; left to area are those of the region with the largest area, in pixels of the image."""

LONGEST = 2048
"""Pixels of the long side of an overlay; larger images are made smaller."""

_NAME_BYTES = 180  # of 255 that file systems allow: room for a number, the ending and a temporary name
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class ResultsWriter:
    """Writes what was found.

        results.csv                one row per image, for spreadsheets
        results.jsonl              one line per image, `Verdict.summary`, with all regions
        overlays/<image>.png     the image with its scores as colour, long side at most 2048 pixels
        masks/<image>.png        255 = alarming pixel, at the size of the image

    Images are written as they come. The two tables appear when the writer is closed, each at once: whoever finds
    one has all of it. A run that is interrupted leaves the tables of an earlier run as they were, or none.

    Args:
        folder: Made when it is missing.
        rule: The inspector's rule, which fixes the colours of the overlays: see `ColourScale`.
        root: The folder that was inspected; image files are named by their path below it.

    Example:
        >>> import tempfile
        >>> from amiss.rules import Fixed
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with ResultsWriter(folder, Fixed(1.0)) as writer:
        ...         writer.add(Verdict(name="a.png", label=Label.GOOD, score=0.5, p_value=0.6), None)
        ...     print((Path(folder) / "results.csv").read_text().splitlines()[1])
        a.png,good,0.5,0.6,0,,,,,,,
    """

    def __init__(self, folder: str | Path, rule: Rule, *, root: str | Path | None = None) -> None:
        self._folder = Path(folder)
        self._scale = ColourScale.of_rule(rule)
        self._root = None if root is None else PurePath(root)
        self._taken: set[str] = set()
        self._lines: list[str] = []
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def add(self, verdict: Verdict, image: NDArray[np.uint8] | None) -> None:
        """Write the images of one verdict and remember its row.

        Args:
            verdict: As `Inspector.inspect_one` returns it.
            image: The image it is about, RGB uint8 (H, W, 3). Without it, without a map, and on error there are
                rows and no images.
        """
        file = ""
        if image is not None and verdict.map is not None and verdict.label is not Label.ERROR:
            file = self._unique(verdict.name)
            small = fit_inside(image, LONGEST)
            self._write("overlays", file, overlay(small, verdict.map, self._scale, verdict.mask))
            if verdict.mask is not None:
                mask = resize_mask(verdict.mask, (image.shape[0], image.shape[1]))
                self._write("masks", file, mask.astype(np.uint8) * 255)
        self._lines.append(json.dumps(verdict.summary(), allow_nan=False))
        self._rows.append(_row(verdict, file))

    def close(self) -> None:
        """Write the tables. A second call writes the same again."""
        write_file(self._folder / "results.jsonl", "".join(f"{line}\n" for line in self._lines).encode())
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(COLUMNS)
        table.writerows(self._rows)
        write_file(self._folder / "results.csv", text.getvalue().encode("utf-8", "backslashreplace"))

    def _write(self, kind: str, file: str, pixels: NDArray[np.uint8]) -> None:
        import cv2

        bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        write_file(self._folder / kind / file, cv2.imencode(".png", bgr)[1].tobytes())

    def _unique(self, name: str) -> str:
        stem = safe_stem(name, self._root)
        number, choice = 1, stem
        while _same_file(choice) in self._taken:
            number += 1
            choice = f"{stem}-{number}"
        self._taken.add(_same_file(choice))
        return f"{choice}.png"


def safe_stem(name: str, root: PurePath | None = None) -> str:
    """A file name without ending, made of a path: no folder, not hidden, no character that file systems reject.

    Folders are joined by two underscores, and the end is kept when it is too long. Different paths may get one
    name; the writer numbers them.

    Example:
        >>> safe_stem("/data/line 1/../scratch/0 0.png", PurePath("/data"))
        'line_1__scratch__0_0'
    """
    path = PurePath(name)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root) if path != root else PurePath(path.name)
    path = path.with_suffix("") if path.name else path
    parts = [part for part in path.parts if part not in (path.anchor, "..", ".")]
    stem = "__".join(re.sub(r"[^\w.-]", "_", part) for part in parts)
    short = stem.encode("utf-8")[-_NAME_BYTES:].decode("utf-8", "ignore")
    return short.strip(".- ") or "image"


def _same_file(name: str) -> str:
    """What a file system that ignores case and composition of letters takes for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _row(verdict: Verdict, file: str) -> tuple[Any, ...]:
    largest = max(verdict.regions, key=lambda region: region.area, default=None)
    place = ("",) * 5 if largest is None else (*largest.box, largest.area)
    counted = "" if verdict.label is Label.ERROR else len(verdict.regions)
    return (
        _text(verdict.name),
        str(verdict.label),
        verdict.score,
        verdict.p_value,
        counted,
        *place,
        _text(verdict.reason),
        _text(file),
    )


def _text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
