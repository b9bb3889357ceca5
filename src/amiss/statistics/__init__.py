"""Ingredient 2: pure tensor functions from descriptors to scores."""
