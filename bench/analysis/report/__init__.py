"""The report on runs: one HTML file that needs no other file, no network and no library."""

from splitbench.bench.analysis.report.contents import MARK, write_report

__all__ = ["MARK", "write_report"]
