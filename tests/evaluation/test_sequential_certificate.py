"""Sequential certificates: they stop when they may, in an order that nobody chose, with bounds of their own."""

from datetime import datetime, timedelta

import numpy as np

from amiss.core.images import Images
from amiss.core.verdict import Label
from amiss.data import Dataset, Origin
from amiss.evaluation import certify
from amiss.reporting import write_certificate
from amiss.rules import Fixed
from amiss.rules.sequential import anytime_needed, anytime_upper, anytime_upper_of
from amiss.testing import toy_part, write_mvtec


def dataset(good, defective=0, origins=()):
    images = [*toy_part(good, seed=11).images]
    images += [*toy_part(defective, seed=12, defective=True).images] if defective else []
    kinds = ("good",) * good + ("dent",) * defective
    return Dataset("toy", Images([]), Images(images), kinds, test_origins=tuple(origins))


def test_it_stops_as_soon_as_the_rate_is_shown(inspector):
    quiet = inspector.with_rule(Fixed(1e9))
    found = certify(quiet, dataset(60), false_alarm=0.2, sequential=True)
    needed = anytime_needed(0.2, 0.95)
    assert found.shown and found.looks.taken == needed == len(found.entries) < 60
    assert found.false_alarms.bound == anytime_upper(needed, 0.95, 0) <= 0.2
    assert "false alarms shown" in found.looks.ended and "random order (seed 0)" in found.looks.order


def test_it_stops_when_the_rate_is_refuted(inspector):
    found = certify(inspector.with_rule(Fixed(-1e9)), dataset(60), false_alarm=0.05, sequential=True)
    assert not found.shown and "refuted" in found.looks.ended and found.looks.taken < 10


def test_it_goes_on_while_a_demand_is_open_and_says_what_is_missing(inspector):
    found = certify(inspector.with_rule(Fixed(1e9)), dataset(30), false_alarm=0.01, sequential=True)
    missing = anytime_needed(0.01, 0.95) - 30
    assert found.looks.taken == 30 and f"{missing} more parts without one would show it" in found.looks.ended
    everything = certify(inspector, dataset(30), sequential=True)
    assert everything.looks.taken == 30 and "no rate was demanded" in everything.looks.ended


def test_both_kinds_are_mixed_and_counted_apart(inspector):
    found = certify(inspector, dataset(40, 40), false_alarm=0.9, escape=0.9, sequential=True)
    kinds = [entry.defect for entry in found.entries]
    assert found.shown and {"good", "dent"} == set(kinds) and len(kinds) < 80
    labels = {entry.name: entry.verdict.label for entry in found.entries}
    plain = {v.name: v.label for v in inspector.inspect(dataset(40, 40).test)}
    assert all(plain[name] is label for name, label in labels.items())


def test_parts_come_in_order_of_time_with_their_images_together(inspector):
    start = datetime(2026, 3, 1)
    origins = [Origin(part=f"P{i % 10}", time=start - timedelta(hours=i)) for i in range(20)]
    found = certify(inspector.with_rule(Fixed(1e9)), dataset(20, origins=origins), sequential=True)
    parts = [entry.part for entry in found.entries]
    assert parts == [9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    assert found.looks.order == "in order of time" and found.false_alarms.rate.n == 10


def test_a_copy_is_no_new_part(inspector):
    images = [*toy_part(20, seed=11).images]
    twice = Dataset("copies", Images([]), Images([*images, *images]), ("good",) * 40)
    found = certify(inspector.with_rule(Fixed(1e9)), twice, false_alarm=0.1, sequential=True)
    assert found.looks.taken == 20 and found.false_alarms.rate.n == 20 and not found.shown  # 36 parts would show it
    assert f"{anytime_needed(0.1) - 20} more parts" in found.looks.ended


def lots_of(n, each, start=None):
    return [
        Origin(lot=f"L{i // each}", part=str(i), time=None if start is None else start - timedelta(hours=i // each))
        for i in range(n)
    ]


def test_for_new_lots_whole_lots_are_looked_at(inspector):
    """With whole lots quiet or alarming, the bound is that of parts with lots in their place."""
    quiet = inspector.with_rule(Fixed(1e9))
    data = dataset(48, origins=lots_of(48, 4))
    found = certify(quiet, data, false_alarm=0.5, sequential=True)
    needed = anytime_needed(0.5)
    assert found.future == "new-lots" and found.shown
    assert (found.looks.unit, found.looks.taken, found.looks.available) == ("lots", needed, 12)
    assert found.false_alarms.lots == needed and len(found.entries) == 4 * needed
    assert found.false_alarms.bound == anytime_upper(needed)
    assert "4 of 12 lots" not in found.looks.words() and f"{needed} of 12 lots inspected" in found.looks.words()
    open_ = certify(quiet, data, false_alarm=0.1, sequential=True)
    assert f"{anytime_needed(0.1) - 12} more lots without one" in open_.looks.ended and open_.looks.taken == 12
    parts = certify(quiet, data, false_alarm=0.5, sequential=True, future="these-lots")
    assert parts.looks.unit == "parts" and len(parts.entries) == needed


def test_lots_come_in_order_of_time_and_count_by_their_shares(inspector):
    images = [*toy_part(24, seed=11).images]
    images = [image // 3 if i % 4 == 0 else image for i, image in enumerate(images)]  # a quarter of each lot alarms
    origins = lots_of(24, 4, datetime(2026, 3, 1))
    data = Dataset("lots", Images([]), Images(images), ("good",) * 24, test_origins=tuple(origins))
    scores = inspector.image_scores(Images(images)).image
    dark = np.arange(24) % 4 == 0
    loud = inspector.with_rule(Fixed(float(scores[~dark].max() + scores[dark].min()) / 2))
    found = certify(loud, data, sequential=True)
    assert [entry.lot for entry in found.entries][::4] == [f"L{i}" for i in range(5, -1, -1)]
    assert found.false_alarms.bound == anytime_upper_of([0.25] * 6)
    assert found.false_alarms.rate.count == 6 and found.looks.order == "in order of time"


def test_the_verb_and_the_page(inspector, tmp_path, amiss):
    inspector.with_rule(Fixed(1e9)).save(tmp_path / "model.amiss")
    write_mvtec(tmp_path / "data", toy_part(1, seed=13).images, toy_part(25, seed=11).images)
    words = ["certify", tmp_path / "model.amiss", tmp_path / "data", "--sequential", "--false-alarm", "30%"]
    code, out, _ = amiss(*words, "--output", tmp_path / "out")
    assert code == 0 and "Sequential:" in out and "of 25 parts inspected" in out and "shown" in out
    page = (tmp_path / "out" / "certificate.html").read_text()
    assert "anytime-valid" in page and "Clopper-Pearson" not in page
    assert Label.GOOD in page


def test_without_it_nothing_changes(inspector, tmp_path):
    found = certify(inspector, dataset(8))
    page, _ = write_certificate(tmp_path, found)
    assert found.looks is None and found.summary()["sequential"] is None and "Clopper-Pearson" in page.read_text()
