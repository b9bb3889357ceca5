"""One model of several products beside a model of each: image AUROC per product, and false alarms at one threshold.

    AMISS_DATA=... python bench/products.py [--method uniad] [--set NAME=VALUE ...] [--seed 0] [SET ...]

Learns one model of the good images of all sets together, and one of each alone, with the same settings; scores the test
images of each set with both. The false alarms are those of the good test images of a product, at the threshold that
`Conformal` finds on held-out images of all products together (alpha = 5 %), and at that of its own held-out images.
Keeps docs/results/products.json; a run that is there already is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from lines import Line, keep, kept

from amiss.data import Dataset, open_dataset
from amiss.data.products import join_products
from amiss.front import fit
from amiss.inspector import Inspector
from amiss.metrics import auroc
from amiss.rules import Conformal

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "products.json"
SETS = ("mvtec_bottle", "mvtec_screw", "casting_impeller", "solder_joints")
ALPHA = 0.05


def learn(method: str, settings: dict[str, Any], data: Dataset, seed: int) -> Inspector:
    """A model of one product or of several."""
    return fit(
        data.normal, method=method, settings=settings, origins=data.normal_origins, seed=seed, rule=Conformal(ALPHA)
    )


def measure(inspector: Inspector, data: Dataset, product: str) -> Line:
    """Its image AUROC on one product, and good images above the common threshold and above that of the product."""
    scores = inspector.image_scores(data.test).image
    good = scores[~data.anomalous]
    line: Line = {
        "image_auroc": round(auroc(data.anomalous, scores), 4),
        "good": len(good),
        "defective": int(data.anomalous.sum()),
        "alarms": int((good > inspector.rule.threshold).sum()),
        "n": inspector.rule.n,
    }
    own = inspector.with_rule(Conformal("auto"), product=product)
    return {
        **line,
        "own_alarms": int((good > own.rule.threshold).sum()),
        "own_alpha": own.rule.alpha,
        "own_n": own.rule.n,
    }


def main() -> None:
    """Measure what is missing, and keep every line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--method", default="uniad")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a hyper-parameter, name=value")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = {name: json.loads(value) for name, _, value in (one.partition("=") for one in options.settings)}
    root = Path(os.environ["AMISS_DATA"])
    products = {name: open_dataset(root / name) for name in options.sets}
    lines = kept(RESULTS, "method", "settings", "seed", "learned", "product")
    for learned in ("+".join(products), *products):
        chosen = products if learned not in products else {learned: products[learned]}
        key = (options.method, json.dumps(settings), options.seed, learned)
        if all((*key, name) in lines for name in chosen):
            continue
        inspector = learn(options.method, settings, join_products(learned, chosen), options.seed)
        for name, data in chosen.items():
            names = dict(zip(("method", "settings", "seed", "learned", "product"), (*key, name), strict=True))
            lines[(*key, name)] = {**names, **measure(inspector, data, name)}
            keep(RESULTS, lines.values())
            print(json.dumps(lines[(*key, name)]), flush=True)


if __name__ == "__main__":
    main()
