"""All tests of a comparison read together: Holm by definition, family-wise error, margins in words and exit codes."""

import json

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.evaluation import compare
from amiss.evaluation.conclusions import conclude, difference_of, no_worse
from amiss.metrics import mcnemar
from amiss.metrics.multiplicity import holm, simultaneous
from amiss.metrics.paired_rates import non_inferiority, rate_difference
from amiss.rules import Fixed
from amiss.testing import toy_part, write_mvtec


def rejected_by_steps(p: list[float], level: float) -> set[int]:
    """Holm (1979) as published: step down until one is too large."""
    found = set()
    for rank, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] > level / (len(p) - rank):
            break
        found.add(int(index))
    return found


def test_holm_by_definition():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.beta(0.4, 1, size=5).tolist()
        adjusted = holm(dict(zip("abcde", p, strict=True)))
        assert {i for i, name in enumerate("abcde") if adjusted[name] <= 0.05} == rejected_by_steps(p, 0.05)
    assert np.isnan(holm({"a": float("nan")})["a"]) and simultaneous(0.95, 1) == pytest.approx(0.95)
    with pytest.raises(InputError, match="between 0 and 1"):
        holm({"a": 1.5})


def test_the_family_error_holds():
    rng = np.random.default_rng(1)
    wrong = [min(holm(dict(zip("abcde", rng.random(5), strict=True))).values()) <= 0.05 for _ in range(4000)]
    assert np.mean(wrong) <= 0.06


def test_the_verb(inspector, tmp_path, amiss):
    inspector.save(tmp_path / "a.amiss")
    inspector.with_rule(Fixed(-1e9)).save(tmp_path / "b.amiss")  # everything alarms
    bad = toy_part(12, seed=12, defective=True)
    write_mvtec(tmp_path / "data", toy_part(1, seed=13).images, toy_part(14, seed=11).images, dent=bad)
    words = ["compare", tmp_path / "a.amiss", tmp_path / "b.amiss", tmp_path / "data"]
    code, text, _ = amiss(*words, "--json")
    found = json.loads(text)
    good, ends = found["good"], found["conclusions"]
    expected = rate_difference(good["only_first"], good["only_second"], good["n"])
    assert code == 0 and ends["right_on_good"]["interval"] == pytest.approx(expected.interval)
    assert set(ends["adjusted_p_values"]) >= {"good", "defective", "image_auroc"} and ends["non_inferior"] == {}
    code, out, _ = amiss(*words, "--margin", "10%")
    assert code == 4 and "on good parts: NOT SHOWN" in out and "p-values by Holm" in out
    code, _, err = amiss(*words, "--margin", "2")
    assert code == 2 and "margin must be" in err


def test_a_model_is_no_worse_than_itself(inspector):
    from amiss.core.images import Images
    from amiss.data import Dataset

    images = Images([*toy_part(60, seed=11).images])
    found = conclude(compare(inspector, inspector, Dataset("toy", Images([]), images, ("good",) * 60)), 0.1)
    assert found.shown and found.non_inferior["good"].bound == non_inferiority(0, 0, 60, 0.1).bound
    assert found.right_on_defective is None and set(found.adjusted) == {"good"}


def test_intervals_of_defect_types_hold_together(inspector):
    from scipy.stats import beta

    from amiss.core.images import Images
    from amiss.data import Dataset
    from amiss.evaluation import evaluate

    images = Images([*toy_part(4, seed=11).images, *toy_part(9, seed=12, defective=True).images])
    kinds = ("good",) * 4 + ("dent", "hole", "scratch") * 3
    found = evaluate(inspector, Dataset("toy", Images([]), images, kinds)).summary()["per_defect"]
    for part in found.values():
        low, high = part["simultaneous_interval"]
        tail = 0.05 / 3 / 2
        count, n = part["count"], part["n"]
        assert low == pytest.approx(0 if count == 0 else beta.ppf(tail, count, n - count + 1))
        assert high == pytest.approx(1 if count == n else beta.ppf(1 - tail, count + 1, n - count))


@pytest.mark.parametrize("shape", [(6, 20), (20, 10)])
def test_over_lots_intervals_and_margins_hold(shape):
    """Each lot has its own shares of parts on which only one is right; the second is worse by 0.05 on average."""
    rng, (count, each), held, shown = np.random.default_rng(8), shape, 0, 0
    trials, mean = 120, np.array([0.08, 0.03, 0.89])
    for _ in range(trials):
        own = rng.dirichlet(mean * 4, count)  # a fifth of the variance lies between lots
        kinds = (rng.random((count, each, 1)) > own.cumsum(axis=1)[:, None, :2]).sum(axis=2).ravel()
        found = mcnemar(kinds != 1, kinds != 0, np.repeat(np.arange(count), each))
        low, high = difference_of(found).interval
        held += low <= -0.05 <= high
        shown += no_worse(found, 0.05).shown
    assert held >= 0.93 * trials and shown <= 0.05 * trials


def test_with_lots_of_one_part_the_conclusions_are_those_of_parts():
    one, other = np.repeat([1, 1, 0, 0], [40, 3, 5, 2]), np.repeat([1, 0, 1, 0], [40, 3, 5, 2])
    plain, lots = mcnemar(one, other), mcnemar(one, other, np.arange(50))
    assert difference_of(lots).lots == 50 and no_worse(lots, 0.1).lots == 50 and no_worse(plain, 0.1).lots is None
    narrow, wide = (np.diff(difference_of(found).interval)[0] for found in (plain, lots))
    assert narrow <= wide < 1.1 * narrow
    assert no_worse(lots, 0.1).bound < no_worse(plain, 0.1).bound
