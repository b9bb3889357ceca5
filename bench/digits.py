"""One class against the nine others: the handwritten digits of scikit-learn, 8 x 8 pixels, 1,797 images.

    python bench/digits.py [--seeds 0,1,2] METHOD[:name=value,...] ...
    python bench/digits.py deep_svdd:source=pixels,side=16 deep_svdd:source=pixels,side=16,boundary=soft
    python bench/digits.py geom:side=16 --also measure=simple

A detector learns from half of the images of one digit; the other half is normal in the test, all other digits are
not. Mean image AUROC over the ten digits, by seed (which draws the halves and what learning draws). The images are
enlarged to 32 x 32 pixels. Keeps a line per method, settings and seed in docs/results/digits.json.

--also is a setting that plays no part in learning, only in the statistic: the detector that has learned scores once
more with it, on a line of its own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from lines import Line, keep, kept
from sklearn.datasets import load_digits

from amiss import Images
from amiss.cli.console import parse_settings
from amiss.metrics import auroc
from amiss.registry import create

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "digits.json"
SIZE = (32, 32)


def one_digit(
    method: str, settings: dict[str, object], also: dict[str, object] | None, digit: int, seed: int
) -> list[float]:
    """Image AUROC of one digit against the others; and another, where the statistic is computed in another way too."""
    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype(np.uint8)
    own = np.random.default_rng([seed, digit]).permutation(np.flatnonzero(digits.target == digit))
    learn, good = np.split(own, [len(own) // 2])
    strange = np.flatnonzero(digits.target != digit)
    detector = create(method, **settings).fit(Images(list(pixels[learn]), size=SIZE), seed=seed)
    test = np.concatenate([good, strange])
    detectors = [detector]
    if also is not None:
        detectors.append(create(method, **(settings | also)).load_state(detector.state_dict()))
    images, truth = Images(list(pixels[test]), size=SIZE), np.arange(len(test)) >= len(good)
    return [auroc(truth, each.score(images).image) for each in detectors]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--also")
    options = parser.parse_args()
    for words in options.methods:
        method, _, given = words.partition(":")
        settings = parse_settings(given.split(",") if given else [], method)
        also = None if options.also is None else parse_settings(options.also.split(","), method)
        names = [given] if also is None else [given, ",".join(filter(None, (given, options.also)))]
        for seed in map(int, options.seeds.split(",")):
            lines = kept(RESULTS, "method", "settings", "seed")
            if all((method, name, seed) in lines for name in names):
                continue
            each = [one_digit(method, settings, also, digit, seed) for digit in range(10)]
            for name, found in zip(names, np.round(np.transpose(each), 4).tolist(), strict=True):
                line: Line = {"method": method, "settings": name, "seed": seed, "image_auroc": found}
                line["mean"] = round(float(np.mean(found)), 4)
                lines[method, name, seed] = line
                keep(RESULTS, lines.values())
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
