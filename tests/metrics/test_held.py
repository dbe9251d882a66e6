"""What a codec holds, in whatever way, is in the ledger's tables or weights, or it is found and named."""

import array
import functools
import types
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from splitbench.bench.metrics import held
from splitbench.methods.base import Context, Deployment, MethodError
from tests.helpers.faulty_codecs import SoundCodec

TABLE = torch.arange(100, dtype=torch.float32)
NETWORK = nn.Linear(8, 8, bias=False)


class Holding(SoundCodec):
    def __init__(self, held):
        self.held = held


class Slotted(SoundCodec):
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held


class Of(SoundCodec):
    """The class itself holds it."""

    table = TABLE.clone()


class Naming(SoundCodec):
    """Its code names a network."""

    def encode(self, cut):
        return super().encode((NETWORK(cut[0]),))


class Fields(NamedTuple):
    low: torch.Tensor


@dataclass(frozen=True, slots=True)
class Row:
    low: torch.Tensor


class Buffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("kept", TABLE.clone(), persistent=False)
        self.plain = nn.ModuleList([nn.Linear(1, 1)])


def closure():
    table = TABLE.clone()
    return lambda x: x + table


def default(x, table=TABLE.clone()):  # noqa: B008
    return x + table


class Calling:
    def __init__(self):
        self.table = TABLE.clone()

    def call(self):
        return self.table


def deployment(codec, head=None, tail=None, **tables):
    return Deployment(head or nn.Identity(), codec, tail or nn.Identity(), tables, {})


def found(codec, **tables):
    return [(item.path, item.size) for item in held.uncounted(deployment(codec, **tables))]


@pytest.mark.parametrize(
    ("codec", "path"),
    [
        (Holding(TABLE.clone()), "codec.held"),
        (Slotted(TABLE.clone()), "codec.held"),
        (Holding([{"low": (TABLE.clone(),)}]), "codec.held[0]['low'][0]"),
        (Holding(OrderedDict(low=deque([TABLE.clone()]))), "codec.held['low'][0]"),
        (Holding(types.MappingProxyType({"low": TABLE.clone()})), "codec.held['low']"),
        (Holding(types.SimpleNamespace(low=TABLE.clone())), "codec.held.low"),
        (Holding(Fields(TABLE.clone())), "codec.held[0]"),
        (Holding(Row(TABLE.clone())), "codec.held.low"),
        (Holding(functools.partial(torch.add, TABLE.clone())), "codec.held.args[0]"),
        (Holding(functools.partial(torch.add, other=TABLE.clone())), "codec.held.keywords['other']"),
        (Holding(closure()), "codec.held.table"),
        (Holding(functools.lru_cache(closure())), "codec.held.__wrapped__.table"),
        (Holding(default), "codec.held.__defaults__[0][0]"),
        (Holding(Calling().call), "codec.held.table"),
        (Holding(Buffered()), "codec.held.kept"),
        (Holding(nn.Sequential(Buffered())), "codec.held.0.kept"),
        (Of(), "codec.table"),
        (Holding(TABLE.numpy().copy()), "codec.held"),
        (Holding(TABLE.numpy().tobytes()), "codec.held"),
        (Holding(bytearray(TABLE.numpy().tobytes())), "codec.held"),
        (Holding(array.array("f", TABLE.tolist())), "codec.held"),
        (Holding(torch.ones(10, 10).to_sparse()), "codec.held"),
        (Holding(torch.jit.script(nn.Linear(20, 5, bias=False))), "codec.held.weight"),
    ],
)
def test_data_are_found_however_they_are_held(codec, path):
    assert found(codec) == [(path, 400)]


def test_python_numbers_and_words_are_data_where_they_are_many():
    assert found(Holding({symbol: symbol * 0.5 for symbol in range(100)})) == [("codec.held", 800)]
    assert found(Holding(["0101"] * 100)) == [("codec.held", 400)]
    assert found(Holding([1] * 64)) == []


def test_networks_that_the_code_names_are_found():
    assert found(Naming()) == [("tests.metrics.test_held.NETWORK.weight", 256)]


def test_the_largest_come_first_and_each_once():
    many = Holding([TABLE.clone(), torch.zeros(1000)])
    many.held += many.held  # and itself
    many.held.append(many)
    assert found(many) == [("codec.held[1]", 4000), ("codec.held[0]", 400)]


def test_constants_are_no_data():
    constants = [torch.tensor(3), np.float32(2.0), torch.zeros(15), b"header", torch.empty(9, 9, device="meta")]
    assert found(Holding(constants)) == []
    assert found(Holding(torch.zeros(16))) == [("codec.held", 64)]


def test_tables_are_counted_by_memory_and_by_value():
    integers = torch.arange(100, dtype=torch.int32)
    for alike in (
        integers,
        integers[20:60],  # a part of it
        integers.reshape(10, 10).T,
        integers.numpy(),
        integers.numpy()[::-1],
        integers.clone(),
        integers.double().reshape(20, 5),
        integers.numpy().astype(np.uint16),
        integers.tolist(),
    ):
        assert found(Holding(alike), table=integers) == []
    assert found(Holding(integers + 1), table=integers) == [("codec.held", 400)]


def test_a_table_that_is_a_part_of_what_is_held_counts_for_that_part_alone():
    assert found(Holding(TABLE), table=TABLE[:10]) == [("codec.held", 400)]


def test_weights_of_head_and_tail_are_counted_and_what_the_harness_gave_is_not_looked_into():
    head, tail = nn.Linear(20, 20), Buffered()
    codec = Holding([head, head.weight, dict(tail.named_parameters()), tail.kept])
    assert held.uncounted(deployment(codec, head, tail)) == []
    specs = ()
    context = Context(head, tail, specs, calibration=closure())
    assert held.uncounted(deployment(Holding(context), nn.Identity(), nn.Identity())) == []


def test_what_is_made_while_coding_is_no_data_but_parameters_are():
    codec = Holding(None)
    held.check(deployment(codec))
    codec.held = [torch.zeros(100), nn.Parameter(torch.zeros(50))]
    with pytest.raises(MethodError, match=r"codec.held\[1\] \(200 bytes\)\. Name them in .*`device_tables`"):
        held.check(deployment(codec), only=nn.Parameter)


def test_the_message_names_the_largest_and_how_many_more():
    codec = Holding([torch.zeros(100 + index) for index in range(5)])
    sentence = r"codec.held\[4\] \(416 bytes\), codec.held\[3\] \(412 bytes\), codec.held\[2\] \(408 bytes\) and 2 more"
    with pytest.raises(MethodError, match=sentence):
        held.check(deployment(codec))
