"""From a float32 inspector to one in int8 or float16: graph, recalibration, and the price of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from amiss.artefact import Golden
from amiss.calibration import divide_variance, largest_of_each
from amiss.core.checks import check_choice
from amiss.core.errors import CalibrationError, DataError, InputError
from amiss.core.images import Images
from amiss.core.lots import NEW_LOTS, Lots
from amiss.core.origin import Origin
from amiss.core.products import UNSTATED, find_products
from amiss.core.progress import Progress, silent
from amiss.core.survey import survey
from amiss.inspector import Inspector
from amiss.quantise.convolutions import quantise_convolutions
from amiss.quantise.half import halve_network
from amiss.quantise.price import Price, measure_price
from amiss.record import Precision, Quantised
from amiss.runtime import Graph, Tiles, open_graph
from amiss.splitting import parts_and_lots
from amiss.synthesis.defects import draw_defect

LEAST = 32
"""Images learned from that must be there for the ranges, or all when fewer were learned from."""

MOST = 64
"""Images learned from that are used."""

PRECISIONS = get_args(Precision)

TOLERANCES: dict[Precision, float] = {"int8": 0.02, "float16": 0.01}
"""How far a golden score may move on another machine, as a share of the largest. Another rounding of the last bit of
one convolution moves it by up to 0.01 in int8, for a step of 1/255 is taken or not; in float16 processors multiply in
float32 and round between two layers, cards as they please: 0.001 as measured on small networks, and some room."""

MOST_LOST = 0.005
"""Image AUROC on synthetic defects that either may cost."""

_STREAM = 6
"""Keeps these draws apart from others of the same seed."""


def quantise(
    inspector: Inspector,
    images: Images,
    *,
    precision: Precision = "int8",
    origins: Sequence[Origin] = (),
    most_lost: float = MOST_LOST,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[Inspector, Price]:
    """The same inspector in int8 or float16, calibrated anew on the images it was calibrated on.

    The graph is made for and measured on the runtime that the inspector was loaded with. int8 is for processors with
    instructions for it, float16 for cards.

    Args:
        inspector: In float32, calibrated on held-out images.
        images: The images it was made from, and any others: which are which is found by their SHA-256.
        precision: "int8" for the convolutions behind the first, or "float16" for the network up to the statistic.
        origins: Origin of each image, or nothing, as when it was calibrated.
        most_lost: Image AUROC on synthetic defects that it may cost.
        seed: Random seed of images and defects.
        progress: See `amiss.core.progress`.

    Returns:
        The quantised inspector and its price.

    Raises:
        InputError: There is no graph, it is quantised already, or it has no convolution to quantise.
        DataError: Images that it was made from are not among the images.
        CalibrationError: It was calibrated by folds, or the precision costs more than `most_lost`.
        MissingExtraError: onnx is not installed.
    """
    check_choice("precision", precision, PRECISIONS)
    model = _check(inspector)
    learned, calibrated = _find(inspector, images, ranges=precision == "int8")
    normal, usual = images.subset(calibrated), inspector.calibration.future
    parts, lots = parts_and_lots(calibrated, origins, usual=usual or NEW_LOTS)
    lots = None if inspector.rule.lots is None else lots  # artefacts of earlier builds count parts
    _check_scores(inspector, normal, parts, lots, progress)
    _check_products(inspector, calibrated, origins)
    progress("quantising", 0, 1)
    if precision == "int8":
        chosen = learned[np.sort(np.random.default_rng(seed).permutation(len(learned))[:MOST])]
        ranges = _inputs(inspector, images.subset(chosen), seed)
        draft = with_graph(inspector, quantise_convolutions(model, _with_defects(ranges, seed)), ranges=len(chosen))
    else:
        draft = with_graph(inspector, halve_network(model))
    progress("quantising", 1, 1)
    scores = draft.image_scores(normal, progress=progress)
    largest = largest_of_each(scores.image, parts)
    products = find_products(largest.image, calibrated, parts, origins, lots) if inspector.products else None
    variance = divide_variance(scores.image, parts, lots)
    calibration = draft.calibration.model_copy(update={"variance": variance})
    rule = inspector.rule.calibrate(largest, lots)
    made = replace(draft, rule=rule, calibration=calibration, products=products)
    price = measure_price(inspector, made, normal, seed=seed, progress=progress)
    check_price(price, most_lost)
    return made, price


def with_graph(inspector: Inspector, graph: bytes, *, ranges: int = 0) -> Inspector:
    """The inspector with another graph and golden scores of its own; its rule is that of the float32 graph still.

    Args:
        inspector: In float32.
        graph: ONNX.
        ranges: Number of images that the ranges of int8 come from, for the record; 0 for float16.
    """
    runtime = inspector.scorer.program.runtime if isinstance(inspector.scorer, Graph) else "onnxruntime"
    pixels = inspector.parts.golden.pixels
    scorer = open_graph(graph, runtime, pixels[:1])
    precision: Precision = "int8" if ranges else "float16"
    note = Quantised(precision=precision, fingerprint=inspector.fingerprint, ranges_from=ranges, runtime=runtime)
    return replace(
        inspector,
        scorer=scorer,
        parts=inspector.parts.with_graph(graph, Golden.of(pixels, scorer.run(pixels))),
        learned=inspector.learned.model_copy(update={"quantised": note, "tolerance": TOLERANCES[precision]}),
    )


def check_price(price: Price, most: float) -> None:
    """Refuse what costs too much.

    Raises:
        CalibrationError: It costs more image AUROC than `most`.
    """
    if price.auroc.difference > most:
        raise CalibrationError(
            f"in {price.precision} the image AUROC falls from {price.auroc.first:.4f} to {price.auroc.second:.4f} "
            f"({price.good.n} good images, {price.defective.n} with synthetic defects); at most {most:g} may be "
            "lost. Keep the float32 model"
        )


def _inputs(inspector: Inspector, images: Images, seed: int) -> Images:
    """What the graph sees of images: the whole of each, or where they are cut, `MOST` of their tiles."""
    if inspector.tiling is None:
        return images.resized(inspector.size)
    tiles = Tiles(images, inspector.tiling).of(range(len(images)))
    return tiles.subset(np.sort(np.random.default_rng(seed).permutation(len(tiles))[:MOST]))


def _with_defects(images: Images, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Each image, and the same with a defect: ranges of good images alone would cut off what is strange."""
    for index, image in enumerate(images):
        yield image
        yield draw_defect(image, np.random.default_rng([_STREAM, seed, index]))[0]


