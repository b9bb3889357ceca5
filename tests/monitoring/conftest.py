"""Control limits that are found in a moment, for tests of what is done with them."""

import pytest

from amiss.monitoring import charts


@pytest.fixture(scope="module")
def rough_limits():
    """Limits from 200 calibration sets instead of thousands: certain to some percent. `test_design` has the real ones.

    Designs are kept from one call to the next, so they are forgotten before and after.
    """
    kept = charts._cusum_design, charts._ewma_design
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "sets_for", lambda n: 200)
        for design in kept:
            design.cache_clear()
        yield
    for design in kept:
        design.cache_clear()
