"""Single values of a sweep file replaced on the command line: ``methods.0.bits=[2,3]``."""

from collections.abc import Iterable
from typing import Any

import yaml

from splitbench.bench.utils.errors import UserError, nearest
from splitbench.bench.utils.yaml_file import parse_yaml


def override(content: Any, assignments: Iterable[str]) -> Any:
    """Replace values in what a sweep file holds.

    >>> override({"methods": [{"name": "raw"}]}, ["methods.0.dtype=[float16]", "batch=8"])
    {'methods': [{'name': 'raw', 'dtype': ['float16']}], 'batch': 8}

    Args:
        content: Mappings and lists, which are changed in place.
        assignments: ``PLACE=VALUE`` each: keys and positions (from 0) joined by points, and YAML.

    Returns:
        ``content``.

    Raises:
        UserError: There is no such place, or a value is not YAML.
    """
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        if not equals or not place:
            raise UserError(f"--set {assignment}: give a place and a value, as in methods.0.bits=[2,3]")
        try:
            value = parse_yaml(text)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"--set {place}: {text!r} is not YAML: {' '.join(str(error).split())}") from None
        *way, last = place.split(".")
        target = content
        for step in way:
            target = _entry(target, step, assignment)
        if isinstance(target, list):
            _entry(target, last, assignment)  # a list is not made longer
            target[int(last)] = value
        elif isinstance(target, dict):
            target[last] = value
        else:
            raise UserError(f"--set {assignment}: {'.'.join(way)} is {target!r}, which has no entry {last!r}")
    return content


def _entry(target: Any, step: str, assignment: str) -> Any:
    if isinstance(target, list):
        if not step.isdecimal() or int(step) >= len(target):
            raise UserError(f"--set {assignment}: {step!r} is no position in a list of {len(target)}, counted from 0")
        return target[int(step)]
    if not isinstance(target, dict) or step not in target:
        known = list(map(str, target)) if isinstance(target, dict) else []
        raise UserError(f"--set {assignment}: there is no {step!r} in the sweep{nearest(step, known)}")
    return target[step]
