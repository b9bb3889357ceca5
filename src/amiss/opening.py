"""From what an artefact holds to what an inspector needs; whatever it holds, errors are those of Amiss."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amiss.artefact import CALIBRATION, RECORD, Golden, Parts
from amiss.core.errors import ArtefactError, CalibrationError, InputError, TamperedArtefactError
from amiss.core.lots import NEW_LOTS, Lots
from amiss.core.products import Products
from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.record import Learned, Record
from amiss.rules import create_rule
from amiss.runtime import open_graph
from amiss.scoring import Scorer, check_parity
from amiss.tensors import pack, unpack

if TYPE_CHECKING:
    from amiss.detectors.detector import Detector


@contextmanager
def as_written(path: str | Path) -> Iterator[None]:
    """Around what is made from the values of a record: those that no Amiss has written can raise anything.

    Raises:
        TamperedArtefactError: A value is not one that Amiss writes.
    """
    try:
        yield
    except (InputError, CalibrationError, ArithmeticError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise TamperedArtefactError(f"{path}: it holds what Amiss does not write there: {error}"[:500]) from error
    except (RecursionError, MemoryError) as error:
        raise TamperedArtefactError(f"{path}: {RECORD} holds more than Amiss writes there") from error


def check_golden(golden: Golden, learned: Learned) -> None:
    """Golden images check nothing where there is none, or where their scores allow any.

    Raises:
        TamperedArtefactError: They are not images of the detector's input with finite scores of each, and a class of
            each where the method knows some.
    """
    pixels, wanted = golden.pixels, golden.wanted
    shape = (len(pixels), *learned.size)
    if (
        pixels.dtype != np.uint8
        or pixels.shape != (*shape, 3)
        or len(pixels) == 0
        or wanted.dtype != np.float32
        or wanted.shape not in (shape, shape[:1])
        or not np.isfinite(wanted).all()
    ):
        raise TamperedArtefactError(
            f"golden images must be uint8 (N, {learned.size[0]}, {learned.size[1]}, 3) with finite float32 scores, got "
            f"{pixels.dtype} {pixels.shape} with {wanted.dtype} {wanted.shape}"
        )
    classes = golden.classes
    if (classes is not None) != bool(learned.classes) or (
        classes is not None
        and (classes.dtype != np.int64 or classes.shape != shape[:1] or not (classes < len(learned.classes)).all())
    ):
        raise TamperedArtefactError(f"golden images must have classes among the {len(learned.classes)} of the model")


def open_rule(record: Record, calibration: bytes) -> tuple[Rule, Products | None]:
    """The rule, calibrated on the scores that lie in the artefact, and the product of each where it is stated."""
    calibrated = unpack(CALIBRATION, calibration, "scores")
    lots = None if "lots" not in calibrated else Lots(calibrated["lots"], record.calibration.future or NEW_LOTS)
    rule = create_rule(record.rule.name, **record.rule_config())
    rule = rule.calibrate(Scores(calibrated["scores"], classes=calibrated.get("classes")), lots)
    rule = rule if "weights" not in calibrated else rule.weighted(calibrated["weights"])
    if "products" not in calibrated:
        return rule, None
    products = Products(tuple(record.calibration.products), calibrated["products"])
    if len(products.numbers) != rule.n or products.counts != record.calibration.products:
        raise InputError(f"products must be those of the record, one per score, got {products.counts}")
    return rule, products


def pack_calibration(rule: Rule, products: Products | None) -> bytes:
    """What `open_rule` needs beside the record: scores, and what is known of each."""
    known = {"lots": rule.lots, "products": products}
    numbers = {name: one.numbers.astype(np.int32) for name, one in known.items() if one is not None}
    each = {"weights": rule.weights, "classes": rule.classes}
    return pack(scores=rule.normal, **numbers, **{name: one for name, one in each.items() if one is not None})


def open_detector(learned: Learned, parts: Parts, method: type[Detector] | None) -> Detector:
    """The detector in torch.

    Raises:
        InputError: The method is not known here, or the class is that of another one.
        ArtefactError: Hyper-parameters or state are not such as the method writes.
        MissingExtraError: torch is not installed.
    """
    from amiss.registry import find_method, list_methods

    if method is None and learned.method not in list_methods():
        raise InputError(
            f"the method must be known here, got a model of {learned.method!r}, which is somebody's own; give its class"
        )
    found = find_method(method or learned.method)  # first, for it tells in words when torch is missing
    if method is not None and method.card.name != learned.method:
        raise InputError(f"the class must be that of {learned.method!r}, got {method.__name__} ({method.card.name!r})")
    _check_imported(learned.hyperparameters)
    import torch

    state = {name: torch.from_numpy(array) for name, array in parts.state.items()}
    with as_written("this model"):
        detector = found(**learned.hyperparameters)
        detector.classes = learned.classes
        return detector.load_state(state)


def _check_imported(value: Any) -> None:
    """An artefact has no module imported: methods of one's own inside others must be imported before.

    Raises:
        ArtefactError: The module of a method "module:Class" has not been imported.
    """
    if isinstance(value, list):
        for each in value:
            _check_imported(each)
    elif isinstance(value, dict):
        for each in value.values():
            _check_imported(each)
        method = value.get("method")
        module = method.partition(":")[0] if isinstance(method, str) and ":" in method else None
        if module is not None and module not in sys.modules:
            raise ArtefactError(f"the model has the method {method!r} inside; import {module} before, if you trust it")


def open_scorer(learned: Learned, parts: Parts, backend: str, method: type[Detector] | None) -> Scorer:
    """The graph on a runtime, or torch where there is none."""
    if parts.graph is not None:
        golden = parts.golden
        return open_graph(
            parts.graph,
            backend,
            golden.pixels[:1],
            lambda graph: check_parity(graph, golden.pixels, golden.wanted, learned.tolerance, golden.classes),
        )
    if backend not in ("onnxruntime", "auto"):
        raise InputError(
            f"backend {backend!r} needs an exported method, but {learned.method} is not exported and runs in torch"
        )
    detector = open_detector(learned, parts, method)
    from amiss.detectors.detector import TorchScorer

    return TorchScorer(detector, learned.size)
