"""``splits: auto`` in a sweep, turned into named split points before the sweep is expanded."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pydantic import ValidationError

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.split.points import auto_points, split_points
from splitbench.bench.sweep.schema import AutoSplits, BackboneSpec, Sweep
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.validation_errors import format_validation_error


def resolved(sweep: Sweep, tried: Callable[[str], AbstractContextManager[object]] = nullcontext) -> Sweep:
    """Return the same sweep with every ``auto`` replaced by names.

    Args:
        sweep: The sweep.
        tried: Encloses each backbone, given its label; one whose error it keeps is left out.

    Raises:
        UserError: A backbone cannot be had, or cannot be cut.
    """
    backbones = []
    for spec in sweep.backbones:
        with tried(spec.label or spec.name):
            backbones.append(_named(spec, sweep.datasets[0].preprocessing))
    return sweep.model_copy(update={"backbones": backbones})


def _named(spec: BackboneSpec, given: dict[str, Any]) -> BackboneSpec:
    """``given`` is what the sweep's first dataset says of preprocessing: all datasets' cells have the same splits."""
    if isinstance(spec.splits, list):
        return spec
    try:
        backbone = registry.build(spec.name, spec.args, "none", spec.preprocessing | given)
    except ValidationError as error:
        raise UserError(
            format_validation_error(error, f"{spec.label or spec.name}: preprocessing", Preprocessing)
        ) from None
    points = split_points(backbone.model, backbone.example())
    wanted = spec.splits.auto if isinstance(spec.splits, AutoSplits) else None
    names = [point.name for point in auto_points(points, wanted)]
    return spec.model_copy(update={"splits": names})
