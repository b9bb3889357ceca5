"""Watching a line: has the process, the light or the camera changed, and since which part? No torch."""

from amiss.monitoring.assess import CHARTS, monitor
from amiss.monitoring.change import Stretch, autocorrelation, find_change, find_rate_change
from amiss.monitoring.charts import AlarmRate, Cusum, Ewma
from amiss.monitoring.design import Design
from amiss.monitoring.health import Health, measure_health
from amiss.monitoring.martingale import Martingale
from amiss.monitoring.normal_score import normal_scores
from amiss.monitoring.outcome import Alarm, ChartRun, Diagnosis, HealthRun, Monitoring
from amiss.monitoring.stream import Stream, read_results

__all__ = [
    "CHARTS",
    "Alarm",
    "AlarmRate",
    "ChartRun",
    "Cusum",
    "Design",
    "Diagnosis",
    "Ewma",
    "Health",
    "HealthRun",
    "Martingale",
    "Monitoring",
    "Stream",
    "Stretch",
    "autocorrelation",
    "find_change",
    "find_rate_change",
    "measure_health",
    "monitor",
    "normal_scores",
    "read_results",
]
