"""The tasks, one file each; ``task.py`` says what a task is."""

from splitbench.bench.evaluation.tasks.classification import Classification
from splitbench.bench.evaluation.tasks.detection import Detection
from splitbench.bench.evaluation.tasks.task import EvaluationTask, Scored

__all__ = ["EvaluationTask", "Scored", "get"]

_TASKS: dict[str, EvaluationTask] = {task.name: task for task in (Classification(), Detection())}


def get(name: str) -> EvaluationTask:
    """Return the task of that name."""
    return _TASKS[name]
