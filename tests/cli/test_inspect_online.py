"""`amiss inspect --batch --shift`: the parts that LOND names, in words and as JSON."""

import json

import numpy as np

from amiss.core.lots import Lots
from amiss.core.scores import Scores
from amiss.rules import Conformal, EachClass
from amiss.rules.online import OnlineDiscovery
from amiss.testing import toy_part, write_images


def test_part_by_part(tmp_path, amiss):
    import amiss as library

    inspector = library.fit(toy_part(60, seed=0).images, preset="tiny", size=64, calibration=0.7)
    inspector.save(tmp_path / "m.amiss")
    write_images(tmp_path / "images", [*toy_part(3, seed=1).images, *toy_part(3, seed=2, defective=True).images])
    words = ["inspect", tmp_path / "m.amiss", tmp_path / "images", "--batch", "20%", "--shift", "3"]
    code, out, _ = amiss(*words, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    told = next(line["online"] for line in lines if "online" in line)
    procedure = OnlineDiscovery(0.2, 3, inspector.rule.n)
    verdicts = list(inspector.inspect(tmp_path / "images"))
    assert code == 0 and told["named"] == [v.name for v in verdicts if procedure.decide(v.p_value)]
    assert told["judged"] == 6 and told["warning"] == procedure.warning
    code, out, _ = amiss(*words)
    assert code == 0 and "in a shift of 3 parts on average at most 20 %" in out
    code, _, err = amiss("inspect", tmp_path / "m.amiss", tmp_path / "images", "--shift", "3")
    assert code == 2 and "--shift must come with --batch" in err


def test_the_warning_counts_what_the_smallest_p_value_comes_from(tmp_path, amiss):
    import amiss as library
    from amiss.data import Origin

    origins = [Origin(lot=f"L{number // 2}") for number in range(24)]
    options = {"method": "padim", "preset": "tiny", "size": 64, "calibration": "folds:2", "origins": origins}
    library.fit(toy_part(24, seed=0).images, **options).save(tmp_path / "m.amiss")
    write_images(tmp_path / "images", [*toy_part(4, seed=1).images])
    for words in ((), ("--shift", "4")):
        code, out, _ = amiss("inspect", tmp_path / "m.amiss", tmp_path / "images", "--batch", "10%", *words)
        assert code == 0 and "No p-value is below 0.077: 12 lots" in out
        assert "Mind: n = 12 calibration lots: the smallest p-value is 0.0769" in out


def test_the_resolution_of_a_rule():
    normal = Scores(np.arange(24), classes=np.arange(24) % 4 // 3)
    assert Conformal(0.1).calibrate(normal).resolution == 24
    assert Conformal(0.1).calibrate(normal, Lots(np.arange(24) // 2)).resolution == 12
    assert EachClass(0.2).calibrate(normal).resolution == 6
