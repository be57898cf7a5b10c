"""Distinguishes images of kinds that Pillow does not read from damaged images."""

import io
import re
from collections.abc import Iterator

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base

from featx.errors import one_line

_UNSUPPORTED = re.compile(r"unsupported|cannot handle|unknown (pixel|raw|data)|unable to determine", re.IGNORECASE)
"""What Pillow says of features of a format that it does not read."""
_PARTS = ((Base.StripOffsets, Base.StripByteCounts), (Base.TileOffsets, Base.TileByteCounts))
_NUMBERS = {
    2: " as signed numbers",
    3: " as floating-point numbers",
    5: " as complex numbers",
    6: " as complex numbers",
}
"""Value of SampleFormat -> how a band's values are stored."""
_COLOURS = {
    5: " in CMYK",
    6: " in YCbCr",
    8: " in CIE L*a*b*",
    9: " in ICC L*a*b*",
    32803: " as a camera's raw mosaic",
    32844: " in LogL",
    32845: " in LogLuv",
    34892: " as a camera's linear raw data",
}
"""Value of PhotometricInterpretation -> the colours, where these are unusual."""
_JPEG_KINDS = {
    0xC3: "a lossless JPEG",
    0xC5: "a hierarchical JPEG",
    0xC6: "a hierarchical JPEG",
    0xC7: "a hierarchical JPEG",
    0xCB: "a lossless JPEG",
    0xF7: "a JPEG-LS image",
}
"""Marker of a frame of a JPEG -> its kind, where libjpeg may not read it."""
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of the header of a frame of a JPEG."""
_MOST_BANDS = 2**16 - 1
"""Largest number of bands, which has 16 bits; a damaged file may say any number."""
_TO_RGB = "convert it to RGB of 8 bits, or to grey of 8 or 16 bits"


def unread_kind(data: bytes, error: BaseException, *, opened: bool) -> str:
    """The kind of image, in words, if Pillow raised `error` because it does not read this kind; empty if it is damaged.

    A TIFF whose kind was not recognised, so that it could not be `opened`, is sound if all its strips or tiles are in
    the file.
    """
    if data.startswith(b"\xff\xd8"):
        return _unread_jpeg(data)
    if data.startswith(tuple(TiffImagePlugin.PREFIXES)) and not opened:
        return _unread_tiff(data)
    return one_line(error) if _UNSUPPORTED.search(str(error)) else ""


def misread_kind(image: Image.Image) -> str:
    """The kind of image, in words, if Pillow would read wrong values from it; empty if it reads it rightly.

    Of the TIFFs whose bands are stored one after the other, Pillow reads only bands of 8 bits rightly.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return ""
    tags = image.tag_v2
    if tags.get(Base.PlanarConfiguration, 1) != 2 or len(image.getbands()) == 1:
        return ""
    alpha = _numbers(tags.get(Base.ExtraSamples))
    plain = set(_numbers(tags.get(Base.BitsPerSample))) == {8} and image.mode in ("RGB", "RGBA", "CMYK")
    return "" if plain and 1 not in alpha else _describe_tiff(tags)


def _unread_tiff(data: bytes) -> str:
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2] == 43 else 8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        return _describe_tiff(tags) if _is_whole(tags, len(data)) else ""
    except Exception:  # noqa: BLE001 - the parser raises almost any type on damaged bytes
        return ""


def _is_whole(tags: TiffImagePlugin.ImageFileDirectory_v2, size: int) -> bool:
    """Whether all strips or tiles are within a file of this size, and have all pixels if they are not compressed."""
    for start_tag, count_tag in _PARTS:
        starts = _numbers(tags.get(start_tag))
        counts = _numbers(tags.get(count_tag))
        if starts and len(starts) == len(counts):
            bits = tags[Base.ImageWidth] * tags[Base.ImageLength] * sum(_bits(tags))
            enough = tags.get(Base.Compression, 1) != 1 or sum(counts) >= bits // 8
            return enough and all(start + count <= size for start, count in zip(starts, counts, strict=True))
    return False


def _describe_tiff(tags: TiffImagePlugin.ImageFileDirectory_v2) -> str:
    return "".join(_iter_tiff_words(tags))


def _iter_tiff_words(tags: TiffImagePlugin.ImageFileDirectory_v2) -> Iterator[str]:
    bits = _bits(tags)
    number = f"{len(bits)} bands" if len(bits) > 1 else "one band"
    yield f"a TIFF of {number} of {' and '.join(str(one) for one in sorted(set(bits)))} bits"
    yield _NUMBERS.get(max(_numbers(tags.get(Base.SampleFormat)), default=1), "")
    yield _COLOURS.get(tags.get(Base.PhotometricInterpretation, 0), "")
    yield ", stored band by band" if tags.get(Base.PlanarConfiguration, 1) == 2 else ""
    if (method := tags.get(Base.Compression, 1)) not in TiffImagePlugin.COMPRESSION_INFO:
        yield f", compressed by method {method}"
    yield f"; {_TO_RGB}"


def _bits(tags: TiffImagePlugin.ImageFileDirectory_v2) -> tuple[int, ...]:
    """Bits of each band. Raises ValueError for more bands than a TIFF can have."""
    bits = _numbers(tags.get(Base.BitsPerSample)) or (1,)
    bands = tags.get(Base.SamplesPerPixel, 1)
    if bands > _MOST_BANDS:
        raise ValueError(f"{bands} bands, above {_MOST_BANDS}")
    return bits * bands if len(bits) == 1 else bits


def _numbers(value: object) -> tuple[int, ...]:
    """The numbers of a tag, of which Pillow returns a single one as it is."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple) else (value,)  # type: ignore[return-value]


def _unread_jpeg(data: bytes) -> str:
    """The kind of a JPEG by the header of its frame."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            bits = data[place + 4]
            kind = _JPEG_KINDS.get(marker, "a JPEG")
            unusual = marker in _JPEG_KINDS or bits != 8
            return f"{kind} of {bits} bits; convert it to a common JPEG or to PNG" if unusual else ""
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return ""
