"""The fake line: toy parts with known truth that come into a folder as a real line's would, with its troubles.

Lots, defects, a light that becomes brighter, a camera that sends broken files, and a writer that stalls half-way
through a file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from amiss.core.checks import check_count
from amiss.testing.toy import toy_part

NAMES = "{lot}/{serial}"
"""How the paths of the images are to be read."""


@dataclass(frozen=True)
class LinePart:
    """One part, and what is true of it.

    Args:
        path: Of its image, below the folder.
        serial: Its serial number.
        lot: The batch it was made in.
        defective: Whether it has a defect.
        broken: Whether its image file is cut off.
    """

    path: str
    serial: str
    lot: str
    defective: bool
    broken: bool


class FakeLine:
    """Makes parts, the same for the same seed.

    Args:
        folder: Where images come to, as ``lot/serial.png``.
        parts: How many.
        seed: Random seed.
        lot: Parts of one lot.
        defective: Share of parts with a defect, threefold in every third lot.
        broken: Share of images that are cut off.
        brighter_from: Number of the part from which on the light is brighter, from 0; None for never.
        stalls: Every so many parts the writer stalls half-way through a file; 0 for never.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = list(FakeLine(Path(folder), parts=3, seed=0).run())
        ...     print(made[0].path, (Path(folder) / made[0].path).is_file())
        L001/00001.png True
    """

    def __init__(
        self,
        folder: Path,
        *,
        parts: int,
        seed: int,
        lot: int = 40,
        defective: float = 0.04,
        broken: float = 0.01,
        brighter_from: int | None = None,
        stalls: int = 0,
    ) -> None:
        self.folder, self.parts, self.seed = folder, check_count("parts", parts), seed
        self.lot, self.defective, self.broken = check_count("lot", lot), defective, broken
        self.brighter_from, self.stalls = brighter_from, stalls

    def run(self, seconds: float = 0.0, ends: threading.Event | None = None) -> Iterator[LinePart]:
        """Let parts come, one at a time.

        Args:
            seconds: Between two parts.
            ends: Stops the line when it is set.
        """
        ends = threading.Event() if ends is None else ends
        rng = np.random.default_rng([7, self.seed])
        for number in range(self.parts):
            if ends.wait(seconds):
                return
            often = 3 if number // self.lot % 3 == 2 else 1
            draws = rng.random(2)
            part = LinePart(
                path=f"L{number // self.lot + 1:03d}/{number + 1:05d}.png",
                serial=f"{number + 1:05d}",
                lot=f"L{number // self.lot + 1:03d}",
                defective=bool(draws[0] < often * self.defective),
                broken=bool(draws[1] < self.broken),
            )
            self._write(part, number)
            yield part

    def _write(self, part: LinePart, number: int) -> None:
        image = toy_part(1, seed=1_000_000 * (self.seed + 1) + number, defective=part.defective).images[0]
        if self.brighter_from is not None and number >= self.brighter_from:
            image = np.clip(image.astype(np.float32) * 1.12 + 6, 0, 255).astype(np.uint8)
        data = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
        data = data[: len(data) * 2 // 3] if part.broken else data
        path = self.folder / part.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            if self.stalls and number % self.stalls == self.stalls - 1:
                file.write(data[: len(data) // 2])
                file.flush()
                time.sleep(0.3)
                data = data[len(data) // 2 :]
            file.write(data)
