"""Where a sweep's work is done: in this process, in several on this machine (one per GPU), or on a Ray cluster.

All of them run the same functions (:mod:`splitbench.bench.run.worker`), which leave what they make in the run's
folder; so the rows are the same whoever runs them.
"""

from splitbench.bench.run.executors.base import Executor, LostError
from splitbench.bench.run.executors.choose import Choice, opened
from splitbench.bench.run.executors.local import Here, Processes

__all__ = ["Choice", "Executor", "Here", "LostError", "Processes", "opened"]
