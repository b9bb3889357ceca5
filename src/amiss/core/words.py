"""How numbers are written for a person so that nothing is claimed that was not shown.

What was counted is rounded to the nearest, an upper bound up, a lower bound and a confidence down, and an interval both
ways.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext


def counted_percent(share: float) -> str:
    """A share that was counted or estimated: a tenth of a per cent, and two digits where that would read 0 or 100.

    Example:
        >>> counted_percent(0.025), counted_percent(0.00004), counted_percent(1.0), counted_percent(math.nan)
        ('2.5 %', '0.0040 %', '100.0 %', 'unknown')
    """
    return "unknown" if math.isnan(share) else f"{100 * share:.{_decimals(share)}f} %"


def low_to_high(ends: tuple[float, float], form: str = "%") -> str:
    """An interval, its lower end rounded down and its upper end up, so that what is written holds as often as it.

    Args:
        ends: Lower and upper end.
        form: "%" for shares, as `counted_percent` writes them; otherwise how `format` is to write a number: ".4f",
            "+.4f", ".4g", or "+.1%" for a difference of shares.

    Example:
        >>> low_to_high((0.0052, 0.07126)), low_to_high((0.91239, 1.0), ".4f"), low_to_high((-0.0123, 0.02), "+.1%")
        ('0.5 to 7.2 %', '0.9123 to 1.0000', '-1.3 to +2.0 %')
    """
    return f"{rounded_down(ends[0], form).removesuffix(' %')} to {rounded_up(ends[1], form)}"


def rounded_down(value: float, form: str = "%") -> str:
    """A lower bound; `form` as for `low_to_high`.

    Example:
        >>> rounded_down(-0.0123, "+.1%"), rounded_down(0.99999), rounded_down(12.39, ".1f")
        ('-1.3 %', '99.9990 %', '12.3')
    """
    return _rounded(value, form, ROUND_FLOOR)


def rounded_up(value: float, form: str = "%") -> str:
    """An upper bound; `form` as for `low_to_high`.

    Example:
        >>> rounded_up(0.0101), rounded_up(12.31, ".1f"), rounded_up(math.inf, ".1f")
        ('1.1 %', '12.4', 'no limit')
    """
    return _rounded(value, form, ROUND_CEILING)


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


def _decimals(share: float) -> int:
    """Of a share in per cent: one, and two digits where that would read 0 or 100."""
    edge = round(100 * min(share, 1 - share), 12)
    return 1 if edge <= 0 or edge >= 0.1 else 1 - math.floor(math.log10(edge) + 1e-9)


def _rounded(value: float, form: str, rounding: str) -> str:
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "no limit"
    number = Decimal(f"{round(value, 12) + 0.0:.12g}")  # what is computed is not exact; the last bits are no digits
    form = f".{_decimals(value)}%" if form == "%" else form
    with localcontext() as context:
        context.rounding = rounding
        return format(number, form).lower().replace("%", " %")


def _three_digits(share: float, rounding: str, digits: int = 3) -> str:
    value = Decimal(repr(round(share * 100, 9)))
    if value == 0:
        return "0 %"
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() + 1 - digits), rounding=rounding)
    text = f"{rounded:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def about(seconds: float) -> str:
    """A time that is only known roughly.

    Example:
        >>> about(0.4), about(74), about(200), about(9000)
        ('about 1 s', 'about 75 s', 'about 3 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {max(1, round(seconds)) if seconds < 10 else 5 * round(seconds / 5)} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def megabytes(count: int) -> str:
    """Bytes as a person reads the size of a file.

    Example:
        >>> megabytes(14_230_000), megabytes(90_500)
        ('14.2 MB', '0.1 MB')
    """
    return f"{count / 1e6:.1f} MB"
