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
from splitbench.bench.tools.scaling.whole_sweep import Rates, foreseen, macs_by_split, rates
from splitbench.bench.tools.scaling.workers import (
    Measured,
    PassTime,
    checked,
    described,
    enough,
    longest,
    measured,
    predicted,
    time,
)
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
        parts=st.integers(1, 20),
    )
    return Measured(seconds, before, draw(st.lists(passes, min_size=1, max_size=4)))


@settings(max_examples=200)
@given(sweeps(), st.integers(1, 12))
def test_no_faster_than_possible_and_no_slower_than_alone(found, workers):
    total = sum(found.trainings.values()) + sum(one.seconds for one in found.passes)
    seconds = predicted(found, workers)
    assert predicted(found, 1) == pytest.approx(total)
    assert seconds >= total / workers - 1e-6
    assert seconds <= total + 1e-6
    assert seconds >= longest(found) - 1e-6
    assert seconds >= max(one.seconds / one.parts for one in found.passes) - 1e-6


def test_known_answers():
    chain = Measured({"a": 4, "b": 2, "c": 3}, {"b": "a"}, [PassTime(8, frozenset("abc"))])
    assert [predicted(chain, n) for n in (1, 2, 4, 8)] == [17, 10, 8, 7]
    free = Measured({}, {}, [PassTime(10), PassTime(6)])
    assert [predicted(free, n) for n in (1, 2, 4)] == [16, 8, 4]


def test_what_every_worker_does_for_itself_is_not_shared():
    fixed = Measured({}, {}, [PassTime(10, fixed=2)])
    assert [predicted(fixed, n) for n in (1, 2, 5)] == [12, 7, 4]
    opening = Measured({}, {}, [PassTime(10), PassTime(10)], opening=4)
    assert [predicted(opening, n) for n in (1, 2)] == [24, 18]  # 4, then two passes of 2 + 5 each
    beside = Measured({}, {}, [PassTime(10)], beside=2)
    assert [predicted(beside, n) for n in (1, 2)] == [12, 7]
    few = Measured({}, {}, [PassTime(12, parts=3)])
    assert [predicted(few, n) for n in (2, 3, 9)] == [6, 4, 4]


def test_where_more_workers_stop_helping():
    assert enough([Measured({"a": 10, "b": 10}, {}, [])]) == 2
    assert enough([Measured({"a": 10, "b": 10}, {"b": "a"}, [])]) == 1
    assert enough([Measured({}, {}, [PassTime(1, parts=64)])]) == 64


def test_a_circle_of_neighbours_ends():
    """No run makes one; a file may say so."""
    assert predicted(Measured({"a": 1, "b": 2}, {"a": "b", "b": "a"}, []), 1) == 3


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no cell that was measured"):
        measured(tmp_path)
    with pytest.raises(UserError, match="holds no cell that was measured"):
        rates(tmp_path)


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
def known(tmp_path_factory) -> tuple[Path, Path, Measured]:
    """A sweep's file, a run as if it had gone at RATES, and what is foreseen of it."""
    folder = tmp_path_factory.mktemp("scale")
    path = folder / "one.yaml"
    path.write_text(SWEEP)
    told = foreseen(read(path), RATES, 100, TRAINED)
    return path, _stored(path, folder / "run", told), told


def _stored(path: Path, run: Path, told: Measured) -> Path:
    store = Store(run)
    store.open()
    (run / "trainings").mkdir()
    sweep = read(path)
    (spec,) = sweep.backbones
    at = macs_by_split(spec, registry.build(spec.name, spec.args, "none", spec.preprocessing))
    (one,) = told.passes
    for number, cell in enumerate(expand(sweep)):
        name = str(cell)
        key = f"{number:02}"
        columns = {"status": "ok", "split": cell.split, "method": cell.method, "variant": "", "seed": 0}
        columns |= {"fingerprint": "f", "images": 100, "batch": 5, "fixed_seconds": one.fixed}
        columns |= {"seconds": one.seconds + one.fixed, "macs_head": at[cell.split][0], "macs_tail": at[cell.split][1]}
        about = {"backbone": "small"}
        if name in told.trainings:
            about["training"] = key
            neighbour = told.neighbours[name]
            epochs = 4 if neighbour is None else 2
            columns |= {"train_seconds": told.trainings[name], "train_images": epochs * TRAINED}
            before = f"{number - 1:02}" if neighbour else None
            (run / "trainings" / f"{key}.json").write_text(json.dumps({"neighbour": before}))
            (run / "trainings" / f"{key}.safetensors").touch()
        store.put(key, about, columns, {side: {"backbone": 1, "own": {}} for side in ("device", "server")}, {})
    return run


