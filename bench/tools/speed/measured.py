"""One number of a benchmark, measured several times."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


class UnavailableError(Exception):
    """What a part of the benchmark compares with is not here; the message says what and why."""


@dataclass(frozen=True)
class Measured:
    """Values of one quantity, one per round, and what is aimed at: at least, or at most where ``below``."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)
    aim: float | None = None
    below: bool = False

    def summary(self) -> dict[str, Any]:
        """Median, smallest and largest value; whether the median reaches the aim, None without one."""
        middle = median(self.values)
        reached = None if self.aim is None else bool(middle <= self.aim if self.below else middle >= self.aim)
        return {"median": middle, "smallest": min(self.values), "largest": max(self.values), "reached": reached}

    def __str__(self) -> str:
        told = self.summary()
        line = f"{self.name:58} {told['median']:8.4g} {self.unit:10} [{told['smallest']:.4g}, {told['largest']:.4g}]"
        if self.aim is None:
            return line
        return f"{line}  aim: {'at most' if self.below else 'at least'} {self.aim:g}, {_ANSWERS[bool(told['reached'])]}"


_ANSWERS = {True: "reached", False: "missed"}


def in_turn(
    calls: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Seconds that each call takes, per round: in each round one after the other, after one that is not counted."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, taken in zip(calls, times, strict=True):
            started = clock()
            call()
            if number > 0:
                taken.append(clock() - started)
    return times


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(one, other, strict=True)]
