"""The engine of a line: parts come in, each is judged once, and every verdict is on disk before it is answered.

It needs the extra "station", and knows nothing of HTTP.
"""

from amiss.station.engine import Station
from amiss.station.jobs import Answer, Job, Ticket

__all__ = ["Answer", "Job", "Station", "Ticket"]
