"""One quantity of a benchmark, measured several times."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


class UnavailableError(Exception):
    """A part of the benchmark lacks what it compares with; the message says what and why."""


@dataclass(frozen=True)
class Measurement:
    """Values of one quantity, one per round; ``aim`` is the least value wanted, or the most where ``below``."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)
    aim: float | None = None
    below: bool = False

    def summary(self) -> dict[str, Any]:
        """Return median, smallest and largest value, and whether the median reaches the aim (None without)."""
        middle = median(self.values)
        reached = None if self.aim is None else bool(middle <= self.aim if self.below else middle >= self.aim)
        return {"median": middle, "smallest": min(self.values), "largest": max(self.values), "reached": reached}

    def __str__(self) -> str:
        row = self.summary()
        line = f"{self.name:58} {row['median']:8.4g} {self.unit:10} [{row['smallest']:.4g}, {row['largest']:.4g}]"
        if self.aim is None:
            return line
        return f"{line}  aim: {'at most' if self.below else 'at least'} {self.aim:g}, {_ANSWERS[bool(row['reached'])]}"


_ANSWERS = {True: "reached", False: "missed"}


def time_in_turn(
    calls: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Time calls in turn: in each round one after the other, after a first round that is not counted.

    Returns:
        For each call its seconds, one per round.
    """
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, seconds in zip(calls, times, strict=True):
            started = clock()
            call()
            if number > 0:
                seconds.append(clock() - started)
    return times


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Divide round by round."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]
