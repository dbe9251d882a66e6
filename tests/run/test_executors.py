"""The same sweep in one process, in several, and on a Ray cluster of which a machine dies: the same rows."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psutil
import pytest

from splitbench.bench.run.executors import ExecutorOptions, Here, LostError, Processes, local, open_executor
from splitbench.bench.run.partition import chains
from splitbench.bench.run.scheduler import run_tasks
from splitbench.bench.run.tasks import RunTask, TaskResult, Trained
from splitbench.bench.tools.scaling.stand_in import make_stand_in
from splitbench.bench.utils.errors import UserError
from tests.helpers.command_line import splitbench
from tests.helpers.imagenet_archives import write_shards
from tests.helpers.results_samples import difference

SWEEP = """
datasets: [{name: synthetic, limit: 72, train: {limit: 32}, calibration: {limit: 16}}]
backbones: [{name: splitbench/small_resnet, splits: [layer2, layer3]}]
methods:
  - {name: quantize-rle, bits: [2, 4]}
  - {name: quantize-entropy, bits: [3]}
  - {name: bottleneck, lmbda: [0.3, 1], epochs: 1, restore_epochs: 0, start: neighbour, next_epochs: 1, batch_size: 16}
batch: 4
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "several.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def alone(sweep, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    assert splitbench("run", sweep, "--device", "cpu", "--out", out) == 0
    return out


@pytest.mark.slow
def test_two_processes_give_the_same_rows(sweep, alone, tmp_path, capsys):
    out = tmp_path / "out"
    assert splitbench("run", sweep, "--device", "cpu", "--out", out, "--workers", 2) == 0
    assert "100 %, 10/10 cells, done" in capsys.readouterr().err
    assert sum(path.read_text().count("epoch 1 of 1") for path in (out / "log").iterdir()) == 4
    assert difference(out, alone) == []
    assert not (out / "unfinished").exists()


