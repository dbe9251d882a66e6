"""Where tasks run: in this process, in several on this machine (one per GPU), or on a Ray cluster.

All of them run the same tasks (:mod:`splitbench.bench.run.tasks`), which leave what they make in the run's folder; so
the rows are the same whatever runs them.
"""

from splitbench.bench.run.executors.choose import ExecutorOptions, open_executor
from splitbench.bench.run.executors.executor import Executor, LostError
from splitbench.bench.run.executors.local import Here, Processes

__all__ = ["Executor", "ExecutorOptions", "Here", "LostError", "Processes", "open_executor"]
