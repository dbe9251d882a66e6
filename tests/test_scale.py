"""The model of the scheduler on paper: answers that are known, and bounds that hold for every sweep."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbench.bench.errors import UserError
from splitbench.bench.scale import Measured, described, measured, predicted


@st.composite
def sweeps(draw):
    keys = [f"k{number}" for number in range(draw(st.integers(0, 8)))]
    seconds = {key: float(draw(st.integers(0, 100))) for key in keys}
    before = {key: keys[n - 1] if n and draw(st.booleans()) else None for n, key in enumerate(keys)}
    passes = st.tuples(st.integers(1, 100), st.sets(st.sampled_from(keys)) if keys else st.just(set()))
    return Measured(
        seconds, before, [(float(s), frozenset(k)) for s, k in draw(st.lists(passes, min_size=1, max_size=4))]
    )


@settings(max_examples=200)
@given(sweeps(), st.integers(1, 12))
def test_no_faster_than_possible_and_no_slower_than_alone(found, workers):
    total = sum(found.trainings.values()) + sum(seconds for seconds, _ in found.passes)
    time = predicted(found, workers)
    assert predicted(found, 1) == pytest.approx(total)
    assert time >= total / workers - 1e-6
    assert time <= total + 1e-6
    chain = 0.0
    for key in found.trainings:
        at, length = key, 0.0
        while at is not None:
            length += found.trainings[at]
            at = found.neighbours[at]
        chain = max(chain, length)
    assert time >= chain - 1e-6


def test_known_answers():
    chain = Measured({"a": 4, "b": 2, "c": 3}, {"b": "a"}, [(8, frozenset("abc"))])
    assert [predicted(chain, n) for n in (1, 2, 4, 8)] == [17, 10, 8, 7]
    free = Measured({}, {}, [(10, frozenset()), (6, frozenset())])
    assert [predicted(free, n) for n in (1, 2, 4)] == [16, 8, 4]


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no cell that was measured"):
        measured(tmp_path)
    with pytest.raises(UserError):
        list(described(tmp_path, [1]))
