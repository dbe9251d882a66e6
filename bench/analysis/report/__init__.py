"""One HTML file that says what runs found; reading it takes no other file, no network and no library."""

from splitbench.bench.analysis.report.page import write_report

__all__ = ["write_report"]
