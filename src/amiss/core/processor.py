"""Which kind of processor this is: two of one kind give the same bits."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

_FEATURES = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "CPU part", "Features")


@cache
def processor() -> str:
    """Name and abilities of the processor, as SHA-256 (hex)."""
    words = [platform.machine(), platform.processor(), *_lines()]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


@cache
def processor_kind() -> dict[str, str]:
    """What a score's bits depend on beside the runtime: instruction set, name and flags of the processor."""
    known = dict(line.partition(":")[::2] for line in _lines())
    told = {name.strip(): " ".join(value.split()) for name, value in known.items()}
    return {
        "machine": platform.machine(),
        "processor": told.get("model name", platform.processor() or "unknown"),
        "flags": told.get("flags", told.get("Features", "")),
    }


def _lines() -> list[str]:
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except (OSError, ValueError):
        first = ""
    return [line for line in first.splitlines() if line.partition(":")[0].strip() in _FEATURES]
