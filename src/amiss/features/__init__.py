"""Frozen pretrained networks and what is made of their feature maps."""

from amiss.features.extractor import FeatureExtractor, create_backbone, whole_cells
from amiss.features.patches import on_deepest_grid, patch_descriptors, spreads

__all__ = ["FeatureExtractor", "create_backbone", "on_deepest_grid", "patch_descriptors", "spreads", "whole_cells"]
