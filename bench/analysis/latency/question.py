"""A what-if's question and its answer: the range of speeds that each rate point wins, and tables over speeds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from splitbench.bench.analysis.latency.best import SPEEDS, TIED, Region, best, best_per_split, regions
from splitbench.bench.analysis.latency.device_profile import Profile
from splitbench.bench.analysis.latency.end_to_end import AnswerSide, Link, latency_ms, timed
from splitbench.bench.results.names import cell_name
from splitbench.bench.results.table import over_seeds, points
from splitbench.bench.utils.errors import UserError


@dataclass(frozen=True)
class Question:
    """The links, devices and rate points to look at.

    Attributes:
        drops: tolerated drops, in points.
        rtts: round trips, in ms.
        profile: the device and server; None for the times as measured.
        answer: where the answer is wanted; see :mod:`splitbench.bench.analysis.latency.end_to_end`.
        offload: leave out what runs wholly on the device, for a device that cannot, or must not, do that.
        mbps: speeds of links, in Mbit/s, at which the best rate point of every split is wanted.
    """

    drops: tuple[float, ...] = (1.0,)
    rtts: tuple[float, ...] = (20.0,)
    profile: Profile | None = None
    answer: AnswerSide = "device"
    offload: bool = False
    mbps: tuple[float, ...] = ()

    @property
    def speeds(self) -> tuple[float, ...]:
        """The speeds of links that are looked at, ascending, in Mbit/s: about 0.1 to 100, and :attr:`mbps`."""
        return tuple(sorted({*SPEEDS, *self.mbps}))

    @property
    def slowest(self) -> float:
        """The lowest speed that is looked at, in Mbit/s."""
        return self.speeds[0]

    @property
    def fastest(self) -> float:
        """The highest speed that is looked at, in Mbit/s."""
        return self.speeds[-1]


@dataclass(frozen=True)
class Answer:
    """What a question comes to.

    Attributes:
        rows: the rate points as :func:`splitbench.bench.analysis.latency.end_to_end.timed` returns them.
        regions: a row per range of speeds and winner.
        by_speed: a row per speed.
        by_split: a row per split and speed of the question's ``mbps``.
        notes: sentences for the reader.
    """

    rows: pd.DataFrame
    regions: pd.DataFrame
    by_speed: pd.DataFrame
    by_split: pd.DataFrame
    notes: list[str]


def answer(frame: pd.DataFrame, question: Question) -> Answer:
    """Answer a what-if from a table as :func:`splitbench.bench.results.table.read` returns it.

    Raises:
        UserError: no rate point's times are known.
    """
    good = points(frame)
    asked = good[good["split"] != "output"] if question.offload else good
    rows = timed(asked, question.profile, question.answer)
    if rows.empty:
        measured = "head_ms, encode_ms, decode_ms and tail_ms"
        needed = measured if question.profile is None else "macs_head, macs_tail, encode_ms and decode_ms"
        raise UserError(f"no rate point's times are known: the columns {needed} are empty")
    return Answer(
        rows,
        regions=_regions(rows, question),
        by_speed=best(rows, question.drops, question.rtts, question.speeds),
        by_split=best_per_split(rows, question.drops, question.rtts, question.mbps),
        notes=list(_notes(rows, asked[~asked["key"].isin(rows["key"])], question)),
    )


def answer_without_device(frame: pd.DataFrame, question: Question, answered: Answer) -> Answer | None:
    """Answer a question again without what runs wholly on the device, which often wins whatever the link.

    Args:
        frame: as for :func:`answer`.
        question: the question.
        answered: its answer.

    Returns:
        None where nothing runs there, or nothing else is left.
    """
    if not set(answered.rows["split"]) > {"output"}:
        return None
    return answer(frame, replace(question, offload=True))


def always_on_device(answered: Answer) -> bool:
    """Return whether running everything on the device wins at every speed."""
    return set(answered.regions["split"]) == {"output"}


_AT_REGION = ("split", "method", "variant", "knob", "value", "bytes_mean", "drop")
_REGION_COLUMNS = (
    *("dataset", "backbone", "tolerated_drop", "rtt_ms", "mbps_from", "mbps_to"),
    *(*_AT_REGION, "latency_ms_from", "latency_ms_to"),
)


def _regions(rows: pd.DataFrame, question: Question) -> pd.DataFrame:
    table = []
    for (dataset, backbone), here in rows.groupby(["dataset", "backbone"], sort=True):
        for drop in question.drops:
            fit = here[here["drop"] <= drop].reset_index(drop=True)
            for rtt in question.rtts:
                place = {"dataset": dataset, "backbone": backbone, "tolerated_drop": drop, "rtt_ms": rtt}
                won = regions(fit, rtt, question.slowest, question.fastest)
                table += [place | _describe(region, fit, rtt) for region in won]
    return pd.DataFrame(table, columns=_REGION_COLUMNS)


def _describe(region: Region, fit: pd.DataFrame, rtt: float) -> dict[str, object]:
    winner = fit.iloc[[region.row]]
    ends = [float(latency_ms(winner, Link(mbps, rtt)).iloc[0]) for mbps in (region.slowest, region.fastest)]
    speeds = {"mbps_from": region.slowest, "mbps_to": region.fastest}
    rate_point = {str(name): value for name, value in winner.iloc[0][list(_AT_REGION)].items()}
    return speeds | rate_point | {"latency_ms_from": ends[0], "latency_ms_to": ends[1]}


def _notes(rows: pd.DataFrame, left_out: pd.DataFrame, question: Question) -> Iterator[str]:
    yield _basis(rows, question)
    if len(left_out):
        name = cell_name(left_out.iloc[0])
        yield f"{len(left_out)} rate points are left out, as their times are not known, such as {name}"
    yield f"all speeds from {question.slowest:g} to {question.fastest:g} Mbit/s are looked at, and no others"
    if seeds := over_seeds(rows):
        yield f"times, bytes and drops are {seeds}"
    yield (
        f"times are medians and carry noise: latencies within {100 * TIED:g} % of the least count as equal; of these "
        "the one that sends fewest bytes wins, then the one that loses least"
    )


def _basis(rows: pd.DataFrame, question: Question) -> str:
    wanted = f"the answer is wanted on the {question.answer}; bytes are means per image"
    wanted += "; running everything on the device is left out" if question.offload else ""
    profile = question.profile
    if profile is None:
        machines = " and ".join(sorted(set(rows["device"]) - {""})) or "an unnamed device"
        return f"times as measured at batch 1, both sides on the same machine ({machines}); {wanted}"
    speeds = [f"{side.macs_per_second / 1e9:g} GMAC/s" for side in (profile.device, profile.server)]
    return f"times by the profile {profile.name!r}: device {speeds[0]}, server {speeds[1]}; {wanted}"
