"""Learn from good images, save, load, inspect. Runs in seconds on images that Amiss draws itself."""

from pathlib import Path
from tempfile import TemporaryDirectory

import amiss
from amiss.testing import toy_part

good = toy_part(40, seed=0).images  # yours: Images("good_parts")
new = toy_part(3, seed=1, defective=True).images

inspector = amiss.fit(good, preset="tiny", size=64)  # leave preset and size out for real images
print(inspector.statement())

with TemporaryDirectory() as folder:
    path = Path(folder) / "part.amiss"
    inspector.save(path)
    for verdict in amiss.load(path).inspect(new):
        print(verdict.name, verdict.label, f"p = {verdict.p_value:.3f}", verdict.regions[:1])
