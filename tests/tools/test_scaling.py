"""The model of the scheduler on paper: answers that are known, and bounds that hold for every sweep."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbench.bench.backbones import registry
from splitbench.bench.results.store import Store
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.reading import read
from splitbench.bench.tools.scaling.prediction import longest_chain, predict_seconds, total_seconds, useful_workers
from splitbench.bench.tools.scaling.rates import Rates, measure_rates
from splitbench.bench.tools.scaling.scaling_table import format_check, format_scaling
from splitbench.bench.tools.scaling.whole_sweep import macs_by_split, predict_workload
from splitbench.bench.tools.scaling.workload import PassTime, Workload, read_workload
from splitbench.bench.utils.errors import UserError
from tests.helpers.command_line import splitbench


@st.composite
def sweeps(draw):
    keys = [f"k{number}" for number in range(draw(st.integers(0, 8)))]
    seconds = {key: float(draw(st.integers(0, 100))) for key in keys}
    before = {key: keys[n - 1] if n and draw(st.booleans()) else None for n, key in enumerate(keys)}
    passes = st.builds(
        PassTime,
        st.integers(1, 100).map(float),
        st.frozensets(st.sampled_from(keys)) if keys else st.just(frozenset()),
        most_parts=st.integers(1, 20),
    )
    return Workload(seconds, before, draw(st.lists(passes, min_size=1, max_size=4)))


@settings(max_examples=200)
@given(sweeps(), st.integers(1, 12))
def test_no_faster_than_possible_and_no_slower_than_alone(workload, workers):
    total = sum(workload.trainings.values()) + sum(pass_.seconds for pass_ in workload.passes)
    seconds = predict_seconds(workload, workers)
    assert predict_seconds(workload, 1) == pytest.approx(total)
    assert seconds >= total / workers - 1e-6
    assert seconds <= total + 1e-6
    assert seconds >= longest_chain(workload) - 1e-6
    assert seconds >= max(pass_.seconds / pass_.most_parts for pass_ in workload.passes) - 1e-6


def test_known_answers():
    chain = Workload({"a": 4, "b": 2, "c": 3}, {"b": "a"}, [PassTime(8, frozenset("abc"))])
    assert [predict_seconds(chain, n) for n in (1, 2, 4, 8)] == [17, 10, 8, 7]
    free = Workload({}, {}, [PassTime(10), PassTime(6)])
    assert [predict_seconds(free, n) for n in (1, 2, 4)] == [16, 8, 4]


def test_what_every_worker_does_for_itself_is_not_shared():
    fixed = Workload({}, {}, [PassTime(10, fixed=2)])
    assert [predict_seconds(fixed, n) for n in (1, 2, 5)] == [12, 7, 4]
    opening = Workload({}, {}, [PassTime(10), PassTime(10)], opening=4)
    assert [predict_seconds(opening, n) for n in (1, 2)] == [24, 18]  # 4, then two passes of 2 + 5 each
    beside = Workload({}, {}, [PassTime(10)], other=2)
    assert [predict_seconds(beside, n) for n in (1, 2)] == [12, 7]
    few = Workload({}, {}, [PassTime(12, most_parts=3)])
    assert [predict_seconds(few, n) for n in (2, 3, 9)] == [6, 4, 4]


def test_where_more_workers_stop_helping():
    assert useful_workers([Workload({"a": 10, "b": 10}, {}, [])]) == 2
    assert useful_workers([Workload({"a": 10, "b": 10}, {"b": "a"}, [])]) == 1
    assert useful_workers([Workload({}, {}, [PassTime(1, most_parts=64)])]) == 64


def test_a_circle_of_neighbours_ends():
    """No run makes one; a file may say so."""
    assert predict_seconds(Workload({"a": 1, "b": 2}, {"a": "b", "b": "a"}, []), 1) == 3


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no cell that was measured"):
        read_workload(tmp_path)
    with pytest.raises(UserError, match="holds no cell that was measured"):
        measure_rates(tmp_path)


SWEEP = """
datasets: [{name: synthetic, limit: 100}]
backbones: [{name: splitbench/small_resnet, splits: [layer2, layer3]}]
methods:
  - {name: raw}
  - {name: image, quality: [30]}
  - {name: bottleneck, lmbda: [1, 2, 3], start: neighbour, epochs: 3, next_epochs: 2, restore_epochs: 1}
batch: 5
"""
RATES = Rates(2e-9, 1e-11, {("bottleneck", True): 3e-9, ("bottleneck", False): 5e-9})
TRAINED = 40


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> tuple[Path, Path, Workload]:
    """A sweep's file, a run as if it had gone at RATES, and the workload that is predicted."""
    folder = tmp_path_factory.mktemp("scale")
    path = folder / "one.yaml"
    path.write_text(SWEEP)
    workload = predict_workload(read(path), RATES, images=100, train_images=TRAINED)
    return path, _stored(path, folder / "run", workload), workload


