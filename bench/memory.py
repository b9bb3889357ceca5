"""Peak memory of learning and scoring, of the whole process: what a method's `Cost` says is held against it.

python bench/memory.py padim:paper --size 256 --images 16

Each method runs in a process of its own, on images that Amiss draws. A preset that reads a user's weight file gets one
with random weights: memory depends on shapes alone. Prints the peak before learning, while learning and while scoring.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def peak() -> float:
    """The most memory that this process has held so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(method: str, preset: str, size: int, count: int, changes: dict[str, object]) -> dict[str, object]:
    """Learn from `count` images of `size` x `size`, then score eight."""
    from amiss.registry import create, find_method
    from amiss.testing import toy_texture

    settings = {**find_method(method).card.presets[preset], **changes}
    with tempfile.TemporaryDirectory() as folder:
        if str(settings.get("backbone", "")).startswith("file:"):
            settings["backbone"] = random_weights(Path(folder), str(settings["backbone"]))
        detector = create(method, preset, **settings)
        images = toy_texture(count, seed=0).images.resized((size, size))
        before, start = peak(), time.perf_counter()
        detector.fit(images)
        learning, seconds = peak(), time.perf_counter() - start
        detector.score(toy_texture(8, seed=1).images.resized((size, size)))
    state = sum(tensor.nbytes for tensor in detector.state_dict().values()) / 1e9
    figures = {"before": before, "learning": learning, "scoring": peak(), "state": state, "seconds": seconds}
    return {"method": method, "preset": preset, **{name: round(value, 3) for name, value in figures.items()}}


def random_weights(folder: Path, backbone: str) -> str:
    """A weight file for the network that the name of a preset's file tells."""
    from safetensors.torch import save_file

    from amiss.features.weight_file import backbone_from_file

    architecture = Path(backbone.removeprefix("file:")).stem
    found = backbone_from_file(f"none#{architecture}", pretrained=False)
    state = {
        f"{name}.{key}": value
        for stage in found.stages
        for name, part in zip(stage.names, stage.parts, strict=True)
        for key, value in part.state_dict().items()
    }
    save_file(state, folder / f"{architecture}.safetensors")
    return f"file:{folder / architecture}.safetensors"


def main() -> None:
    """Each METHOD:PRESET in a process of its own; the next one whatever becomes of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", metavar="METHOD:PRESET")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--set", default="{}", help="hyper-parameters that differ, as JSON")
    given = parser.parse_args()
    for name in given.methods:
        method, _, preset = name.partition(":")
        if os.environ.get("AMISS_MEMORY_CHILD"):
            print(json.dumps(measure(method, preset or "default", given.size, given.images, json.loads(given.set))))
        else:
            options = ["--size", str(given.size), "--images", str(given.images), "--set", given.set]
            command = [sys.executable, __file__, name, *options]
            subprocess.run(command, env={**os.environ, "AMISS_MEMORY_CHILD": "1"}, check=False)


if __name__ == "__main__":
    main()