def test_rates_of_a_run_foresee_that_run(known):
    path, run, told = known
    found = rates(run)
    assert (found.passing, found.fixed) == pytest.approx((RATES.passing, RATES.fixed))
    assert found.training == pytest.approx(RATES.training)
    read_back = measured(run)
    for workers in (1, 2, 4, 32):
        assert predicted(read_back, workers) == pytest.approx(predicted(told, workers))
    again = foreseen(read(path), found, 100, TRAINED)
    assert predicted(again, 2) == pytest.approx(predicted(told, 2))


def test_time_grows_with_images_and_falls_with_speed(known):
    path, _, told = known
    twice = foreseen(read(path), RATES, 200, 2 * TRAINED)
    (one,), (other,) = told.passes, twice.passes
    assert other.seconds == pytest.approx(2 * one.seconds) and other.fixed == pytest.approx(one.fixed)
    assert sum(twice.trainings.values()) == pytest.approx(2 * sum(told.trainings.values()))
    assert time([foreseen(read(path), RATES, 100, TRAINED, 4)], 1) == pytest.approx(time([told], 1) / 4)
    assert {len(told.trainings), len(set(told.neighbours.values()) - {None})} == {6, 4}


def test_a_method_that_was_not_measured_is_told(known):
    path, *_ = known
    with pytest.raises(UserError, match=r"no training of bottleneck that begins with the weights of a rate point"):
        foreseen(read(path), Rates(1, 1, {("bottleneck", True): 1}), 1, 1)


def test_what_runs_took_is_compared_with_what_is_predicted(known):
    _, run, told = known
    store = Store(run)
    alone = predicted(told, 1)
    store.put_run({"workers": 1, "kept": 0, "seconds": alone, "opening": 0})
    store.put_run({"workers": 2, "kept": 3, "seconds": 1.0})
    store.put_run({"workers": "x", "kept": 0, "seconds": None})
    (line,) = checked(told, [run])
    assert line == f"{run}: 1 worker took {alone:.1f} s, predicted {alone:.1f} s (+0.0 %)"


def test_the_command_tells_draws_and_compares(known, tmp_path, capsys):
    path, run, told = known
    assert splitbench("scale", run, "--measured", run, "--workers", 1, "--workers", 3) == 0
    assert (
        list(described([told], [1, 3])) == capsys.readouterr().out.splitlines()[: len(list(described([told], [1, 3])))]
    )
    sizes = ("--images", 100, "--train-images", TRAINED)
    (other := path.with_name("two.yaml")).write_text(SWEEP)
    words = ("--sweep", path, *sizes, "--sweep", other, *sizes)
    assert splitbench("scale", run, *words, "--speed", 10, "--out", tmp_path / "scale") == 0
    assert {one.name for one in tmp_path.iterdir()} == {"scale.txt", "scale.svg", "scale.png"}
    assert (tmp_path / "scale.txt").read_text().startswith("12 trainings")
    assert splitbench("scale", run, "--sweep", path) == 2
    assert "--images 0 times and --train-images 0 times: give" in capsys.readouterr().err
    assert splitbench("scale", run, "--sweep", path, "--images", 500) == 2
    assert "--sweep is given 1 time, but --train-images 0 times: give --images and" in capsys.readouterr().err


def test_a_run_without_trainings_is_told_in_words_that_fit(known, tmp_path, capsys):
    path, _, told = known
    bare = path.with_name("bare.yaml")
    bare.write_text("\n".join(line for line in SWEEP.splitlines() if "bottleneck" not in line))
    untrained = replace(told, trainings={}, neighbours={}, passes=[replace(told.passes[0], needs=frozenset())])
    _stored(bare, tmp_path / "run", untrained)
    assert splitbench("scale", tmp_path / "run", "--workers", 1, "--workers", 2) == 0
    first, header, *_, last = capsys.readouterr().out.splitlines()
    seconds = sum(one.seconds + one.fixed for one in untrained.passes)
    assert first == f"0 trainings (0.0 s), 1 pass ({seconds:.1f} s)"
    assert header.split() == ["workers", "time", "times", "faster", "busy"]
    assert last == "from 8 workers on, twice as many save less than 10% of the time"
    *_, last = described([Measured({}, {}, [PassTime(1, parts=1)])])
    assert last == "from 1 worker on, twice as many save less than 10% of the time"
    assert splitbench("scale", tmp_path / "run", "--sweep", path, "--images", 9, "--train-images", 9) == 2
    assert "or measure the sweep `slice`, which ships (`splitbench run slice`" in capsys.readouterr().err
