"""`amiss inspect --batch --shift`: the parts that LOND names, in words and as JSON."""

import json

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
