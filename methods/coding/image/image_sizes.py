"""How large the picture of a file says it is, read before a decoder takes memory for it.

libwebp, libavif and libjxl take memory for as many pixels as a file says before anyone can ask how many these are.
Each function returns (width, height) of a file that holds one picture and nothing else, or None for any other. Only
what an encoder of this project writes is taken for such a file. Of JPEG XL, only the picture's size is read: its frames
have other sizes, deep in their headers, and a hostile file's can still ask libjxl for more.
"""

from collections.abc import Iterator

Size = tuple[int, int] | None

_PNG_BEGINNING = bytes.fromhex("89504e470d0a1a0a 0000000d 49484452")  # signature, and the header's length and name
_PNG_END = bytes.fromhex("00000000 49454e44 ae426082")
_VP8_KEY_FRAME = b"\x9d\x01\x2a"
_VP8L = 0x2F
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # of JPEG XL's sizes, width to height
_ONE_EXTENT = bytes.fromhex("00000000 4400 0001 0001 0000 0001")  # an AVIF file's iloc up to its offset


def webp_size(data: bytes) -> Size:
    """Of a WebP file of one chunk, lossy or lossless (RFC 9649, 2.5 and 3.4; RFC 6386, 9.1)."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if int.from_bytes(data[4:8], "little") != len(data) - 8:
        return None
    if data[12:16] == b"VP8 " and data[23:26] == _VP8_KEY_FRAME:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return width, height
    if data[12:16] == b"VP8L" and data[20] == _VP8L:
        both = int.from_bytes(data[21:25], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    return None


def png_size(data: bytes) -> Size:
    """Of a PNG file that ends with its last chunk (ISO/IEC 15948, 5 and 11.2)."""
    if data[:16] != _PNG_BEGINNING:
        return None
    at = 8
    while at < len(data) and data[at : at + 12] != _PNG_END:
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
    return (width, height) if len(data) == at + 12 else None


def jpeg_xl_size(data: bytes) -> Size:
    """Of a JPEG XL codestream without container (ISO/IEC 18181-1, SizeHeader)."""
    if data[:2] != b"\xff\x0a":
        return None
    bits = int.from_bytes(data[2:18], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    if ratio == 0:
        return side(), height
    numerator, denominator = _RATIOS[ratio - 1]
    return height * numerator // denominator, height


def avif_size(data: bytes) -> Size:
    """Of an AVIF file of one still image of one frame, as its AV1 sequence header has it (AV1, 5.5).

    The container is one item in one extent, so that it cannot ask for a grid of images. A reduced still image's
    frame has the sequence's size.
    """
    boxes = list(_boxes(data))
    if [kind for kind, _, _ in boxes] != [b"ftyp", b"meta", b"mdat"]:
        return None
    (_, start, end), (_, payload, last) = boxes[1:]
    meta = data[start:end]
    place = meta.find(b"iloc") + 4
    where, size = (int.from_bytes(meta[at : at + 4], "big") for at in (place + 14, place + 18))
    named = all(meta.count(name) == 1 for name in (b"iloc", b"iinf", b"infe", b"av01", b"ispe"))
    if not named or meta[place : place + 14] != _ONE_EXTENT or (where, size) != (payload, last - payload):
        return None
    frame = data[payload:last]
    length = frame[3] if len(frame) > 4 else 0
    if frame[:3] != b"\x12\x00\x0a" or frame[4 + length : 5 + length] != b"\x32":  # delimiter, sequence header, frame
        return None
    rest, after = _leb128(frame[5 + length :])
    if after is None or rest != len(frame) - 5 - length - after:
        return None
    return _sequence_size(frame[4 : 4 + length])


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of the contents of each box (ISO/IEC 14496-12); none behind one that is damaged."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > len(data):
            yield b"", at, at
            return
        yield data[at + 4 : at + 8], at + 8, at + size
        at += size


def _leb128(data: bytes) -> tuple[int, int | None]:
    """Return a number in groups of seven bits, and how many bytes it takes: None where it does not end."""
    value = 0
    for at, byte in enumerate(data[:8]):
        value |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            return value, at + 1
    return value, None


def _sequence_size(header: bytes) -> Size:
    """Width and height of a reduced still image's sequence header."""
    total = 8 * len(header)
    bits = int.from_bytes(header, "big")

    def at(start: int, count: int) -> int:
        return bits >> max(total - start - count, 0) & ((1 << count) - 1)

    if len(header) < 7 or at(3, 2) != 3:  # 3 bits of profile; a still image, with a reduced header
        return None
    across, down = at(10, 4) + 1, at(14, 4) + 1  # behind 5 bits of level: how many bits the sizes have
    return at(18, across) + 1, at(18 + across, down) + 1
