"""Bytes that no encoder wrote: refused in the project's own words, or decoded to the right shape, in little memory."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from splitbench.methods import BitstreamError
from tests.helpers.method_samples import deployed
from tests.torture.damage import torture
from tests.torture.decoders import NAMES, targets


@pytest.mark.parametrize("name", NAMES)
def test_every_decoder_refuses_or_survives_damaged_bytes(name):
    result = targets(name)
    if not result:
        pytest.skip("the method's package is not installed")
    counts = torture(result, max(400, 100 * len(result)))
    assert counts["mutations"] == counts["refused"] + counts["decoded"] >= 400
    assert counts["refused"] > 0 and counts["decoded"] > 0  # neither side of the promise is tried for nothing


@pytest.fixture(scope="module")
def coders():
    return targets("coding")


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_decoded_by_the_coders(coders, data):
    for target in coders:
        target.accepts(data)


def of(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "WEBP", quality=5)
    return bytearray(buffer.getvalue())


def test_a_webp_file_is_refused_before_memory_is_taken_for_what_it_tells(monkeypatch):
    deployment, _, specs = deployed("image", {"format": "webp"}, 5)
    _, height, width = specs[0].shape
    whole = of(width, height)
    assert len(deployment.codec.decode([bytes(whole)], specs)[0]) == 1
    monkeypatch.setattr(Image, "open", None)  # libwebp takes the memory when a file is opened
    huge = bytearray(whole)
    huge[26:30] = (12000).to_bytes(2, "little") * 2
    animated = whole[:12] + b"VP8X" + bytes(30)
    for data in (huge, animated, whole[:29], b""):
        with pytest.raises(BitstreamError, match="no WebP file of one image"):
            deployment.codec.decode([bytes(data)], specs)


@pytest.mark.parametrize("kind", ["png", "webp", "avif"])
def test_bytes_behind_the_end_of_a_picture_are_refused(kind):
    deployment, cut, specs = deployed("image", {"format": kind}, 20)
    for stream in deployment.codec.encode(cut):
        deployment.codec.decode([stream.data], specs)
        for more in (b"\0", b"\xff\xd9", bytes(8), stream.data[-12:], stream.data):
            with pytest.raises(BitstreamError, match="damaged bitstream"):
                deployment.codec.decode([stream.data + more], specs)


def test_running_out_of_memory_is_not_taken_for_damage(monkeypatch):
    deployment, cut, specs = deployed("image", {}, 20)
    data = [stream.data for stream in deployment.codec.encode(cut)]

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(MemoryError):
        deployment.codec.decode(data, specs)
