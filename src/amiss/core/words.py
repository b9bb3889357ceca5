"""How a share of 1 is written for a person: one way for what was counted, one for a bound."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal


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
    """A rate that was asked for, or a bound of one: three digits, rounded up so that a bound stays one.

    Example:
        >>> percent(0.01), percent(0.0123401), percent(0.1)
        ('1 %', '1.24 %', '10 %')
    """
    value = Decimal(repr(round(rate * 100, 9)))
    if value == 0:
        return "0 %"
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - 2), rounding=ROUND_CEILING)
    text = f"{rounded:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
