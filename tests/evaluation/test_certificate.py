"""Certificates: counts of parts, bounds by definition, nothing certified on what was seen, everything against us."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta, binom

from amiss.cli.main import app
from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.core.verdict import Label
from amiss.data import Dataset, Origin
from amiss.evaluation import certify
from amiss.evaluation.certificate import _gathering
from amiss.reporting import write_certificate
from amiss.rules import Conformal, Fixed
from amiss.rules.lots import new_lots_bound
from amiss.rules.planning import chance_of_success, parts_needed, plan, rate_shown
from amiss.testing import toy_part, write_mvtec


def dataset(good, defective, origins=()):
    images = [*toy_part(good, seed=11).images] if good else []
    images += [*toy_part(defective, seed=12, defective=True).images] if defective else []
    kinds = ["good"] * good + ["dent", "scratch"] * defective
    return Dataset("toy", Images([]), Images(images), tuple(kinds[: good + defective]), test_origins=tuple(origins))


def test_the_counts_and_bounds_are_those_of_the_verdicts(inspector):
    data = dataset(30, 11)
    found = certify(inspector, data, confidence=0.9)
    labels = [verdict.label for verdict in inspector.inspect(data.test)]
    alarms, escapes = labels[:30].count(Label.ANOMALOUS), labels[30:].count(Label.GOOD)
    assert (found.false_alarms.rate.count, found.false_alarms.rate.n) == (alarms, 30)
    assert (found.escapes.rate.count, found.escapes.rate.n) == (escapes, 11)
    assert found.false_alarms.bound == pytest.approx(beta.ppf(0.9, alarms + 1, 30 - alarms))
    assert {kind: finding.rate.n for kind, finding in found.per_defect.items()} == {"dent": 6, "scratch": 5}
    assert sum(finding.rate.count for finding in found.per_defect.values()) == escapes
    assert found.fingerprint == inspector.fingerprint and found.per_lot == {} and found.reviews == {}


def test_demands(inspector):
    found = certify(inspector, dataset(30, 11), false_alarm=0.5, escape=0.0001)
    assert found.false_alarms.shown and found.escapes.shown is False and not found.shown
    assert certify(inspector, dataset(30, 11)).shown
    with pytest.raises(InputError, match="above 0 and below 1"):
        certify(inspector, dataset(3, 1), confidence=1.0)


def test_without_defects_nothing_is_shown_about_escapes(inspector):
    found = certify(inspector, dataset(5, 0), escape=0.5)
    assert found.escapes.rate.n == 0 and found.escapes.bound == 1.0 and not found.shown


def test_images_that_were_learned_from_or_calibrated_on_are_left_out(inspector):
    seen = [*toy_part(40, seed=0).images]
    for index in (0, 17, 39):
        mixed = Dataset("leak", Images([]), Images([*toy_part(3, seed=5).images, seen[index]]), ("good",) * 4)
        found = certify(inspector, mixed)
        assert found.false_alarms.rate.n == 3
        assert "left out 1 of 4 test images: the model has seen them while it was made." in found.warnings
    with pytest.raises(DataError, match="all 2 test images were seen"):
        certify(inspector, Dataset("leak", Images([]), Images(seen[:2]), ("good",) * 2))
    with pytest.raises(DataError, match="no test images"):
        certify(inspector, dataset(0, 0))


def test_a_part_counts_once_and_one_alarming_image_rejects_it(inspector):
    """A good part alarms when any of its images does; a defective one escapes when none does."""
    good, bad = [*toy_part(4, seed=11).images], [*toy_part(4, seed=12, defective=True).images]
    images = [good[0], good[1], bad[0], good[2], bad[1], good[3]]
    truth = ("good", "good", "good", "dent", "dent", "dent")
    origins = tuple(Origin(part=part) for part in "aabccd")
    inspector = inspector.with_rule(Fixed(between(inspector, good, bad)))
    found = certify(inspector, Dataset("parts", Images([]), Images(images), truth, test_origins=origins))
    assert (found.false_alarms.rate.count, found.false_alarms.rate.n) == (1, 2)
    assert (found.escapes.rate.count, found.escapes.rate.n) == (1, 2)
    assert any("6 images show 4 parts" in warning for warning in found.warnings)


def between(inspector, good, bad):
    scores = [inspector.image_scores(Images(images)).image for images in (good, bad[:2])]
    assert scores[0].max() < scores[1].min(), "the toy parts of this test are told apart"
    return float(scores[0].max() + scores[1].min()) / 2


def test_copies_count_once_and_must_agree(inspector):
    images = [*toy_part(3, seed=11).images]
    twice = Dataset("copies", Images([]), Images([*images, *images]), ("good",) * 6)
    found = certify(inspector, twice)
    assert found.false_alarms.rate.n == 3
    assert "left out 3 of 6 test images: they are copies of others, pixel by pixel." in found.warnings
    torn = replace(twice, defects=("good", "good", "good", "good", "dent", "good"))
    with pytest.raises(DataError, match="are the same image"):
        certify(inspector, torn)


def test_an_image_that_cannot_be_used_counts_against_the_inspector(inspector):
    images = [np.zeros((64, 64)), *toy_part(2, seed=11).images, np.ones((64, 64))]  # floats are not images
    data = Dataset("broken", Images([]), Images(images), ("good", "good", "good", "dent"))
    found = certify(inspector.with_rule(Fixed(1e9)), data)
    assert found.false_alarms.rate.count == 1 and found.escapes.rate.count == 1 and len(found.errors) == 2
    assert any("2 images could not be used" in warning for warning in found.warnings)


def test_a_broken_promise_is_said(inspector):
    dark = Images([image // 3 for image in toy_part(30, seed=11).images])
    found = certify(inspector, Dataset("dark", Images([]), dark, ("good",) * 30))
    assert found.false_alarms.rate.count > 10
    assert any("Recalibrate" in warning for warning in found.warnings)


def test_alarms_that_gather_in_a_lot_are_noticed(inspector):
    images = [*toy_part(36, seed=11).images]
    images[30:] = [image // 3 for image in images[30:]]
    origins = tuple(Origin(lot=f"L{i // 6}") for i in range(36))
    data = Dataset("lots", Images([]), Images(images), ("good",) * 36, test_origins=origins)
    found = certify(inspector, data)
    assert any("gather in lots" in warning and "L5" in warning for warning in found.warnings)
    assert sum(f.rate.count for f in found.per_lot.values()) == found.false_alarms.rate.count
    assert [f.rate.n for f in found.per_lot.values()] == [6] * 6


def test_alarms_without_structure_seldom_gather():
    rng = np.random.default_rng(0)
    members = np.repeat(np.eye(8, dtype=bool), 10, axis=1)
    p_values = [_gathering((rng.random(80) < 0.1).astype(int), members, seed) for seed in range(60)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.15
    clustered = np.zeros(80, int)
    clustered[:6] = 1
    assert _gathering(clustered, members, 0) < 0.01


@pytest.mark.parametrize("rate", [0.2, 0.05, 0.013])
@pytest.mark.parametrize("confidence", [0.6, 0.95])
@pytest.mark.parametrize("events", [0, 1, 4])
def test_parts_needed_by_search(rate, confidence, events):
    n = parts_needed(rate, confidence, events)
    first = next(n for n in range(1, 5000) if binom.cdf(events, n, rate) <= 1 - confidence)
    assert n == first
    assert rate_shown(n, confidence, events) <= rate < rate_shown(n - 1, confidence, events)


def test_a_plan_is_what_certified_needs():
    from amiss.rules import Certified

    for alpha in (0.1, 0.01, 0.003):
        assert plan(alpha).rows[0].n == Certified().needed(alpha)
        assert plan(alpha).on_average == Conformal().needed(alpha)
    assert chance_of_success(299, 0.001, 2) == pytest.approx(binom.cdf(2, 299, 0.001))
    with pytest.raises(InputError, match=r"at most .* parts show it"):
        parts_needed(1e-12)


def test_the_files_hold_it_all_and_are_safe(inspector, tmp_path):
    data = replace(dataset(6, 2), name="<b>toy</b>")
    found = certify(inspector, data)
    page, plain = write_certificate(tmp_path, found)
    text, values = page.read_text(), json.loads(plain.read_text())
    assert "<b>toy" not in text and "&lt;b&gt;toy" in text and found.fingerprint in text
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    assert len(values["images"]) == 8 and values["images"][0]["sha256"] == data.test.sha256(0)
    assert values["false_alarms"]["bound"] == found.false_alarms.bound


def test_the_verb(inspector, tmp_path, capsys):
    inspector.save(tmp_path / "model.amiss")
    bad = toy_part(3, seed=12, defective=True)
    write_mvtec(tmp_path / "data", toy_part(1, seed=13).images, toy_part(9, seed=11).images, dent=bad)
    words = ["certify", str(tmp_path / "model.amiss"), str(tmp_path / "data")]
    assert app([*words, "--output", str(tmp_path / "out")], standalone_mode=False) in (0, None)
    out = capsys.readouterr().out
    assert "of 9, so at most" in out and "certificate.html" in out
    assert app([*words, "--false-alarm", "1%"], standalone_mode=False) == 4
    assert "NOT SHOWN" in capsys.readouterr().out


def test_bounds_for_new_lots_count_lots(inspector):
    """With whole lots alarming or not, the bound is that of Clopper and Pearson over lots."""
    images = [*toy_part(24, seed=11).images]
    origins = tuple(Origin(lot=f"L{i // 4}", part=str(i)) for i in range(24))
    data = Dataset("lots", Images([]), Images(images), ("good",) * 24, test_origins=origins)
    quiet = inspector.with_rule(Fixed(1e9))
    found = certify(quiet, data, confidence=0.9, false_alarm=0.2)
    assert (found.future, found.false_alarms.lots, found.false_alarms.rate.n) == ("new-lots", 6, 24)
    assert found.false_alarms.bound == pytest.approx(1 - 0.1 ** (1 / 6)) and not found.shown
    parts = certify(quiet, data, confidence=0.9, false_alarm=0.2, future="these-lots")
    assert parts.false_alarms.bound == pytest.approx(1 - 0.1 ** (1 / 24)) and parts.shown
    assert parts.future == "these-lots" and parts.false_alarms.lots is None
    assert found.per_lot["L0"].bound == parts.per_lot["L0"].bound == pytest.approx(1 - 0.1 ** (1 / 4))
    some = certify(inspector.with_rule(Fixed(float(np.median(inspector.rule.normal)))), data)
    assert some.false_alarms.bound > rate_shown(24, 0.95, some.false_alarms.rate.count)

    dark = replace(data, test=Images([*images[:20], *(image // 3 for image in images[20:])]))
    one_lot = certify(inspector, dark)  # whose four parts alarm: that is one event of six, too little to blame the rule
    assert one_lot.false_alarms.rate.count >= 4 and not any("Recalibrate" in text for text in one_lot.warnings)
    assert any("Recalibrate" in text for text in certify(inspector, dark, future="these-lots").warnings)

    half = replace(data, test_origins=(*origins[:23], Origin()))
    assert certify(quiet, half).false_alarms.lots is None
    assert any("lot of 1 images is not known" in text for text in certify(quiet, half).warnings)
    with pytest.raises(InputError, match="needs the lot of every image; that of 1 images"):
        certify(quiet, half, future="new-lots")
    with pytest.raises(InputError, match="that of all images"):
        certify(quiet, replace(data, test_origins=()), future="these-lots")


def test_the_page_says_whose_parts(inspector, tmp_path):
    origins = tuple(Origin(lot=f"L{i // 4}") for i in range(12))
    data = Dataset("lots", Images([]), toy_part(12, seed=11).images, ("good",) * 12, test_origins=origins)
    write_certificate(tmp_path, certify(inspector.with_rule(Fixed(1e9)), data))
    page = (tmp_path / "certificate.html").read_text()
    assert "of good parts of new lots raise an alarm (0 of 12 of 3 lots did)" in page and "each lot counts once" in page


@pytest.mark.parametrize(("n", "rate"), [(20, 0.1), (59, 0.05), (200, 0.02), (300, 0.3)])
def test_the_bounds_hold_as_often_as_stated(n, rate):
    """Over parts exactly; over lots in simulations, of which bench/lots.py has more. So is a false proof as rare."""
    counts = np.arange(n + 1)
    bounds = np.array([new_lots_bound(np.repeat([0.0, 1.0], [n - count, count])) for count in counts])
    assert binom.pmf(counts, n, rate)[bounds >= rate].sum() >= 0.95 - 1e-9
    rng = np.random.default_rng(n)
    own = rng.beta(rate * 3, (1 - rate) * 3, (400, 20))  # a quarter of the variance lies between lots
    shares = rng.binomial(10, own) / 10
    assert np.mean([new_lots_bound(row) >= rate for row in shares]) >= 0.93
