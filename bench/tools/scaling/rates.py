"""Seconds per multiply-add, measured by a run of a small sweep.

The seconds per multiply-add (MAC) of a pass follow from all passes of the run together, coding and decoding of images
included. Those of a training, per image seen and MAC of the whole network, follow from each method's trainings,
separately for those that start anew and those that start with the weights of the rate point before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from splitbench.bench.tools.scaling.workload import measured_cells, number
from splitbench.bench.training.methods.trainings import Trainings
from splitbench.bench.utils.errors import UserError

SideMacs = tuple[float, float]
"""MACs of a head and of its tail, for one image."""


@dataclass(frozen=True)
class Rates:
    """Seconds per MAC.

    Attributes:
        passing: Of a pass, for every image.
        fixed: Of a pass, once: what does not grow with the images.
        training: Of a training, for every image seen, by (method, whether it starts anew).
    """

    passing: float
    fixed: float
    training: Mapping[tuple[str, bool], float] = field(default_factory=dict)

    def of_training(self, method: str, anew: bool) -> float:
        """Return the seconds per MAC and image of a method's trainings. Raises UserError if none was measured."""
        rate = self.training.get((method, anew))
        if rate is None:
            how = "anew" if anew else "with the weights of a rate point before (start: neighbour)"
            raise UserError(
                f"the run that was measured has no training of {method} that begins {how}: add one to it, or measure "
                "the bundled sweep `slice` (`splitbench run slice`, see `splitbench sweeps`)"
            )
        return rate


def measure_rates(run: Path) -> Rates:
    """Read the rates from a run's folder. Raises UserError if it holds no good cell."""
    reports = Trainings(run / "trainings", bundled=False)
    sides: dict[Any, list[SideMacs]] = defaultdict(list)
    passes: dict[Any, tuple[float, float, float]] = {}
    trainings: dict[tuple[str, bool], list[tuple[float, float]]] = defaultdict(list)
    for columns, settings in measured_cells(run):
        pass_ = columns.get("fingerprint"), settings.get("backbone")
        head, tail = number(columns, "macs_head"), number(columns, "macs_tail")
        sides[pass_].append((head, tail))
        fixed = number(columns, "fixed_seconds")
        passes[pass_] = number(columns, "images"), number(columns, "seconds") - fixed, fixed
        key = str(settings.get("training"))
        if reports.has(key):  # a bundled one was not measured
            anew = reports.report(key).get("neighbour") is None
            work = number(columns, "train_images") * (head + tail)
            trainings[str(columns["method"]), anew].append((number(columns, "train_seconds"), work))
    once = {pass_: pass_macs(macs) for pass_, macs in sides.items()}
    work = sum(images * once[pass_] for pass_, (images, _, _) in passes.items())
    return Rates(
        passing=sum(seconds for _, seconds, _ in passes.values()) / max(1.0, work),
        fixed=sum(fixed for _, _, fixed in passes.values()) / max(1.0, sum(once.values())),
        training={
            kind: sum(s for s, _ in done) / max(1.0, sum(n for _, n in done)) for kind, done in trainings.items()
        },
    )


def pass_macs(sides: Iterable[SideMacs]) -> float:
    """Return a pass's MACs per image: the uncompressed network, the deepest head, and every cell's tail."""
    macs = list(sides)
    whole = max(head + tail for head, tail in macs)
    return whole + max(head for head, _ in macs) + sum(tail for _, tail in macs)
