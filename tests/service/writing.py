"""Sixty verdicts, one after another, each said when it is on disk, and tried again while it is not.

python -m tests.service.writing STORE [CLOCK]     CLOCK: the file that libfaketime reads, written anew at times
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from amiss.core.errors import OutputError
from amiss.ledger.store import Store
from amiss.ledger.writer import Writer
from tests.ledger.drafts import bytes_of, judged

JUMPS = {20: "-1h", 30: "+1d", 45: "-1y"}


def write(folder: Path, clock: Path | None) -> Iterator[dict[str, object]]:
    """One line per try."""
    with Writer(Store.make(folder)) as writer:
        for number in range(60):
            if clock is not None and number in JUMPS:
                clock.write_text(JUMPS[number])
            done = False
            while not done:
                began = time.monotonic()
                try:
                    found, error = writer.submit(judged(number), bytes_of(number)).result().event.hash, ""
                    done = True
                except OutputError as failure:
                    found, error = "", str(failure)
                yield {"number": number, "hash": found, "error": error, "ms": 1000 * (time.monotonic() - began)}


if __name__ == "__main__":
    for said in write(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None):
        sys.stdout.write(json.dumps(said) + "\n")
