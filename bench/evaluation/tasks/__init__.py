"""The tasks, one file each; ``task.py`` says what a task is."""

from splitbench.bench.evaluation.tasks.classification import Classification
from splitbench.bench.evaluation.tasks.detection import Detection
from splitbench.bench.evaluation.tasks.task import Scored, Task

__all__ = ["Scored", "Task", "get"]

_TASKS: dict[str, Task] = {task.name: task for task in (Classification(), Detection())}


def get(name: str) -> Task:
    """Return the task of that name."""
    return _TASKS[name]
