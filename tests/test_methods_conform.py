"""One test for every method that is there: what the harness relies on, over all settings with named choices."""

import pytest
import torch

from splitbench import methods
from tests.method_samples import cases, deployed


@pytest.mark.parametrize(("name", "chosen", "rates"), list(cases()))
def test_conforms(name, chosen, rates):
    for rate in rates:
        deployment, cut, specs = deployed(name, chosen, rate)
        codec = deployment.codec
        before = [x.clone() for x in cut]
        streams = codec.encode(cut)
        assert all(torch.equal(x, y) for x, y in zip(cut, before, strict=True)), "encode changes the cut"

        assert len(streams) == len(cut[0])
        for stream in streams:
            assert isinstance(stream.data, bytes)
            assert stream.payload + stream.side + stream.framing == len(stream.data)
            assert min(stream.payload, stream.side, stream.framing) >= 0

        data = [stream.data for stream in streams]
        decoded = codec.decode(data, specs)
        assert [(tuple(x.shape[1:]), x.dtype) for x in decoded] == [(spec.shape, spec.dtype) for spec in specs]
        assert not torch.isnan(deployment.tail(*decoded)).any()

        # An image's bytes do not depend on the others of its batch, and decoding needs nothing but bytes and tables.
        other = deployed(name, chosen, rate)[0].codec
        for index in range(len(data)):
            alone = tuple(x[index : index + 1] for x in cut)
            assert other.encode(alone)[0].data == data[index]
            for x, y in zip(other.decode(data[index : index + 1], specs), decoded, strict=True):
                assert torch.equal(x[0], y[index])

        nothing = tuple(x[:0] for x in cut)
        assert codec.encode(nothing) == []
        assert [len(x) for x in codec.decode([], specs)] == [0] * len(specs)


@pytest.mark.parametrize("name", methods.names())
def test_says_what_it_is(name):
    method = methods.get(name)
    assert method.summary and "\n" not in method.summary
    assert method.version >= 1
    assert method.knob in method.Settings.model_fields
    assert method.only_at in (None, "input", "output")
    assert method.tasks and set(method.tasks) <= {"classification", "detection"}
    for rate in method.rates:
        settings = method.Settings.model_validate({method.knob: rate})
        assert method.needs(settings) <= {"calibration", "train"}
