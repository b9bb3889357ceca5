"""What a thread that scores does with one part: decode it in a child, score it, and say what was found."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from amiss.core.errors import ImageError
from amiss.core.scores import Region
from amiss.core.verdict import Label, Verdict
from amiss.postprocess import resize_regions
from amiss.station.jobs import Job, ScoreMap, Ticket

if TYPE_CHECKING:
    from amiss.station.decoding import Decoded, Decoders
    from amiss.station.recipes import Deployed


@dataclass
class Found:
    """What was found of one part.

    Args:
        label: Good, review, anomalous, or error.
        reason: Why it is an error.
        score: Image score, or None.
        threshold: What it was compared with, or None.
        p_value: Or None.
        regions: Alarming regions, in pixels of the image.
        size: Height and width of the image, or None.
        health: Measures of the image, or None.
        ms: Milliseconds of each stage.
        deployed: What judged it, or None.
        map: Its scores, where they were asked for.
    """

    label: Label
    reason: str = ""
    score: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    regions: tuple[Region, ...] = ()
    size: tuple[int, int] | None = None
    health: dict[str, float] | None = None
    ms: dict[str, float] = field(default_factory=dict)
    deployed: Deployed | None = None
    map: ScoreMap | None = None

    def event(self, ticket: Ticket, image: dict[str, Any] | None) -> dict[str, Any]:
        """The data of a "judged" event."""
        job, who = ticket.job, self.deployed
        return {
            "id": ticket.part,
            "key": job.key,
            "name": job.name,
            "recipe": job.recipe,
            "version": None if who is None else who.version,
            "fingerprint": None if who is None else who.fingerprint,
            "sha256": job.sha256,
            "label": str(self.label),
            "audit": ticket.audit,
            "score": self.score,
            "threshold": self.threshold,
            "p_value": self.p_value,
            "reason": self.reason,
            "regions": [{"box": list(r.box), "area": r.area, "peak": r.peak} for r in self.regions],
            "size": self.size,
            "health": self.health,
            "ms": {name: round(value, 2) for name, value in self.ms.items()},
            "runtime": {} if who is None else who.runtime,
            **{name: getattr(job, name) for name in ("serial", "lot", "camera", "taken_at")},
            "image": image,
            "watched": None if job.watched is None else dict(job.watched),
            "sinks": list(job.sinks),
        }


def judge(deployed: Deployed, job: Job, decoders: Decoders) -> Found:
    """The verdict on one part. An image that cannot be used becomes an error, never good."""
    if job.data is None or job.trouble:
        return Found(Label.ERROR, reason=job.trouble or "cannot be read", deployed=deployed)
    began = time.monotonic()
    try:
        verdict, image, decoded = _verdict(deployed, job.data, decoders)
    except ImageError as error:
        ms = {"decode": 1000 * (time.monotonic() - began)}
        return Found(Label.ERROR, reason=error.reason, deployed=deployed, ms=ms)
    ms = {"decode": 1000 * (decoded - began), "score": 1000 * (time.monotonic() - decoded)}
    return Found(
        verdict.label,
        score=verdict.score,
        threshold=verdict.threshold,
        p_value=verdict.p_value,
        regions=verdict.regions,
        size=image.size,
        health=image.health,
        ms=ms,
        deployed=deployed,
        map=_map(verdict) if job.wants_map else None,
    )


def _map(verdict: Verdict) -> ScoreMap | None:
    if verdict.map is None:
        return None
    height, width = verdict.map.shape
    return ScoreMap(height, width, verdict.map.astype("float32").tobytes())


def _verdict(deployed: Deployed, data: bytes, decoders: Decoders) -> tuple[Verdict, Decoded, float]:
    """The same as `Inspector.inspect_one`; where images are resized the child has done it, so that little is sent."""
    inspector = deployed.inspector
    size = inspector.size if inspector.tiling is None else None
    image = decoders.decode(data, size, inspector.learned.bits)
    decoded = time.monotonic()
    with deployed.turn:
        verdict = inspector.inspect_one(image.pixels)
    if size is not None:
        verdict = replace(verdict, regions=resize_regions(verdict.regions, size, image.size))
    return verdict, image, decoded
