"""Rate points that are prefixes of one stream: fitted and encoded once, measured each as if it were alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from splitbench.bench.evaluation import EvaluationInputs, measure, prepare, tasks
from splitbench.bench.evaluation.pipeline import pipeline
from splitbench.bench.metrics import ledger
from splitbench.bench.run.planning.sources import Sources, open_backbone, open_dataset
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.schema import Sweep
from splitbench.methods import quantize_layers
from splitbench.methods.base import MethodError, nothing_learned
from splitbench.methods.coding.layers import divided
from tests.helpers.pass_samples import BATCH, IMAGES, SWEEPS, same_records

RATES = quantize_layers.METHOD.rates
BATCHES = -(-IMAGES // BATCH)


def pass_of(rates, settings=None):
    layers = {"name": "quantize-layers", "layers": list(rates)} | (settings or {})
    sweep = Sweep.model_validate(SWEEPS["classification"] | {"methods": [layers, {"name": "raw"}], "batch": BATCH})
    sweep = sweep.model_copy(update={"backbones": [sweep.backbones[0].model_copy(update={"splits": ["layer2"]})]})
    (spec,), (backbone,), sources = sweep.datasets, sweep.backbones, Sources(device=torch.device("cpu"))
    calibration = open_dataset(spec.model_copy(update={"calibration": {"limit": 4}}), sources, "calibration")
    inputs = EvaluationInputs(
        backbone=open_backbone(backbone, spec, sources),
        dataset=open_dataset(spec, sources, "evaluation"),
        calibration=lambda: calibration,
        learned=lambda *_: nothing_learned(),
        batch=BATCH,
        device=torch.device("cpu"),
    )
    return {f"{cell.method} {cell.value}": cell for cell in expand(sweep)}, inputs


def layered(prepared):
    return [candidate for candidate in prepared.candidates if candidate.key.startswith("quantize-layers")]


@pytest.fixture
def encoded(monkeypatch):
    """The sizes of the batches that were encoded in layers."""
    sizes, usual = [], quantize_layers._Codec.encode

    def counted(codec, cut):
        sizes.append(len(cut[0]))
        return usual(codec, cut)

    monkeypatch.setattr(quantize_layers._Codec, "encode", counted)
    return sizes


@pytest.mark.parametrize("threads", [0, 3])
def test_one_encoding_serves_all_prefixes_and_each_row_is_what_it_is_alone(encoded, monkeypatch, threads):
    monkeypatch.setattr(pipeline, "coder_thread_count", lambda _: threads)
    together = measure(prepare(*pass_of(RATES)))
    assert sorted(encoded) == sorted([BATCH] * (BATCHES - 1) + [IMAGES - BATCH * (BATCHES - 1)])
    for rate in RATES:
        alone = measure(prepare(*pass_of([rate])))
        key = f"quantize-layers {rate}"
        assert same_records(together.cells[key], alone.cells[key])


def test_other_settings_are_other_encodings(encoded):
    (fine, inputs), (coarse, _) = pass_of([1, 2], {"bits": 3}), pass_of([1, 2], {"bits": 2})
    cells = {f"{key} {cell.variant}": cell for key, cell in (*fine.items(), *coarse.items())}
    measure(prepare(cells, inputs))
    assert len(encoded) == 2 * BATCHES


def test_all_layers_cut_off_where_a_row_ends_give_that_rows_answers():
    prepared = prepare(*pass_of(RATES))
    shard, task = measure(prepared), tasks.get("classification")
    *_, whole = candidates = layered(prepared)
    pixels = torch.cat([prepared.inputs.to_device(batch.pixels) for batch in prepared.batches(0, BATCHES)])
    targets = [task.target(prepared.inputs.dataset, index) for index in range(IMAGES)]
    with torch.no_grad():
        (cut,), _ = whole.split.cuts(whole.deployment.head(pixels))
        streams = [stream.data for stream in whole.deployment.codec.encode(cut)]
        sizes = [shard.cells[candidate.key]["bytes"] for candidate in candidates]
        assert all((less < more).all() for less, more in pairwise(sizes))
        for candidate, size in zip(candidates, sizes, strict=True):
            prefixes = [data[: int(length)] for data, length in zip(streams, size, strict=True)]
            decoded = whole.deployment.codec.decode(prefixes, whole.split.specs_of(cut))
            answers = task.record(candidate.deployment.tail(*decoded), targets)
            assert all(np.array_equal(x, shard.cells[candidate.key][name]) for name, x in answers.items())


def test_tables_are_stored_once_and_a_switch_loads_nothing():
    prepared = prepare(*pass_of(RATES))
    digests = ledger.TensorDigests(prepared.inputs.backbone.model)
    stored = [ledger.stored(candidate.deployment, digests) for candidate in layered(prepared)]
    alone, together = ledger.over_rate_points(stored[:1]), ledger.over_rate_points(stored)
    assert together["storage_device_bytes"] == alone["storage_device_bytes"]
    assert together["switch_device_bytes"] == together["switch_server_bytes"] == 0


def test_an_error_is_that_of_the_rows_that_meet_it(monkeypatch):
    usual = quantize_layers._Codec.decode

    def failing(codec, streams, specs):
        if any(len(divided(data, 4)) == 3 for data in streams):
            raise MethodError("not three")
        return usual(codec, streams, specs)

    monkeypatch.setattr(quantize_layers._Codec, "decode", failing)
    prepared = prepare(*pass_of(RATES))
    assert set(measure(prepared).failed) == {"quantize-layers 3"}

    def none(codec, cut):
        raise MethodError("no layers today")

    monkeypatch.setattr(quantize_layers._Codec, "encode", none)
    prepared = prepare(*pass_of(RATES))
    failed = measure(prepared).failed
    assert set(failed) == {f"quantize-layers {rate}" for rate in RATES}
    assert all("no layers today" in failure.reason for failure in failed.values())
