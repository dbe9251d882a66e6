"""The table that ``splitbench splits`` prints: a backbone's split points in order, with their costs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from PIL import Image
from pydantic import ValidationError

from splitbench.bench.analysis.figures.panels.axes import format_tick
from splitbench.bench.backbones import registry
from splitbench.bench.backbones.preprocessing import Preprocessing, Resolution
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.backbones.timm_config import preprocessing_of
from splitbench.bench.split.point import SplitPoint
from splitbench.bench.split.points import network_input, share_of_zeros, split_points
from splitbench.bench.tools.splits.figure import plot
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_for
from splitbench.bench.utils.validation_errors import format_validation_error

_FIGURES = (".png", ".svg", ".pdf")


def format_splits(
    name: str, weights: str, images: Sequence[Path], figure: Path | None, *, preprocessing: str = "{}"
) -> Iterator[str]:
    """Format a backbone's split points, and draw them.

    Args:
        name: The backbone.
        weights: Its weights, as in a sweep.
        images: Photographs on which to measure the share of zeros in each cut, meaningful with trained weights only.
        figure: Where to draw the split points; None for nowhere.
        preprocessing: In YAML, as in a sweep.

    Yields:
        Lines to print.

    Raises:
        UserError: Unknown backbone, unavailable weights, unreadable images, a model that cannot be traced,
            preprocessing that does not fit.
    """
    figure = None if figure is None else file_for(figure, "--plot", "splits.png")
    if figure is not None and figure.suffix.lower() not in _FIGURES:
        raise UserError(f"{figure}: --plot takes a file ending in {', '.join(_FIGURES)}")
    backbone, example = _open(name, weights, images, _fields(preprocessing))
    model = backbone.model
    points = split_points(model, example)
    zeros = share_of_zeros(model, points, example) if images else {}
    yield (
        f"{'split point':32} {'crosses':>24} {'elements':>9} {'float32':>9} {'zeros':>6} "
        f"{'MAC head':>9} {'MAC tail':>9} {'par. head':>9} {'par. tail':>9}"
    )
    for point in points:
        shapes = format_shapes(point)
        share = f"{100 * zeros[point.name]:.0f} %" if point.name in zeros else ""
        yield (
            f"{point.name:32} {shapes:>24} {point.elements:>9} {format_tick(point.bytes) + 'B':>9} {share:>6} "
            f"{format_tick(point.macs_head):>9} {format_tick(point.macs_tail):>9} "
            f"{format_tick(point.parameters_head):>9} {format_tick(point.parameters_tail):>9}"
            + ("  larger than the input" if point.larger_than_input else "")
        )
    yield from _inputs(backbone)
    if figure is not None:
        size = network_input(model, example)[0].numel() * 4
        plot(points, figure, f"{name}: size of the cut, and MACs computed before it", size)
        yield f"wrote {figure}"


def points_of(name: str) -> list[SplitPoint]:
    """Return a backbone's split points, with random weights and the input that it asks for. Raises UserError."""
    backbone, example = _open(name, "none", (), {})
    return split_points(backbone.model, example)


def format_shapes(point: SplitPoint) -> str:
    """Format the shapes of what crosses: ``128x28x28``."""
    return " + ".join("x".join(map(str, shape)) for shape in point.shapes)


def _fields(preprocessing: str) -> dict[str, Any]:
    try:
        fields = yaml.safe_load(preprocessing)
    except yaml.YAMLError as error:
        raise UserError(f"--preprocessing is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(fields, dict):
        raise UserError(f"--preprocessing takes keys with values, as in '{{crop: 96}}', not {preprocessing!r}")
    return fields


def _inputs(backbone: Backbone) -> Iterator[str]:
    """Yield the network's input, and both sizes where timm tests weights at a larger size than they were trained at."""
    yield f"input: {backbone.input}"
    if backbone.name.startswith("timm/"):
        test, train = (preprocessing_of(backbone.model, {}, at) for at in get_args(Resolution))
        if test != train.changed({"resolution": "test"}):
            yield f"`preprocessing: {{resolution: test}}`, the default: {test}; `{{resolution: train}}`: {train}"


def _open(name: str, weights: str, images: Sequence[Path], fields: dict[str, Any]) -> tuple[Backbone, Any]:
    """Return the backbone and an example of its input: the photographs, or noise of the input's size."""
    try:
        backbone = registry.build(name, {}, weights, fields)
    except ValidationError as error:
        raise UserError(format_validation_error(error, f"{name}: preprocessing", Preprocessing)) from None
    return backbone, backbone.example([_photograph(path) for path in images])


def _photograph(path: Path) -> Image.Image:
    if path.is_dir():
        raise UserError(f"{path} is a folder: --image takes a photograph")
    try:
        return Image.open(path).convert("RGB")
    except OSError as error:
        raise UserError(f"{path} cannot be read as an image ({error.strerror or error})") from None
