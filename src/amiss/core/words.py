"""How a share of 1 is written for a person: what was counted, a bound (rounded up), a confidence (rounded down)."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def counted_percent(share: float) -> str:
    """A share that was counted or estimated: a tenth of a per cent, and two digits where that would read 0 or 100.

    Example:
        >>> counted_percent(0.025), counted_percent(0.00004), counted_percent(1.0), counted_percent(math.nan)
        ('2.5 %', '0.0040 %', '100.0 %', 'unknown')
    """
    if math.isnan(share):
        return "unknown"
    edge = 100 * min(share, 1 - share)
    decimals = 1 if edge <= 0 or edge >= 0.1 else 1 - math.floor(math.log10(edge))
    return f"{100 * share:.{decimals}f} %"


def percent(rate: float) -> str:
    """A rate that was asked for, or an upper bound of one: three digits, rounded up so that a bound stays one.

    Example:
        >>> percent(0.01), percent(0.0123401), percent(0.1)
        ('1 %', '1.24 %', '10 %')
    """
    return _three_digits(rate, ROUND_CEILING)


def sure(confidence: float) -> str:
    """A confidence, or a lower bound of a rate: rounded down, and with more digits rather than as 100 %.

    Example:
        >>> sure(0.95), sure(0.99999), sure(0.98765), sure(1.0)
        ('95 %', '99.999 %', '98.7 %', '100 %')
    """
    nines = math.ceil(-math.log10(max(1 - confidence, 1e-12)) - 1e-9)
    return _three_digits(confidence, ROUND_FLOOR, max(3, nines + 1))


def one_in(rate: float) -> str:
    """A rate, or an upper bound of one, for people who count parts; never written as less than it is.

    Example:
        >>> one_in(0.05), one_in(2 / 41), one_in(0.2371), one_in(0.00043)
        ('1 good part in 20', '1 good part in 20', '24 good parts in 100', '1 good part in 2,320')
    """
    if rate > 0.1:
        return f"{math.ceil(round(100 * rate, 9))} good parts in 100"
    parts = math.floor(round(1 / rate, 9))
    step = 10 ** max(0, len(str(parts)) - 3)
    return f"1 good part in {parts // step * step:,}"


def _three_digits(share: float, rounding: str, digits: int = 3) -> str:
    value = Decimal(repr(round(share * 100, 9)))
    if value == 0:
        return "0 %"
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() + 1 - digits), rounding=rounding)
    text = f"{rounded:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
