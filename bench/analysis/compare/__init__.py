"""Compares methods from runs' CSVs: Pareto fronts, bytes for a drop, accuracy for bytes, BD-rate, costs, a summary.

Paired tests also need the per-image records beside the CSV; all else is made from the CSV alone.
"""

from splitbench.bench.analysis.compare.findings import ComparisonOptions, Findings, examine
from splitbench.bench.analysis.compare.output import Comparison, as_terminal_text, write
from splitbench.bench.analysis.compare.screen import as_screen_text

__all__ = [
    "Comparison",
    "ComparisonOptions",
    "Findings",
    "as_screen_text",
    "as_terminal_text",
    "examine",
    "write",
]
