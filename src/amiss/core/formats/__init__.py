"""Image files before they are decoded: recognised by content, checked to be whole, and measured.

A decoder fills what it could not read with zeros or with whatever came before, and OpenCV does not say so. What the
format itself can tell (sizes, offsets, check sums, end marks) is therefore checked here, in one file per format.
"""

from amiss.core.formats.header import Header
from amiss.core.formats.table import read_header

__all__ = ["Header", "read_header"]
