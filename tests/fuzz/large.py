"""Large images, whole and broken, four at once: is the memory kept that AMISS_MEMORY allows?

Outcomes: "decoded" and "refused".
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from amiss.core.decode import decode_image
from amiss.core.errors import ImageError
from tests.fuzz.images import DAMAGE, ENCODERS

_SIDES = ((900, 1200), (2400, 3000), (3000, 4200))  # about 11, 72 and 126 MB to decode 8-bit RGB


@lru_cache(maxsize=2)
def _encoded(encoder: str, channels: int, bits: int, height: int, width: int) -> bytes:
    line = np.random.default_rng(0).integers(0, 256, (1, width, channels))
    image = np.broadcast_to(line * (257 if bits == 16 else 1), (height, width, channels))
    image = image.astype(np.uint16 if bits == 16 else np.uint8)
    return ENCODERS[encoder][0](image[:, :, 0] if channels == 1 else image)


def case(seed: int, number: int) -> tuple[str, Callable[[], str]]:
    """Four threads that decode one large file, every other one broken. See `driver`."""
    draws = np.random.default_rng([seed, number])
    encoder = list(ENCODERS)[number % len(ENCODERS)]
    _, channels, bits = ENCODERS[encoder]
    size = _SIDES[number // len(ENCODERS) % len(_SIDES)]
    data = _encoded(encoder, int(draws.choice(channels)), int(draws.choice(bits)), *size)
    if draws.random() < 0.5:
        data = DAMAGE[str(draws.choice(list(DAMAGE)))](data, draws)

    def shape() -> tuple[int, ...] | None:
        try:
            return decode_image(data).shape
        except ImageError:
            return None

    def action() -> str:
        with ThreadPoolExecutor(4) as pool:
            shapes = {future.result() for future in [pool.submit(shape) for _ in range(4)]}
        assert len(shapes) == 1, f"one file came to {shapes}"
        return "refused" if shapes == {None} else "decoded"

    return f"{encoder}: {size[1]} x {size[0]}", action
