"""What another program needs to say the same as `Inspector.inspect_one`, as a folder of plain files.

model.onnx       uint8 (N, H, W, 3) RGB to score maps (N, H, W), or image scores (N,) where the method has no maps
inspector.json   what happens before the graph and after it, and what the golden images must score
inspector.txt    the numbers of it as lines `name number...`, for programs that read no JSON
inside.png       255 where a pixel of the map counts; absent when all of them do
golden-1.png...  images of the size of the graph
inspect.cpp, Inspect.cs, README.md
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError, OutputError
from amiss.core.scores import Scores
from amiss.inspector import Inspector
from amiss.postprocess import IgnoreBorder, MaskFilter, MinArea, RegionOfInterest, ScoreFilter
from amiss.storage import UNFINISHED, write_files

GRAPH, FACTS, NUMBERS, INSIDE, README = "model.onnx", "inspector.json", "inspector.txt", "inside.png", "README.md"
EXAMPLES = ("inspect.cpp", "Inspect.cs")
GOLDEN = "golden-{}.png"
FILES = frozenset({GRAPH, FACTS, NUMBERS, INSIDE, README, *EXAMPLES, *(GOLDEN.format(n) for n in (1, 2, 3))})
"""Every file that `write_portable` may write."""


def write_portable(inspector: Inspector, folder: Path) -> list[Path]:
    """Write the folder; the files of an earlier one of the same kind are replaced.

    Returns:
        The files.

    Raises:
        InputError: The model has no graph, cuts images into tiles, or has a filter that the examples do not know.
        OutputError: The folder holds other files, or cannot be written.
    """
    check_portable(inspector)
    check_folder(folder)
    files = _files(inspector)
    write_files({folder / name: data for name, data in files.items()})
    for name in FILES - files.keys():
        (folder / name).unlink(missing_ok=True)
    return [folder / name for name in sorted(files)]


def check_folder(folder: Path) -> None:
    """Refuse a place that holds anything else.

    Raises:
        OutputError: It is a file, or a folder with files of somebody else.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another folder")
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(name for name in names - FILES if not name.endswith(UNFINISHED))
    if others:
        raise OutputError(f"{folder} holds other files, such as {others[0]}; choose another folder")


def check_portable(inspector: Inspector) -> None:
    """Refuse a model of which another program would need more than a graph and a threshold.

    Raises:
        InputError: See `write_portable`.
    """
    learned = inspector.learned
    if inspector.parts.graph is None:
        raise InputError(f"the model must have an ONNX graph, got {learned.method}, which runs in torch")
    if inspector.tiling is not None:
        raise InputError(
            "the model must resize whole images, got one that cuts them into tiles: its graph judges one tile, and "
            "blending them is Amiss's own; fit one with --size, or call Amiss from your program"
        )
    known = (IgnoreBorder, RegionOfInterest, MinArea)
    filters: tuple[ScoreFilter | MaskFilter, ...] = (*inspector.score_filters, *inspector.mask_filters)
    strange = [one.name for one in filters if not isinstance(one, known)]
    if strange:
        raise InputError(f"filters must be {', '.join(kind.name for kind in known)}, got {strange[0]!r}")


def _files(inspector: Inspector) -> dict[str, bytes]:
    graph = inspector.parts.graph or b""
    facts = describe(inspector)
    files = {
        GRAPH: graph,
        FACTS: json.dumps(facts, indent=2, allow_nan=False).encode(),
        NUMBERS: _numbers(facts, inspector).encode(),
    }
    inside = _inside(inspector)
    if inside is not None:
        files[INSIDE] = _png(inside.astype(np.uint8) * 255)
    for number, pixels in enumerate(inspector.parts.golden.pixels, start=1):
        files[GOLDEN.format(number)] = _png(pixels[..., ::-1])
    for name in (*EXAMPLES, README):
        files[name] = resources.files("amiss.portable").joinpath(name).read_bytes()
    return files


