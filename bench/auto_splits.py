"""``splits: auto`` in a sweep, turned into named split points before the sweep is expanded."""

from splitbench.bench import backbones
from splitbench.bench.split.points import auto_points, split_points
from splitbench.bench.sweep import AutoSplits, BackboneSpec, Sweep


def resolved(sweep: Sweep) -> Sweep:
    """The same sweep with every ``auto`` replaced by names. Raises UserError for a backbone that cannot be cut."""
    return sweep.model_copy(update={"backbones": [_named(spec) for spec in sweep.backbones]})


def _named(spec: BackboneSpec) -> BackboneSpec:
    if isinstance(spec.splits, list):
        return spec
    backbone = backbones.build(spec.name, spec.args, "none", {})
    points = split_points(backbone.model, backbone.example())
    wanted = spec.splits.auto if isinstance(spec.splits, AutoSplits) else None
    names = [point.name for point in auto_points(points, wanted)]
    return spec.model_copy(update={"splits": names})
