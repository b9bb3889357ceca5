"""Choose the promise: another rule on the same scores, and calibration on new good parts. Nothing is learned again."""

import amiss
from amiss import Certified, Conformal
from amiss.core.errors import CalibrationError
from amiss.testing import toy_part

inspector = amiss.fit(toy_part(80, seed=0).images, preset="tiny", size=64, calibration=0.5)
print("as fitted:  ", inspector.statement())
print("10 % do:    ", inspector.with_rule(Conformal(alpha=0.10)).statement())
print("certified:  ", inspector.with_rule(Certified(alpha="auto", confidence=0.95)).statement())

try:
    inspector.with_rule(Conformal(alpha=0.001))
except CalibrationError as error:
    print("too strict: ", error)

later = toy_part(120, seed=1).images  # good parts collected on the line since then
print("recalibrated:", inspector.calibrate(later).statement())