def describe(inspector: Inspector) -> dict[str, Any]:
    """What inspector.json says."""
    rule, learned, (height, width) = inspector.rule, inspector.learned, inspector.size
    graph = inspector.parts.graph or b""
    localises = inspector.parts.golden.wanted.ndim == 3
    steps = [
        "decode to 8 bits, RGB, turned as EXIF says; grey three times, without alpha",
        f"16 bits become 8: round(255 x / {2 ** (learned.bits or 16) - 1})",
        "where the image is larger than the graph, height or width: mean over areas (OpenCV INTER_AREA)",
        "where it is smaller: bilinear (OpenCV INTER_LINEAR), after that; nothing is cropped",
    ]
    return {
        "format": 1,
        "model": inspector.fingerprint,
        "method": learned.method,
        "graph": {"file": GRAPH, "sha256": hashlib.sha256(graph).hexdigest(), "input": "pixels"}
        | {"shape": ["N", height, width, 3], "type": "uint8", "output": "map" if localises else "image"},
        "before": steps,
        "after": {
            "score": "the largest score of the map where inside.png is not 0" if localises else "the output",
            "anomalous": "score > threshold, and with min_area a region of that many pixels holds such a pixel",
            "review": "not anomalous, and score > review_threshold",
            "min_area": _min_area(inspector),
            "threshold": float(np.float32(rule.threshold)),
            "review_threshold": None if rule.review_threshold is None else float(np.float32(rule.review_threshold)),
        },
        "classes": list(learned.classes),
        "rule": {"name": rule.name, "alpha": rule.alpha, "n": rule.n, "statement": inspector.statement()},
        "golden": {GOLDEN.format(k): float(score) for k, score in enumerate(_golden_scores(inspector), start=1)},
        "tolerance": learned.tolerance,
    }


def _numbers(facts: dict[str, Any], inspector: Inspector) -> str:
    """The lines of inspector.txt. p_values has one more number than normal: that of scores below all of them comes
    first."""
    after, rule = facts["after"], inspector.rule
    threshold = after["threshold"]
    lowest = threshold if after["review_threshold"] is None else after["review_threshold"]
    normal = rule.normal if rule.n and rule.tells_rates else np.zeros(0, np.float32)
    above = np.append(normal, np.float32(np.inf)) if len(normal) else normal
    height, width = inspector.size
    rows: dict[str, Sequence[float]] = {
        "height": [height],
        "width": [width],
        "map": [int(facts["graph"]["output"] == "map")],
        "threshold": [threshold],
        "review_threshold": [lowest],
        "min_area": [after["min_area"]],
        "normal": normal.tolist(),
        "p_values": rule.p_value(above).tolist(),
    }
    return "".join(f"{name} {' '.join(f'{value:.9g}' for value in values)}\n" for name, values in rows.items())


def _min_area(inspector: Inspector) -> int:
    return max((one.pixels for one in inspector.mask_filters if isinstance(one, MinArea)), default=1)


def _golden_scores(inspector: Inspector) -> NDArray[np.float32]:
    """Image scores of the golden images, after the score filters, (3,)."""
    wanted, inside = inspector.parts.golden.wanted, _inside(inspector)
    if wanted.ndim == 1:
        return wanted
    return Scores.of_map(wanted if inside is None else np.where(inside, wanted, wanted.min())).image


def _inside(inspector: Inspector) -> NDArray[np.bool_] | None:
    """Pixels of the map that count, (H, W); None for all. Both filters give the others the lowest score that counts."""
    inside = np.ones(inspector.size, bool)
    for one in inspector.score_filters:
        if isinstance(one, RegionOfInterest):
            inside &= one.inside
        elif isinstance(one, IgnoreBorder):
            frame = np.zeros(inspector.size, bool)
            frame[one.pixels : -one.pixels, one.pixels : -one.pixels] = True
            inside &= frame
    return None if inside.all() else inside


def _png(pixels: NDArray[np.uint8]) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", pixels)[1].tobytes())
