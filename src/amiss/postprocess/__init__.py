"""Post-processing: score filters before the rule, mask filters and regions after it."""

from amiss.postprocess.mask_filters import MASK_FILTERS, MaskFilter, MinArea, create_mask_filter
from amiss.postprocess.region_of_interest import RegionOfInterest, read_region
from amiss.postprocess.regions import find_regions, resize_regions
from amiss.postprocess.score_filters import (
    SCORE_FILTERS,
    IgnoreBorder,
    ScoreFilter,
    apply_score_filters,
    create_score_filter,
)

__all__ = [
    "MASK_FILTERS",
    "SCORE_FILTERS",
    "IgnoreBorder",
    "MaskFilter",
    "MinArea",
    "RegionOfInterest",
    "ScoreFilter",
    "apply_score_filters",
    "create_mask_filter",
    "create_score_filter",
    "find_regions",
    "read_region",
    "resize_regions",
]
