"""Frozen pretrained networks and what is made of their feature maps."""

from amiss.features.extractor import FeatureExtractor, create_backbone, whole_cells
from amiss.features.patches import patch_descriptors

__all__ = ["FeatureExtractor", "create_backbone", "patch_descriptors", "whole_cells"]
