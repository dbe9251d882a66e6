"""A what-if's question, and what is found: the ranges of speeds that each rate point wins, and a table over speeds."""

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.latency.best import SPEEDS, TIED, best, best_per_split, regions
from splitbench.bench.analysis.latency.latency import Answer, Link, latency_ms, timed
from splitbench.bench.analysis.latency.profile import Profile
from splitbench.bench.results.table import cell_name, over_seeds, points
from splitbench.bench.utils.errors import UserError


@dataclass(frozen=True)
class Question:
    """Which links, devices and rate points to look at.

    Attributes:
        drops: tolerated drops, in points.
        rtts: round trips, in ms.
        profile: the device and server; None for the times as measured.
        answer: where the answer is wanted; see :mod:`splitbench.bench.analysis.latency.latency`.
        offload: leave out what runs wholly on the device, for one that cannot, or must not, do that.
        mbps: speeds of links, in Mbit/s, to tell the best rate point of every split for.
    """

    drops: tuple[float, ...] = (1.0,)
    rtts: tuple[float, ...] = (20.0,)
    profile: Profile | None = None
    answer: Answer = "device"
    offload: bool = False
    mbps: tuple[float, ...] = ()

    @property
    def speeds(self) -> tuple[float, ...]:
        """Mbit/s that are looked at, from the slowest to the fastest: round about 0.1 to 100, and those asked for."""
        return tuple(sorted({*SPEEDS, *self.mbps}))

    @property
    def slowest(self) -> float:
        """Mbit/s from which on the question is answered."""
        return self.speeds[0]

    @property
    def fastest(self) -> float:
        """Mbit/s up to which the question is answered."""
        return self.speeds[-1]


class Found(NamedTuple):
    """The rate points with their times, what was found, and notes.

    Attributes:
        rows: as :func:`splitbench.bench.analysis.latency.latency.timed` returns them.
        regions: a row per range of speeds and winner.
        by_speed: a row per speed.
        by_split: a row per split and speed that was asked for.
        notes: sentences for the reader.
    """

    rows: pd.DataFrame
    regions: pd.DataFrame
    by_speed: pd.DataFrame
    by_split: pd.DataFrame
    notes: list[str]


def answered(frame: pd.DataFrame, question: Question) -> Found:
    """Answers a what-if from a table as :func:`splitbench.bench.results.table.read` returns it.

    Raises:
        UserError: no rate point's times are known.
    """
    good = points(frame)
    asked = good[good["split"] != "output"] if question.offload else good
    rows = timed(asked, question.profile, question.answer)
    if rows.empty:
        measured = "head_ms, encode_ms, decode_ms and tail_ms"
        wanted = measured if question.profile is None else "macs_head, macs_tail, encode_ms and decode_ms"
        raise UserError(f"no rate point's times are known: the columns {wanted} are empty")
    left_out = asked[~asked["key"].isin(rows["key"])]
    notes = [_basis(rows, question), *_left_out(left_out), _range(question), *_seeds(rows), _TIES]
    asked_for = question.drops, question.rtts
    by_speed, by_split = best(rows, *asked_for, question.speeds), best_per_split(rows, *asked_for, question.mbps)
    return Found(rows, _regions(rows, question), by_speed, by_split, notes)


_TIES = (
    f"times are medians and carry noise: latencies within {100 * TIED:g} % of the least count as equal; of these the "
    "one that sends fewest bytes wins, then the one that loses least"
)


def _regions(rows: pd.DataFrame, question: Question) -> pd.DataFrame:
    found = []
    for (dataset, backbone), here in rows.groupby(["dataset", "backbone"], sort=True):
        for drop in question.drops:
            fit = here[here["drop"] <= drop].reset_index(drop=True)
            for rtt in question.rtts:
                place = {"dataset": dataset, "backbone": backbone, "tolerated_drop": drop, "rtt_ms": rtt}
                won = regions(fit, rtt, question.slowest, question.fastest)
                found += [place | _told(fit, rtt, *region) for region in won]
    return pd.DataFrame(found, columns=["dataset", "backbone", "tolerated_drop", "rtt_ms", *_TOLD])


_TOLD = (
    *("mbps_from", "mbps_to", "split", "method", "variant", "knob", "value", "bytes_mean", "drop"),
    *("latency_ms_from", "latency_ms_to"),
)


def _told(fit: pd.DataFrame, rtt: float, slowest: float, fastest: float, row: int) -> dict[str, object]:
    one = fit.iloc[[row]]
    ends = [float(latency_ms(one, Link(mbps, rtt)).iloc[0]) for mbps in (slowest, fastest)]
    return dict(zip(_TOLD, (slowest, fastest, *one[list(_TOLD[2:9])].iloc[0], *ends), strict=True))


def _basis(rows: pd.DataFrame, question: Question) -> str:
    wanted = f"the answer is wanted on the {question.answer}; bytes are means per image"
    wanted += "; running everything on the device is left out" if question.offload else ""
    profile = question.profile
    if profile is None:
        machines = " and ".join(sorted(set(rows["device"]) - {""})) or "an unnamed device"
        return f"times as measured at batch 1, both sides on the same machine ({machines}); {wanted}"
    speeds = [f"{side.macs_per_second / 1e9:g} GMAC/s" for side in (profile.device, profile.server)]
    return f"times by the profile {profile.name!r}: device {speeds[0]}, server {speeds[1]}; {wanted}"


def _range(question: Question) -> str:
    return f"all speeds from {question.slowest:g} to {question.fastest:g} Mbit/s are looked at, and no others"


def _seeds(rows: pd.DataFrame) -> list[str]:
    seeds = over_seeds(rows)
    return [f"times, bytes and drops are {seeds}"] if seeds else []


def _left_out(rows: pd.DataFrame) -> list[str]:
    if rows.empty:
        return []
    return [f"{len(rows)} rate points are left out, as their times are not known, such as {cell_name(rows.iloc[0])}"]
