"""Trainings of named candidates on some data sets, a kept line for each: what several benches ask on a command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lines import Line, keep, kept

from amiss.core.threads import threads


def compare(
    results: Path,
    data: Mapping[str, Callable[[], tuple[Any, ...]]],
    candidates: Mapping[str, dict[str, Any]],
    measure: Callable[..., Line],
    *,
    steps: int,
) -> None:
    """Do what the command line asks for, ``[--steps N] [--data PART] [NAME ...]``.

    Args:
        results: Where lines are kept, by data set, candidate and steps.
        data: By name, what draws the images.
        candidates: By name, hyper-parameters that differ from the default preset.
        measure: Figures of a training, from its hyper-parameters and the images.
        steps: Of a training, unless told otherwise.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--data", default="")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    lines = kept(results, "data", "candidate", "steps")
    for place, draw in data.items():
        if asked.data not in place:
            continue
        images = draw()
        for name in asked.names or candidates:
            settings = {"steps": asked.steps, **candidates[name]}
            line = {"data": place, "candidate": name, **settings, **measure(settings, *images)}
            lines[place, name, asked.steps] = line
            print(json.dumps(line), flush=True)
            keep(results, lines.values())
