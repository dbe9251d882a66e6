"""Device profiles: how fast a device and a server compute, where they are not the machine that measured.

    name: a phone and a server
    device: {macs_per_second: 1.0e+10, coding: 2.0}
    server: {macs_per_second: 1.0e+12}

``macs_per_second`` is the speed of the network in multiply-adds per second at batch 1; ``coding`` is the factor by
which the rest of a codec (quantizing, entropy coding), which does not count as MACs, is slower than on the machine that
measured. The folder ``profiles`` has those that come with splitbench.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins.base_registry import YamlRegistry
from splitbench.bench.utils.yaml_file import read_yaml

PROFILES = YamlRegistry("device profile", Path(__file__).parent / "profiles")
"""The bundled profiles."""


class Side(BaseModel):
    """One side of the link."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    macs_per_second: float = Field(gt=0, allow_inf_nan=False)
    coding: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @field_validator("macs_per_second", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        # To YAML, 1e9 is text: only 1.0e+9 is a number.
        return float(value) if isinstance(value, str) and value.strip() else value


class Profile(BaseModel):
    """A device and a server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    device: Side
    server: Side


def read_profile(path: Path) -> Profile:
    """Read a profile.

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
            f"{path} is no device profile (the bundled `slow-device` is one): {where}: {first['msg'].lower()}"
        ) from None
