"""Artefacts whose hashes all fit, as somebody who knows the format could write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from amiss import artefact


def resealed(record: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """The single file of a record, as plain values, and parts; every hash is that of what is there."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(parts.items())}
    content = {**record, "files": files}
    content.pop("digest", None)
    dense = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    content["digest"] = hashlib.sha256(dense).hexdigest()
    text = json.dumps(content, indent=2, sort_keys=True).encode()
    return artefact._pack({**parts, artefact.RECORD: text})
