"""A comparison as text for the terminal."""

import pandas as pd

from splitbench.bench.analysis.compare.findings import Findings
from splitbench.bench.analysis.compare.write import as_text
from splitbench.bench.results.table import over_seeds, points
from splitbench.bench.utils.text import format_count

_TESTS_SHOWN = 12


def as_words(found: Findings) -> str:
    """Per dataset and backbone the short answer, BD-rates and the clearest tests; then what else to know."""
    frame, tables = found.frame, found.tables
    blocks = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        first = rows.iloc[0]
        head = f"{backbone} on {dataset}: {first['images']:.0f} images, baseline {first['baseline']:.2f} %"
        head += f" {first['metric']}" if first["metric"] else ""
        head += f", {over_seeds(rows)}" if over_seeds(rows) else ""
        asked = tables["summary"]
        asked = asked[(asked["dataset"] == dataset) & (asked["backbone"] == backbone)].drop(
            columns=["dataset", "backbone"]
        )
        bd = tables["bd"]
        bd = bd[(bd["dataset"] == dataset) & (bd["backbone"] == backbone)]
        blocks.append(f"{head}\n{'=' * len(head)}\n\n{as_text(readable(asked))}")
        if len(bd):
            blocks.append(_against(bd))
        if told := _clearest(tables["paired-tests"], str(dataset), str(backbone)):
            blocks.append(told)
    return "\n\n".join([*blocks, *listed(found.remarks)])


def _against(bd: pd.DataFrame) -> str:
    """The BD-rates that there are, and how many there are not."""
    known = bd[bd["bd_rate"].notna() | bd["bd_accuracy"].notna()]
    anchor = next((f"against {name}, " for name in bd["anchor"] if name), "")
    told = f"BD-rate (%) and BD-accuracy (points) {anchor}at drops up to 10 points"
    if len(known):
        told += f"\n\n{as_text(readable(known[['at_split', 'method', 'variant', 'bd_rate', 'bd_accuracy', 'reason']]))}"
    if less := len(bd) - len(known):
        reasons = bd.loc[~bd.index.isin(known.index), "reason"].value_counts()
        why = f": {reasons.index[0]}" if len(reasons) == 1 else "; bd.csv says why"
        told += f"\n\n{format_count(less, 'curve')} cannot be compared so{why}"
    return told


def _clearest(tested: pd.DataFrame, dataset: str, backbone: str) -> str:
    here = tested[(tested["dataset"] == dataset) & (tested["backbone"] == backbone) & (tested["better"] != "neither")]
    if here.empty:
        return ""
    first = here.sort_values("p", kind="stable").head(_TESTS_SHOWN)
    shown = first[["at_split", "a", "b", "a_bytes", "b_bytes", "difference", "difference_low", "difference_high"]]
    some = f"the clearest {len(first)} of the {len(here)}" if len(first) < len(here) else "all"
    return (
        f"Differences at nearly the same bytes that a paired test tells apart ({some}; a - b, in points)\n\n"
        f"{as_text(readable(shown))}"
    )


def listed(remarks: dict[str, list[str]]) -> list[str]:
    """Each heading with its sentences, those without left out."""
    return [f"{title}:\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in remarks.items() if lines]


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Column names as words, and no column that is empty throughout, or says of each row that it is of one seed."""
    full = table.dropna(axis="columns", how="all")
    full = full[[name for name in full if not (full[name] == (1 if name == "seeds" else "")).all()]]
    return full.rename(columns=lambda name: str(name).replace("_", " "))
