"""TensorBoard: measures of trainings over epochs; accuracy and drop of each curve over bytes per image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from splitbench.bench.results.names import curve_name

_OVER_BYTES = ("accuracy", "drop", "bits_per_pixel")


class TensorBoardLogger:
    """Writes event files; a result's step is its bytes per image, so that results of a curve lie along it.

    Args:
        folder: Where they lie.
        sweep: The sweep as YAML, which is shown as a text.
    """

    def __init__(self, folder: Path, sweep: str) -> None:
        self._writer: Any = SummaryWriter(str(folder))
        self._writer.add_text("sweep", f"```\n{sweep}\n```")

    def log_scalars(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """See the protocol."""
        for measure, value in values.items():
            self._writer.add_scalar(f"training/{name}/{measure}", value, step)
        self._writer.flush()

    def log_row(self, row: Mapping[str, Any]) -> None:
        """See the protocol; failed cells have no numbers."""
        place = "/".join(str(row[name]) for name in ("dataset", "backbone", "split"))
        curve = curve_name(str(row["method"]), str(row["variant"]))
        for name in _OVER_BYTES:
            value, size = row.get(name), row.get("bytes_mean")
            if isinstance(value, int | float) and isinstance(size, int | float):
                self._writer.add_scalar(f"{name} over bytes/{place}/{curve}", value, round(size))
        self._writer.flush()

    def close(self) -> None:
        """See the protocol."""
        self._writer.close()


def open_logger(folder: Path, sweep: str) -> TensorBoardLogger:
    """Open a logger that writes into ``tensorboard`` in the run's folder."""
    return TensorBoardLogger(folder / "tensorboard", sweep)
