"""How a detector scores one image on the line: resized or in tiles, filtered, and as it did when it was made."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import resize
from amiss.core.errors import ImageError, InputError, ParityError
from amiss.core.images import Images, Size
from amiss.core.progress import Progress, silent
from amiss.core.scores import Scores
from amiss.core.threads import in_order, threads
from amiss.core.tiling import Tiling
from amiss.core.verdict import Label, Verdict
from amiss.postprocess import ScoreFilter, apply_score_filters
from amiss.runtime import Graph, score_tiles

MANY = 8
"""Images from which several are scored at once."""


class Scorer(Protocol):
    """What an inspector needs of a detector: an exported graph, or torch where a method cannot be exported."""

    size: Size

    def run(self, pixels: NDArray[np.uint8]) -> Scores:
        """Scores of a batch, uint8 (N, H, W, 3) of that size."""
        ...


def score_image(
    scorer: Scorer,
    image: NDArray[np.uint8],
    tiling: Tiling | None,
    score_filters: Sequence[ScoreFilter] = (),
    name: str = "image",
) -> Scores:
    """Raw scores of one image of any size, resized or cut into tiles, and filtered: what every rule is calibrated on.

    Raises:
        ImageError: Images are cut into tiles, and this one is smaller than a tile or does not fit a filter.
    """
    if tiling is None:
        return apply_score_filters(scorer.run(resize(image, scorer.size)[None]), score_filters)
    scores = score_tiles(scorer.run, image, tiling, name)
    try:
        return apply_score_filters(scores, score_filters)
    except InputError as error:
        raise ImageError(name, str(error)) from error


def score_images(
    scorer: Scorer,
    images: Images,
    tiling: Tiling | None,
    score_filters: Sequence[ScoreFilter] = (),
    *,
    progress: Progress = silent,
) -> Iterator[Scores]:
    """Raw scores of each image, in order; as `score_image`, on all cores."""
    fitted = images.resized(scorer.size) if tiling is None else images
    names, (one, workers) = images.names, for_many(scorer, tiling, len(images))
    found = in_order(
        lambda index: score_image(one, fitted[index], tiling, score_filters, names[index]), len(images), workers
    )
    for done, scores in enumerate(found, start=1):
        yield scores
        progress("scoring", done, len(images))


def for_many(scorer: Scorer, tiling: Tiling | None, count: int) -> tuple[Scorer, int]:
    """The same scorer, to be called from several threads at once for so many images, and how many threads.

    One image a core beats one image on all cores, and decodes while another is scored. Images that are cut into tiles
    are too large to have several in memory; their tiles keep all cores busy.
    """
    if count < MANY or tiling is not None or not isinstance(scorer, Graph):
        return scorer, 1
    return scorer.on_one_core, threads()


def check_parity(
    scorer: Scorer,
    pixels: NDArray[np.uint8],
    wanted: NDArray[np.float32],
    tolerance: float,
    classes: NDArray[np.int64] | None = None,
) -> None:
    """Score the golden images and compare with the scores they must get.

    Args:
        scorer: The detector as it runs here.
        pixels: The golden images, (N, H, W, 3).
        wanted: Their maps (N, H, W), or image scores (N,) where the method does not localise.
        tolerance: How far a score may move, as a share of the largest golden score.
        classes: Their classes (N,); None where the method knows none.

    Raises:
        ParityError: A score moved further, or an image is of another class.
    """
    scores = scorer.run(pixels)
    found = scores.map if wanted.ndim == 3 else scores.image
    if found is None or found.shape != wanted.shape:
        raise ParityError(f"golden scores must have the shape {wanted.shape}; the graph gives another shape")
    moved = float(np.abs(found - wanted).max())
    allowed = tolerance * float(np.abs(wanted).max())
    if not moved <= allowed:
        raise ParityError(f"golden images score up to {moved:.3g} differently here; {allowed:.3g} is allowed")
    if not scores.has_classes(classes):
        raise ParityError("golden images are of other classes here than when the model was made")


Also = Callable[[int, Verdict, NDArray[np.uint8] | None], None]


def nothing_else(index: int, verdict: Verdict, image: NDArray[np.uint8] | None) -> None:
    """The default of `verdicts`."""


def verdicts(
    images: Images,
    judge: Callable[..., Verdict],
    workers: int,
    *,
    also: Also = nothing_else,
    progress: Progress = silent,
) -> Generator[Verdict, None, None]:
    """One verdict per image, in order. An image that cannot be used becomes an error, never good.

    Args:
        images: Each is read once: hash, verdict and what `also` gets are of the same bytes.
        judge: ``judge(image, name=...)``; thread-safe.
        workers: Threads.
        also: Called with the number of each image, its verdict and the pixels that were judged (None on error), by the
            thread that judged it, before its verdict is given.
        progress: See `amiss.core.progress`.
    """
    names = images.names

    def verdict(index: int) -> Verdict:
        sha256, image = "", None
        try:
            content = images.read(index)
            sha256 = content.sha256  # also of what cannot be used
            image = content.pixels()
            found = replace(judge(image, name=names[index]), sha256=sha256)
        except ImageError as error:
            found = Verdict(name=names[index], label=Label.ERROR, reason=error.reason, sha256=sha256)
            image = None
        also(index, found, image)
        return found

    for done, found in enumerate(in_order(verdict, len(images), workers), start=1):
        yield found
        progress("inspecting", done, len(images))


Judge = Callable[[Scores, Size, str], Verdict]
"""``judge(scores, size, name)``: the verdict on one image of that height and width, by its scores, filtered."""


def verdict_stream(
    images: Images,
    scorer: Scorer,
    tiling: Tiling | None,
    score_filters: Sequence[ScoreFilter],
    judge: Judge,
    *,
    also: Also = nothing_else,
    progress: Progress = silent,
) -> Generator[Verdict, None, None]:
    """One verdict per image, in order: in batches where the runtime takes many at a time, else one image a core."""
    if tiling is None and isinstance(scorer, Graph) and scorer.program.batch > 1 and len(images) >= MANY:
        return verdicts_in_batches(images, scorer, score_filters, judge, also=also, progress=progress)
    one, workers = for_many(scorer, tiling, len(images))

    def inspect(image: NDArray[np.uint8], *, name: str) -> Verdict:
        scores = score_image(one, image, tiling, score_filters, name)
        return judge(scores, (image.shape[0], image.shape[1]), name)

    return verdicts(images, inspect, workers, also=also, progress=progress)


def verdicts_in_batches(
    images: Images,
    scorer: Graph,
    score_filters: Sequence[ScoreFilter],
    judge: Judge,
    *,
    also: Also = nothing_else,
    progress: Progress = silent,
) -> Generator[Verdict, None, None]:
    """As `verdicts`, many images a run; the next ones are decoded meanwhile.

    Image i is always the i-th of so many, and a batch that is not full is filled up: what comes out does not depend on
    who was quick, nor on how many images there are.

    Args:
        images: See `verdicts`.
        scorer: Scores `batch` images a run.
        score_filters: Applied to the scores of each image.
        judge: See `Judge`.
        also: See `verdicts`.
        progress: See `amiss.core.progress`.
    """
    names, batch, waiting = images.names, scorer.program.batch, list[_Decoded]()
    decoded = in_order(lambda index: _decode(images, index, scorer.size), len(images), threads())
    for index, one in enumerate(decoded):
        waiting.append(one)
        if len(waiting) < batch and index + 1 < len(images):
            continue
        scores, first = scorer.run(_stacked(waiting, batch, scorer.size)), index + 1 - len(waiting)
        for place, each in enumerate(waiting):
            name = names[first + place]
            if each.image is None:
                found = Verdict(name=name, label=Label.ERROR, reason=each.reason, sha256=each.sha256)
            else:
                size = (each.image.shape[0], each.image.shape[1])
                filtered = apply_score_filters(scores.one(place), score_filters)
                found = replace(judge(filtered, size, name), sha256=each.sha256)
            also(first + place, found, each.image)
            yield found
            progress("inspecting", first + place + 1, len(images))
        waiting = []


def _stacked(some: Sequence[_Decoded], batch: int, size: Size) -> NDArray[np.uint8]:
    """A whole batch of images as the graph takes them; black where there is none."""
    pixels = np.zeros((batch, *size, 3), np.uint8)
    for place, each in enumerate(some):
        if each.pixels is not None:
            pixels[place] = each.pixels
    return pixels


@dataclass(frozen=True)
class _Decoded:
    """An image, whole and as the graph takes it, or why there is none."""

    image: NDArray[np.uint8] | None = None
    pixels: NDArray[np.uint8] | None = None
    sha256: str = ""
    reason: str = ""


def _decode(images: Images, index: int, size: Size) -> _Decoded:
    sha256 = ""
    try:
        content = images.read(index)
        sha256 = content.sha256
        image = content.pixels()
    except ImageError as error:
        return _Decoded(sha256=sha256, reason=error.reason)
    return _Decoded(image, resize(image, size), sha256)
