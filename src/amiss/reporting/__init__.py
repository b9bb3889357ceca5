"""What people look at: overlays, result files, and the report."""

from amiss.reporting.certificate_page import write_certificate
from amiss.reporting.journal import Journal
from amiss.reporting.overlay import ColourScale, outline, overlay
from amiss.reporting.report import write_report
from amiss.reporting.results import ResultsWriter

__all__ = ["ColourScale", "Journal", "ResultsWriter", "outline", "overlay", "write_certificate", "write_report"]
