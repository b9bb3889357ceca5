"""Run an exported graph on the line."""

from amiss.runtime.choice import BACKENDS, installed, open_graph
from amiss.runtime.graph import Graph

__all__ = ["BACKENDS", "Graph", "installed", "open_graph"]
