"""General-purpose compressors of bytes, at their strongest and without containers where they can do without.

zlib    raw Deflate (RFC 1951), level 9, matches of a few bytes passed over (``Z_FILTERED``)
bz2     bzip2, level 9
xz      raw LZMA2, preset 9 extreme, no context of earlier bits of the byte before (``lc=0``)
zstd    Zstandard (RFC 8878) without its magic number, level 19; needs the package ``zstandard``

Both sides know how many bytes there are, so that no length is sent and a decoder takes no memory for more.
"""

import bz2
import importlib.util
import lzma
import zlib
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from splitbench.methods.base import BitstreamError

CompressorName = Literal["zlib", "zstd", "xz", "bz2"]

_SMALLEST_WINDOW = 4096  # bytes that LZMA2 looks back, at least
_LEVEL = 19  # of zstd


class Compressor(Protocol):
    """Compresses bytes, and back."""

    def compress(self, data: bytes) -> bytes:
        """Compress all of it."""
        ...

    def decompress(self, data: bytes, size: int) -> bytes:
        """Return the ``size`` bytes that were compressed. Raises BitstreamError where ``data`` is anything else."""
        ...


def missing(name: str) -> str | None:
    """Return what to install for this compressor; None where nothing is missing."""
    if name == "zstd" and importlib.util.find_spec("zstandard") is None:
        return "zstd needs the package zstandard: pip install 'splitbench[zstd]'"
    return None


class _Zlib:
    def compress(self, data: bytes) -> bytes:
        writer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL + 1, zlib.Z_FILTERED)
        return writer.compress(data) + writer.flush()

    def decompress(self, data: bytes, size: int) -> bytes:
        return _read(zlib.decompressobj(-zlib.MAX_WBITS), data, size)


class _Bz2:
    def compress(self, data: bytes) -> bytes:
        return bz2.compress(data, 9)

    def decompress(self, data: bytes, size: int) -> bytes:
        return _read(bz2.BZ2Decompressor(), data, size)


class _Xz:
    def compress(self, data: bytes) -> bytes:
        return lzma.compress(data, lzma.FORMAT_RAW, filters=_lzma2(len(data)))

    def decompress(self, data: bytes, size: int) -> bytes:
        return _read(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_lzma2(size)), data, size)


def _lzma2(size: int) -> list[dict[str, Any]]:
    window = max(size, _SMALLEST_WINDOW)
    return [
        {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": window, "lc": 0, "lp": 0, "pb": 0}
    ]


def _read(reader: Any, data: bytes, size: int) -> bytes:
    """Return what a decompressor of the standard library reads: it stops behind one byte more than it should find."""
    try:
        decompressed: bytes = reader.decompress(data, size + 1)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise BitstreamError(f"damaged bitstream: {error}") from error
    if len(decompressed) != size or not reader.eof or reader.unused_data:
        raise BitstreamError(f"damaged bitstream: its compressed data is not of {size} bytes, or does not end with it")
    return decompressed


class _Zstd:
    def compress(self, data: bytes) -> bytes:
        import zstandard

        # Windows are powers of two: no larger than the data needs.
        parameters = zstandard.ZstdCompressionParameters.from_level(
            _LEVEL,
            source_size=len(data),
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
            write_content_size=False,
            write_checksum=False,
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compress(data)

    def decompress(self, data: bytes, size: int) -> bytes:
        import zstandard

        if size == 0:  # its reader takes 0 for a size that nobody knows
            if data != self.compress(b""):
                raise BitstreamError("damaged bitstream: its compressed data is not of 0 bytes")
            return b""
        try:
            frame = zstandard.get_frame_parameters(data, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
            if frame.content_size != zstandard.CONTENTSIZE_UNKNOWN or frame.window_size > max(2 * size, 1024):
                raise BitstreamError("damaged bitstream: its compressed data asks for more memory than it needs")
            reader = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
            decompressed = reader.decompress(data, max_output_size=size, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise BitstreamError(f"damaged bitstream: {error}") from error
        if len(decompressed) != size:
            raise BitstreamError(f"damaged bitstream: its compressed data is not of {size} bytes")
        return decompressed


_COMPRESSORS: Mapping[CompressorName, type[Compressor]] = {"zlib": _Zlib, "zstd": _Zstd, "xz": _Xz, "bz2": _Bz2}


def compressor(name: CompressorName) -> Compressor:
    """Return the compressor of that name; :func:`missing` says whether it is installed."""
    return _COMPRESSORS[name]()
