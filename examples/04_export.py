"""What runs on the line: the graph inside an artefact, used with nothing but NumPy and ONNX Runtime."""

import numpy as np

import amiss
from amiss.runtime import Graph
from amiss.testing import toy_part

inspector = amiss.fit(toy_part(40, seed=0).images, preset="tiny", size=64)
graph = Graph(inspector.parts.graph)  # yours: the file model.onnx of the artefact
pixels = np.stack(list(toy_part(2, seed=1, defective=True).images))  # uint8 (N, 64, 64, 3)

scores = graph.run(pixels)
print("scores", scores.image, "threshold", inspector.rule.threshold)
print("alarms", inspector.decide(scores).label)
