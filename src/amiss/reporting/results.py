"""`ResultsWriter`: verdicts as images in a folder, and as lines in its journal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from amiss.core.rule import Rule
from amiss.core.verdict import Label, Verdict
from amiss.reporting.journal import Journal, Line
from amiss.reporting.overlay import ColourScale, fit_inside, overlay, resize_mask
from amiss.storage import write_files

LONGEST = 2048
"""Pixels of the long side of an overlay; larger images are made smaller."""

THUMBNAIL, GAP = 480, 6
"""Pixels of the long side of an image in a thumbnail, and between the two."""

_NAME_BYTES = 180  # of 255 that file systems allow: room for a number, the ending and a temporary name


class ResultsWriter:
    """Writes what was found.

        run.json, results.jsonl, results.csv   see `amiss.reporting.journal`
        overlays/<image>.png                   the image with its scores as colour, long side at most 2048 pixels
        thumbnails/<image>.jpg                 the image and the same with its scores, side by side, small
        masks/<image>.png                      255 = alarming pixel, at the size of the image

    Args:
        journal: Where the lines go; entered.
        rule: The inspector's rule, which fixes the colours of the overlays: see `ColourScale`.
        names: What each image is called. Their files are named after them, the same in every run.
        root: The folder that was inspected; image files are named by their path below it.

    Example:
        >>> import tempfile
        >>> from amiss.core.images import Images
        >>> from amiss.rules import Fixed
        >>> verdict = Verdict(name="a.png", label=Label.GOOD, score=0.5, p_value=0.6, threshold=1.0)
        >>> with tempfile.TemporaryDirectory() as folder, Journal(folder) as journal:
        ...     writer = ResultsWriter(journal, Fixed(1.0), ["a.png"])
        ...     _ = journal.begin("f00d", {}, Images([]))
        ...     writer.draw(0, verdict, None)
        ...     writer.add(0, verdict)
        ...     journal.commit()
        ...     print((journal.folder / "results.csv").read_text().splitlines()[1][:28])
        a.png,good,0.5,1.0,-0.5,0.6,
    """

    def __init__(
        self, journal: Journal, rule: Rule, names: Sequence[str], *, root: str | PurePath | None = None
    ) -> None:
        self._journal = journal
        self._scale = ColourScale.of_rule(rule)
        self._files = file_names(names, None if root is None else PurePath(root))
        self._drawn: set[int] = set()
        self.failures: dict[str, str] = {}
        """Images that could not be drawn, with the reason; their verdicts are written all the same."""

    def draw(self, index: int, verdict: Verdict, image: NDArray[np.uint8] | None) -> None:
        """Write the images of one verdict. May be called from several threads; a failure is kept in `failures`.

        Args:
            index: Number of the image among the names.
            verdict: As `Inspector.inspect_one` returns it.
            image: What was judged, RGB uint8 (H, W, 3). Without it, without a map, and on error there are no images.
        """
        if image is None or verdict.label is Label.ERROR:
            return
        try:
            write_files(self._images(index, verdict, image))
        except Exception as error:  # whatever it is: the verdict counts
            self.failures[verdict.name] = " ".join(str(error).split()) or type(error).__name__
        else:
            self._drawn.add(index)

    def add(self, index: int, verdict: Verdict, tell: Callable[[], None] = lambda: None) -> None:
        """Append the line of one verdict, once its images are drawn.

        Args:
            index: Number of the image among the names.
            verdict: As for `draw`.
            tell: Called when the line is on disk.

        Raises:
            OutputError: It cannot be written; what was told is there.
        """
        line: Line = {**verdict.summary(), "image": self._files[index] if index in self._drawn else ""}
        self._journal.add(line, tell)

    def _images(self, index: int, verdict: Verdict, image: NDArray[np.uint8]) -> dict[Path, bytes]:
        """The files of one verdict."""
        file = PurePath(self._files[index])
        home, thumbnail = self._journal.folder, fit_inside(image, THUMBNAIL)
        files = {}
        if verdict.map is not None:
            drawn = overlay(fit_inside(image, LONGEST), verdict.map, self._scale, verdict.mask)
            files[home / "overlays" / file] = _encode(".png", drawn)
            beside = overlay(thumbnail, verdict.map, self._scale, verdict.mask)
            gap = np.full((len(thumbnail), GAP, 3), 255, np.uint8)
            thumbnail = np.concatenate([thumbnail, gap, beside], axis=1)
        if verdict.mask is not None:
            mask = resize_mask(verdict.mask, (image.shape[0], image.shape[1]))
            files[home / "masks" / file] = _encode(".png", mask.astype(np.uint8) * 255)
        files[home / "thumbnails" / file.with_suffix(".jpg")] = _encode(".jpg", thumbnail)
        return files


def _encode(ending: str, pixels: NDArray[np.uint8]) -> bytes:
    import cv2

    bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    fine = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # thin lines keep their colour
    options = [] if ending == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 88, *fine]
    return bytes(cv2.imencode(ending, bgr, options)[1].tobytes())


def file_names(names: Sequence[str], root: PurePath | None = None) -> list[str]:
    """A file for each image, none twice, also where case and the composition of letters do not count.

    Example:
        >>> file_names(["a/0.png", "a__0.jpg", "A/0.PNG"])
        ['a__0.png', 'a__0-2.png', 'A__0-3.png']
    """
    taken: set[str] = set()
    files = []
    for name in names:
        stem = safe_stem(name, root)
        number, choice = 1, stem
        while _same_file(choice) in taken:
            number += 1
            choice = f"{stem}-{number}"
        taken.add(_same_file(choice))
        files.append(f"{choice}.png")
    return files


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
