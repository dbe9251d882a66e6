"""A pass measured in parts, in any order and by several, comes to what it comes to in one go."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from splitbench.bench.evaluation import Shard, ShardError, describe, joined, measure, prepare, score
from splitbench.bench.evaluation.costs import Description
from splitbench.datasets.base import ImageError
from splitbench.methods.base import MethodError
from tests.helpers.closeness import ACTIVATIONS, close
from tests.helpers.naive_pass import opened

SWEEP = """
datasets: [{name: synthetic, limit: 17}]
backbones: [{name: splitbench/small_resnet, splits: [layer1]}]
methods:
  - {name: quantize-rle, bits: [2]}
  - {name: label-only}
"""
BATCH = 3  # 6 batches
TIMES = {"seconds", "fixed_seconds", "head_ms", "encode_ms", "decode_ms", "tail_ms", "switch_ms"}


class Damaged:
    """A dataset some of whose images cannot be read."""

    def __init__(self, dataset, damaged):
        self.dataset, self.damaged = dataset, damaged

    def __getattr__(self, name):
        return getattr(self.dataset, name)

    def __len__(self):
        return len(self.dataset)

    def image(self, index):
        if index in self.damaged:
            raise ImageError(f"image {index} is damaged")
        return self.dataset.image(index)


class Choosy:
    """A codec that refuses one image."""

    def __init__(self, codec, refused):
        self.codec, self.refused = codec, refused
        self.decode = codec.decode

    def encode(self, cut):
        if any(close(x, self.refused, ACTIVATIONS) for x in cut[0]):
            raise MethodError("not this one")
        return self.codec.encode(cut)


@pytest.fixture(scope="module")
def pass_of():
    cells, inputs = opened(SWEEP, BATCH, calibrated_on="evaluation")

    def make(damaged=(), skip=False):
        images = Damaged(inputs.dataset, damaged) if damaged else inputs.dataset
        return cells, dataclasses.replace(inputs, dataset=images, skip_unreadable=skip)

    return make


def prepared_with_failure(cells, inputs, at):
    """Prepared cells of which the first fails at image ``at``."""
    prepared = prepare(cells, inputs)
    if at is not None:
        first = prepared.candidates[0]
        pixels = inputs.backbone.pixels(inputs.dataset.image(at))[None]
        with torch.no_grad():
            refused = first.deployment.head(pixels)[0][0]
        choosy = dataclasses.replace(first.deployment, codec=Choosy(first.deployment.codec, refused))
        prepared.candidates[0] = dataclasses.replace(first, deployment=choosy)
    return prepared


def untimed(outcomes):
    """All of the outcomes but times, as something that can be compared."""
    return {
        name: (
            {column: value for column, value in outcome.columns.items() if column not in TIMES},
            {record: values.tolist() for record, values in outcome.records.items()},
            outcome.stored,
            outcome.reason,
        )
        for name, outcome in outcomes.items()
    }


def in_parts(prepared, borders, order, again):
    """Measured between borders in an order, anew prepared for each part or not, every shard stored in between."""
    ends = [0, *borders, len(prepared.inputs.plan)]
    parts = [(ends[i], ends[i + 1]) for i in range(len(ends) - 1)]
    shards = []
    for number in order(len(parts)):
        if again:
            prepared = fresh(prepared)
        shards.append(Shard.from_bytes(measure(prepared, *parts[number]).to_bytes()))
    return joined(shards)


def fresh(prepared):
    """As another process would prepare it: nothing has failed yet."""
    return dataclasses.replace(prepared, failed={}, refused=None if prepared.example is not None else prepared.refused)


CASES: dict[str, dict[str, Any]] = {
    "all well": {},
    "a cell fails": {"failing": 10},
    "an image is refused": {"damaged": (7,)},
    "a cell fails before an image is refused": {"damaged": (7, 16), "failing": 4},
    "an image is refused before a cell fails": {"damaged": (7,), "failing": 13},
    "images are left out": {"damaged": (0, 1, 2, 8), "skip": True, "failing": 13},
    "the first image is refused": {"damaged": (0,)},
    "no image can be read": {"damaged": range(17), "skip": True},
}


@pytest.mark.parametrize("case", CASES)
def test_shards_joined_equal_one_go(pass_of, case):
    failing = CASES[case].get("failing")
    cells, inputs = pass_of(CASES[case].get("damaged", ()), CASES[case].get("skip", False))
    prepared = prepared_with_failure(cells, inputs, failing)
    whole = measure(prepared)
    descriptions = {name: Description({"cut": "8"}, {"device": {}}) for name in cells}
    expected = untimed(dict(score(cells, whole, descriptions, inputs.dataset, skip_unreadable=inputs.skip_unreadable)))
    assert any(reason for *_, reason in expected.values()) == (case != "all well")
    if case == "a cell fails before an image is refused":
        assert len({reason for *_, reason in expected.values()}) == 2
    for borders, order, again in (
        ([1, 2, 3, 4, 5], lambda count: reversed(range(count)), False),
        ([2, 5], lambda count: [*range(1, count), 0], True),
        ([3, 3], range, True),
    ):
        shard = in_parts(fresh(prepared), borders, order, again)
        outcomes = dict(score(cells, shard, descriptions, inputs.dataset, skip_unreadable=inputs.skip_unreadable))
        assert untimed(outcomes) == expected


def test_a_description_is_json_and_no_image_is_decoded_twice(pass_of):
    cells, inputs = pass_of()
    displayed = []

    class Counted(Damaged):
        def image(self, index):
            displayed.append(index)
            return self.dataset.image(index)

    inputs = dataclasses.replace(inputs, dataset=Counted(inputs.dataset, ()))
    prepared = prepare(cells, inputs)
    descriptions = describe(prepared)
    stored = json.dumps({name: dataclasses.asdict(item) for name, item in descriptions.items()})
    again = {name: Description(**fields) for name, fields in json.loads(stored).items()}
    shard = measure(prepared)
    assert sorted(displayed) == list(range(17))
    assert untimed(dict(score(cells, shard, again, inputs.dataset))) == untimed(
        dict(score(cells, shard, descriptions, inputs.dataset))
    )
    alone = list(cells)[:1]
    part = dict(score({name: cells[name] for name in alone}, shard.only(alone), descriptions, inputs.dataset))
    assert list(part) == alone
    assert all(outcome.columns["batch"] == BATCH for outcome in part.values())


def shard_of(first, last, names=("a", "b"), total=6):
    images = np.arange(first, last)
    records = {"image": images, "bytes": images * 2}
    return Shard(first, last, total, frozenset(names), 1, 1.0, records, dict.fromkeys(names, records))


def test_shards_that_do_not_fit_together_are_refused(pass_of):
    for wrong in (
        [],
        [shard_of(0, 2), shard_of(3, 4)],
        [shard_of(0, 2), shard_of(1, 4)],
        [shard_of(0, 2), shard_of(2, 4, ("a",))],
        [shard_of(0, 2), shard_of(2, 4, total=7)],
    ):
        with pytest.raises(ShardError):
            joined(wrong)
    cells, inputs = pass_of()
    with pytest.raises(ValueError, match="not a whole pass"):
        next(score(cells, shard_of(0, 2, cells), {}, inputs.dataset))
    with pytest.raises(ValueError, match="not a whole pass"):
        next(score(cells, shard_of(0, 6), {}, inputs.dataset))


def test_a_record_by_another_name_is_reported():
    """The names of a zip file's members are in its directory, which no checksum covers."""
    good = shard_of(0, 6).to_bytes()
    name = b"reference/" + sorted(shard_of(0, 6).reference)[0].encode()
    damaged = good.replace(name, name[:-1] + b"_")
    assert damaged != good
    with pytest.raises(ShardError, match="other names"):
        Shard.from_bytes(damaged)


@given(st.data())
def test_damaged_shards_are_reported(data):
    good = shard_of(0, 6).to_bytes()
    cut = data.draw(st.integers(0, len(good) - 1))
    flipped = bytearray(good)
    flipped[cut] ^= data.draw(st.integers(1, 255))
    for damaged in (good[:cut], bytes(flipped)):
        try:
            shard = Shard.from_bytes(damaged)
        except ShardError:
            continue
        assert shard.to_bytes() == good  # a flip where nothing is read, as in a zip file's dates
