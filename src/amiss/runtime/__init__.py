"""Run an exported graph on the line."""

from amiss.runtime.graph import Graph, threads

__all__ = ["Graph", "threads"]
