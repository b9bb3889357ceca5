"""Run an exported graph on the line."""

from amiss.runtime.graph import Graph
from amiss.runtime.tiles import Tiles, score_tiles

__all__ = ["Graph", "Tiles", "score_tiles"]
