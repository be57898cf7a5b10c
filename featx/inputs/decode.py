"""Decodes, resizes and crops one image, given as the bytes of its file or as pixels."""

import io
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from featx.errors import DecodeError, Failure, one_line
from featx.file_kinds import name_kind
from featx.inputs.cropping import Crops, Picture, check_pixels, resized_size
from featx.inputs.formats import FORMATS
from featx.inputs.pixels import PixelSpec
from featx.inputs.png import SIGNATURE, drop_large_texts
from featx.inputs.sets.image_set import Stored, fingerprint
from featx.inputs.unread import misread_kind, unread_kind
from featx.inputs.views import check_views
from featx.settings import CENTER, DEFAULTS, Decode

_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B", "I;16N"}
_SIXTEEN_BIT_FORMATS = {"PNG", "PPM"}
"""Formats whose 32-bit mode `I` can only hold 16-bit values."""

_Made = TypeVar("_Made")
_THUMBNAIL_QUALITY = 80
"""JPEG quality of thumbnails: some 3 kB for 96 x 96 pixels."""
STRIP_PIXELS = 2**22
"""Most pixels that are laid over white at once."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that turns the image upright; 1 is upright."""


def decode_image(
    stored: Stored,
    spec: PixelSpec,
    *,
    max_pixels: int = DEFAULTS.max_pixels,
    decode: Decode = DEFAULTS.decode,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Pixels (size, size, 3) in uint8 of the first frame, resized and cropped as torchvision and timm do.

    Transparent images are laid over white; 16-bit grey is scaled to 8 bits.

    Args:
        stored: the bytes of an image file, or its pixels: (H, W) or (H, W, 3) in uint8 or uint16.
        spec: how the image becomes pixels.
        max_pixels: a larger image fails.
        decode: `fast` reads a JPEG at 1/2, 1/4 or 1/8 of its size if that still covers the size that `spec` resizes
            it to; `exact` reads it whole.
        out: array that gets the pixels; an image that fails leaves it unchanged.

    Raises DecodeError with the reason if the bytes are not an image or only a part of one, if it has more than
    `max_pixels`, or if its numbers have no standard range.

    >>> from pathlib import Path
    >>> from featx.inputs import PixelSpec, decode_image
    >>> spec = PixelSpec(size=32, resize=36, mean=(127.0,) * 3, std=(128.0,) * 3)
    >>> file = sorted(Path("photos/circle").iterdir())[0]
    >>> pixels = decode_image(file.read_bytes(), spec)
    >>> pixels.shape, pixels.dtype.name
    ((32, 32, 3), 'uint8')
    """
    out = np.empty(spec.shape, np.uint8) if out is None else out
    decode_views(stored, spec, (CENTER,), max_pixels=max_pixels, decode=decode, out=out[None])
    return out


def decode_views(
    stored: Stored,
    spec: PixelSpec,
    views: Sequence[str],
    *,
    max_pixels: int = DEFAULTS.max_pixels,
    decode: Decode = DEFAULTS.decode,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Pixels (views, size, size, 3) in uint8 of these views of an image, in this order; it is decoded once.

    `center` is what `decode_image` returns; arguments and errors are those of `decode_image`, and ImageSetError if a
    view is not known or cannot be made. An image that fails leaves `out` unchanged.

    >>> from pathlib import Path
    >>> from featx.inputs import PixelSpec, decode_views, parse_views
    >>> spec = PixelSpec(size=32, resize=36, mean=(127.0,) * 3, std=(128.0,) * 3)
    >>> file = sorted(Path("photos/circle").iterdir())[0]
    >>> decode_views(file.read_bytes(), spec, parse_views("symmetries")).shape
    (8, 32, 32, 3)
    """
    _check_views(tuple(views), spec, decode)

    def _crop(picture: Picture) -> list[NDArray[np.uint8]]:
        crops = Crops(picture, spec, max_pixels, lambda: fingerprint(stored))
        return [crops.make(view) for view in views]

    made = _decode(stored, spec, _crop, max_pixels=max_pixels, fast=decode == "fast")
    out = np.empty((len(views), *spec.shape), np.uint8) if out is None else out
    for place, pixels in zip(out, made, strict=True):
        _fill(place, pixels)
    return out


@cache
def _check_views(views: tuple[str, ...], spec: PixelSpec, decode: Decode) -> None:
    """What check_views does; the same views of many images are checked once."""
    check_views(views, spec, decode=decode)


def decode_thumbnail(
    stored: Stored, *, size: int, exif_orientation: bool = False, max_pixels: int = DEFAULTS.max_pixels
) -> bytes:
    """The bytes of a JPEG of the whole image, at most `size` pixels wide and high; it is never enlarged.

    The image is read as `decode_image` reads it: its first frame, laid over white if it is transparent, and turned
    upright only if `exif_orientation` says so, as cards do. Raises what `decode_image` raises.

    >>> from pathlib import Path
    >>> from featx.inputs import decode_thumbnail
    >>> file = sorted(Path("photos/circle").iterdir())[0]
    >>> decode_thumbnail(file.read_bytes(), size=32)[:2].hex()
    'ffd8'
    """
    spec = PixelSpec(size=size, resize=size, mean=(0.0,) * 3, std=(1.0,) * 3, exif_orientation=exif_orientation)

    def _shrink(picture: Picture) -> bytes:
        small = picture.image
        small.thumbnail((size, size), Image.Resampling.BICUBIC)
        return encode_jpeg(np.asarray(small), quality=_THUMBNAIL_QUALITY)

    return _decode(stored, spec, _shrink, max_pixels=max_pixels, fast=True)


def _decode(
    stored: Stored, spec: PixelSpec, finish: Callable[[Picture], _Made], *, max_pixels: int, fast: bool
) -> _Made:
    """What `finish` makes of the picture; large texts that Pillow refuses are left out. Raises DecodeError."""
    if not len(stored):
        raise DecodeError(Failure.EMPTY)
    try:
        return _decode_once(stored, spec, finish, max_pixels=max_pixels, fast=fast)
    except DecodeError as error:
        smaller = _without_large_texts(stored, error)
        if smaller is None:
            raise
        return _decode_once(smaller, spec, finish, max_pixels=max_pixels, fast=fast)


def _decode_once(
    stored: Stored, spec: PixelSpec, finish: Callable[[Picture], _Made], *, max_pixels: int, fast: bool
) -> _Made:
    image = _from_pixels(stored) if isinstance(stored, np.ndarray) else _open(stored)
    check_pixels(image.size, max_pixels, when="as stored")
    try:
        return finish(_load(image, spec, fast=fast))
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError(Failure.NO_MEMORY) from error
    except Exception as error:  # Pillow's readers raise almost any type on damaged bytes
        raise _why_unreadable(stored, error, opened=True) from error


def _without_large_texts(stored: Stored, error: DecodeError) -> bytes | None:
    """The PNG without texts and profiles that Pillow may have refused it for; None if it has none, or is no PNG."""
    if error.failure != Failure.DAMAGED or isinstance(stored, np.ndarray) or not stored.startswith(SIGNATURE):
        return None
    smaller = drop_large_texts(stored)
    return None if smaller is stored else smaller


def _fill(out: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Copy the pixels, grey ones into all channels: resizing grey before this is a third of the work."""
    if pixels.ndim == 3:
        out[:] = pixels
        return
    for channel in range(3):  # several times as fast as broadcasting to all channels at once
        out[:, :, channel] = pixels


def fast_reduction(stored: Stored, spec: PixelSpec) -> int:
    """The factor by which `fast` reduces each side of this image when it reads it: 1, 2, 4 or 8.

    Raises DecodeError if the image cannot be opened.
    """
    return 1 if isinstance(stored, np.ndarray) else _draft(_open(stored), spec)


def encode_jpeg(pixels: NDArray[np.uint8], *, quality: int) -> bytes:
    """The bytes of a JPEG file with these pixels (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _from_pixels(pixels: NDArray[np.generic]) -> Image.Image:
    """The image with these pixels; 16 bits are scaled to 8."""
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        pixels = ((pixels.astype(np.uint32) * 255 + 65_535 // 2) // 65_535).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DecodeError(Failure.NO_STANDARD_RANGE, str(pixels.dtype))
    return Image.fromarray(np.ascontiguousarray(pixels))


def _open(data: bytes) -> Image.Image:
    """Open an image as Image.open does, but without its limit on pixels, which is global and only warns."""
    failure: DecodeError | None = None
    for factory, accept in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN):
        if not _accepts(accept, data[:16]):
            continue
        try:
            return factory(io.BytesIO(data), "")
        except Image.DecompressionBombError as error:
            raise DecodeError(Failure.TOO_MANY_PIXELS, one_line(error)) from error
        except MemoryError as error:
            raise DecodeError(Failure.NO_MEMORY) from error
        except Exception as error:  # noqa: BLE001 - readers raise almost any type; the next one may accept it
            failure = _why_unreadable(data, error, opened=False)
    try:
        raise failure or DecodeError(Failure.NOT_AN_IMAGE, name_kind(data))
    finally:
        failure = None  # it refers to this frame by its traceback: in a circle, which would keep the image in memory


def _why_unreadable(stored: Stored, error: Exception, *, opened: bool) -> DecodeError:
    """The error for an image whose reader raised `error`: it is damaged, or of a kind that Pillow does not read."""
    kind = "" if isinstance(stored, np.ndarray) else unread_kind(stored, error, opened=opened)
    return DecodeError(Failure.NOT_READ, kind) if kind else DecodeError(Failure.DAMAGED, one_line(error))


def _accepts(accept: Callable[[bytes], bool | str] | None, prefix: bytes) -> bool:
    """Whether the reader recognises the first bytes; Pillow returns a string if the reader is not installed."""
    try:
        return accept is None or accept(prefix) is True
    except (IndexError, struct.error):  # fewer bytes than the reader looks at
        return False


def _load(image: Image.Image, spec: PixelSpec, *, fast: bool) -> Picture:
    """Read the pixels, in grey or RGB, turned upright if `spec` says so."""
    if kind := misread_kind(image):
        raise DecodeError(Failure.NOT_READ, kind)
    size = image.size
    reduction = _draft(image, spec) if fast else 1
    image.load()
    plain = _to_grey_or_rgb(image)
    if spec.channels == "L" and plain.mode != "L":
        plain = plain.convert("L")
    picture = Picture(plain, size if reduction > 1 else plain.size, reduction)
    turn = _find_turn(image) if spec.exif_orientation else None
    return picture if turn is None else picture.turned(turn)


def _draft(image: Image.Image, spec: PixelSpec) -> int:
    """Let Pillow read a JPEG at a reduced size that still covers what `spec` resizes to; returns the factor."""
    width = image.width
    drafted = image.draft(None, resized_size(image.size, spec))
    return round(width / drafted[1][2]) if drafted else 1


def _find_turn(image: Image.Image) -> Image.Transpose | None:
    """The operation that turns the image upright; None if it is upright or its EXIF cannot be read."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - the parser raises almost any type on damaged EXIF
        return None


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES or (image.mode == "I" and image.format in _SIXTEEN_BIT_FORMATS):
        return _scale_16_bit(image)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return image.convert("RGB") if _has_unused_alpha(image) else _over_white(image)
    if image.mode in ("I", "F"):
        raise DecodeError(Failure.NO_STANDARD_RANGE, f"mode {image.mode}")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _has_unused_alpha(image: Image.Image) -> bool:
    """Whether the fourth byte of every pixel of a BMP is 0: programs leave it so, and viewers show the image opaque."""
    return image.format in {"BMP", "DIB"} and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)


def _over_white(image: Image.Image) -> Image.Image:
    """The image over white, in RGB; strip by strip, as a large image would need several times its memory at once."""
    rows = max(1, STRIP_PIXELS // image.width)
    if rows >= image.height:
        return _strip_over_white(image)
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(_strip_over_white(strip), (0, top))
    return whole


def _strip_over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _scale_16_bit(image: Image.Image) -> Image.Image:
    """The grey image in 8 bits instead of more; the tags of a TIFF say how many bits it has and if zero is white."""
    tags = getattr(image, "tag_v2", {})
    white = 2 ** tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 1
    values = np.asarray(image).astype(np.uint32)
    grey = ((values * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey[values == transparent] = 255
    return Image.fromarray(grey)
