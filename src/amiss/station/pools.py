"""What people's labels are for: to calibrate anew, to certify, to learn. And what another version would have done.

Only parts that were drawn at random and labelled blind calibrate or certify: corrections are no fair sample, and a
threshold that is calibrated on corrected false alarms rises until defects pass. Parts that were errors do neither: no
rule has a say in them, and their images may not be decoded in the process of a station.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from amiss.core.errors import CalibrationError, DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.rule import Rule
from amiss.core.sentence import Sentence
from amiss.core.survey import survey
from amiss.core.verdict import Label
from amiss.inspector import Inspector
from amiss.ledger.labels import Audited, audited, corrections
from amiss.ledger.reader import Reader
from amiss.metrics import Rate

MOST = 1000
"""Images of a pool that are scored, the newest."""

ENOUGH = 1_000_000
"""Parts beyond which nobody looks for a number that is enough."""

TRIED = Sentence(
    "Both versions on the same parts, drawn at random and labelled by people who did not see a verdict, that neither "
    "has learned from or was calibrated on: {good} good, {defective} defective; intervals at 95 % confidence take "
    "parts for independent of one another.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)


@dataclass(frozen=True)
class _Kept:
    """Images of a pool that are kept, and what is known of them."""

    images: Images
    origins: tuple[Origin, ...]
    truths: tuple[str, ...]
    missing: int


def pools(reader: Reader, recipe: str, rule: Rule | None) -> dict[str, Any]:
    """How many labels each pool holds, and whether they are enough for the rule that judges.

    Args:
        reader: Of the store.
        recipe: What kind of part.
        rule: Of the version that judges; None where none does.
    """
    drawn = audited(reader, recipe)
    found: dict[str, Any] = {}
    for pool in ("calibrate", "certify"):
        own = [one.truth for one in drawn if one.pool == pool]
        found[pool] = {truth: own.count(truth) for truth in ("good", "defective", "unclear")}
    good = sum(one.pool == "calibrate" and one.truth == "good" and _is_scored(one) for one in drawn)
    needed = None if rule is None else enough(rule)
    missing = None if needed is None else max(0, needed - good)
    return {"recipe": recipe, **found, **corrections(reader, recipe), "needed": needed, "missing": missing}


def enough(rule: Rule) -> int | None:
    """The smallest number of good parts on which a rule can be calibrated; None where none is."""

    def does(n: int) -> bool:
        try:
            rule.check(n)
        except CalibrationError:
            return False
        return True

    if not does(ENOUGH):
        return None
    low, high = 0, ENOUGH
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if does(middle) else (middle, high)
    return high


def calibrated_on_pool(reader: Reader, recipe: str, inspector: Inspector, rule: Rule) -> Inspector:
    """The same detector, calibrated on the good parts of the pool that is for that.

    Raises:
        CalibrationError: Too few for the rule's promise.
        DataError: None is kept, or the detector has learned from one.
    """
    good = [one for one in _drawn(reader, recipe, "calibrate") if one.truth == "good"]
    if not good:
        raise CalibrationError("audited parts that are good must be labelled first, got none that is for calibration")
    kept = _kept(reader, good)
    origins = kept.origins if inspector.calibration.future is not None else ()
    return replace(inspector, rule=rule).calibrate(kept.images, origins=origins)


def tried(reader: Reader, recipe: str, before: Inspector, after: Inspector) -> dict[str, Any]:
    """What two versions say of the parts that are kept to certify: false alarms and escapes, with exact intervals.

    Images that one of them has learned from or was calibrated on are left out.
    """
    drawn = [one for one in _drawn(reader, recipe, "certify") if one.truth in ("good", "defective")]
    if not drawn:
        return _rates([], [], []) | {"left_out": 0}
    kept = _kept(reader, drawn)
    known = survey(kept.images.with_bits(before.learned.bits)).all_usable().identities
    new = [at for at, identity in enumerate(known) if identity not in before.seen | after.seen]
    truths = [kept.truths[at] for at in new]
    if not new:
        return _rates([], [], []) | {"left_out": len(drawn)}
    images = kept.images.subset(new)
    first, second = (_alarms(one, images) for one in (before, after))
    return _rates(truths, first, second) | {"left_out": len(drawn) - len(new)}


def _alarms(inspector: Inspector, images: Images) -> list[str]:
    """Of each image whether it is good, for review, or anomalous, mask filters and all."""
    return [str(verdict.label) for verdict in inspector.inspect(images)]


def _rates(truths: Sequence[str], before: Sequence[str], after: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"confidence": 0.95}
    for name, labels in (("before", before), ("after", after)):
        pairs = list(zip(truths, labels, strict=True))
        good, bad = ([label for truth, label in pairs if truth == kind] for kind in ("good", "defective"))
        found[name] = {
            "false_alarms": _rate(good.count("anomalous"), len(good)),
            "escapes": _rate(bad.count("good"), len(bad)),
            "reviews": _rate(good.count("review") + bad.count("review"), len(pairs)),
        }
    found["words"] = TRIED(good=list(truths).count("good"), defective=list(truths).count("defective"))
    return found


def _rate(count: int, n: int) -> dict[str, Any]:
    if n == 0:
        return {"count": 0, "of": 0, "share": None, "low": None, "high": None, "text": ""}
    rate = Rate(count, n)
    low, high = rate.interval
    return {"count": count, "of": n, "share": rate.rate, "low": low, "high": high, "text": str(rate)}


def _drawn(reader: Reader, recipe: str, pool: str) -> list[Audited]:
    return [one for one in audited(reader, recipe) if one.pool == pool and _is_scored(one)][-MOST:]


def _is_scored(one: Audited) -> bool:
    """Whether a child has decoded its image: one that cannot be, or that ends whoever tries, is not tried here."""
    return one.label != Label.ERROR


def _kept(reader: Reader, drawn: Sequence[Audited]) -> _Kept:
    """Their images, as far as they are kept.

    Raises:
        DataError: None is.
    """
    paths, origins, truths = [], [], []
    for one in drawn:
        row = reader.part(one.part)
        path = reader.store.image(row["sha256"])
        if row["image"] is not None and row["image"]["state"] == "kept" and path.is_file():
            paths.append(path)
            origins.append(Origin(lot=row["lot"], part=row["serial"] or row["id"]))
            truths.append(str(one.truth))
    if not paths:
        raise DataError("images of audited parts must be kept to be scored again, got none")
    return _Kept(Images(paths), tuple(origins), tuple(truths), len(drawn) - len(paths))