def _stored(path: Path, run: Path, workload: Workload) -> Path:
    store = Store(run)
    store.open()
    (run / "trainings").mkdir()
    sweep = read(path)
    (spec,) = sweep.backbones
    at = macs_by_split(spec, registry.build(spec.name, spec.args, "none", spec.preprocessing))
    (pass_,) = workload.passes
    for number, cell in enumerate(expand(sweep)):
        name = str(cell)
        key = f"{number:02}"
        columns = {"status": "ok", "split": cell.split, "method": cell.method, "variant": "", "seed": 0}
        columns |= {"fingerprint": "f", "images": 100, "batch": 5, "fixed_seconds": pass_.fixed}
        columns |= {
            "seconds": pass_.seconds + pass_.fixed,
            "macs_head": at[cell.split][0],
            "macs_tail": at[cell.split][1],
        }
        about = {"backbone": "small"}
        if name in workload.trainings:
            about["training"] = key
            neighbour = workload.starts[name]
            epochs = 4 if neighbour is None else 2
            columns |= {"train_seconds": workload.trainings[name], "train_images": epochs * TRAINED}
            before = f"{number - 1:02}" if neighbour else None
            (run / "trainings" / f"{key}.json").write_text(json.dumps({"neighbour": before}))
            (run / "trainings" / f"{key}.safetensors").touch()
        stored = {side: {"backbone": 1, "own": {}} for side in ("device", "server")}
        store.put(key, about, columns, stored=stored, records={})
    return run


def test_rates_of_a_run_predict_that_run(known):
    path, run, workload = known
    result = measure_rates(run)
    assert (result.passing, result.fixed) == pytest.approx((RATES.passing, RATES.fixed))
    assert result.training == pytest.approx(RATES.training)
    read_back = read_workload(run)
    for workers in (1, 2, 4, 32):
        assert predict_seconds(read_back, workers) == pytest.approx(predict_seconds(workload, workers))
    again = predict_workload(read(path), result, images=100, train_images=TRAINED)
    assert predict_seconds(again, 2) == pytest.approx(predict_seconds(workload, 2))


def test_time_grows_with_images_and_falls_with_speed(known):
    path, _, workload = known
    twice = predict_workload(read(path), RATES, images=200, train_images=2 * TRAINED)
    (pass_,), (other,) = workload.passes, twice.passes
    assert other.seconds == pytest.approx(2 * pass_.seconds) and other.fixed == pytest.approx(pass_.fixed)
    assert sum(twice.trainings.values()) == pytest.approx(2 * sum(workload.trainings.values()))
    assert total_seconds(
        [predict_workload(read(path), RATES, images=100, train_images=TRAINED, speed=4)], 1
    ) == pytest.approx(total_seconds([workload], 1) / 4)
    assert {len(workload.trainings), len(set(workload.starts.values()) - {None})} == {6, 4}


def test_a_method_that_was_not_measured_is_refused(known):
    path, *_ = known
    with pytest.raises(UserError, match=r"no training of bottleneck that begins with the weights of a rate point"):
        predict_workload(read(path), Rates(1, 1, {("bottleneck", True): 1}), images=1, train_images=1)


def test_what_runs_took_is_compared_with_what_is_predicted(known):
    _, run, workload = known
    store = Store(run)
    alone = predict_seconds(workload, 1)
    store.put_run({"workers": 1, "kept": 0, "seconds": alone, "opening": 0})
    store.put_run({"workers": 2, "kept": 3, "seconds": 1.0})
    store.put_run({"workers": "x", "kept": 0, "seconds": None})
    (line,) = format_check(workload, [run])
    assert line == f"{run}: 1 worker took {alone:.1f} s, predicted {alone:.1f} s (+0.0 %)"


def test_the_command_prints_draws_and_compares(known, tmp_path, capsys):
    path, run, workload = known
    assert splitbench("scale", run, "--measured", run, "--workers", 1, "--workers", 3) == 0
    assert (
        list(format_scaling([workload], [1, 3]))
        == capsys.readouterr().out.splitlines()[: len(list(format_scaling([workload], [1, 3])))]
    )
    sizes = ("--images", 100, "--train-images", TRAINED)
    (other := path.with_name("two.yaml")).write_text(SWEEP)
    words = ("--sweep", path, *sizes, "--sweep", other, *sizes)
    assert splitbench("scale", run, *words, "--speed", 10, "--out", tmp_path / "scale") == 0
    assert {item.name for item in tmp_path.iterdir()} == {"scale.txt", "scale.svg", "scale.png"}
    assert (tmp_path / "scale.txt").read_text().startswith("12 trainings")
    assert splitbench("scale", run, "--sweep", path) == 2
    assert "--images 0 times and --train-images 0 times: give" in capsys.readouterr().err
    assert splitbench("scale", run, "--sweep", path, "--images", 500) == 2
    assert "--sweep is given 1 time, but --train-images 0 times: give --images and" in capsys.readouterr().err


def test_a_run_without_trainings_is_described_in_words_that_fit(known, tmp_path, capsys):
    path, _, workload = known
    bare = path.with_name("bare.yaml")
    bare.write_text("\n".join(line for line in SWEEP.splitlines() if "bottleneck" not in line))
    untrained = replace(workload, trainings={}, starts={}, passes=[replace(workload.passes[0], trainings=frozenset())])
    _stored(bare, tmp_path / "run", untrained)
    assert splitbench("scale", tmp_path / "run", "--workers", 1, "--workers", 2) == 0
    first, header, *_, last = capsys.readouterr().out.splitlines()
    seconds = sum(pass_.seconds + pass_.fixed for pass_ in untrained.passes)
    assert first == f"0 trainings (0.0 s), 1 pass ({seconds:.1f} s)"
    assert header.split() == ["workers", "time", "times", "faster", "busy"]
    assert last == "from 8 workers on, twice as many save less than 10% of the time"
    *_, last = format_scaling([Workload({}, {}, [PassTime(1, most_parts=1)])])
    assert last == "from 1 worker on, twice as many save less than 10% of the time"
    assert splitbench("scale", tmp_path / "run", "--sweep", path, "--images", 9, "--train-images", 9) == 2
    assert "or measure the bundled sweep `slice` (`splitbench run slice`" in capsys.readouterr().err
