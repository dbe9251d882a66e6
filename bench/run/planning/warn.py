"""What may mislead about a run's rows: known of data and backbone before anything is measured, or seen in results.

The first stands in the plan, beside the labels of the sweep that ran last; the second in each cell's own file.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation import tasks
from splitbench.bench.results.store import Store
from splitbench.bench.results.warnings_text import split_warnings
from splitbench.bench.utils.text import format_count
from splitbench.datasets.base import Dataset, Subset, warnings_of

TRUSTED = (
    "images were identified by their names and labels, and not by what is in their files (--trust-names): whether any "
    "changed, or is among both evaluation and training images under two names, is not known"
)


def of_inputs(
    evaluation: Dataset, used: Mapping[Subset, Dataset], backbone: Backbone, trusted: bool
) -> tuple[str, ...]:
    """Return what may mislead about the images that a pass uses, each subset with its use, and about its backbone.

    Args:
        evaluation: The evaluation images.
        used: The other subsets that the pass uses.
        backbone: The backbone.
        trusted: Whether images are identified by their names.
    """
    lines = [*warnings_of(evaluation)]
    if trusted:
        lines.append(TRUSTED)
    for subset, images in sorted(used.items()):
        lines += [f"{subset} images: {line}" for line in warnings_of(images) if line not in lines]
    return (*lines, *backbone.warnings)


def of_result(columns: Mapping[str, Any], dataset: Dataset) -> list[str]:
    """Return what may mislead about a cell by its columns: a baseline at chance, images that were left out."""
    lines = []
    if (baseline := columns.get("baseline")) is not None:
        lines.append(tasks.get(dataset.task).doubt(baseline, dataset))
    if skipped := columns.get("images_unreadable"):
        lines.append(f"{format_count(skipped, 'image')} of {len(dataset)} left out, since decoding failed")
    return [line for line in lines if line]


def say_stored(title: str, keys: Collection[str], store: Store, say: Callable[[str], None]) -> None:
    """Say each warning that stored results of a pass hold, once."""
    cells = (store.cell(key) for key in keys)
    lines = {line: None for cell in cells if cell for line in split_warnings(cell["columns"].get("warnings"))}
    say_all(title, lines, say)


def say_all(title: str, warnings: Collection[str], say: Callable[[str], None]) -> None:
    """Say warnings about a pass."""
    for line in warnings:
        say(f"warning: {title}: {line}")
