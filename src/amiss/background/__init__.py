"""Ingredient 1: reusable models of normality."""
