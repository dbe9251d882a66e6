"""A proposal as a sweep file whose comments say why each line is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from splitbench.bench.split.point import SplitPoint
from splitbench.bench.tools.first_sweep.proposal import Proposal
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_text
from splitbench.bench.utils.text import format_macs
from splitbench.datasets.base import Task

_CALIBRATION = 128  # images
_QUALITY = [10, 30, 60, 90]
_BITS = [2, 3, 4, 6, 8]

_ON_DEVICE: dict[Task, tuple[str, str]] = {
    "classification": ("label-only", "everything on the device, which sends the label"),
    "detection": ("boxes", "everything on the device, which sends the boxes"),
}


def sweep_text(proposal: Proposal) -> str:
    """Return the text of the sweep file."""
    return "".join(f"{_one_line(line)}\n" for line in _lines(proposal))


def check_free(file: Path) -> None:
    """Raise UserError where a file is there already."""
    if file.exists():
        raise UserError(f"{file} is there already: name another file, or replace it by --force")


def check_same(proposal: Proposal, file: Path) -> None:
    """Raise UserError where a file is there that holds something else than this proposal."""
    if file.exists() and (not file.is_file() or file.read_bytes() != sweep_text(proposal).encode()):
        raise UserError(
            f"{file} is there already, and is not what these options give: name another folder by --out, run the file "
            "by `splitbench run`, or replace it by --force"
        )


def write_sweep(proposal: Proposal, file: Path) -> Path:
    """Write the sweep file, and return its path. Raises UserError where it cannot be written."""
    return write_text(file, sweep_text(proposal))


def default_folder(proposal: Proposal) -> Path:
    """Return where the results of a proposal go."""
    model = proposal.model.replace(":", "/").rpartition("/")[2]
    return Path("results") / f"{proposal.data.folder.name or 'data'}-{model}"


def summary(proposal: Proposal) -> Iterator[str]:
    """Yield what was found and chosen, a line each, for the screen."""
    data = proposal.data
    yield f"images      {data}"
    yield f"backbone    {proposal.model}, for {data.task}, input {proposal.input}"
    yield "splits      " + ", ".join(f"{point.name} ({_costs(point)})" for point in proposal.points)
    yield "methods     " + ", ".join(dict.fromkeys(settings["name"] for settings, _ in _methods(proposal)))
    if data.shared:
        yield "left out    methods that calibrate or learn: give images to train on names of their own"
    elif not data.train_images:
        yield "left out    methods that calibrate or learn: they need other images, in a folder `train` beside `val`"


def _lines(proposal: Proposal) -> Iterator[str]:
    data, points = proposal.data, proposal.points
    yield f"# A first sweep of {proposal.model} on {data.folder}"
    yield "# Check it: splitbench validate THIS_FILE. Run it: splitbench run THIS_FILE. All keys: splitbench keys"
    yield f"task: {data.task}"
    yield "datasets:"
    yield f"  # {data}"
    dataset: dict[str, Any] = {"name": data.kind, "label": data.folder.name or data.kind, "root": str(data.folder)}
    if proposal.images < data.images:
        yield f"  # `limit` takes {proposal.images:,} of them at random, always the same ones; leave it out for all"
        dataset["limit"] = proposal.images
    if data.train_images:
        dataset["calibration"] = {"limit": min(_CALIBRATION, data.train_images)}
    yield f"  - {_flow(dataset)}"
    yield "backbones:"
    yield f"  # Its input: {proposal.input}. `splitbench list splits {proposal.model}` lists all split points"
    for point in points:
        yield f"  # {point.name}: {_costs(point)}"
    backbone: dict[str, Any] = {"name": proposal.model, "weights": proposal.weights}
    yield f"  - {_flow(backbone | {'splits': [point.name for point in points]})}"
    yield "methods:"
    for settings, comment in _methods(proposal):
        yield f"  - {_flow(settings)}  # {comment}"
    learned = _flow({"name": "bottleneck", "lmbda": [0.3, 1, 3]})
    if data.train_images:
        yield f"  # - {learned}  # trained on the {data.train_images:,} other images, which takes long"
    else:
        where = "of other names than those evaluated on" if data.shared else f"in {data.folder.name}/train"
        yield f"  # - {learned}  # would be trained: needs other images, {where}"
    yield f"batch: {16 if data.task == 'classification' else 4}  # images at once"


def _methods(proposal: Proposal) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the methods with their settings, each with a comment."""
    name, comment = _ON_DEVICE[proposal.data.task]
    yield {"name": name}, comment
    yield {"name": "image", "quality": _QUALITY}, "the picture as JPEG: everything on the server"
    yield {"name": "image", "format": "webp", "quality": _QUALITY}, "and as WebP"
    yield {"name": "raw"}, "the cut as it is, uncompressed"
    yield {"name": "quantize-rle", "bits": _BITS}, "the cut quantized, its zeros' runs coded; nothing is fitted"
    if proposal.data.train_images:
        yield {"name": "quantize-rle", "range": "calibrated", "bits": _BITS}, "its range fitted to other images"
        yield {"name": "quantize-context", "bits": _BITS}, "tables fitted to other images: more compression, slower"
    else:
        yield {"name": "quantize-lossless", "coder": "xz", "bits": _BITS}, "the same values, compressed by xz"


def _costs(point: SplitPoint) -> str:
    share = point.macs_head / (point.macs_head + point.macs_tail)
    return (
        f"{share:.0%} of {format_macs(point.macs_head + point.macs_tail)} before it, {point.bytes:,} bytes in float32"
    )


def _flow(value: dict[str, Any]) -> str:
    """Format a mapping in a line of YAML."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.strip()


class _Dumper(yaml.SafeDumper):
    """Puts text with line breaks into one line, quoted and escaped, whatever its length."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent)


def _one_line(line: str) -> str:
    """Escape what would end a comment, or what YAML does not allow in one."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)
