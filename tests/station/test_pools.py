"""What a station says of the images of its pools."""

from dataclasses import replace

import amiss
from amiss.postprocess import MinArea
from amiss.rules import Fixed, Triage
from amiss.station.pools import _alarms
from amiss.testing import toy_part


def test_labels_are_those_of_verdicts_mask_filters_and_all() -> None:
    images = toy_part(20, seed=1).images
    made = amiss.fit(images, method="padim", preset="tiny", size=64, rule="conformal:20%")
    low, middle = made.with_rule(Fixed(-1.0)), made.with_rule(Triage(accept=0.5, reject=0.2))
    assert set(_alarms(low, images)) == {"anomalous"}
    assert set(_alarms(replace(low, mask_filters=(MinArea(64 * 64 + 1),)), images)) == {"good"}
    test = toy_part(12, seed=3).images
    assert _alarms(middle, test) == [str(verdict.label) for verdict in middle.inspect(test)]
