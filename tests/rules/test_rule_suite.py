"""Every rule passes every check of `amiss.testing`, and the suite catches dishonest ones."""

import dataclasses

import numpy as np
import pytest

from amiss.rules import RULES, Bootstrap, Certified, Conformal, EachClass, FewShot, Fixed, Quantile, Sigma, Tail, Triage
from amiss.testing import check_rule
from amiss.testing.rule_checks import CHECKS

MAKERS = {
    "conformal auto": Conformal,
    "conformal 5 %": lambda: Conformal(0.05),
    "certified auto": Certified,
    "certified 10 % at 90 %": lambda: Certified(0.1, 0.9),
    "each_class 10 %": lambda: EachClass(0.1),
    "few_shot": FewShot,
    "fixed": lambda: Fixed(0.9),
    "quantile 0.9": lambda: Quantile(0.9),
    "sigma": Sigma,
    "bootstrap 10 %": lambda: Bootstrap(0.1),
    "tail 2 %": lambda: Tail(0.02),
    "triage 20 % and 5 %": lambda: Triage(0.2, 0.05),
    "triage 20 % and 10 % at 80 %": lambda: Triage(0.2, 0.1, 0.8),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", MAKERS)
def test_rule(name, check):
    check(MAKERS[name])


def test_every_registered_rule_is_in_the_list_above():
    assert {type(make()) for make in MAKERS.values()} == set(RULES.values())


def test_check_rule_runs_all_checks_and_steps_over_those_that_do_not_apply():
    check_rule(lambda: Fixed(0.9))


class TooGreedy(Conformal):
    """Takes one rank more than the promise allows."""

    def _rank(self, alpha, n):
        return min(n, super()._rank(alpha, n) + 1)


class Forgetful(Conformal):
    """Calibrates itself instead of a copy."""

    def calibrate(self, normal, lots=None):
        self._normal = np.sort(normal.image)
        return self


class Crowded(Conformal):
    """Takes parts for evidence where lots are."""

    def _rank_by_lot(self, alpha):
        return self._rank(alpha, self.n)


class Normaliser(Conformal):
    """Looks at the other images of the batch."""

    def p_value(self, scores):
        return super().p_value(scores - np.mean(scores))


class Optimist(Conformal):
    """Forgets the new image itself: p-values reach zero."""

    def p_value(self, scores):
        return super().p_value(scores) - 1 / (self.n + 1)


class Upside(Conformal):
    """Takes small scores for strange."""

    def p_value(self, scores):
        return super().p_value(-scores)


class Careless(Conformal):
    """Accepts any number of images."""

    def resolve(self, n, unit=""):
        return self.config()["alpha"]

    def _rank(self, alpha, n):
        return max(1, super()._rank(alpha, n))


class Silent(Conformal):
    """Tells nobody its n."""

    def statement(self):
        return "at most a few false alarms"


class Boastful(FewShot):
    """Knows no rate, and gives p-values all the same."""

    p_value = Conformal.p_value

    def __init__(self, _=0):
        super().__init__()


class Lossy(Conformal):
    """Forgets an argument."""

    def __init__(self, alpha=0.2):
        super().__init__(alpha)

    def config(self):
        return {}


class Lazy(Triage):
    """Asks about more parts than it promises."""

    def __init__(self, alpha):
        super().__init__(4 * alpha, alpha)

    def config(self):
        return {"alpha": self.reject}

    @property
    def review_threshold(self):
        return float(self.normal[-min(self.n, 2 * int(self.accept * self.n))])


class Crossed(Lazy):
    """Asks about parts that it rejects."""

    @property
    def review_threshold(self):
        return float(self.normal[-1]) + 1


class Undecided(Lazy):
    """Says anomalous and for review of the same part."""

    @property
    def review_threshold(self):
        return float(self.normal[0])

    def decide(self, scores):
        decision = super().decide(scores)
        return dataclasses.replace(decision, review=decision.review | decision.label)


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (TooGreedy, "false alarms of"),
        (Forgetful, "must return a new rule"),
        (Crowded, "equal parts of a lot move the threshold"),
        (Normaliser, "in a batch of"),
        (Optimist, r"below 1/\(n\+1\)"),
        (Upside, "larger p-value"),
        (Careless, "false alarms of"),
        (Silent, "is not in 'at most a few"),
        (Lossy, "decides otherwise"),
        (Boastful, "where none may be"),
        (Lazy, "good images not accepted"),
        (Crossed, "is above the threshold"),
        (Undecided, "both anomalous and for review"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_dishonest_rule_is_caught(rule, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_rule(lambda: rule(0.05))
