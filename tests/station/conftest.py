"""What the tests of stations share."""

from tests.station.toy_station import inspector, model, shared, station

__all__ = ["inspector", "model", "shared", "station"]
