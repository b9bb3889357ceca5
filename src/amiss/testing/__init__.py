"""For the tests of Amiss and of its plug-ins: a toy world, its files, and what every detector and rule must satisfy."""

from typing import Any

from amiss.testing.mvtec import write_image, write_images, write_mvtec
from amiss.testing.toy import ToyWorld, toy_classes, toy_part, toy_texture

__all__ = [
    "ToyWorld",
    "check_detector",
    "check_rule",
    "toy_classes",
    "toy_part",
    "toy_texture",
    "write_image",
    "write_images",
    "write_mvtec",
]


def __getattr__(name: str) -> Any:
    if name == "check_detector":
        from amiss.testing.detector_checks import check_detector

        return check_detector
    if name == "check_rule":
        from amiss.testing.rule_checks import check_rule

        return check_rule
    raise AttributeError(f"module 'amiss.testing' has no attribute {name!r}")
