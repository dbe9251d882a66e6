"""End-to-end latency of one image: head, encode, send, decode, tail.

Sending takes the round trip plus 8 times the bitstream's mean length over the link's speed; the answer's few bytes on
the way back are not counted. Links are taken as steady: no loss, no queue, no handshake.

Where the answer is wanted on the device, as by default, finishing there (split ``output``) needs no link at all: its
latency is the head's. Where it is wanted on the server, everything crosses the link once, which takes half the round
trip, and what runs wholly on the device sends its label or boxes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from splitbench.bench.analysis.latency.device_profile import Profile, Side

AnswerSide = Literal["device", "server"]
"""The side of the link where the answer is wanted."""

PARTS = ("head", "encode", "decode", "tail")

_MACS = {"head": "macs_head", "encode": "macs_encoder", "decode": "macs_decoder", "tail": "macs_tail"}
_CODEC_OF = {"encode": "head", "decode": "tail"}
"""A codec's part, and the network's part on the same side, from which the speed of this machine follows."""


@dataclass(frozen=True)
class Link:
    """A link's speed in Mbit/s (10^6 bits per second) and its round trip in ms."""

    mbps: float
    rtt: float


def timed(good: pd.DataFrame, profile: Profile | None = None, answer: AnswerSide = "device") -> pd.DataFrame:
    """Add to each rate point the columns that its latency follows from.

    Args:
        good: :func:`splitbench.bench.results.table.points` of any results.
        profile: the device and server to compute for; None for the times as measured.
        answer: where the answer is wanted.

    Returns:
        The rows whose times are known, with ``fixed_ms``: all that does not depend on the link, ``sent_bytes``, and
        ``trips``: the number of round trips they wait for (0, 1/2 or 1).
    """
    times = {part: good[f"{part}_ms"] if profile is None else _computed(good, part, profile) for part in PARTS}
    local = (good["split"] == "output") & (answer == "device")
    # What finishes on the device and stays there is neither coded nor sent.
    times |= {part: times[part].where(~local, 0.0) for part in ("encode", "decode", "tail")}
    rows = good.assign(
        **{f"{part}_ms": times[part] for part in PARTS},
        fixed_ms=sum(times[part] for part in PARTS),
        sent_bytes=good["bytes_mean"].where(~local, 0.0),
        trips=np.where(local, 0.0, 1.0 if answer == "device" else 0.5),
    )
    known: pd.DataFrame = rows[rows["fixed_ms"].notna()].reset_index(drop=True)
    return known


def latency_ms(rows: pd.DataFrame, link: Link) -> "pd.Series[float]":
    """Return the milliseconds from image to answer, of rows that :func:`timed` returned."""
    return rows["fixed_ms"] + send_ms(rows, link)


def send_ms(rows: pd.DataFrame, link: Link) -> "pd.Series[float]":
    """Return the link's part of :func:`latency_ms`."""
    return rows["trips"] * link.rtt + 8 * rows["sent_bytes"] / (1000 * link.mbps)


def _computed(good: pd.DataFrame, part: str, profile: Profile) -> "pd.Series[float]":
    """Return milliseconds by a profile: MACs over its speed, and for a codec the rest of its measured time."""
    side = profile.device if part in ("head", "encode") else profile.server
    network = 1000 * good[_MACS[part]] / side.macs_per_second
    return network + _coding(good, part, side) if part in _CODEC_OF else network


def _coding(good: pd.DataFrame, part: str, side: Side) -> "pd.Series[float]":
    """Return the time of a codec beside its MACs: its measured time less that of the MACs, times the profile's factor.

    Its MACs are taken to have run as fast as those of the network's part on the same side of the same cell.
    """
    beside = _CODEC_OF[part]
    per_mac = (good[f"{beside}_ms"] / good[_MACS[beside]].where(good[_MACS[beside]] > 0)).fillna(0.0)
    rest = good[f"{part}_ms"] - per_mac * good[_MACS[part]].fillna(0.0)
    return side.coding * rest.clip(lower=0.0)
