"""One image in, the bytes of its file or its pixels; uint8 pixels as the card wants them out."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from featx.backbones import Card
from featx.errors import DecodeError, Failure
from featx.images import Stored
from featx.settings import DEFAULTS, FILTERS

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

Image.init()


def decode_image(stored: Stored, card: Card, *, max_pixels: int = DEFAULTS.max_pixels) -> NDArray[np.uint8]:
    """Pixels (size, size, 3) of the first frame: resized, centre cropped, as torchvision and timm do.

    Alpha is laid over white, 16-bit grey is scaled to 8 bits. Raises DecodeError with the reason where the bytes are
    no image, an incomplete one, one above `max_pixels`, or one whose numbers have no standard range. Pixels that are no
    file, (H, W) or (H, W, 3) of uint8 or uint16, are taken for one that was decoded.
    """
    if not len(stored):
        raise DecodeError(Failure.EMPTY)
    image = _from_pixels(stored) if isinstance(stored, np.ndarray) else _open(stored)
    _check_pixels(image.size, max_pixels, when="as stored")
    try:
        image.load()
        plain = _to_grey_or_rgb(image)
        plain = plain.convert("L") if card.channels == "L" else plain
        plain = _turn_upright(plain, image) if card.exif_orientation else plain
        pixels: NDArray[np.uint8] = np.asarray(_crop(_resize(plain, card, max_pixels), card.size))
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError(Failure.NO_MEMORY) from error
    except Exception as error:
        # Pillow's readers raise almost any type on damaged bytes; all of them mean the same here.
        raise DecodeError(Failure.DAMAGED, _one_line(error)) from error
    # A grey image is widened after the resize: the same pixels at a third of the work.
    return pixels if pixels.ndim == 3 else np.broadcast_to(pixels[:, :, None], (*pixels.shape, 3))


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


def _turn_upright(plain: Image.Image, image: Image.Image) -> Image.Image:
    """Turn the converted image as the stored one's EXIF asks for; EXIF that cannot be read asks for nothing."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises whatever its parser stumbled over
        return plain
    return plain if turn is None else plain.transpose(turn)


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


def _resize(image: Image.Image, card: Card, max_pixels: int) -> Image.Image:
    width, height = image.size
    shorter, target = min(width, height), card.resize
    squash = card.crop_mode == "squash"
    size = (target, target) if squash else (target * width // shorter, target * height // shorter)
    _check_pixels(size, max_pixels, when="once resized")
    return image if size == image.size else image.resize(size, RESAMPLING[card.filter])


def _crop(image: Image.Image, size: int) -> Image.Image:
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