def killer(out: Path, kill, when) -> threading.Thread:
    """Calls ``kill`` once, when ``when()`` is true of the run's folder."""

    def wait() -> None:
        while not when(out):
            time.sleep(0.02)
        kill()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def training(out: Path) -> bool:
    return bool(list(out.glob("trainings/*.checkpoint")))


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(sweep, alone, tmp_path):
    out = tmp_path / "out"

    def workers() -> list[psutil.Process]:
        return [item for item in psutil.Process().children() if "spawn_main" in " ".join(item.cmdline())]

    watch = killer(out, lambda: workers()[0].kill(), training)
    assert splitbench("run", sweep, "--device", "cpu", "--out", out, "--workers", 2) == 0
    watch.join(1)
    assert not watch.is_alive()
    assert difference(out, alone) == []


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_machine_in_mid_sweep_gives_the_same_rows(sweep, alone, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")
    out = tmp_path / "out"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        watch = killer(out, lambda: cluster.remove_node(second, allow_graceful=False), training)
        words = ("--executor", "ray", "--address", cluster.address)
        assert splitbench("run", sweep, "--device", "cpu", "--out", out, *words) == 0
        watch.join(1)
        assert not watch.is_alive()
    finally:
        cluster.shutdown()
    assert difference(out, alone) == []
    assert not (out / "unfinished").exists()


SHARDS = """
datasets: [{name: imagenet, limit: 400, calibration: {limit: 16}}]
backbones: [{name: "splitbench.bench.tools.scaling.small_network:SmallNetwork", weights: none, splits: [first]}]
methods:
  - {name: quantize-rle, bits: [2, 4], range: [calibrated]}
  - {name: bottleneck, lmbda: [0.3, 1], epochs: 2, restore_epochs: 0, distortion: distill}
batch: 16
"""


@pytest.mark.slow
def test_two_machines_read_shards_with_one_manifest_and_one_dies(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("SPLITBENCH_TRUST", "splitbench")
    write_shards(make_stand_in(tmp_path / "folders", 1100), tmp_path / "shards")
    sweep, out, cache = tmp_path / "shards.yaml", tmp_path / "out", tmp_path / "cache"
    sweep.write_text(SHARDS)
    words = ("--device", "cpu", "--data", tmp_path / "shards", "--cache", cache)
    assert splitbench("run", sweep, "--out", tmp_path / "alone", *words) == 0
    entries = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npz")}
    assert entries
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        watch = killer(out, lambda: cluster.remove_node(second, allow_graceful=False), training)
        assert splitbench("run", sweep, "--out", out, *words, "--executor", "ray", "--address", cluster.address) == 0
        watch.join(1)
        assert not watch.is_alive()
    finally:
        cluster.shutdown()
    assert difference(out, tmp_path / "alone") == []
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npz")} == entries  # nothing was read again


def test_without_ray_one_sentence_says_what_to_install(sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert splitbench("run", sweep, "--out", tmp_path, "--executor", "ray") == 2
    assert "pip install 'splitbench[cluster]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "device", "sentence"),
    [
        (ExecutorOptions(address="auto"), "cpu", "add --executor ray"),
        (ExecutorOptions(workers=2), "cuda:0", "one per GPU"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(options, device, sentence):
    with pytest.raises(UserError, match=sentence):
        open_executor(options, device)


def test_one_worker_is_this_process():
    assert isinstance(open_executor(ExecutorOptions(), "cpu"), Here)


@dataclass(frozen=True, kw_only=True, eq=False)
class Noting(RunTask):
    """A task that notes when it was run, and what failed of what it requires; where it ``breaks``, it raises."""

    name: str
    order: list[tuple[str, list[str]]]
    needs: frozenset[str] = frozenset()
    gives: tuple[str, ...] = ()
    breaks: bool = False

    @property
    def requires(self):
        return frozenset(map(Trained, self.needs))

    @property
    def provides(self):
        return tuple(map(Trained, self.gives))

    def run(self, worker, failures):
        self.order.append((self.name, sorted(resource.key for resource in failures)))
        if self.breaks:
            raise RuntimeError("it broke")
        return TaskResult()

    def _run(self, opened, failures):
        raise AssertionError("run does it")

    def pieces(self, work):
        return {}


def noting(name, order, priority=0, **settings):
    return Noting(
        spec=mock.Mock(title="a pass"), pass_number=0, priority=(priority,), name=name, order=order, **settings
    )


class Flaky(Here):
    """An executor that loses a task the first few times."""

    workers = 2

    def __init__(self, losses):
        super().__init__()
        self.losses, self.calls = losses, 0

    def submit(self, task, failures):
        self.calls += 1
        if self.losses == 0:
            return super().submit(task, failures)
        self.losses -= 1
        future: Future[TaskResult] = Future()
        future.set_exception(LostError("gone"))
        return future


@pytest.mark.parametrize(("losses", "calls", "error"), [(0, 1, False), (2, 3, False), (3, 3, True), (9, 3, True)])
def test_a_lost_task_is_run_again_a_bounded_number_of_times(losses, calls, error):
    executor = Flaky(losses)
    order: list[tuple[str, list[str]]] = []
    (ended,) = run_tasks([noting("a", order)], executor)
    assert executor.calls == calls
    assert (order == []) == error == (ended.failure is not None)
    assert not error or ended.failure.reason == "LostError: gone"


def test_tasks_wait_for_what_they_require_and_go_by_priority():
    order: list[tuple[str, list[str]]] = []
    tasks = [
        noting("d", order, priority=1),
        noting("c", order, needs=frozenset({"x", "y"})),
        noting("b", order, needs=frozenset({"x"}), gives=("y",), breaks=True),
        noting("a", order, priority=9, gives=("x",)),
    ]
    ended = list(run_tasks(tasks, Here()))
    assert order == [("d", []), ("a", []), ("b", []), ("c", ["y"])]
    assert [item.failure is not None for item in ended] == [False, False, True, False]
    assert ended[2].failure.reason.startswith("RuntimeError: it broke")


def test_a_task_that_requires_what_no_task_provides_is_refused():
    with pytest.raises(RuntimeError, match="no task provides"):
        list(run_tasks([noting("a", [], needs=frozenset({"z"}))], Here()))


def test_what_concerns_the_whole_run_ends_it():
    class Wrong(Here):
        def submit(self, task, failures):
            future: Future[TaskResult] = Future()
            future.set_exception(UserError("the disk is full"))
            return future

    with pytest.raises(UserError, match="the disk is full"):
        list(run_tasks([noting("a", []), noting("b", [])], Wrong()))


@dataclass(frozen=True)
class Anywhere:
    """What travels with a task that needs no pass."""

    device: str = "cpu"

    def on(self, device):
        return self


class Dying(Noting):
    """A task whose process dies."""

    def run(self, worker, failures):
        os._exit(1)


def test_a_process_that_dies_is_reported_lost_and_the_next_task_gets_another():
    executor = Processes(["cpu"])
    settings = {"spec": Anywhere(), "pass_number": 0, "priority": (0,), "order": []}
    try:
        with pytest.raises(LostError, match="its process died"):
            executor.submit(Dying(name="dies", **settings), {}).result(timeout=120)
        assert executor.submit(Noting(name="lives", **settings), {}).result(timeout=120) == TaskResult()
    finally:
        executor.close()


def test_a_process_that_is_killed_while_it_has_nothing_to_do_is_replaced():
    executor = Processes(["cpu"])
    settings = {"spec": Anywhere(), "pass_number": 0, "priority": (0,), "order": []}
    try:
        executor.submit(Noting(name="first", **settings), {}).result(timeout=120)
        (idle,) = psutil.Process().children()[-1:]
        idle.kill()
        idle.wait(60)
        time.sleep(1)  # until the pool has noticed
        assert executor.submit(Noting(name="second", **settings), {}).result(timeout=120) == TaskResult()
    finally:
        executor.close()


def test_chains_follow_neighbours():
    pairs = [("a", None), ("b", "a"), ("c", None), ("d", "b"), ("e", "elsewhere")]
    assert chains(pairs) == [["a", "b", "d"], ["c"], ["e"]]


def test_ctrl_c_waits_until_a_process_is_started(monkeypatch):
    seen = []
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: set())  # any thread may be the one that gets the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may have it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            with local.uninterrupted():
                signal.raise_signal(signal.SIGINT)
                seen.append("started")
            seen.append("gone on")
        assert seen == ["started"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_processes_are_deaf_to_ctrl_c():
    asked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with local.uninterrupted():
        printed = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)  # noqa: S603
    assert printed.stdout == "True\n"
