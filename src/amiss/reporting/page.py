"""Pages for people: one HTML file each, with no scripts and nothing fetched. They share a look, `page.html.jinja`."""

from __future__ import annotations

import math
from typing import Any

from amiss.rules.ranks import percent as bound


def render(template: str, /, **context: Any) -> bytes:
    """The page of a template beside this file, complete, as bytes. An unknown name in the template is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("amiss.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, number=number, p_value=p_value, bound=bound, zip=zip)
    return environment.get_template(template).render(**context).encode("utf-8", "replace")


def percent(share: float) -> str:
    """A share of 1 for a person: a tenth of a per cent, and finer near 0 and 100.

    Example:
        >>> percent(0.025), percent(0.00004), percent(1.0)
        ('2.5 %', '0.004 %', '100.0 %')
    """
    if math.isnan(share):
        return "unknown"
    edge = 100 * min(share, 1 - share)
    decimals = 1 if edge <= 0 or edge >= 0.1 else -math.floor(math.log10(edge))
    return f"{100 * share:.{decimals}f} %"


def number(value: float, digits: int = 4) -> str:
    """A number with a fixed number of decimals."""
    return f"{value:.{digits}f}"


def p_value(value: float | None) -> str:
    """A p-value to two digits that count.

    Example:
        >>> p_value(0.0232558), p_value(None)
        ('0.023', 'none')
    """
    return "none" if value is None else f"{value:.2g}"
