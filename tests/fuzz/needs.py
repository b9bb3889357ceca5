"""Whole images of every kind: does decoding take no more memory than `Header.need` says before it begins?

Outcomes: how much of it was taken, to a tenth. More is a failure.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from amiss.core.decode import decode_image
from amiss.core.formats import read_header
from tests.fuzz.child import peak_of
from tests.fuzz.images import ENCODERS

_SLACK = 4_000_000  # bytes: what libraries set up once, and buffers that do not grow with the image


def case(seed: int, number: int) -> tuple[str, Callable[[], str]]:
    """One whole image. See `driver`."""
    draws = np.random.default_rng([seed, number])
    encoder = list(ENCODERS)[number % len(ENCODERS)]
    write, channels, bits = ENCODERS[encoder]
    depth, count = int(draws.choice(bits)), int(draws.choice(channels))
    height, width = draws.integers(900, 1500, 2)
    line = draws.integers(0, 256, (1, width, count)) * (257 if depth == 16 else 1)
    image = np.broadcast_to(line.astype(np.uint16 if depth == 16 else np.uint8), (height, width, count)).copy()
    data = write(image[:, :, 0] if count == 1 else image)

    def action() -> str:
        need = read_header(data, encoder).need()
        taken = peak_of(lambda: decode_image(data))
        assert taken <= need + _SLACK, f"{taken} bytes taken, {need} stated"
        return f"{max(0, taken) / need:.1f} of the need"

    return f"{encoder}: {count} x {depth} bits", action
