"""Grey frames as a video stream in memory, H.264 or HEVC, through PyAV.

A stream is what the encoder writes (Annex B), without a container and without the encoder's greetings (SEI): parameter
sets, and a slice for every frame. Frames are padded to whole blocks: H.264's macroblocks, HEVC's coding tree units
(x265 4.3 writes beyond its memory where frames are 48 pixels wide).
"""

import importlib.util
import re
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from splitbench.methods.base import BitstreamError

Kind = Literal["h264", "hevc"]
KINDS: tuple[Kind, ...] = ("h264", "hevc")
Frames = npt.NDArray[np.uint8]
"""Grey frames, (N, H, W)."""

_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
_OPTIONS = {
    "h264": {"x264-params": "keyint=infinite:scenecut=0"},
    "hevc": {"x265-params": "keyint=-1:scenecut=0:info=0:log-level=none:pools=none:frame-threads=1"},
}
_WORST = 51  # of the constant rate factor
_BLOCK = {"h264": 16, "hevc": 64}
_ALIGNED = 64  # what FFmpeg rounds a frame's sides up to in memory
_START = re.compile(rb"\x00*\x00\x00\x01")  # of a unit of the stream
_GREETINGS = {"h264": {6}, "hevc": {39, 40}}
_PARAMETERS = {"h264": {7, 8}, "hevc": {32, 33, 34}}


def missing(kind: str) -> str | None:
    """Return what to install for this kind; None where nothing is missing."""
    if kind in KINDS and importlib.util.find_spec("av") is None:
        return f"`format: {kind}` needs the package av: pip install 'splitbench[video]'"
    return None


def write(frames: Frames, kind: Kind, quality: int) -> bytes:
    """Encode frames with a quality of 0 to 100."""
    import av

    padded = _padded(frames, _BLOCK[kind])
    encoder = av.CodecContext.create(_ENCODERS[kind], "w")
    encoder.height, encoder.width, encoder.pix_fmt = padded.shape[1], padded.shape[2], "gray"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = {"crf": str(round(_WORST * (100 - quality) / 100)), "preset": "medium"} | _OPTIONS[kind]
    packets = []
    for number, pixels in enumerate(padded):
        frame = av.VideoFrame.from_ndarray(pixels, format="gray")
        frame.pts = number
        packets += encoder.encode(frame)
    data = b"".join(map(bytes, [*packets, *encoder.encode(None)]))
    return b"".join(start + unit for start, unit in _units(data) if _type(unit, kind) not in _GREETINGS[kind])


def read(data: bytes, kind: Kind, shape: tuple[int, int, int]) -> Frames:
    """Return a stream's frames, of this shape (N, H, W). Raises BitstreamError for every other stream."""
    import av

    count, height, width = shape
    down, across = (-(-side // _BLOCK[kind]) * _BLOCK[kind] for side in (height, width))
    decoder = av.CodecContext.create(kind, "r")
    decoder.thread_count = 1
    most = (down + _ALIGNED) * (across + _ALIGNED)
    decoder.options = {"max_pixels": str(most), "err_detect": "explode"}  # no memory for what a stream says
    frames: list[Frames] = []
    try:
        for packet in [*decoder.parse(data), *decoder.parse(None), None]:
            for frame in decoder.decode(packet):
                if (frame.height, frame.width) != (down, across) or frame.is_corrupt or len(frames) == count:
                    raise BitstreamError(f"damaged bitstream: no video of {count} frames of {across} x {down}")
                plane = frame.planes[0]
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                frames.append(rows[:height, :width].copy())
    except (BitstreamError, MemoryError):
        raise
    except Exception as error:  # PyAV has a class for each of FFmpeg's error numbers
        raise BitstreamError(f"damaged bitstream: {error}") from error
    if len(frames) != count:
        raise BitstreamError(f"damaged bitstream: a video of {len(frames)} frames instead of {count}")
    return np.stack(frames)


def framing(data: bytes, kind: Kind) -> int:
    """Return how many bytes of a stream that :func:`write` returned are parameter sets, or mark where units start."""
    units = _units(data)
    return sum(len(start) + len(unit) * (_type(unit, kind) in _PARAMETERS[kind]) for start, unit in units)


def _padded(frames: Frames, block: int) -> Frames:
    _, height, width = frames.shape
    return np.pad(frames, ((0, 0), (0, -height % block), (0, -width % block)), "edge")


def _units(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a stream into units, each with the mark in front of it (ITU-T H.264 and H.265, annex B)."""
    starts = [match.span() for match in _START.finditer(data)]
    ends = [start for start, _ in starts[1:]] + [len(data)]
    return [(data[start:unit], data[unit:end]) for (start, unit), end in zip(starts, ends, strict=True)]


def _type(unit: bytes, kind: Kind) -> int:
    return unit[0] & 0x1F if kind == "h264" else unit[0] >> 1 & 0x3F
