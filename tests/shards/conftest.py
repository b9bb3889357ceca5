"""Fixtures of `toy_run` for every test here."""

from tests.shards.toy_run import inspector, model, table

__all__ = ["inspector", "model", "table"]
