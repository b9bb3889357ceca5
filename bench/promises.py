"""Is every printed promise true? Simulations behind docs/theory/sentences.md.

    python bench/promises.py [NAME ...]        all cases, or some; writes docs/results/promises.json

Scores are drawn from distributions whose tail is known, so the true false-alarm rate of each threshold is known too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import promises_monitor
import promises_rules
import promises_tail
from promises_cases import Case

from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "promises.json"
CASES: dict[str, Case] = {**promises_rules.CASES, **promises_tail.CASES, **promises_monitor.CASES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], metavar="NAME", help="cases; default: all")
    parser.add_argument("--trials", type=int, default=10_000, help="trials per setting, at most")
    options = parser.parse_args()
    for name in options.names or CASES:
        found = CASES[name](options.trials)
        print(name, json.dumps({key: value for key, value in found.items() if key != "each"}), flush=True)
        known = json.loads(RESULTS.read_text(encoding="utf-8"))["cases"] if RESULTS.is_file() else {}
        known[name] = found
        text = json.dumps({"command": "python bench/promises.py", "cases": known}, indent=1, sort_keys=True)
        write_file(RESULTS, text.encode() + b"\n")


if __name__ == "__main__":
    main()
