"""MLflow: measures of trainings over epochs in one run, and below it a run for each cell with its settings and numbers.

It writes into ``mlflow.db`` in the run's folder unless MLFLOW_TRACKING_URI says else.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from splitbench.bench.results.names import curve_name

_EXPERIMENT = "splitbench"
_NOT_IN_NAMES = re.compile(r"[^\w./ -]")
_CHILD_OF = "mlflow.parentRunId"


class MlflowLogger:
    """Logs into the experiment ``splitbench``, or the one that MLFLOW_EXPERIMENT_NAME says.

    Args:
        client: Of the tracking server or file.
        name: What the run is called.
        sweep: The sweep as YAML, which becomes the run's description.
    """

    def __init__(self, client: MlflowClient, name: str, sweep: str) -> None:
        self._client = client
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        known = client.get_experiment_by_name(experiment)
        self._experiment = known.experiment_id if known else client.create_experiment(experiment)
        run = client.create_run(self._experiment, run_name=name, tags={"mlflow.note.content": f"```\n{sweep}\n```"})
        self._run = run.info.run_id

    def log_scalars(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """See the protocol."""
        for measure, value in values.items():
            self._client.log_metric(self._run, _NOT_IN_NAMES.sub("_", f"{name}/{measure}"), value, step=step)

    def log_row(self, row: Mapping[str, Any]) -> None:
        """See the protocol: numbers become metrics, and words parameters."""
        name = f"{row['split']} {curve_name(str(row['method']), str(row['variant']))} {row['knob']}={row['value']}"
        run = self._client.create_run(self._experiment, run_name=name, tags={_CHILD_OF: self._run}).info.run_id
        for column, value in row.items():
            if isinstance(value, int | float) and column != "seed":
                self._client.log_metric(run, column, value)
            elif value not in ("", None):
                self._client.log_param(run, column, str(value))
        self._client.set_terminated(run, "FINISHED" if row["status"] == "ok" else "FAILED")

    def close(self) -> None:
        """See the protocol."""
        self._client.set_terminated(self._run)


def open_logger(folder: Path, sweep: str) -> MlflowLogger:
    """Open a logger that writes into the run's folder, or where the environment says."""
    local = f"sqlite:///{(folder / 'mlflow.db').resolve()}"
    return MlflowLogger(MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", local)), folder.resolve().name, sweep)
