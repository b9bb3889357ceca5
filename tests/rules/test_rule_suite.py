"""Every rule passes every check of `amiss.testing`, and the suite catches dishonest ones."""

import numpy as np
import pytest

from amiss.rules import RULES, Certified, Conformal, Fixed
from amiss.testing import check_rule
from amiss.testing.rule_checks import CHECKS

MAKERS = {
    "conformal auto": Conformal,
    "conformal 5 %": lambda: Conformal(0.05),
    "certified auto": Certified,
    "certified 10 % at 90 %": lambda: Certified(0.1, 0.9),
    "fixed": lambda: Fixed(0.9),
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

    def calibrate(self, normal):
        self._normal = np.sort(normal.image)
        return self


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

    def resolve(self, n):
        return self.config()["alpha"]

    def _rank(self, alpha, n):
        return max(1, super()._rank(alpha, n))


class Silent(Conformal):
    """Tells nobody its n."""

    def statement(self):
        return "at most a few false alarms"


class Lossy(Conformal):
    """Forgets an argument."""

    def config(self):
        return {}


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (TooGreedy, "false alarms of"),
        (Forgetful, "must return a new rule"),
        (Normaliser, "in a batch of"),
        (Optimist, r"below 1/\(n\+1\)"),
        (Upside, "larger p-value"),
        (Careless, "false alarms of"),
        (Silent, "is not in 'at most a few"),
        (Lossy, "decides otherwise"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_dishonest_rule_is_caught(rule, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_rule(lambda: rule(0.05))
