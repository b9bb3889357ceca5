"""From file to verdict, whole folders, learning, start-up and size on disk; printed, kept in docs/results/speed.json.

    python bench/speed.py                        all
    python bench/speed.py whole_fits padim       some of it; the rest of the file stays

Milliseconds say little about another machine, so each time stands beside its floor: the multiply-adds of the exported
graph, counted from its layers, over the best float32 matrix product that this machine reaches, both measured in this
run with all its cores. A folder is compared with what the graph alone reaches on decoded images. Run it on a machine
that does nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import amiss
from amiss import Images, Inspector
from amiss.core.decode import read_image, resize
from amiss.core.threads import threads
from amiss.quantise import quantise
from amiss.runtime import Graph, fastest_runs, installed, open_graph
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "speed.json"
METHODS = ("ensemble", "patchcore", "padim")  # the default of `amiss fit` first


def spread(action: Callable[[], Any], runs: int = 60) -> dict[str, float]:
    """Minimum, median and maximum in milliseconds."""
    for _ in range(5):
        action()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return {"min": round(min(times), 2), "median": round(float(np.median(times)), 2), "max": round(max(times), 2)}


def cpu_seconds(command: list[str]) -> float:
    """CPU time of a whole process, the best of five."""
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return round(best, 3)


def textured(count: int) -> list[np.ndarray]:
    """Images of 256 x 256 pixels with structure at several scales."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        layers = [cv2.resize(rng.normal(0, 40, (s, s, 3)).astype(np.float32), (256, 256)) for s in (4, 16, 64, 256)]
        images.append((128 + np.sum(layers, axis=0)).clip(0, 255).astype(np.uint8))
    return images


def matrix_peak() -> float:
    """Best measured float32 matrix product, in billions of multiply-adds per second."""
    a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    return 2048**3 / 1e6 / spread(lambda: a @ a, runs=20)["min"]


def installed_mb(name: str, seen: set[str]) -> float:
    """Size on disk of a distribution and of all it needs, without extras, compiled caches included."""
    if canonicalize_name(name) in seen:
        return 0.0
    seen.add(canonicalize_name(name))
    package = distribution(name)
    files = [Path(str(file.locate())) for file in package.files or []]
    needs = [Requirement(text) for text in package.requires or []]
    chosen = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    own = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
    return own + sum(installed_mb(need.name, seen) for need in chosen)


def gigamacs(model: bytes) -> float:
    """Billions of multiply-adds of a graph for one image: its convolutions and matrix products."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    shapes = {each.name: numpy_helper.to_array(each).shape for each in graph.initializer}
    for value in [*graph.value_info, *graph.input, *graph.output]:
        shapes[value.name] = tuple(side.dim_value or 1 for side in value.type.tensor_type.shape.dim)  # only N is open
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            (image, kernel), result = (shapes[name] for name in node.input[:2]), shapes[node.output[0]]
            places = result if node.op_type == "Conv" else (image[0], kernel[0], *image[2:])
            total += int(np.prod(places)) * int(np.prod(kernel[1:]))
        elif node.op_type in ("MatMul", "Gemm"):
            rows = [part.i for part in node.attribute if part.name == "transA"] == [1]
            total += int(np.prod(shapes[node.output[0]])) * shapes[node.input[0]][-2 if rows else -1]
    return total / 1e9


def throughput(inspector: Inspector, folder: Path, count: int = 200) -> dict[str, float]:
    """Images per second: of a folder, and of the graph alone in its best way, alternating; medians of five."""
    scorer = inspector.scorer
    assert isinstance(scorer, Graph)
    decoded = np.stack(textured(count))
    for number, image in enumerate(decoded):
        cv2.imwrite(str(folder / f"{number:03}.png"), image)
    images, ones = Images(folder), [image[None] for image in decoded]

    def one_by_one() -> None:
        for one in ones:
            scorer.run(one)

    def one_per_core() -> None:
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(scorer.on_one_core.run, ones))

    ways = {
        "folder": lambda: list(inspector.inspect(images)),
        "graph, one at a time": one_by_one,
        "graph, one per core": one_per_core,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    rates = {name: round(count / float(np.median(each)), 1) for name, each in seconds.items()}
    best = max(rates["graph, one at a time"], rates["graph, one per core"])
    return {**rates, "folder_share_of_graph": round(rates["folder"] / best, 3)}


def runtimes(inspector: Inspector, images: list[np.ndarray], file: Path, floor: float) -> dict[str, Any]:
    """Fastest runs of one image on every installed runtime and in int8, in turns, over the float32 floor (ms)."""
    model = inspector.parts.graph
    quantised, price = quantise(inspector, Images(images), most_lost=1.0)
    graphs = {name: open_graph(model, name, images[0][None]) for name in installed()}
    graphs["onnxruntime, int8"] = quantised.scorer
    times = fastest_runs(list(graphs.values()), images[0][None], runs=60)
    found = {
        name: {"ms": round(1000 * seconds, 2), "over_float32_floor": round(1000 * seconds / floor, 2)}
        for name, seconds in zip(graphs, times, strict=True)
    }
    verdict = spread(lambda: list(quantised.inspect(str(file))))
    return {
        **found,
        "int8_file_to_verdict_ms": verdict,
        "int8_file_to_verdict_over_float32_floor": round(verdict["median"] / floor, 2),
        "int8_image_auroc_on_synthetic_defects": price.auroc.summary(),
    }


def learning(method: str, count: int = 200) -> dict[str, Any]:
    """Seconds from 200 images to a detector that has learned, imports included, in processes of their own.

    The first one exports the network, which is then kept in the cache folder; of three that find it there, the median.
    """
    code = f"""
