"""`Metrics`: what Prometheus reads. Counters live here; everything else is looked up when it is asked for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from amiss.ledger.events import Event

if TYPE_CHECKING:
    from amiss.station.engine import Station

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Counts verdicts and refusals."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.parts = Counter("amiss_parts", "Verdicts on disk.", ["recipe", "label"], registry=self.registry)
        self.refused = Counter("amiss_refused", "Parts that got no verdict.", ["why"], registry=self.registry)
        self.seconds = Histogram(
            "amiss_seconds", "Of each stage of a part.", ["stage"], buckets=SECONDS, registry=self.registry
        )
        self._last: float | None = None

    def heard(self, event: Event) -> None:
        """A verdict is on disk."""
        data = event.data
        self.parts.labels(data["recipe"], data["label"]).inc()
        for stage, ms in data["ms"].items():
            self.seconds.labels(stage).observe(ms / 1000)
        self._last = time.monotonic()

    def watch(self, station: Station) -> None:
        """Look up the rest in a station, whenever somebody asks."""
        self.registry.register(_State(station, self))

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    @property
    def age(self) -> float | None:
        """Seconds since the last verdict; None before the first."""
        return None if self._last is None else time.monotonic() - self._last


class _State:
    """What a station is like now."""

    def __init__(self, station: Station, metrics: Metrics) -> None:
        self._station, self._metrics = station, metrics

    def collect(self) -> Iterator[Metric]:
        station = self._station
        yield _gauge("amiss_queue_parts", "Parts on their way.", station.waiting)
        yield _gauge("amiss_chain_seq", "Number of the last event.", station.writer.head[0])
        yield _gauge("amiss_disk_free_bytes", "On the disk of the store.", shutil.disk_usage(station.store.folder).free)
        yield _gauge("amiss_healthy", "1 while every thread moves.", int(station.healthy()))
        if self._metrics.age is not None:
            yield _gauge("amiss_last_part_age_seconds", "Since the last verdict.", self._metrics.age)
        charts = GaugeMetricFamily("amiss_chart_alarm", "1 while a control chart alarms.", labels=["recipe"])
        sizes = GaugeMetricFamily("amiss_calibration_n", "Good parts behind the threshold.", labels=["recipe"])
        for one in station.recipes.all:
            charts.add_metric([one.recipe], int(station.charts.alarm.get(one.recipe, False)))
            sizes.add_metric([one.recipe], one.inspector.rule.n)
        yield charts
        yield sizes


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)
