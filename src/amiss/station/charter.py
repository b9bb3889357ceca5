"""The program of the chart process: control charts over what a station has judged, at a low priority.

    python -m amiss.station.charter STATION

A request is a line of JSON with scores, names and measures of parts, and the model's calibration scores and threshold;
so is the answer. It is a process, since designing charts takes seconds, and no thread that judges may wait for them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from amiss.core.errors import AmissError
from amiss.monitoring import Health, Stream, monitor
from amiss.station.decoder import end_with


def main() -> None:
    """Answer requests until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever ends the station lets it drain first
        signal.signal(number, signal.SIG_IGN)
    end_with(int(sys.argv[1]))
    with suppress(OSError, AttributeError):
        os.nice(10)
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else may speak there
    with suppress(BrokenPipeError):
        for line in sys.stdin:
            answers.write(json.dumps(chart(json.loads(line))) + "\n")
            answers.flush()


def chart(asked: dict[str, Any]) -> dict[str, Any]:
    """Whether something has changed: alarm, kind and words, and the first and last part, by their numbers from 0.

    Example:
        >>> asked = {"scores": [None], "names": ["a"], "health": [None], "normal": [1.0] * 30, "threshold": 2.0}
        >>> chart(asked)
        {'error': 'none of 1 parts can be used; the first is a: no score'}
    """
    health = [None if one is None else Health(**one) for one in asked["health"]]
    try:
        stream = Stream(asked["scores"], asked["names"], health=health)
        found = monitor(stream, asked["normal"], threshold=asked["threshold"])
    except AmissError as error:
        return {"error": str(error)}
    changed, usable = found.diagnosis.changed, stream.usable
    first = last = None
    if found.alarm and changed is not None:
        first = int(usable[changed.first])
        last = None if changed.lasts(len(usable)) else int(usable[changed.end - 1])
    kind, text = found.diagnosis.kind, found.diagnosis.text
    return {"alarm": first is not None, "kind": kind, "text": text, "first": first, "last": last}


if __name__ == "__main__":
    main()
