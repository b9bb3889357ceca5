"""Watch a line: inspect its images in order, measure their light and sharpness, and chart both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from amiss.core.decode import read_image
from amiss.core.errors import ImageError, InputError
from amiss.core.images import Images
from amiss.core.listing import Ignored, describe_ignored
from amiss.core.progress import Progress, silent
from amiss.evaluation.unseen import check_unseen
from amiss.inspector import Inspector
from amiss.monitoring import Health, Monitoring, Stream, measure_health, monitor, read_results
from amiss.monitoring.assess import BASELINE, DEFAULT_CHARTS, check_options
from amiss.monitoring.design import ARL
from amiss.monitoring.health import mean_health

RESULTS = "results.jsonl"
"""What `amiss inspect --output` calls its verdicts."""


def watch(
    inspector: Inspector,
    source: str | Path,
    *,
    charts: Sequence[str] = DEFAULT_CHARTS,
    arl: float = ARL,
    shifts: tuple[int, int] | None = None,
    reference: str | Path | None = None,
    baseline: int = BASELINE,
    by_time: bool = False,
    memory: bool = False,
    images_per_part: int = 1,
    progress: Progress = silent,
) -> Monitoring:
    """Has the process, the light or the camera changed since the inspector was calibrated?

    Args:
        inspector: Ready to inspect; its calibration scores are what the charts compare with.
        source: A folder of images, which are inspected and measured; or ``results.jsonl`` of ``amiss inspect``, or the
            folder that holds it: its scores are taken, and its images are measured if all of them are still there.
        charts: Charts of scores, from `amiss.monitoring.CHARTS`.
        arl: One false alarm in so many parts, by all charts of scores together.
        shifts: Instead of `arl`: (20, 200) = at most one of 20 shifts of 200 parts alarms, see `monitor`.
        reference: A folder of good images whose light and sharpness are the usual ones.
        baseline: Number of first images to compare with when there is no reference.
        memory: Parts of this line always resemble the one before; see `amiss.monitoring.monitor`.
        images_per_part: So many images in a row show one part; it gets the largest of their scores and the mean of
            their measures, and charts and run lengths count parts. An incomplete last part is left out.
        by_time: Order a folder by the time of its files; otherwise by their names, part 9 before part 10.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: Nothing to watch, images that the inspector has seen, or results of another model.
        ImageError: An image of the reference cannot be used: a reference is chosen by hand.
        InputError: An argument out of range, or `by_time` with results.
    """
    check_options(inspector.rule.n, charts, arl, baseline, shifts)
    usual = [] if reference is None else _by_part(_measure(Images(reference), progress), images_per_part)
    images, ignored = _read(inspector, Path(source), by_time, progress)
    stream = images.in_parts(images_per_part)
    return monitor(
        stream,
        inspector.rule.normal,
        threshold=inspector.rule.threshold,
        charts=charts,
        arl=arl,
        shifts=shifts,
        reference=usual,
        baseline=baseline,
        memory=memory,
        notes=[
            *_notes(inspector, images_per_part, len(images) - images_per_part * len(stream)),
            *([describe_ignored(ignored)] if ignored else []),
        ],
    )


def _read(inspector: Inspector, source: Path, by_time: bool, progress: Progress) -> tuple[Stream, tuple[Ignored, ...]]:
    """Images are inspected and measured; results are read, and measured where their images are still there."""
    results = source / RESULTS if source.is_dir() and (source / RESULTS).is_file() else source
    if results.suffix.lower() != ".jsonl":
        images = Images(source)
        return _inspect(inspector, images, by_time, progress), images.ignored
    if by_time:
        raise InputError(
            f"by_time must be off for {results.name}, whose order is that of its lines, got on (--by-time)"
        )
    stream = read_results(results, inspector.rule.normal, inspector.rule.p_value)
    return replace(stream, health=_measure_again(stream, progress)), ()


def _inspect(inspector: Inspector, images: Images, by_time: bool, progress: Progress) -> Stream:
    paths = [path for path in images.paths if path is not None]
    times = [_modified(path) for path in paths] if by_time else []
    order = sorted(range(len(paths)), key=lambda at: (times[at] if times else 0.0, _natural(paths[at])))
    images = images.subset(order).with_bits(inspector.learned.bits)
    check_unseen(inspector, images, where="the stream")
    rows: list[tuple[float | None, str, Health | None]] = []
    for index, name in enumerate(images.names):
        try:
            image = images[index]
            score = inspector.inspect_one(image, name=name).score
        except ImageError as error:
            rows.append((None, error.reason, None))
        else:
            rows.append((score, "", measure_health(image)))
        progress("inspecting", index + 1, len(images))
    scores, reasons, health = zip(*rows, strict=True)
    return Stream(scores, images.names, reasons, [_time(times[at]) for at in order] if times else [], health)


def _modified(path: Path) -> float:
    """When a file was written last; of a link to nothing, the link."""
    return (path.stat() if path.exists() else path.lstat()).st_mtime


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts part9 before part10, folder by folder."""
    return [
        (int(piece) if piece.isdecimal() else -1, piece)
        for folder in path.parts
        for piece in (*re.split(r"(\d+)", folder), "/")
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _measure_again(stream: Stream, progress: Progress) -> list[Health | None]:
    """Measures of the images that a file of results names; nothing when one of them is no longer there."""
    paths = {int(part): Path(stream.names[part]) for part in stream.usable}
    if not all(path.is_file() for path in paths.values()):
        return []
    health: list[Health | None] = [None] * len(stream)
    for done, (part, path) in enumerate(paths.items(), start=1):
        try:
            health[part] = measure_health(read_image(path))
        except ImageError:
            return []
        progress("measuring", done, len(paths))
    return health


def _measure(images: Images, progress: Progress) -> list[Health]:
    health = []
    for done, image in enumerate(images, start=1):
        health.append(measure_health(image))
        progress("reference", done, len(images))
    return health


def _by_part(measured: list[Health], each: int) -> list[Health]:
    """Means over so many in a row; the last, incomplete part is left out."""
    return [mean_health(measured[start : start + each]) for start in range(0, len(measured) - each + 1, each)]


def _notes(inspector: Inspector, each: int, left: int) -> Iterator[str]:
    """What weakens the charts, where each part has so many images and so many at the end are of an incomplete one."""
    calibration = inspector.record.calibration
    lower = "so scores may seem to fall without a cause, and rising ones are noticed later."
    if calibration.kind == "folds":
        yield f"Calibration was by folds: good parts now score slightly lower than it says, {lower}"
    if inspector.rule.weights is not None:
        yield (
            "The model is weighted for recent images, the charts are not: they compare with its calibration images, "
            "so under the conditions it is weighted for they alarm."
        )
    if left:
        yield f"The last part is not complete: {left} of its {each} images are there, and it is left out."
    if calibration.images > calibration.n and each == 1:
        many = calibration.images / calibration.n
        yield (
            f"The charts take each image for a part. Calibration took the largest of {many:.3g} images per part; "
            f"single ones score lower, {lower} Images of one part resemble each other, so false alarms come in groups. "
            "--images-per-part joins them."
        )
    if each > 1 and calibration.images != each * calibration.n:
        yield (
            f"Calibration had {calibration.images} images of {calibration.n} parts, and this stream has {each} of "
            "each: the largest score of more images is higher, of fewer lower, without any change."
        )
