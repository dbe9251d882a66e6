"""Tasks: what the evaluator and the tables know of one. ``base.py`` says what a task is; one file per task."""

from splitbench.bench.evaluation.tasks.base import Scored, Task
from splitbench.bench.evaluation.tasks.classification import Classification
from splitbench.bench.evaluation.tasks.detection import Detection

__all__ = ["Scored", "Task", "get"]

_TASKS: dict[str, Task] = {task.name: task for task in (Classification(), Detection())}


def get(name: str) -> Task:
    """The task of that name, as datasets and sweeps call it."""
    return _TASKS[name]
