"""What all workers of a run must agree in: images, the kind of processor, variables of the environment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.processor import processor, processor_kind


def say_processor() -> str:
    """Name of the processor here, and what tells its kind from others of that name."""
    return f"{processor_kind()['processor']} ({processor()[:8]})"


def check_processor(wanted: str) -> None:
    """Refuse another kind of processor than that of `say_processor` where the run began.

    Raises:
        DataError: This is another one.
    """
    if wanted != (own := say_processor()):
        raise DataError(
            f"workers must have one kind of processor, since others round differently, got {own} and {wanted}"
        )


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables of the environment within the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def check_names(data: str, images: Images, wanted: str) -> None:
    """Refuse other images than those of `names_digest` where the run began.

    Raises:
        DataError: These are others.
    """
    if names_digest(images) != wanted:
        raise DataError(f"{data}: other images are here than where the run began")


def names_digest(images: Images) -> str:
    """SHA-256 (hex) of all names, without the folders above them."""
    return hashlib.sha256("\0".join(Path(name).name for name in images.names).encode(errors="replace")).hexdigest()
