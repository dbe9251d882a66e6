"""On a Ray cluster: one that runs already (``address``), or one that is started on this machine.

Ray retries nothing by itself here: a task that is lost with its worker or machine is run again by the scheduler, a
bounded number of times, as with every executor.
"""

import logging
from concurrent.futures import Future
from dataclasses import replace

from splitbench.bench.run.executors.executor import LostError, run_in_process
from splitbench.bench.run.tasks import Failures, RunTask, TaskResult
from splitbench.bench.run.worker import Worker
from splitbench.bench.utils.errors import UserError


class Ray:
    """Tasks with ``gpus`` GPUs each, or with as many CPUs as torch takes threads where there are no GPUs."""

    in_process = False

    def __init__(self, *, address: str | None, device: str, gpus: float, workers: int | None, threads: int) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise UserError(
                "--executor ray needs Ray, which is not installed: pip install 'splitbench[cluster]', or leave the "
                "option out to run on this machine"
            ) from None
        self._ray = ray
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"no Ray cluster at {address or 'this machine'}: {reason}") from None
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        most = {kind: max((machine.get(kind, 0) for machine in machines), default=0) for kind in ("CPU", "GPU")}
        if device == "auto":
            device = "cuda" if most["GPU"] > 0 else "cpu"
        self._device = "cuda" if device.startswith("cuda") else device  # Ray shows a task its own GPUs only
        kind, needed = ("GPU", gpus) if self._device == "cuda" else ("CPU", min(threads, max(1, int(most["CPU"]))))
        if most[kind] < needed:  # Ray would wait for such a machine for ever
            ray.shutdown()
            raise UserError(
                f"each task asks for {needed:g} {kind}s, and no machine of the cluster has more than {most[kind]:g}: "
                "start its machines with more (ray start --num-gpus, --num-cpus), or choose others by --gpus, --device"
            )
        self.workers = workers or sum(int(machine.get(kind, 0) / needed) for machine in machines)
        needs: dict[str, float] = {"num_gpus": gpus, "num_cpus": 0} if kind == "GPU" else {"num_cpus": needed}
        self._remote = ray.remote(max_retries=0, **needs)(run_in_process)

    def start(self, worker: Worker) -> None:
        """See the protocol; Ray starts its own processes."""

    def submit(self, task: RunTask, failures: Failures) -> "Future[TaskResult]":
        """See the protocol. Tasks beyond what the cluster has room for wait in Ray's queue."""
        result: Future[TaskResult] = Future()

        def finish(done: "Future[TaskResult]") -> None:
            error = done.exception()
            if error is None:
                result.set_result(done.result())
            elif isinstance(error, self._ray.exceptions.RayTaskError):
                result.set_exception(error.cause if isinstance(error.cause, Exception) else error)
            elif isinstance(error, self._ray.exceptions.RayError):
                result.set_exception(LostError(f"its worker or machine is gone ({type(error).__name__})"))
            else:
                result.set_exception(error)

        task = replace(task, spec=task.spec.on(self._device))
        self._remote.remote(task, failures).future().add_done_callback(finish)
        return result

    def close(self) -> None:
        """Leave the cluster; Ray ends what this program has running there."""
        self._ray.shutdown()
