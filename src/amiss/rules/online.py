"""Decide part by part so that of those called anomalous in a shift at most a stated share is good, on average."""

from __future__ import annotations

import math

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError


class OnlineDiscovery:
    """LOND (Javanmard and Montanari 2015) over shifts of a stated length: no part waits for a later one.

    In a shift of m parts, a part is called anomalous when its p-value is at most (d + 1) rate / m, where d is the
    number of parts that were called so earlier in the shift. A new shift starts at d = 0.

    Assumes p-values that depend on each other positively (PRDS), as conformal p-values that share a calibration set do
    (Bates et al. 2023): there LOND controls the false discovery rate of every shift (Zrnic, Ramdas and Jordan 2021).
    LORD++ and SAFFRON are proven for independent p-values only, and their levels soon fall below the smallest conformal
    p-value: with 2 % of defects LOND finds 77 % of them in bench/online.py, and
    they find 5 and 6 %.

    Args:
        rate: False discovery rate in (0, 1), of every shift.
        shift: Parts in a shift, at least 1.
        n: Number of calibration images behind the p-values, whose smallest value is 1 / (n + 1); None when not known.
        units: What n counts, for the warning.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> shift = OnlineDiscovery(rate=0.1, shift=4)
        >>> [shift.decide(p) for p in (0.02, 0.04, 0.5, 0.08, 0.04)]
        [True, True, False, False, False]
    """

    def __init__(self, rate: float, shift: int, n: int | None = None, units: str = "images") -> None:
        self.rate = check_rate("rate", rate)
        self.shift = check_count("shift", shift)
        self.n = None if n is None else check_count("n", n)
        self.units = units
        self.judged = self.named = 0
        self._in_shift = self._found = 0

    @property
    def level(self) -> float:
        """The next part is called anomalous when its p-value is at most this."""
        found = 0 if self._in_shift == self.shift else self._found
        return (found + 1) * self.rate / self.shift

    def decide(self, p_value: float | None) -> bool | None:
        """Whether this part is called anomalous.

        Args:
            p_value: In [0, 1]; None or NaN for an image in error, which is not judged but takes its place in the shift.

        Returns:
            None for an error.

        Raises:
            InputError: A p-value outside [0, 1].
        """
        error = p_value is None or math.isnan(p_value)
        if not error and not 0 <= float(p_value or 0.0) <= 1:
            raise InputError(f"p-values must be between 0 and 1, got {p_value!r}")
        level = self.level
        if self._in_shift == self.shift:
            self._in_shift = self._found = 0
        self._in_shift += 1
        if error:
            return None
        named = float(p_value or 0.0) <= level * (1 + 1e-12)
        self.judged += 1
        self.named += named
        self._found += named
        return named

    @property
    def warning(self) -> str:
        """What the number of calibration images makes impossible; "" when nothing."""
        if self.n is None or self.rate / self.shift >= 1 / (self.n + 1):
            return ""
        needed, units = math.ceil(self.shift / self.rate - 1 - 1e-9), self.units
        return (
            f"n = {self.n} calibration {units}: the smallest p-value is {1 / (self.n + 1):.3g}, above the level "
            f"of the first find, {self.rate / self.shift:.3g}, so no part can be called anomalous. {needed} {units} "
            "are needed, or a shorter shift, or a larger rate."
        )
