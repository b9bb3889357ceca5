"""Change a store at random as somebody would who does not want it to be seen: how many changes does verify find?

    python -m bench.tampering                 10,000 changes of six kinds, about ten minutes on one core

Each time one change is made to a copy (flip, delete, insert, reorder, truncate, or a row of a table), and verify is
asked, with the hash of the last event kept elsewhere. Results go to docs/results/tampering.json.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from pathlib import Path

from tests.ledger.drafts import fill
from tests.ledger.tamper import WAYS, tamper

from amiss.core.errors import DataError
from amiss.ledger.events import check_chain
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "tampering.json"


def run(count: int, seed: int, folder: Path) -> dict[str, object]:
    """All changes, each to a fresh copy."""
    store, events = fill(folder)
    path, whole = store.folder / "ledger.sqlite", (store.folder / "ledger.sqlite").read_bytes()
    rng, tried, found, unseen = random.Random(seed), Counter[str](), Counter[str](), []
    for number in range(count):
        path.write_bytes(whole)
        way = WAYS[number % len(WAYS)]
        done = tamper(path, rng, way)
        tried[way] += 1
        with Store.open(store.folder).reading() as engine:
            if is_found(Reader(engine, store), events[-1].hash):
                found[way] += 1
            else:
                unseen.append(done)
    return {"changes": count, "seed": seed, "tried": dict(tried), "found": dict(found), "unseen": unseen[:20]}


def is_found(reader: Reader, head: str) -> bool:
    """Whether `verify` finds something; the first thing that it looks at is tried alone, which is quicker."""
    try:
        kept = list(reader.events())
    except DataError:
        return True
    if not kept or any(check_chain(kept)) or kept[-1].hash != head:
        return True
    return verify(reader, heads={head: "a witness"}).faults > 0


def main() -> None:
    """Read the command line, run, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(asked.count, asked.seed, Path(folder))
    asked.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    if result["unseen"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
