"""One image in, the bytes of its file or its pixels; uint8 pixels as a model takes them out."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from featx.errors import DecodeError, Failure
from featx.inputs.pixels import PixelSpec
from featx.inputs.sets.image_set import Stored
from featx.settings import (
    DEFAULTS,
    FILTERS,
    Decode,
)

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Raster formats only: some of Pillow's other readers start programs or follow what is written in the file."""

ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B", "I;16N"}
SIXTEEN_BIT_FORMATS = {"PNG", "PPM"}
"""Formats whose 32-bit mode `I` can only hold 16-bit values."""

RESAMPLING = {name: Image.Resampling[name.upper()] for name in FILTERS}

TURNS = dict(
    enumerate(
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        start=2,
    )
)
"""EXIF orientation -> what turns the picture upright; 1 is upright."""
SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
}

Image.init()


def decode_image(
    stored: Stored,
    spec: PixelSpec,
    *,
    max_pixels: int = DEFAULTS.max_pixels,
    decode: Decode = DEFAULTS.decode,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Pixels (size, size, 3) of the first frame: resized, centre cropped, as torchvision and timm do.

    Alpha is laid over white, 16-bit grey is scaled to 8 bits. With `decode="fast"` a JPEG is read at a half, a quarter
    or an eighth of its size where that covers what `spec` resizes to; all else is exact. The pixels lie in `out`
    where it is given; an image that fails leaves it as it was. Pixels that are no file, (H, W) or (H, W, 3) of uint8 or
    uint16, are taken for one that was decoded. Raises DecodeError with the reason where the bytes are no image, an
    incomplete one, one above `max_pixels`, or one whose numbers have no standard range.
    """
    if not len(stored):
        raise DecodeError(Failure.EMPTY)
    image = _from_pixels(stored) if isinstance(stored, np.ndarray) else _open(stored)
    _check_pixels(image.size, max_pixels, when="as stored")
    try:
        picture = _load(image, spec, fast=decode == "fast")
        pixels = np.asarray(_resize_and_crop(picture, spec, max_pixels))
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError(Failure.NO_MEMORY) from error
    except Exception as error:
        # Pillow's readers raise almost any type on damaged bytes; all of them mean the same here.
        raise DecodeError(Failure.DAMAGED, _one_line(error)) from error
    out = np.empty((spec.size, spec.size, 3), np.uint8) if out is None else out
    _fill(out, pixels)
    return out


def _fill(out: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Put the pixels there. Grey is widened only now, after the resize: the same pixels at a third of the work."""
    if pixels.ndim == 3:
        out[:] = pixels
        return
    for channel in range(3):  # several times as fast as broadcasting all at once
        out[:, :, channel] = pixels


def find_part(stored: Stored, spec: PixelSpec) -> int:
    """One part in how many of its size, along each side, at which `fast` reads this image: 1, 2, 4 or 8.

    Raises DecodeError where it cannot be opened.
    """
    return 1 if isinstance(stored, np.ndarray) else _reduce(_open(stored), spec)


def encode_jpeg(pixels: NDArray[np.uint8], *, quality: int) -> bytes:
    """The file of a photograph with these pixels (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _from_pixels(pixels: NDArray[np.generic]) -> Image.Image:
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        pixels = ((pixels.astype(np.uint32) * 255 + 65_535 // 2) // 65_535).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DecodeError(Failure.NO_STANDARD_RANGE, str(pixels.dtype))
    return Image.fromarray(np.ascontiguousarray(pixels))


def _open(data: bytes) -> Image.Image:
    """Find the reader as Image.open does, but without its pixel check, which only warns and is the same for all."""
    damage: Exception | None = None
    for factory, accept in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN):
        if not _accepts(accept, data[:16]):
            continue
        try:
            return factory(io.BytesIO(data), "")
        except Image.DecompressionBombError as error:
            raise DecodeError(Failure.TOO_MANY_PIXELS, _one_line(error)) from error
        except Exception as error:  # noqa: BLE001 - a reader raises whatever it stumbled over
            damage = error
    raise DecodeError(Failure.DAMAGED, _one_line(damage)) if damage else DecodeError(Failure.NOT_AN_IMAGE)


def _accepts(accept: Callable[[bytes], bool | str] | None, prefix: bytes) -> bool:
    """Whether the reader knows the first bytes for its own; a string says that it would, were it installed."""
    try:
        return accept is None or accept(prefix) is True
    except IndexError:  # fewer bytes than the reader looks at
        return False


@dataclass(frozen=True)
class _Picture:
    """A grey or RGB image, and what it shows."""

    image: Image.Image
    size: tuple[int, int]
    """Of the whole picture, as it would be at its full size."""
    scale: int
    """The image has one pixel for so many of the picture, along each side: 1, 2, 4 or 8."""

    def turned(self, turn: Image.Transpose) -> "_Picture":
        """The same picture turned."""
        size = self.size[::-1] if turn in SIDEWAYS else self.size
        return _Picture(self.image.transpose(turn), size, self.scale)


def _load(image: Image.Image, spec: PixelSpec, *, fast: bool) -> _Picture:
    size = image.size
    scale = _reduce(image, spec) if fast else 1
    image.load()
    plain = _to_grey_or_rgb(image)
    if spec.channels == "L" and plain.mode != "L":
        plain = plain.convert("L")
    picture = _Picture(plain, size if scale > 1 else plain.size, scale)
    turn = _find_turn(image) if spec.exif_orientation else None
    return picture if turn is None else picture.turned(turn)


def _reduce(image: Image.Image, spec: PixelSpec) -> int:
    """Have a JPEG read at one part in 2, 4 or 8 where that covers what `spec` resizes to; say at which, else 1."""
    width = image.width
    drafted = image.draft(None, _resized(image.size, spec))
    return round(width / drafted[1][2]) if drafted else 1


def _find_turn(image: Image.Image) -> Image.Transpose | None:
    """What turns the image upright, as its EXIF has it; EXIF that cannot be read asks for nothing."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises whatever its parser stumbled over
        return None


def _check_pixels(size: tuple[int, int], max_pixels: int, *, when: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise DecodeError(Failure.TOO_MANY_PIXELS, f"{width} x {height} {when}, above {max_pixels}")


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT_MODES or (image.mode == "I" and image.format in SIXTEEN_BIT_FORMATS):
        return _scale_16_bit(image)
    if image.mode in ALPHA_MODES or "transparency" in image.info:
        return _over_white(image.convert("RGBA"))
    if image.mode in ("I", "F"):
        raise DecodeError(Failure.NO_STANDARD_RANGE, f"mode {image.mode}")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _scale_16_bit(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as 8 bits; a TIFF says how many there are, and whether its zero is white."""
    tags = getattr(image, "tag_v2", {})
    white = 2 ** tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 1
    values = np.asarray(image).astype(np.uint32)
    grey = ((values * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        grey = 255 - grey
    if (hole := image.info.get("transparency")) is not None:
        grey[values == hole] = 255
    return Image.fromarray(grey)


def _resized(size: tuple[int, int], spec: PixelSpec) -> tuple[int, int]:
    """What the specification resizes a picture of this size to, before the crop."""
    width, height = size
    shorter, target = min(width, height), spec.resize
    squash = spec.crop_mode == "squash"
    return (target, target) if squash else (target * width // shorter, target * height // shorter)


def _resize_and_crop(picture: _Picture, spec: PixelSpec, max_pixels: int) -> Image.Image:
    resized, image = _resized(picture.size, spec), picture.image
    _check_pixels(resized, max_pixels, when="once resized")
    left, top = (round((side - spec.size) / 2) for side in resized)
    right, bottom = left + spec.size, top + spec.size
    if picture.scale == 1:
        image = image if resized == image.size else image.resize(resized, RESAMPLING[spec.filter])
        return image.crop((left, top, right, bottom))
    # Only what is kept is resampled. Where pixels are to be exact this will not do: Pillow takes the edges in single
    # precision, and which direction it resamples first depends on the sizes.
    across, down = (whole / side / picture.scale for whole, side in zip(picture.size, resized, strict=True))
    box = (left * across, top * down, right * across, bottom * down)
    return image.resize((spec.size, spec.size), RESAMPLING[spec.filter], box)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