import json, resource, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from amiss import Images
from amiss.registry import create
from speed import textured
images = Images(textured({count}), size=(256, 256))
stages, start = {{}}, time.perf_counter()
create({method!r}).fit(images, progress=lambda stage, *_: stages.update({{stage: time.perf_counter() - start}}))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": round(seconds, 1), "until": {{k: round(v, 1) for k, v in stages.items()}},
    "peak_mb": round(peak)}}))
"""
    with TemporaryDirectory() as cache:
        environment = {**os.environ, "AMISS_CACHE": cache}
        runs = [
            subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
            for _ in range(4)
        ]
    first, *again = (json.loads(run.stdout) for run in runs)
    return {"first": first, "network_exported_before": sorted(again, key=lambda found: found["seconds"])[1]}


def good_images(folder: Path) -> tuple[str, Path]:
    """What `whole_fits` learns from: the bottle of MVTec AD when AMISS_DATA names its folder, else 200 drawn images."""
    bottle = Path(os.environ.get("AMISS_DATA", "")) / "mvtec_bottle"
    if os.environ.get("AMISS_DATA") and bottle.is_dir():
        return "mvtec_bottle", bottle
    drawn = folder / "drawn"
    drawn.mkdir()
    for number, image in enumerate(textured(200)):
        cv2.imwrite(str(drawn / f"{number:03}.png"), image)
    return "200 drawn images", drawn


def whole_fits(method: str, data: Path, again: int = 3) -> dict[str, Any]:
    """`amiss fit` as a user waits for it: whole processes, with an empty cache folder and with what that run left.

    Seconds of wall and of CPU; of the runs that find the network's graph, the median of each.
    """
    found = []
    with TemporaryDirectory() as folder:
        output = Path(folder) / "part.amiss"
        command = [str(Path(sys.executable).parent / "amiss"), "fit", str(data), "--method", method]
        environment = {**os.environ, "AMISS_CACHE": str(Path(folder) / "cache")}
        for _ in range(1 + again):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([*command, "--output", str(output)], env=environment, check=True, capture_output=True)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            found.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    first, later = found[0], np.median(found[1:], axis=0)
    return {
        name: {"wall_seconds": round(float(wall), 1), "cpu_seconds": round(float(cpu), 1)}
        for name, (wall, cpu) in (("first_time", first), ("second_time", later))
    }


def all_whole_fits(folder: Path, peak: float) -> dict[str, Any]:
    """Of each method, on the same images."""
    source, data = good_images(folder)
    return {"data": source, **{method: whole_fits(method, data) for method in METHODS}}


def measure(method: str, folder: Path, peak: float) -> dict[str, Any]:
    """One image from file to verdict and its parts, then a folder, then learning."""
    images = textured(40)
    inspector = amiss.fit(Images(images), method=method, calibration=0.5)
    model, file = folder / f"{method}.amiss", folder / "image.png"
    inspector.save(model)
    cv2.imwrite(str(file), textured(1)[0])
    inspector = amiss.load(model)
    image = resize(read_image(file), inspector.size)
    work = gigamacs(inspector.parts.graph)
    verdict = spread(lambda: list(inspector.inspect(str(file))))
    (many := folder / method).mkdir()
    return {
        "graph_gmac": round(work, 3),
        "floor_ms": round(1000 * work / peak, 2),
        "decode_and_resize_ms": spread(lambda: resize(read_image(file), inspector.size)),
        "graph_ms": spread(lambda: inspector.scorer.run(image[None])),
        "file_to_verdict_ms": verdict,
        "file_to_verdict_over_floor": round(verdict["median"] * peak / (1000 * work), 2),
        "runtimes": runtimes(inspector, images, file, 1000 * work / peak),
        "images_per_second": throughput(inspector, many),
        "learning_200_images": learning(method),
        "artefact_mb": round(model.stat().st_size / 1e6, 1),
        "first_verdict_cpu_seconds": cpu_seconds(
            [str(Path(sys.executable).parent / "amiss"), "inspect", str(model), str(file)]
        ),
    }


def main() -> None:
    """Measure what is asked for, a quarter of an hour for all of it; each part is kept as soon as it is there."""
    parts: dict[str, Callable[[Path, float], Any]] = {
        "line_installed_mb": lambda folder, peak: round(installed_mb("amiss", set())),
        "help_cpu_seconds": lambda folder, peak: cpu_seconds([str(Path(sys.executable).parent / "amiss"), "--help"]),
        "whole_fits": all_whole_fits,
        **{method: partial(measure, method) for method in METHODS},
    }
    asked = sys.argv[1:] or list(parts)
    if unknown := set(asked) - set(parts):
        raise SystemExit(f"a part must be one of {', '.join(parts)}, got {', '.join(sorted(unknown))}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps what it has compiled
    peak = matrix_peak()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in asked:
        start = time.perf_counter()
        with TemporaryDirectory() as folder:
            kept[name] = parts[name](Path(folder), peak)
        kept |= {"cores": threads(), "matrix_peak_gmac_per_second": round(peak, 1)}
        write_file(RESULTS, (json.dumps(kept, indent=2, sort_keys=True) + "\n").encode())
        print(f"{name}: {time.perf_counter() - start:.0f} s\n{json.dumps(kept[name], indent=2)}", flush=True)


if __name__ == "__main__":
    main()
