"""`Sentence`: what the product claims about parts nobody has seen yet, and the simulation that backs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sentence:
    """A template of one or two printed sentences that claim something: a rate, a bound, an interval, a confidence.

    Every one is a constant at the top of the module that prints it. `docs/generate.py` lists them in
    ``docs/theory/sentences.md``, and a test (`tests/architecture/test_sentences.py`) finds claims that are not one.

    Args:
        template: The words, with fields in braces as `str.format` fills them. Rates and confidences are written by
            `amiss.core.words`.
        backed_by: What shows that it is true as worded. A test, ``tests/room/test_file.py::test_name``; or a case of
            a simulation, ``bench/promises.py NAME``, whose figures are kept under that name in
            ``docs/results/promises.json``.

    Example:
        >>> bound = Sentence("At most {bound} of good parts raise an alarm.", "tests/rules/test_x.py::test_bound")
        >>> bound(bound="5 %")
        'At most 5 % of good parts raise an alarm.'
    """

    template: str
    backed_by: str

    def __call__(self, **values: Any) -> str:
        return self.template.format(**values)
