"""What was measured of passes that did not end: used where it holds, and never where it does not."""

import pytest
import yaml

from splitbench.bench.evaluation import score
from splitbench.bench.results.store import Store
from splitbench.bench.run import runner, score_and_store
from splitbench.bench.run.executors import ExecutorOptions, LostError, open_executor
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.run.runner import RunOptions
from splitbench.bench.run.tasks import ScoreTask
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError
from tests.helpers.small_sweep import SMALL, ran, starts, stop
from tests.torture.injected_faults import FAULTS, fault


def test_measured_batches_are_used_by_another_run_with_fewer_cells(small, tmp_path, monkeypatch):
    """What is stored of an unfinished pass serves cells whose neighbours are gone, and damaged parts are made anew."""
    out = tmp_path / "out"
    stop(monkeypatch, 3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        ran(small, out)
    shards = sorted((out / "unfinished").rglob("*-*.npz"))
    assert len(shards) == 3
    shards[1].write_bytes(shards[1].read_bytes()[:-30])
    seen = starts(monkeypatch)
    small.write_text(SMALL.replace("[2, 4]", "[4]"))
    assert ran(small, out) == (1, 0)
    assert seen[:2] == [1, 3] and 2 not in seen and 0 not in seen
    assert not (out / "unfinished").exists() or not list((out / "unfinished").rglob("*.npz"))


@pytest.mark.parametrize("left", ["", "00000000-00000001.npz", ".pass.json.x"])
def test_what_a_run_left_that_was_killed_while_it_cleaned_up_is_removed(left, small, tmp_path):
    out = tmp_path / "out"
    assert ran(small, out) == (2, 0)
    (out / "unfinished" / "0a").mkdir(parents=True)
    if left:
        (out / "unfinished" / "0a" / left).touch()
    assert ran(small, out) == (0, 2)
    assert not (out / "unfinished").exists()


def test_what_was_measured_before_a_whole_pass_broke_serves_the_next_run(small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    stop(monkeypatch, 2, RuntimeError("the machine is ill"))
    result = runner.run(read(small), Sources(), Store(out))
    assert len(result.failed) == 2 and "the machine is ill" in result.failed[0][1]

    seen = starts(monkeypatch)
    assert ran(small, out) == (2, 0)
    assert seen[0] == 2 and not (out / "unfinished").exists()


def test_a_part_that_ends_leaves_what_was_measured_of_the_others(small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    stop(monkeypatch, 2, KeyboardInterrupt())
    small.write_text(SMALL.replace("\nbatch", "\n  - {name: raw}\nbatch"))
    with pytest.raises(KeyboardInterrupt):
        ran(small, out)
    seen = starts(monkeypatch)
    item = read(small).only((), ("raw",))
    assert runner.run(item, Sources(), Store(out), RunOptions(keep_other_rows=True)).done == 2 and seen[0] == 2
    seen.clear()
    assert ran(small, out) == (2, 2) and seen[0] == 2
    assert not (out / "unfinished").exists()
    seen.clear()
    assert (
        runner.run(item, Sources(), Store(out), RunOptions(overwrite="all", keep_other_rows=True)).done == 2
        and seen[0] == 0
    )


def test_a_failure_that_was_mended_is_not_found_again(small, tmp_path):
    out = tmp_path / "out"
    with fault(FAULTS["raises"][0], 0):
        assert len(runner.run(read(small), Sources(), Store(out)).failed) == 1
    assert ran(small, out) == (1, 1)


def test_overwriting_all_takes_nothing_from_an_interrupted_run(small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    stop(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        ran(small, out)

    seen = starts(monkeypatch)
    assert runner.run(read(small), Sources(), Store(out), RunOptions(overwrite="all")).done == 2 and seen[0] == 0


def test_a_cell_that_fails_costs_a_broken_pass_nothing(small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    stop(monkeypatch, 2, RuntimeError("the machine is ill"))
    with fault(FAULTS["raises"][0], 0):
        assert len(runner.run(read(small), Sources(), Store(out)).failed) == 2

    seen = starts(monkeypatch)
    result = runner.run(read(small), Sources(), Store(out))
    assert len(result.failed) == 1 and seen[0] == 2  # what failed in these batches is known to have failed
    assert ran(small, out) == (1, 1)


def test_one_folder_of_an_interrupted_run_serves_one_pass_only(small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    stop(monkeypatch, 2, KeyboardInterrupt())
    content = yaml.safe_load(SMALL)
    (backbone,) = content["backbones"]
    content["backbones"] = [backbone | {"splits": ["layer2", "layer3"]}]
    small.write_text(yaml.safe_dump(content))
    with pytest.raises(KeyboardInterrupt):
        ran(small, out)
    monkeypatch.undo()
    content["backbones"] = [backbone | {"splits": [at], "label": at} for at in ("layer2", "layer3")]
    small.write_text(yaml.safe_dump(content))
    executor = open_executor(ExecutorOptions(workers=2), "cpu")
    result = runner.run(read(small), Sources(), Store(out), RunOptions(executor=executor))
    assert result.done == 4 and not result.failed and not (out / "unfinished").exists()


def test_cells_are_stored_as_they_are_scored(small, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def stopped(*args, **named):
        yield next(score(*args, **named))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(score_and_store, "score", stopped)
        with pytest.raises(KeyboardInterrupt):
            ran(small, out)
    seen = starts(monkeypatch)
    assert ran(small, out) == (1, 1)
    assert seen == [] and not (out / "unfinished").exists()


def test_cells_whose_workers_die_fail_and_those_that_were_scored_before_stay(small, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def dying(*args, **named):
        yield next(score(*args, **named))
        raise UserError("not in this process")

    def lost(task, worker, failures):
        with pytest.raises(UserError):
            run(task, worker, failures)
        raise LostError("its process died")

    run = ScoreTask.run
    with monkeypatch.context() as patched:
        patched.setattr(score_and_store, "score", dying)
        patched.setattr(ScoreTask, "run", lost)
        result = runner.run(read(small), Sources(), Store(out))
    ((_, reason),) = result.failed
    assert reason.startswith("LostError: its process died")
    assert ran(small, out) == (1, 1)
