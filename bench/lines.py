"""What several benches keep: a JSON list of objects, one per line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from amiss.storage import write_file

Line = dict[str, Any]


def keep(path: Path, lines: Iterable[Line]) -> None:
    """Write all lines anew."""
    write_file(path, ("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n").encode())


def kept(path: Path, *names: str) -> dict[tuple[Any, ...], Line]:
    """The lines of earlier runs, by what they hold under `names`; none without a file."""
    lines = json.loads(path.read_text()) if path.is_file() else []
    return {tuple(line[name] for name in names): line for line in lines}
