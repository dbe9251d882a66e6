"""What people follow trainings and results with: one file for each tool, chosen by ``--log-to``.

A run sends two things to its loggers, and knows no tool: the measures of each epoch of a training, and the final row of
each cell. A tool that breaks is left out from there on, with a warning: no result depends on it.
"""

from splitbench.bench.run.loggers.choose_loggers import LOGGERS, check_loggers, open_loggers
from splitbench.bench.run.loggers.logger import Logger, Loggers

__all__ = ["LOGGERS", "Logger", "Loggers", "check_loggers", "open_loggers"]
