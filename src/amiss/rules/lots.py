"""What lots show about the next lot: bounds of the false-alarm rate with the lot as the unit of evidence.

Lots are drawn like those to come; in lot j a share z_j of the parts raises an alarm. The rate among parts of new lots
is the mean of z over all lots, numbers in [0, 1] of which L are known. Its distribution given these is taken as that of
D_0 + sum D_j z_j with (D_0, ..., D_L) ~ Dirichlet(1, ..., 1): the next lot weighs as much as each known one, and is
taken to alarm throughout. Its mean, (1 + sum z_j) / (L + 1), is the bound of hierarchical conformal prediction (Lee,
Barber and Willett 2023) and of conformal risk control (Angelopoulos et al. 2022); its quantile is the bound of Gaffke
(2005). With one part per lot it is the Beta distribution of an order statistic, and the bound that of Clopper and
Pearson.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amiss.core.rule import Rule
from amiss.rules.ranks import false_alarm_bound

Floats = NDArray[np.float64]

ESTIMATED = 0.2
"""Share of the error of a bound that weights may use up when they are known: the rest is for estimating them."""

DRAWS = 10_000
"""Of the weights of weighted scores: the confidence of a bound is then certain to half a point."""


def chance_above(shares: Floats, rate: float) -> float:
    """P(D_0 + sum D_j z_j > rate): the doubt that the rate among parts of new lots is at most `rate`.

    D is a vector of exponential numbers over their sum, so this is P(sum p_i E_i > sum q_j E_j) with p = z - rate of
    the lots above the rate (and 1 - rate of the next one), and q = rate - z of those below. Let the exponential numbers
    of one p and one q run against each other: p's part outlasts q's with probability p / (p + q), and what is left of
    it is exponential again. So the chance for i and j of them is a mean of those for i, j - 1 and i - 1, j.

    Args:
        shares: Share of each lot above the threshold, (L,) in [0, 1].
        rate: In (0, 1).

    Example:
        >>> round(chance_above(np.zeros(59), 0.05), 4)  # 0.95^59
        0.0485
    """
    excess = (np.append(shares, 1.0) - rate).tolist()
    below = [-q for q in excess if q < 0]
    chances = [0.0] * (len(below) + 1)  # for no lot above, and the first j of those below
    for p in (p for p in excess if p > 0):
        chance, one_more = 1.0, [1.0]
        for q, without in zip(below, chances[1:], strict=True):
            chance = (p * chance + q * without) / (p + q)
            one_more.append(chance)
        chances = one_more
    return chances[-1]


def new_lots_bound(shares: Floats, confidence: float = 0.95) -> float:
    """Upper bound of the false-alarm rate among parts of new lots, from the shares of known lots.

    Args:
        shares: Share of each lot above the threshold, (L,) in [0, 1].
        confidence: In (0, 1).

    Example:
        >>> round(new_lots_bound(np.zeros(20)), 3), round(new_lots_bound(np.full(20, 0.04)), 3)
        (0.139, 0.174)
    """
    if bool(((shares == 0) | (shares == 1)).all()):
        count = int(shares.sum())
        return 1.0 if count == len(shares) else false_alarm_bound(count + 1, len(shares), confidence)
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        rate = (low + high) / 2
        low, high = (rate, high) if chance_above(shares, rate) > 1 - confidence else (low, rate)
    return high


def weighted_bound(weights: Floats, count: int, confidence: float = 0.95) -> float:
    """Upper bound of the false-alarm rate where calibration scores are weighted, ascending, and the next part weighs 1.

    The quantile of (D_0 + sum D_i w_i z_i) / (D_0 + sum D_i w_i), with z_i = 1 for the `count` largest scores: Gaffke's
    bound for the mean of w (z - rate), which is 0 at the true rate. From 10,000 draws of D, always the same.

    Args:
        weights: Of each score, ascending in the score, (n,).
        count: How many lie above the threshold.
        confidence: In (0, 1).

    Example:
        >>> round(weighted_bound(np.ones(59), 0), 2), round(weighted_bound(np.full(59, 2.0), 0), 2)
        (0.05, 0.03)
    """
    rng, drawn = np.random.default_rng(0), []
    for _ in range(DRAWS // 500):
        parts = rng.standard_exponential((500, len(weights)))
        next_one = rng.standard_exponential(500)
        above = next_one + parts[:, len(weights) - count :] @ weights[len(weights) - count :]
        drawn.append(above / (next_one + parts @ weights))
    return float(np.quantile(np.concatenate(drawn), confidence))


def rate_bound(rule: Rule, count: int, confidence: float = 0.95) -> float:
    """Upper bound of the false-alarm rate of a threshold that the `count` largest calibration scores lie above.

    For parts that of Clopper and Pearson, exact for a threshold that was given and for an order statistic. For one
    computed from the scores, such as their mean and standard deviations, it is checked by simulation.

    Args:
        rule: Calibrated.
        count: How many of its calibration scores lie above the threshold.
        confidence: In (0, 1).
    """
    if rule.weights is not None:
        return weighted_bound(rule.weights, count, 1 - (1 - confidence) * ESTIMATED)
    return new_lots_bound(rule.top(count), confidence)


def basis(rule: Rule) -> str:
    """What a promise rests on, in words.

    Example:
        >>> from amiss.core.scores import Scores
        >>> from amiss.rules.conformal import Conformal
        >>> basis(Conformal(0.1).calibrate(Scores(np.arange(9))))
        'n = 9 good images'
    """
    lots = "" if rule.lots is None or not rule.by_lot else f" of {rule.units} {'lot' if rule.units == 1 else 'lots'}"
    return f"n = {rule.n} good images{lots}"


def whose(rule: Rule) -> str:
    """ " of new lots" where the promise is for those, to be read after "parts"."""
    return " of new lots" if rule.by_lot else ""


def one_of_each(rule: Rule, seed: int = 0) -> NDArray[np.float32]:
    """One calibration score of each lot, drawn at random, ascending: independent draws of parts of new lots.

    All scores where the unit is the part.
    """
    if rule.lots is None or not rule.by_lot:
        return rule.normal
    order = np.random.default_rng(seed).permutation(rule.n)
    _, first = np.unique(rule.lots.numbers[order], return_index=True)
    return np.sort(rule.normal[order[first]])


def would_be_rejected(rule: Rule) -> str:
    """For people who count parts, where no rate is promised: what was seen."""
    if rule.n == 0:
        return "How many good parts will be rejected is not known."
    return f"{int((rule.normal > np.float32(rule.threshold)).sum())} of {rule.n} good parts would have been rejected."
