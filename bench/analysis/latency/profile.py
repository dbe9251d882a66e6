"""A device profile: how fast a device and a server compute, where they are not the machine that measured.

    name: a phone and a server
    device: {macs_per_second: 1.0e+10, coding: 2.0}
    server: {macs_per_second: 1.0e+12}

``macs_per_second`` is the multiply-adds that the network runs at, at batch 1; ``coding`` how many times longer than on
the machine that measured the rest of a codec takes (quantizing, entropy coding), which does not count as MACs.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.yaml_file import read_yaml


class Side(BaseModel):
    """One side of the link."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    macs_per_second: float = Field(gt=0, allow_inf_nan=False)
    coding: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @field_validator("macs_per_second", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        # YAML takes 1e9 for text: only 1.0e+9 is a number to it.
        return float(value) if isinstance(value, str) and value.strip() else value


class Profile(BaseModel):
    """A device and a server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    device: Side
    server: Side


def read_profile(path: Path) -> Profile:
    """Reads a profile.

    Raises:
        UserError: no such file, no YAML, or no profile in it.
    """
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the profile {path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is no profile: expected name, device and server, each with a colon behind it")
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path} is no device profile (as `slow-device`, which ships, is): {where}: {first['msg'].lower()}"
        ) from None
