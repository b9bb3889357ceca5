"""Plan, prove, watch: parts to collect, a certificate on parts never seen, and a chart of the line."""

import amiss
from amiss import Images
from amiss.data import Dataset
from amiss.evaluation import certify
from amiss.monitoring import Stream, monitor
from amiss.rules.planning import plan
from amiss.testing import toy_part

print("good parts that show 5 %:", [(row.events, row.n) for row in plan(0.05).rows], "(false alarms, parts)")

inspector = amiss.fit(toy_part(120, seed=0).images, preset="tiny", size=64, calibration=0.5)
good, defective = toy_part(60, seed=1).images, toy_part(20, seed=2, defective=True).images
tested = Dataset("toy", Images([]), Images([*good, *defective]), ("good",) * 60 + ("dent",) * 20)
shown = certify(inspector, tested)
print("false alarms:", shown.false_alarms.rate, f"so at most {shown.false_alarms.bound:.3f}")
print("escapes:     ", shown.escapes.rate, f"so at most {shown.escapes.bound:.3f}")

line = [*toy_part(80, seed=3).images, *toy_part(30, seed=4, defective=True).images]
scores = [verdict.score for verdict in inspector.inspect(Images(line))]
found = monitor(Stream(scores), inspector.rule.normal, threshold=inspector.rule.threshold)
print(found.diagnosis.text)
