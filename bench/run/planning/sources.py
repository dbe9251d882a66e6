"""Where a run finds its data and weights on this machine, and how it opens them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec, Sweep, WeightsFile
from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import missing_path
from splitbench.bench.utils.plugins import DATASETS
from splitbench.bench.utils.progress import Show
from splitbench.bench.utils.validation_errors import format_validation_error
from splitbench.datasets.base import DataError, Dataset, Subset, UnknownIdsError
from splitbench.datasets.storage.cache import Cache
from splitbench.datasets.storage.manifest import Manifest

_BAR_AFTER = 3.0
"""Seconds after which reading is worth a bar."""

_late_bar = partial(progress.bar, delay=_BAR_AFTER)


@dataclass(frozen=True)
class Sources:
    """What differs between machines: the key of a cell excludes all of it.

    Attributes:
        data: Folder of the data, or None.
        weights: Folder of weights files, or None.
        device: Where the process computes.
        memory: Bytes in which training may keep images or a frozen head's outputs.
        naive: Whether each cell is evaluated by itself, with nothing shared.
        cache: Folder in which digests of images are kept; None for the user's.
        reread: Whether to read all images anew, whatever digests are kept.
        trust_names: Whether images are taken by their names and labels, and not read before they are used.
        show: Shows the loops that read all images.
    """

    data: Path | None = None
    weights: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    memory: int = 4 * 2**30
    naive: bool = False
    cache: Path | None = None
    reread: bool = False
    trust_names: bool = False
    show: Show = _late_bar

    def __post_init__(self) -> None:
        for name in ("data", "weights", "cache"):  # a shell leaves the ~ of --data=~/x as it is
            folder = getattr(self, name)
            object.__setattr__(self, name, folder and folder.expanduser())

    @property
    def manifest(self) -> Manifest:
        """The digests of images that are kept from run to run."""
        return Manifest(Cache() if self.cache is None else Cache(self.cache), self.reread)


def check_folders(sweep: Sweep, sources: Sources) -> None:
    """Check that the folders of data and weights exist, and that some dataset of the sweep reads the data.

    Raises:
        UserError: A folder does not exist, or would not be read.
    """
    for folder, what in ((sources.data, "data folder"), (sources.weights, "weights folder")):
        if folder is not None and not folder.is_dir():
            raise UserError(missing_path(folder, what))
    names = {spec.source(subset) for spec in sweep.datasets for subset in get_args(Subset)}
    if sources.data is not None and not any(map(reads_folder, names)):
        others = [name for name in _loadable() if DATASETS.get(name).task == sweep.task and reads_folder(name)]
        raise UserError(
            f"--data {sources.data} would not be read: the sweep's images come from no folder "
            f"({', '.join(sorted(names))}). Leave it out, or run a sweep over {' or '.join(others)} "
            "(see `splitbench sweeps`); a dataset of your own takes a folder where its Options have a `root`"
        )


def _loadable() -> Iterator[str]:
    for name in DATASETS.names():
        with suppress(UserError):  # a file there that cannot be imported only concerns those who use it
            DATASETS.get(name)
            yield name


def reads_folder(name: str) -> bool:
    """Return whether the dataset ``name`` reads its images from a folder. Raises UserError for an unknown name."""
    return "root" in DATASETS.get(name).Options.model_fields


def open_dataset(spec: DatasetSpec, sources: Sources, subset: Subset) -> Dataset:
    """Open one subset of a dataset; its ``root`` is relative to the data folder. Raises UserError, DataError."""
    kind = DATASETS.get(spec.source(subset))
    options = spec.options(subset)
    if reads_folder(spec.source(subset)) and (sources.data is not None or "root" in options):
        options["root"] = (sources.data or Path()) / Path(options.get("root") or "").expanduser()
    if "cache" in kind.Options.model_fields and sources.cache is not None:
        options["cache"] = sources.cache
    if "anew" in kind.Options.model_fields and sources.reread:
        options["anew"] = True
    try:
        return kind.load(kind.Options.model_validate(options), subset)
    except UnknownIdsError as error:
        # What the evaluation images exclude goes for the other subsets, too, which may lie elsewhere.
        if error.option != "exclude" or subset == "evaluation" or "exclude" in getattr(spec, subset):
            raise
        options["exclude"] = {*options["exclude"]} - {*error.names}
        return kind.load(kind.Options.model_validate(options), subset)


def open_backbone(spec: BackboneSpec, dataset: DatasetSpec, sources: Sources, seed: int = 0) -> Backbone:
    """Build a backbone with the preprocessing that the dataset asks for.

    Args:
        spec: The backbone.
        dataset: The dataset whose images it will see.
        sources: Where its weights lie, and the device it goes to.
        seed: Seed of the weights, if they are random.

    Raises:
        UserError: The name, weights or preprocessing are wrong.
    """
    try:
        return registry.build(
            name=spec.name,
            args=spec.args,
            weights=spec.weights.file if isinstance(spec.weights, WeightsFile) else spec.weights,
            weights_key=spec.weights.key if isinstance(spec.weights, WeightsFile) else "",
            overrides=spec.preprocessing | dataset.preprocessing,
            folder=sources.weights,
            device=sources.device,
            seed=seed,
        )
    except ValidationError as error:
        place = f"{spec.label or spec.name}: preprocessing"
        raise UserError(format_validation_error(error, place, Preprocessing)) from None


def first_readable(dataset: Dataset) -> Any:
    """Return the first image that can be decoded. Raises DataError if none can."""
    for index in range(len(dataset)):
        try:
            return dataset.image(index)
        except DataError as error:
            fault = error
    raise DataError(f"none of the {len(dataset)} images can be read: {fault}")
