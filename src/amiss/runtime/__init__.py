"""Run an exported graph on the line."""

from amiss.runtime.choice import BACKENDS, fastest_runs, installed, open_graph
from amiss.runtime.graph import Graph

__all__ = ["BACKENDS", "Graph", "fastest_runs", "installed", "open_graph"]
