import itertools

import pytest
import torch
from torch import nn

from splitbench.bench.metrics import ledger
from splitbench.bench.results.validation import is_result
from splitbench.methods.base import Deployment


class NoCodec:
    def encode(self, cut):
        raise AssertionError("the ledger counts tables, and codes nothing")

    def decode(self, streams, specs):
        raise AssertionError("the ledger counts tables, and codes nothing")


def deployment(head, tail, **tables):
    return Deployment(codec=NoCodec(), head=head, tail=tail, device_tables=tables)


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))  # 64 + 8 and 32 + 4 random float32 values


def test_what_float16_holds_exactly_counts_two_bytes_and_everything_else_its_own(backbone):
    head = nn.Sequential(nn.Linear(8, 8))
    with torch.no_grad():
        head[0].weight.copy_(head[0].weight.half())
    counted = ledger.stored(
        deployment(head, backbone[1:], table=torch.arange(10)), digests := ledger.TensorDigests(backbone)
    )
    device, server = counted["device"], counted["server"]
    assert (device["backbone"], device["packed_backbone"]) == (0, 0)
    assert sorted(device["own"].values()) == sorted([256, 32, 80])
    assert sorted(device["packed"].values()) == sorted([128, 32, 80])  # integers stay what they are
    assert device["own"].keys() == device["packed"].keys()
    assert (server["backbone"], server["packed_backbone"], server["packed"]) == (144, 144, {})
    assert digests.packed_bytes(torch.tensor([0.5, 70000.0])) == 8  # 70,000 is beyond float16
    assert digests.packed_bytes(torch.tensor([0.5, float("nan")])) == 8
    assert digests.packed_bytes(torch.zeros(3, dtype=torch.float16)) == 6


def test_packed_columns_stand_beside_those_of_memory(backbone):
    digests = ledger.TensorDigests(backbone)
    heads = [nn.Sequential(nn.Linear(8, 8, bias=False)) for _ in range(3)]
    with torch.no_grad():
        for head in heads[:2]:
            head[0].weight.copy_(head[0].weight.half())
    columns = ledger.over_rate_points([ledger.stored(deployment(head, backbone[1:]), digests) for head in heads])
    assert columns["storage_device_bytes"] == 3 * 256
    assert columns["storage_device_packed_bytes"] == 128 + 128 + 256
    assert columns["switch_device_bytes"] == 256
    pairs = itertools.permutations([128, 128, 256], 2)
    assert columns["switch_device_packed_bytes"] == pytest.approx(sum(after for _, after in pairs) / 6)
    assert columns["switch_server_packed_bytes"] == 0
    assert columns["storage_server_packed_bytes"] == columns["storage_server_bytes"] == 144


def test_results_of_versions_that_did_not_pack_stay_valid_and_have_no_packed_columns(backbone):
    new = ledger.stored(deployment(backbone[:1], backbone[1:]), ledger.TensorDigests(backbone))
    old = {side: {name: sizes[name] for name in ("backbone", "own")} for side, sizes in new.items()}
    assert not [name for name in ledger.over_rate_points([new, old]) if "packed" in name]
    columns = {"status": "ok", "split": "0", "method": "raw", "variant": "", "seed": 0}
    for stored in (old, new):
        assert is_result({"settings": {}, "columns": columns, "stored": stored})
    broken = new | {"device": new["device"] | {"packed": {"x": "many"}}}
    assert not is_result({"settings": {}, "columns": columns, "stored": broken})
