"""One cell of a run in full: what was measured, what it cost, how it was trained, and which files hold it."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitbench.bench.results.store import Store
from splitbench.bench.results.warnings_text import split_warnings
from splitbench.bench.training.methods import Trainings
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_macs

_TRAINED = ("train_images", "train_seconds", "train_macs", "processor", "processes")


@dataclass(frozen=True)
class CellDetails:
    """A stored cell.

    Attributes:
        key: Its key.
        name: Its name, by the labels of the run's table.
        settings: The method's settings, all of them.
        columns: Its row, by column.
        training: What is known of its training; empty where nothing was trained for it.
        files: The files that hold it.
    """

    key: str
    name: str
    settings: Mapping[str, Any]
    columns: Mapping[str, Any]
    training: Mapping[str, Any]
    files: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield what is to be known, section by section."""
        yield f"{self.key}  {self.name}"
        for title, lines in (
            ("settings", [", ".join(f"{name} {value}" for name, value in self.settings.items())]),
            ("rate", self._rate()),
            ("accuracy", self._accuracy()),
            ("ledger", self._ledger()),
            ("warnings", self._warnings()),
            ("training", [", ".join(f"{name} {_number(value)}" for name, value in self.training.items()) or "none"]),
            ("measured", [self._text("{date}, commit {commit}, on {device}; {versions}")]),
            ("files", self.files),
        ):
            for number, line in enumerate(lines):
                yield f"{'' if number else title:10}  {line}"

    def _rate(self) -> Iterator[str]:
        if self.columns.get("status") != "ok":
            yield f"none: the cell failed: {self.columns.get('reason')}"
            return
        yield self._text("{bytes_mean} bytes per image (median {bytes_p50}, 95 % up to {bytes_p95}, most {bytes_max})")
        yield self._text("of these {payload_bytes} payload, {side_bytes} side information, {framing_bytes} framing")
        yield self._text(
            "{bits_per_pixel} bits per pixel, {bits_per_element} per element; float32 takes {ratio} times as much"
        )

    def _accuracy(self) -> Iterator[str]:
        if self.columns.get("status") == "ok":
            yield self._text("{accuracy} % {metric} [{accuracy_low} to {accuracy_high}] on {images} images")
            yield self._text("uncompressed {baseline} %: a drop of {drop} points [{drop_low} to {drop_high}]")

    def _ledger(self) -> Iterator[str]:
        macs = [(part, self.columns.get(f"macs_{part}")) for part in ("head", "encoder", "decoder", "tail")]
        yield ", ".join(f"{part} {format_macs(float(count))}" for part, count in macs if count not in (None, ""))
        yield self._text("head {head_ms} ms, encode {encode_ms} ms, decode {decode_ms} ms, tail {tail_ms} ms")
        yield self._text("stored on the device {storage_device_bytes} bytes, on the server {storage_server_bytes}")
        yield self._text(
            "a change of the rate loads {switch_device_bytes} and {switch_server_bytes} bytes, {switch_ms} ms"
        )

    def _warnings(self) -> tuple[str, ...]:
        return tuple(split_warnings(self.columns.get("warnings"))) or ("none",)

    def _text(self, template: str) -> str:
        return template.format_map(defaultdict(lambda: "?", {name: _number(v) for name, v in self.columns.items()}))


def show_cell(folder: Path, prefix: str) -> CellDetails:
    """Return what a run's folder holds of a cell.

    Args:
        folder: The run's folder.
        prefix: The cell's key, or its beginning.

    Raises:
        UserError: The folder holds no cells, none whose key begins so, or several.
    """
    keys = sorted(path.stem for path in (folder / "cells").glob("*.json"))
    if not keys:
        raise UserError(f"{folder} holds no cells: name the folder of a run")
    found = [key for key in keys if key.startswith(prefix)]
    if len(found) != 1:
        several = f"{len(found)} keys begin with {prefix!r}: {', '.join(found[:4])}{', ...' if len(found) > 4 else ''}"
        raise UserError(
            several if found else f"no cell in {folder} has a key that begins with {prefix!r}, as {keys[0]} does"
        )
    (key,) = found
    content = Store(folder).cell(key)
    if content is None:
        raise UserError(f"{folder / 'cells' / key}.json is damaged: the next run measures the cell again")
    columns = content["columns"] | _row(folder, key)
    trained = content["settings"].get("training")
    report = Trainings(folder / "trainings").report(trained) if trained else {}
    return CellDetails(
        key=key,
        name=" ".join(str(columns.get(name, "")) for name in ("dataset", "backbone", "split", "method"))
        + f" {columns['knob']}={columns['value']}",
        settings=content["settings"].get("settings", {}),
        columns=columns,
        training=({"key": trained} if trained else {}) | {name: report[name] for name in _TRAINED if name in report},
        files=tuple(str(path) for path in _files(folder, key, trained)),
    )


def _row(folder: Path, key: str) -> dict[str, str]:
    """Return the cell's row of the table, which also has labels and what storage is over all rate points."""
    try:
        with (folder / "cells.csv").open(newline="", encoding="utf-8") as stream:
            return next((row for row in csv.DictReader(stream) if row.get("key") == key), {})
    except OSError:
        return {}


def _files(folder: Path, key: str, trained: str | None) -> Iterator[Path]:
    candidates = [folder / "cells" / f"{key}.json", folder / "records" / f"{key}.npz"]
    if trained:
        candidates += [folder / "trainings" / f"{trained}{suffix}" for suffix in (".safetensors", ".json")]
    yield from (path for path in candidates if path.is_file())


def _number(value: Any) -> str:
    """Format a number with four digits or as many as it has before the point; other values as they are."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return "?" if value in (None, "") else str(value)
    return f"{number:,.0f}" if number == int(number) or abs(number) >= 10_000 else f"{number:,.4g}"
