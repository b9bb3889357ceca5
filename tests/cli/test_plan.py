"""`amiss plan`: proofs that are likely to succeed, and comparisons, in words and as JSON."""

import json

import pytest

from amiss.metrics.paired_rates import parts_for_difference, parts_for_non_inferiority
from amiss.rules.sampling import plan_proofs


def test_three_proofs(amiss):
    code, out, _ = amiss("plan", "--escape", "5%", "--true-rate", "1%", "--power", "80%")
    plan = plan_proofs(0.05, 0.01, power=0.8)
    assert code == 0 and f"{plan.single.n} parts, at most {plan.single.events} escapes" in out
    assert f"given up after {plan.sequential.most} parts" in out and f"{plan.double.n1} parts: with at most" in out
    code, text, _ = amiss("plan", "--false-alarm", "2%", "--true-rate", "0.2%", "--json")
    found = json.loads(text)["proofs"]["false alarms"]
    assert code == 0 and found["single"]["n"] == plan_proofs(0.02, 0.002).single.n


def test_a_comparison(amiss):
    code, text, _ = amiss("plan", "--compare", "90%,95%", "--json")
    rows = json.loads(text)["comparison"]["rows"]
    assert code == 0 and rows[0]["n"] == parts_for_difference(0.0, 0.05) and rows[2]["differ"] == pytest.approx(0.14)
    code, out, _ = amiss("plan", "--compare", "95%,95%", "--margin", "5%")
    assert code == 0 and f"{parts_for_non_inferiority(0.0475, 0.0475, 0.05)} parts, when they differ as if" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--good", "9", "--true-rate", "1%"], "--true-rate must come with"),
        (["--good", "9", "--margin", "1%"], "--margin must come with --compare"),
        (["--compare", "95%"], "must be two rates"),
        (["--compare", "95%,95%"], "give a margin"),
        (["--compare", "95%,90%", "--margin", "5%"], "less than the margin"),
        (["--escape", "1%", "--true-rate", "2%"], "true rate must be below"),
        ([], "nothing to plan"),
    ],
)
def test_what_cannot_be_planned(words, message, amiss):
    code, out, err = amiss("plan", *words)
    assert code == 2 and message in err and not out
