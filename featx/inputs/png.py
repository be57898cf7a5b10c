"""Removes from a PNG the texts and colour profiles that are too large for Pillow, which refuses the whole image."""

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_TEXT = 1 << 20
"""Most bytes of one text or profile, as Pillow allows by default."""
MOST_CHUNKS = 100_000
"""Most chunks that are looked at: intact files have far fewer, and a hostile one may have millions of empty ones."""
LARGEST_TEXTS = 32 << 20
"""Most bytes of all texts and profiles together, so that inflating them ends soon; Pillow allows twice as many."""

_TEXTS = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}


def drop_large_texts(data: bytes) -> bytes:
    """The bytes of the PNG without what is too large in it; `data` itself if nothing is. No pixel changes.

    Nothing is inflated beyond LARGEST_TEXT. Small texts stay, as the orientation of the image may be in one of them.
    """
    chunks = list(_iter_chunks(data))
    left = LARGEST_TEXTS
    kept = []
    for chunk in chunks:
        if data[chunk.start + 4 : chunk.start + 8] not in _TEXTS:
            kept.append(chunk)
        elif left > 0:
            size = _text_size(data[chunk])
            left -= min(size, LARGEST_TEXT + 1)
            kept += [chunk] if size <= LARGEST_TEXT and left >= 0 else []
    return data if len(kept) == len(chunks) else SIGNATURE + b"".join(data[chunk] for chunk in kept)


def _iter_chunks(data: bytes) -> Iterator[slice]:
    """Yields the place of each chunk; the last one goes to the end of the data, whatever is there."""
    place = len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        length = int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        end = place + 12 + length  # length, type, contents, checksum
        if end >= len(data) or kind == b"IEND" or not kind.isalpha():
            break
        yield slice(place, end)
        place = end
    yield slice(place, len(data))


def _text_size(chunk: bytes) -> int:
    """Bytes of the text or profile in the chunk once it is inflated, or more than LARGEST_TEXT."""
    kind = chunk[4:8]
    body = chunk[8:-4]
    if kind in {b"iCCP", b"zTXt"}:
        return _inflated_size(body.partition(b"\0")[2][1:])
    rest = body.partition(b"\0")[2]
    if kind == b"iTXt" and rest[:1] == b"\1":
        return _inflated_size(rest[2:].partition(b"\0")[2].partition(b"\0")[2])
    return len(body)


def _inflated_size(data: bytes) -> int:
    try:
        return len(zlib.decompressobj().decompress(data, LARGEST_TEXT + 1))
    except zlib.error:
        return 0
