"""feature-image: tiles as lossy files, in an order that both sides know; better files of higher quality."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import BitstreamError, Context, MethodError, TensorSpec
from splitbench.methods.coding.image import video
from splitbench.methods.coding.maps.tiles import frames_shape, from_frames, to_frames
from splitbench.methods.feature_image import _chain

METHOD = METHODS.get("feature-image")
VIDEOS = tuple(
    pytest.param(kind, marks=pytest.mark.skipif(video.missing(kind) is not None, reason=str(video.missing(kind))))
    for kind in video.KINDS
)
FORMATS = ("jpeg", "webp", "avif", "jpeg-xl")


def feature_maps(seed=0, images=3, channels=24):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, channels, 5, 5, generator=generator)
    return nn.functional.interpolate(coarse, (16, 12), mode="bilinear").relu()


def deployed(cut, calibration=None, **settings):
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    images = cut if calibration is None else calibration
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: [images])
    return METHOD.deploy(METHOD.Settings(**settings), context), specs


def coded(cut, **settings):
    deployment, specs = deployed(cut, **settings)
    streams = deployment.codec.encode(cut)
    return deployment.codec.decode([stream.data for stream in streams], specs), streams


@pytest.mark.parametrize("kind", [*FORMATS, *VIDEOS])
@pytest.mark.parametrize("order", ["network", "similar"])
def test_quality_buys_bytes_for_distortion(kind, order):
    cut = (feature_maps(), torch.rand(3, 40))
    errors, sizes = [], []
    for quality in (5, 50, 95):
        decoded, streams = coded(cut, quality=quality, format=kind, order=order)
        errors.append(float(((decoded[0] - cut[0]) ** 2).mean()))
        sizes.append(sum(len(stream.data) for stream in streams))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.01 * float(cut[0].var())
    assert sizes[0] < sizes[1] < sizes[2]


def test_similar_channels_are_side_by_side():
    features = torch.tensor([[1.0, 0], [0, 9], [5, 0], [0, 8], [6, 0]])
    assert _chain(features).tolist() == [1, 3, 0, 2, 4]


def test_similar_channels_side_by_side_take_fewer_bytes():
    """Channels of four kinds in turn, as no order of a network's helps an image coder."""
    kinds = feature_maps(1, images=3, channels=4)
    cut = (kinds.repeat(1, 32, 1, 1),)
    sizes = {}
    for order in ("network", "similar"):
        deployment, _ = deployed(cut, quality=40, order=order)
        sizes[order] = sum(len(stream.data) for stream in deployment.codec.encode(cut))
        names = {"low.0", "high.0"} | ({"order.0"} if order == "similar" else set())
        assert set(deployment.device_tables) == set(deployment.server_tables) == names
    assert sizes["similar"] < sizes["network"]


def test_what_lies_beyond_the_calibrated_range_is_clipped():
    cut = (feature_maps(),)
    deployment, specs = deployed(cut, calibration=(cut[0].clamp(max=1),), quality=95)
    streams = deployment.codec.encode(cut)
    (decoded,) = deployment.codec.decode([stream.data for stream in streams], specs)
    assert cut[0].max() > 1.5 and decoded.max() <= 1.001
    (own,), _ = coded(cut, quality=95, range="image")
    assert own.max() > 1.5


def test_parts_of_the_bitstream_are_distinguished():
    cut = (feature_maps(), torch.rand(3, 40))
    for kind in FORMATS:
        _, streams = coded(cut, quality=40, format=kind, range="image")
        for stream in streams:
            ranges = 2 * 2  # of two tensors
            assert stream.side > 100 if kind == "jpeg" else stream.side == ranges  # a JPEG's tables
            assert stream.framing > 4 and 0 < stream.payload < len(stream.data)


@pytest.mark.parametrize("shape", [(1, 1, 1), (256, 13, 13), (5, 100, 7), (3, 64, 64), (70, 2, 90), (5000, 1, 1)])
def test_maps_come_back_from_frames(shape):
    maps = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    frames = to_frames(maps)
    assert frames.shape == frames_shape(shape) and (from_frames(frames, shape) == maps).all()
    assert frames.size < maps.size + frames[0].size * 2


def test_successive_channels_are_at_the_same_place_of_successive_frames():
    frames = to_frames(np.arange(64, dtype=np.uint8)[:, None, None].repeat(16, 1).repeat(16, 2))
    assert frames[:, 0, 0].tolist() == [0, 1, 2, 3] and frames[:, 0, 16].tolist() == [4, 5, 6, 7]


def test_without_pyav_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for kind in video.KINDS:
        with pytest.raises(ValidationError, match=r"pip install 'splitbench\[video\]'"):
            METHOD.Settings(quality=40, format=kind)


@pytest.mark.parametrize("kind", VIDEOS)
def test_a_video_predicts_channels_from_one_another(kind):
    """The same maps 16 times over take little more than once, where a tiled image cannot know."""
    once = nn.functional.interpolate(feature_maps(1, images=3, channels=2), (40, 40), mode="bilinear")
    sizes = []
    for channels in (once, once.repeat_interleave(16, 1)):
        _, streams = coded((channels,), quality=60, format=kind)
        sizes.append(sum(stream.payload for stream in streams))
    assert sizes[1] < 6 * sizes[0]


@pytest.mark.parametrize("kind", VIDEOS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 16, 16), (5, 17, 33), (300, 7, 7)])
def test_frames_of_any_size_come_back(kind, shape):
    frames = (np.arange(np.prod(shape)).reshape(shape) % 200).astype(np.uint8)
    data = video.write(frames, kind, 100)
    assert np.abs(video.read(data, kind, shape).astype(int) - frames).mean() < 1
    assert 0 < video.framing(data, kind) < len(data)
    for other in ((shape[0] + 1, *shape[1:]), (shape[0], shape[1] + 64, shape[2]), (max(shape[0] - 1, 0), *shape[1:])):
        with pytest.raises(BitstreamError):
            video.read(data, kind, other)


@pytest.mark.parametrize("kind", VIDEOS)
def test_a_video_takes_no_memory_for_what_it_says(kind):
    """A stream of large frames is refused by its parameter sets, before any frame is made."""
    data = video.write(np.zeros((2, 2048, 2048), np.uint8), kind, 50)
    with pytest.raises(BitstreamError):
        video.read(data, kind, (2, 16, 16))


@pytest.mark.parametrize("kind", VIDEOS)
def test_a_video_sends_no_greetings(kind):
    data = video.write(np.zeros((2, 16, 16), np.uint8), kind, 50)
    assert b"x26" not in data and len(data) < 200


def test_files_of_another_size_are_refused():
    deployment, specs = deployed((feature_maps(),), quality=40)
    other, _ = deployed((feature_maps(channels=40),), quality=40)
    with pytest.raises(BitstreamError, match="instead of"):
        deployment.codec.decode([other.codec.encode((feature_maps(channels=40),))[0].data], specs)


def test_without_calibration_images_it_says_what_to_do():
    specs = (TensorSpec((4, 3, 3), torch.float32),)
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=list)
    with pytest.raises(MethodError, match="name some in the sweep's `calibration`"):
        METHOD.deploy(METHOD.Settings(quality=40, range="image", order="similar"), context)
