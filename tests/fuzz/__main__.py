"""Fuzzing: broken files by the thousand. `make fuzz`, or for one target:

    python -m tests.fuzz images --count 10000 --seed 0 --output docs/results/fuzz_images.json

Exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.fuzz.driver import run


def main() -> int:
    """Run one target, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", help="a module of tests/fuzz, such as images")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found = run(f"tests.fuzz.{given.target}", given.seed, given.count)
    result = {"target": given.target, "seed": given.seed, **found.as_json()}
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
