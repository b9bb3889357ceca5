"""What the default presets rest on: backbone, local averaging and input scaling, on data that no target is set on.

    AMISS_DATA=... python bench/choices.py

Magnetic tiles (needs AMISS_DATA) and polycrystalline solar cells; the bottle, the screw and the monocrystalline cells
are not looked at. Prints and keeps docs/results/choices.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lines import keep

from amiss.core.errors import AmissError
from amiss.data import open_dataset
from amiss.evaluation.benchmark.child import measure_run
from amiss.evaluation.benchmark.runs import locate
from amiss.features import efficientnet_lite

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "choices.json"
DATA = ("magnetic_tile", "elpv:poly")
TRAINED_WITH = (efficientnet_lite.MEAN, efficientnet_lite.STD)
IMAGENET = (0.449, 0.226)  # the usual three means and deviations, averaged over the channels

CANDIDATES: list[tuple[str, dict[str, Any], tuple[float, float]]] = [
    *(
        ("patchcore", {"backbone": f"efficientnet-lite{n}", "neighbourhood": width}, TRAINED_WITH)
        for n in (0, 1, 2)
        for width in (1, 3)
    ),
    ("patchcore", {"backbone": "efficientnet-lite2", "neighbourhood": 1}, IMAGENET),
    *(("padim", {"backbone": f"efficientnet-lite{n}"}, TRAINED_WITH) for n in (0, 1, 2)),
    ("padim", {"backbone": "efficientnet-lite1"}, IMAGENET),
]


def main() -> None:
    lines = []
    for data in DATA:
        address = locate(data)
        try:
            name = open_dataset(address).name
        except AmissError as error:
            print(f"skipped {data}: {error}", file=sys.stderr)
            continue
        for method, settings, scaling in CANDIDATES:
            efficientnet_lite.MEAN, efficientnet_lite.STD = scaling
            result = measure_run(method, "default", address, 0, settings, 256)
            keys = ("image_auroc", "pixel_auroc", "pixel_aupro", "n_good", "n_defective")
            figures = {key: result[key] for key in keys}
            scaled = "as trained" if scaling == TRAINED_WITH else "ImageNet's"
            lines.append({"method": method, "data": name, **figures, **settings, "input_scaling": scaled})
            print(json.dumps(lines[-1]), flush=True)
    keep(RESULTS, lines)


if __name__ == "__main__":
    main()
