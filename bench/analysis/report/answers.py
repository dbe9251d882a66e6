"""The report's first screen: for each split and tolerated drop the method with the fewest bytes, and how clearly."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.compare.curves.interpolation import DROPS
from splitbench.bench.analysis.compare.ranking import EVERY_SPLIT
from splitbench.bench.analysis.compare.summary import fewest_bytes_question
from splitbench.bench.results.names import Row
from splitbench.bench.results.table import points


class FewestBytes(NamedTuple):
    """Which method needs the fewest bytes, how many, which is next, and whether these images distinguish the two.

    ``sure`` is ``yes``, ``no`` or empty, as the column ``clear`` of the summary; ``verdict`` says it in words.
    """

    best: str
    size: str
    rest: str
    sure: str
    verdict: str


class SplitAnswers(NamedTuple):
    """A split and its answers by tolerated drop; None where the row for all splits has the answer."""

    split: str
    answers: list[FewestBytes | None]


class PlaceAnswers(NamedTuple):
    """A backbone and its dataset, on how many images, and the answers at each of its splits."""

    title: str
    splits: list[SplitAnswers]


def answers(frame: pd.DataFrame, summary: pd.DataFrame) -> list[PlaceAnswers]:
    """Return the answers for all of :data:`~splitbench.bench.analysis.compare.curves.interpolation.DROPS`.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        summary: :func:`~splitbench.bench.analysis.compare.summary.summary` of it.
    """
    asked = [fewest_bytes_question(drop) for drop in DROPS]
    return [
        PlaceAnswers(
            f"{backbone} on {dataset}: {rows['images'].iloc[0]:,.0f} images, "
            f"{rows['baseline'].iloc[0]:.2f} % uncompressed",
            list(_at_splits(_of_place(summary, dataset, backbone), asked)),
        )
        for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True)
    ]


def _of_place(summary: pd.DataFrame, dataset: object, backbone: object) -> pd.DataFrame:
    return summary[(summary["dataset"] == dataset) & (summary["backbone"] == backbone)]


def _at_splits(summary: pd.DataFrame, asked: list[str]) -> Iterator[SplitAnswers]:
    for split, rows in summary[summary["question"].isin(asked)].groupby("at_split", sort=False):
        found = {row["question"]: _answer(row) for _, row in rows.iterrows()}
        yield SplitAnswers(_SPLITS.get(str(split), f"after {split}"), [found.get(question) for question in asked])


_SPLITS = {EVERY_SPLIT: EVERY_SPLIT, "input": "the picture is sent"}


def _answer(row: Row) -> FewestBytes:
    if row["best"] == "none":
        return FewestBytes("none", "", "nothing measured loses so little", "", "")
    size = str(row["answer"]) + f" [{row['interval']}]" * bool(row["interval"])
    if row["next_best"] == "none reaches it":
        return FewestBytes(str(row["best"]), size, "nothing else loses so little", "", "")
    behind = f" needs {row['difference']}" * bool(row["difference"])
    verdict = _VERDICTS.get((row["by"], row["clear"]), "")
    return FewestBytes(str(row["best"]), size, f"next: {row['next_best']}{behind}", str(row["clear"]), verdict)


_VERDICTS = {
    ("same images", "yes"): "clear",
    ("same images", "no"): "not clear",
    ("intervals", "yes"): "clear: their intervals do not overlap",
    ("intervals", "no"): "not clear: their intervals overlap, or might",
}
"""How clear a difference is, by the columns ``by`` and ``clear`` of the summary."""
