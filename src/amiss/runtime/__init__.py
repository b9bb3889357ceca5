"""Run an exported graph on the line."""

from amiss.runtime.choice import BACKENDS, fastest_runs, installed, open_graph
from amiss.runtime.graph import Graph
from amiss.runtime.tiles import Tiles, score_tiles

__all__ = ["BACKENDS", "Graph", "Tiles", "fastest_runs", "installed", "open_graph", "score_tiles"]