def _check(inspector: Inspector) -> bytes:
    if inspector.learned.quantised is not None:
        raise InputError(
            f"this model is in {inspector.learned.quantised.precision} already; quantise the float32 model that it was "
            "made from"
        )
    if inspector.learned.classes:
        raise InputError(
            f"{inspector.learned.method} tells classes, and what quantising costs is measured on synthetic defects, "
            "which say nothing of that; keep the float32 model"
        )
    if inspector.parts.graph is None:
        raise InputError(f"{inspector.learned.method} is not exported and runs in torch; there is no graph to quantise")
    if inspector.calibration.kind != "held out":
        how = (
            "by folds, and the detectors of the folds are gone"
            if inspector.calibration.kind == "folds"
            else "on copies"
        )
        raise CalibrationError(
            f"this model was calibrated {how}, so it cannot be calibrated anew once quantised; fit with --calibration "
            "20%, or calibrate it on good images that it never saw"
        )
    if inspector.rule.weights is not None:
        raise InputError(
            "this model's scores are weighted for recent images; quantise the model that it was made from, and weigh "
            "the scores of the quantised model anew (amiss calibrate --recent)"
        )
    return inspector.parts.graph


def _find(inspector: Inspector, images: Images, *, ranges: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the images that the inspector has learned from, as far as they are there, and is calibrated on."""
    places: dict[str, list[int]] = {}
    for index, identity in enumerate(survey(images).identities):
        places.setdefault(identity, []).append(index)
    seen = inspector.parts.images
    wanted = {"calibrated": seen.calibrated, "learned": seen.learned}
    found = {
        kind: np.array([places[name].pop(0) for name in names if places.get(name)], np.intp)
        for kind, names in wanted.items()
    }
    learned, calibrated = found["learned"], found["calibrated"]
    if len(calibrated) < len(wanted["calibrated"]):
        raise DataError(
            f"{len(calibrated)} of the {len(wanted['calibrated'])} images that calibrated this model are among the "
            f"{len(images)} given; all are needed. Give the folder that it was made from"
        )
    if ranges and len(learned) < (least := min(LEAST, len(wanted["learned"]))):
        raise DataError(
            f"{len(learned)} of the {len(wanted['learned'])} images that this model has learned from are among the "
            f"{len(images)} given; at least {least} are needed. Give the folder that it was made from"
        )
    return learned, calibrated


def _check_products(inspector: Inspector, calibrated: NDArray[np.intp], origins: Sequence[Origin]) -> None:
    """The images must be of the products that the rule was calibrated on, where these are stated."""
    known = set(inspector.calibration.products)
    found = {origins[image].product or UNSTATED for image in calibrated} if origins else set()
    if known and found != known:
        raise DataError(
            f"the calibration images must be of {', '.join(sorted(known))}, as when the model was calibrated, got "
            f"{', '.join(sorted(found)) or 'no products'}; give the data set that it was made from"
        )


def _check_scores(
    inspector: Inspector, normal: Images, parts: NDArray[np.intp], lots: Lots | None, progress: Progress
) -> None:
    """The images must give the scores that the rule was calibrated on, or parts and lots are not what they were."""
    kept, known = inspector.rule.normal, inspector.rule.lots
    if known is not None and (lots is None or lots.count != known.count):
        raise DataError(
            f"the calibration images must come from the {known.count} lots that they came from when the model was "
            f"calibrated, got {0 if lots is None else lots.count}; give the data set that it was made from"
        )
    found = np.sort(largest_of_each(inspector.image_scores(normal, progress=progress).image, parts).image)
    if found.shape != kept.shape or not np.allclose(found, kept, rtol=0.01, atol=0.01 * float(np.abs(kept).max())):
        raise DataError(
            f"the calibration images show {len(found)} parts here and {len(kept)} parts when the model was "
            "calibrated, or score otherwise; give the data set that it was made from, with its lots and parts"
        )
