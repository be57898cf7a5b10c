"""Decoding: every image file gives the pixels that the specification asks for, or a reason why not."""

import gc
import io
import struct
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from featx.errors import DecodeError, Failure
from featx.inputs import png as png_file
from featx.inputs.decode import decode_image
from featx.inputs.pixels import PixelSpec
from featx.settings import DEFAULTS, FILTERS, Filter
from tests.conftest import Ran, Tiny
from tests.support.sizes import as_exhaustive

SPEC = PixelSpec(size=16, resize=18, mean=(127.0,) * 3, std=(128.0,) * 3)
AS_IS = replace(SPEC, resize=16)
"""Gives back the pixels of a 16 x 16 image as they are."""
LARGE = replace(SPEC, size=224, resize=256)

RESAMPLING = {name: Image.Resampling[name.upper()] for name in FILTERS}
RED = (255, 0, 0)
QUIET = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
"""Pillow warns here, and what it then does is what a user gets; what a user sees is tested by a command."""


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file of this format."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(size: tuple[int, int] = (40, 30), seed: int = 0) -> Image.Image:
    """An RGB picture in which no two pixels are alike, so that a shift by one is seen."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def flat(mode: str, colour: object) -> Image.Image:
    """A 16 x 16 picture of one colour."""
    return Image.new(mode, (16, 16), colour)  # type: ignore[arg-type]


def colour_of(data: bytes) -> list[int]:
    """The one colour that a 16 x 16 picture has once decoded."""
    colours = np.unique(decode_image(data, AS_IS).reshape(-1, 3), axis=0)
    assert len(colours) == 1
    return [int(value) for value in colours[0]]


def reference(image: Image.Image, spec: PixelSpec) -> NDArray[np.uint8]:
    """An RGB image after torchvision's Resize(spec.resize) and CenterCrop(spec.size), written down a second time."""
    width, height = image.size
    shorter, longer = min(width, height), max(width, height)
    new = int(spec.resize * longer / shorter)
    image = image.resize((spec.resize, new) if width <= height else (new, spec.resize), RESAMPLING[spec.filter])
    left, top = round((image.width - spec.size) / 2.0), round((image.height - spec.size) / 2.0)
    return np.asarray(image.crop((left, top, left + spec.size, top + spec.size)))


def failure_of(data: bytes, spec: PixelSpec = AS_IS, max_pixels: int = DEFAULTS.max_pixels) -> Failure:
    """Why these bytes have no pixels; fails where they have."""
    with pytest.raises(DecodeError) as caught:
        decode_image(data, spec, max_pixels=max_pixels)
    assert str(caught.value).startswith(caught.value.failure.text)
    assert "\n" not in str(caught.value)
    return caught.value.failure


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    """The bytes with one place of them replaced."""
    assert data.count(old) == 1
    return data.replace(old, new)


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(size: tuple[int, int], depth: int, colour: int, rows: Sequence[bytes] = (), extra: bytes = b"") -> bytes:
    """A PNG file written by hand: what Pillow cannot write."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# ---- the pixels


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (18, 18), (18, 41), (16, 16), (9, 7), (1, 1)])
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_rgb_pixels_are_those_of_pillow_to_the_bit(kind: str, name: Filter, size: tuple[int, int]) -> None:
    spec, data = replace(SPEC, filter=name), encode(noise(size), kind)
    assert np.array_equal(decode_image(data, spec), reference(Image.open(io.BytesIO(data)), spec))


SIDES = st.integers(1, 70)


@settings(deadline=None, max_examples=150)
@given(size=st.tuples(SIDES, SIDES), side=st.integers(1, 24), more=st.integers(0, 9), name=st.sampled_from(FILTERS))
def test_resize_and_crop_are_those_of_torchvision(size: tuple[int, int], side: int, more: int, name: Filter) -> None:
    spec, image = replace(SPEC, size=side, resize=side + more, filter=name), noise(size)
    assert np.array_equal(decode_image(encode(image, "PPM"), spec), reference(image, spec))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grey_pixels_are_those_of_the_image_widened_first(kind: str, name: Filter) -> None:
    spec, data = replace(SPEC, filter=name), encode(noise().convert("L"), kind)
    assert np.array_equal(decode_image(data, spec), reference(Image.open(io.BytesIO(data)).convert("RGB"), spec))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_gives_three_channels_of_bytes(mode: str) -> None:
    image = Image.new(mode, (20, 30)) if mode == "I;16" else noise().convert(mode)
    pixels = decode_image(encode(image, "PNG"), SPEC)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8


# ---- colour and alpha


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("colour", [RED, (0, 128, 0), (255, 255, 255), (0, 0, 0)])
def test_cmyk_keeps_its_colour(kind: str, colour: tuple[int, int, int]) -> None:
    data = encode(flat("RGB", colour).convert("CMYK"), kind, **({"quality": 100} if kind == "JPEG" else {}))
    assert np.allclose(colour_of(data), colour, atol=2)


def test_a_cmyk_jpeg_of_the_inverted_kind_was_tested() -> None:
    data = encode(flat("RGB", RED).convert("CMYK"), "JPEG")
    assert b"Adobe" in data


def test_a_palette_gives_the_colours_that_it_names() -> None:
    image = noise((16, 16)).quantize(32)
    assert np.array_equal(decode_image(encode(image, "PNG"), AS_IS), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    image = flat("P", 1)
    image.putpalette([0, 0, 0, *RED])
    assert colour_of(encode(image, kind, transparency=1)) == [255, 255, 255]


def test_a_palette_with_half_transparent_colours_is_laid_over_white() -> None:
    image = flat("P", 1)
    image.putpalette([0, 0, 0, *RED])
    assert np.allclose(colour_of(encode(image, "PNG", transparency=bytes([255, 128]))), [255, 127, 127], atol=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("alpha", [0, 1, 128, 254, 255])
def test_rgba_is_laid_over_white(kind: str, alpha: int) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    white = 255 - alpha
    expected = np.array([200, 100, 0]) * alpha / 255 + white
    assert np.allclose(colour_of(encode(flat("RGBA", (200, 100, 0, alpha)), kind, **options)), expected, atol=1)


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_grey_with_alpha_is_laid_over_white(alpha: int) -> None:
    expected = 100 * alpha / 255 + 255 - alpha
    assert np.allclose(colour_of(encode(flat("LA", (100, alpha)), "PNG")), expected, atol=1)


@pytest.mark.parametrize(("mode", "colour"), [("L", 7), ("RGB", (7, 8, 9))])
def test_the_one_transparent_colour_of_a_png_is_white(mode: str, colour: object) -> None:
    assert colour_of(encode(flat(mode, colour), "PNG", transparency=colour)) == [255, 255, 255]


def test_the_one_transparent_grey_of_a_16_bit_png_is_white() -> None:
    rows = [struct.pack(">H", 30000) * 16] * 16
    assert colour_of(png((16, 16), 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 30000)))) == [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "GIF"])
def test_one_bit_is_black_and_white(kind: str) -> None:
    image = Image.fromarray(np.eye(16, dtype=np.uint8) * 255).convert("1", dither=Image.Dither.NONE)
    expected = np.repeat(np.eye(16, dtype=np.uint8)[:, :, None] * 255, 3, axis=2)
    assert np.array_equal(decode_image(encode(image, kind), AS_IS), expected)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [flat("RGB", colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 3
    assert colour_of(data) == list(RED)


# ---- 16 bits

VALUES = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)


def sixteen_bits(kind: str, values: NDArray[np.uint16] = VALUES) -> bytes:
    """These values as a grey file of this kind."""
    size, high_first = (values.shape[1], values.shape[0]), values.astype(">u2").tobytes()
    if kind == "PGM":
        return b"P5 %d %d 65535\n" % size + high_first
    if kind == "TIFF, big endian":
        return encode(Image.frombytes("I;16B", size, high_first), "TIFF")
    return encode(Image.frombytes("I;16", size, values.astype("<u2").tobytes()), kind.partition(",")[0])


SIXTEEN = ["PNG", "PGM", "TIFF, little endian", "TIFF, big endian", "JPEG2000"]


def test_both_orders_of_bytes_were_tested() -> None:
    assert [sixteen_bits(kind)[:2] for kind in SIXTEEN[2:4]] == [b"II", b"MM"]


@pytest.mark.parametrize("kind", SIXTEEN)
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    pixels = decode_image(sixteen_bits(kind), AS_IS)
    assert np.abs(pixels - VALUES[:, :, None] / 257).max() < 1


@pytest.mark.parametrize("kind", SIXTEEN)
@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257, 1), (65535, 255)])
def test_what_16_bits_can_say_in_8_is_exact(kind: str, value: int, expected: int) -> None:
    assert colour_of(sixteen_bits(kind, np.full((16, 16), value, np.uint16))) == [expected] * 3


def test_a_pgm_with_a_lower_white_is_scaled_to_its_white() -> None:
    assert colour_of(b"P5 16 16 4095\n" + struct.pack(">H", 4095) * 256) == [255, 255, 255]


def test_a_12_bit_tiff_is_scaled_to_its_white() -> None:
    data = sixteen_bits("TIFF", np.full((16, 16), 65535, np.uint16))
    bits_per_sample = [struct.pack("<HHIH", 258, 3, 1, bits) for bits in (16, 12)]
    assert colour_of(patched(data, *bits_per_sample)) == [255, 255, 255]


def test_a_16_bit_tiff_whose_zero_is_white_is_not_a_negative() -> None:
    image = Image.frombytes("I;16", (16, 16), VALUES.astype("<u2").tobytes())
    pixels = decode_image(encode(image, "TIFF", tiffinfo={262: 0}), AS_IS)
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_16_bit_colour_is_scaled_and_not_clipped() -> None:
    row = struct.pack(">HHH", 65535, 30000, 100) * 16
    assert np.allclose(colour_of(png((16, 16), 16, 2, [row] * 16)), np.array([65535, 30000, 100]) / 257, atol=1)


@pytest.mark.parametrize(
    "data",
    [
        encode(flat("I", 70000), "TIFF"),
        encode(flat("F", 0.5), "TIFF"),
        b"Pf 16 16 -1.0\n" + struct.pack("<f", 0.5) * 256,
    ],
    ids=["32-bit TIFF", "float TIFF", "float PFM"],
)
def test_numbers_without_a_standard_range_fail(data: bytes) -> None:
    assert failure_of(data) == Failure.NO_STANDARD_RANGE


# ---- orientation


def turned(kind: str) -> bytes:
    """A picture whose EXIF says that its top is at the right."""
    return encode(noise(), kind, exif=exif_of(6))


def exif_of(orientation: int) -> bytes:
    """EXIF with this orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_is_left_alone_unless_asked(kind: str) -> None:
    plain = reference(Image.open(io.BytesIO(turned(kind))), SPEC)
    assert np.array_equal(decode_image(turned(kind), SPEC), plain)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_is_applied_if_asked(kind: str) -> None:
    spec, image = replace(SPEC, exif_orientation=True), Image.open(io.BytesIO(turned(kind)))
    assert np.array_equal(
        decode_image(turned(kind), spec), reference(image.transpose(Image.Transpose.ROTATE_270), spec)
    )


@pytest.mark.parametrize("asked", [True, False])
def test_the_orientation_of_a_tiff_is_applied_once(asked: bool) -> None:
    # Pillow turns a TIFF as it loads it, for torchvision too: the specification must not turn it again.
    spec = replace(SPEC, exif_orientation=asked)
    upright = noise().transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(decode_image(turned("TIFF"), spec), reference(upright, spec))


def exif_cut_short() -> bytes:
    """The first bytes of an EXIF block: it ends in the middle of an entry, as some cameras and editors leave it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()[:20]


@QUIET
@pytest.mark.parametrize("exif", [b"Exif\0\0no such thing", exif_cut_short()], ids=["nonsense", "cut short"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_broken_exif_does_not_make_the_image_fail(kind: str, exif: bytes) -> None:
    spec, data = replace(SPEC, exif_orientation=True), encode(noise(), kind, exif=exif)
    assert np.array_equal(decode_image(data, spec), reference(Image.open(io.BytesIO(data)), spec))


# ---- what is no image

PSD = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 16, 16, 8, 3) + struct.pack(">IIIH", 0, 0, 0, 0) + b"\x80" * 768
FOREIGN = {kind: encode(noise(), kind) for kind in ("EPS", "ICO", "TGA", "PCX", "SGI")} | {"PSD": PSD}


def test_a_file_of_zero_bytes_is_empty() -> None:
    assert failure_of(b"") == Failure.EMPTY


@pytest.mark.parametrize("data", [b"no image\n", b"P", b"<svg></svg>", bytes(1000), b"\xff"])
def test_what_is_no_image_is_told_so(data: bytes) -> None:
    assert failure_of(data) == Failure.NOT_AN_IMAGE


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_format_that_pillow_opens_but_featx_does_not_allow_is_no_image(kind: str) -> None:
    assert Image.open(io.BytesIO(FOREIGN[kind])).format == kind
    assert failure_of(FOREIGN[kind]) == Failure.NOT_AN_IMAGE


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
def test_a_large_transparent_image_is_laid_over_white_strip_by_strip_with_equal_pixels(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise((40, 31)).convert("RGBA")
    image.putalpha(noise((40, 31), seed=1).convert("L"))
    converted = image.quantize(16) if mode == "P" else image.convert(mode)
    data = encode(converted, "PNG", **({"transparency": 3} if mode in {"P", "L"} else {}))
    whole = decode_image(data, SPEC)
    monkeypatch.setattr("featx.inputs.decode.STRIP_PIXELS", 100)
    assert np.array_equal(decode_image(data, SPEC), whole)


# ---- what is sound, but unusual


def bmp_with_alpha(alpha: int) -> bytes:
    """A 16 x 16 red BMP of 32 bits whose fourth bytes count as alpha."""
    pixels = bytes((0, 0, 255, alpha)) * 256
    size = struct.pack("<IiiHHIIiiII", 108, 16, 16, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header = size + struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return struct.pack("<2sIHHI", b"BM", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)) + header + pixels


def test_a_bmp_whose_alpha_is_zero_throughout_is_opaque() -> None:
    assert colour_of(bmp_with_alpha(0)) == [255, 0, 0]
    assert colour_of(bmp_with_alpha(255)) == [255, 0, 0]
    assert colour_of(bmp_with_alpha(128)) == [255, 127, 127]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_an_image_of_another_format_whose_alpha_is_zero_throughout_is_white(kind: str) -> None:
    assert colour_of(encode(flat("RGBA", (255, 0, 0, 0)), kind, **({"lossless": True} if kind == "WEBP" else {}))) == [
        255,
        255,
        255,
    ]


def with_chunks(data: bytes, *chunks: bytes, at_end: bool = False) -> bytes:
    """The PNG with further chunks behind its header, or before its end."""
    place = len(data) - 12 if at_end else 33
    return data[:place] + b"".join(chunks) + data[place:]


def many_texts() -> list[bytes]:
    """Texts of 1 MB each, 70 MB in all."""
    text = zlib.compress(bytes(1_000_000))
    return [chunk(b"zTXt", b"%d\0\0" % number + text) for number in range(70)]


LARGE_TEXT = zlib.compress(bytes(2_000_000))
LARGE_TEXTS: dict[str, Callable[[], list[bytes]]] = {
    "colour profile": lambda: [chunk(b"iCCP", b"scanner\0\0" + LARGE_TEXT)],
    "compressed text": lambda: [chunk(b"zTXt", b"workflow\0\0" + LARGE_TEXT)],
    "international text": lambda: [chunk(b"iTXt", b"prompt\0\1\0\0\0" + LARGE_TEXT)],
    "plain text": lambda: [chunk(b"tEXt", b"note\0" + bytes(65_000_000))],
    "many texts": many_texts,
}
"""Kind -> the chunks of such texts, which take much memory."""


@pytest.mark.parametrize(
    ("kind", "at_end"),
    [
        *((kind, False) for kind in LARGE_TEXTS),
        *((kind, True) if kind != "plain text" else as_exhaustive((kind, True)) for kind in LARGE_TEXTS),
    ],
)
def test_a_png_with_large_texts_or_profiles_has_the_pixels_that_it_has_without(kind: str, at_end: bool) -> None:
    plain = encode(noise(), "PNG")
    assert np.array_equal(
        decode_image(with_chunks(plain, *LARGE_TEXTS[kind](), at_end=at_end), SPEC), decode_image(plain, SPEC)
    )


def test_a_large_text_does_not_hide_the_orientation_in_a_small_one() -> None:
    spec = replace(SPEC, exif_orientation=True)
    raw = f"\nexif\n{len(exif_of(6)):8}\n{exif_of(6).hex()}"
    text = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw.encode()))
    both = with_chunks(encode(noise(), "PNG"), text, *LARGE_TEXTS["compressed text"]())
    assert np.array_equal(decode_image(both, spec), decode_image(turned("PNG"), spec))


def test_a_png_with_a_large_text_that_is_cut_short_is_damaged() -> None:
    data = with_chunks(encode(noise(), "PNG"), *LARGE_TEXTS["compressed text"]())
    assert failure_of(data[: len(data) // 2]) == Failure.DAMAGED


def test_the_texts_of_a_png_are_not_inflated_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    inflated = []

    def _inflate(data: bytes) -> int:
        inflated.append(size := inflate(data))
        return size

    inflate = png_file._inflated_size
    monkeypatch.setattr(png_file, "_inflated_size", _inflate)
    texts = [chunk(b"zTXt", b"%d\0\0" % number + zlib.compress(bytes(1_100_000))) for number in range(100)]
    plain = encode(noise(), "PNG")
    assert png_file.drop_large_texts(with_chunks(plain, *texts)) == plain
    assert sum(inflated) <= png_file.LARGEST_TEXTS + 2 * png_file.LARGEST_TEXT


def test_an_image_for_which_memory_is_lacking_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def _lack(*_: object) -> None:
        raise MemoryError

    monkeypatch.setitem(Image.OPEN, "PNG", (_lack, Image.OPEN["PNG"][1]))
    with pytest.raises(DecodeError, match=Failure.NO_MEMORY.text):
        decode_image(png((8, 8), 8, 0, [b"\0" * 8] * 8), SPEC)


def tiff(bands: int, bits: int, *, photometric: int = 1, planar: int = 1, sample_format: int = 1) -> bytes:
    """A TIFF of 8 x 8 pixels that is not compressed, with bands of zeros."""
    size = 64 * bands * bits // 8
    parts = bands if planar == 2 else 1
    usual = 3 if photometric in {2, 6, 8, 9} else 4 if photometric == 5 else 1
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [8]),
        257: ("I", [8]),
        258: ("H", [bits] * bands),
        259: ("H", [1]),
        262: ("H", [photometric]),
        273: ("I", []),
        277: ("H", [bands]),
        278: ("I", [8]),
        279: ("I", [size // parts] * parts),
        284: ("H", [planar]),
        339: ("H", [sample_format] * bands),
    }
    if bands > usual:
        tags[338] = ("H", [0] * (bands - usual))
    tags[273] = ("I", [4096 + part * (size // parts) for part in range(parts)])
    place = 8 + 2 + 12 * len(tags) + 4
    directory, further = struct.pack("<H", len(tags)), b""
    for tag, (kind, values) in sorted(tags.items()):
        body = struct.pack(f"<{len(values)}{kind}", *values)
        directory += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(values))
        directory += body.ljust(4, b"\0") if len(body) <= 4 else struct.pack("<I", place + len(further))
        further += body if len(body) > 4 else b""
    return (b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + further).ljust(4096, b"\0") + bytes(size)


UNREAD_TIFFS = {
    "13 bands of 16 bits;": tiff(13, 16),
    "13 bands of 8 bits, stored band by band;": tiff(13, 8, planar=2),
    "3 bands of 16 bits, stored band by band;": tiff(3, 16, photometric=2, planar=2),
    "3 bands of 8 bits in CIE L*a*b*, stored band by band;": tiff(3, 8, photometric=8, planar=2),
    "one band of 16 bits as floating-point numbers;": tiff(1, 16, sample_format=3),
    "3 bands of 32 bits as floating-point numbers;": tiff(3, 32, photometric=2, sample_format=3),
    "3 bands of 16 bits in CIE L*a*b*;": tiff(3, 16, photometric=8),
    "5 bands of 16 bits in CMYK;": tiff(5, 16, photometric=5),
    "one band of 16 bits as a camera's raw mosaic;": tiff(1, 16, photometric=32803),
}


@pytest.mark.parametrize("kind", UNREAD_TIFFS)
def test_a_sound_tiff_of_a_kind_that_is_not_read_is_called_that(kind: str) -> None:
    with pytest.raises(DecodeError, match="does not read") as caught:
        decode_image(UNREAD_TIFFS[kind], SPEC)
    assert caught.value.failure == Failure.NOT_READ
    assert f"(a TIFF of {kind} convert it to RGB" in str(caught.value)


@pytest.mark.parametrize("kind", UNREAD_TIFFS)
def test_such_a_tiff_that_is_cut_short_fails_too(kind: str) -> None:
    assert failure_of(UNREAD_TIFFS[kind][:-1]) in {Failure.DAMAGED, Failure.NOT_READ}


def test_a_tiff_that_says_that_it_has_billions_of_bands_takes_no_memory() -> None:
    one_band = struct.pack("<HHII", 277, 3, 1, 1)
    data = tiff(1, 8).replace(one_band, struct.pack("<HHII", 277, 4, 1, 2**27))
    tracemalloc.start()
    try:
        assert failure_of(data) == Failure.DAMAGED
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("planar", [1, 2])
def test_a_tiff_of_8_bits_is_read_however_its_bands_are_stored(planar: int) -> None:
    assert decode_image(tiff(3, 8, photometric=2, planar=planar), SPEC).shape == (16, 16, 3)


def test_colours_in_lab_become_those_of_rgb() -> None:
    lab = ImageCms.profileToProfile(
        flat("RGB", (200, 60, 30)), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert np.abs(np.array(colour_of(encode(lab, "TIFF"))) - (200, 60, 30)).max() <= 3


@pytest.mark.parametrize(("marker", "bits", "kind"), [(0xC3, 8, "a lossless JPEG"), (0xC1, 12, "a JPEG of 12 bits")])
def test_a_jpeg_of_a_kind_that_is_not_read_is_called_that(marker: int, bits: int, kind: str) -> None:
    data = bytearray(encode(flat("L", 0), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 1], data[place + 4] = marker, bits
    with pytest.raises(DecodeError, match=kind) as caught:
        decode_image(bytes(data), SPEC)
    assert caught.value.failure == Failure.NOT_READ


def test_a_bmp_of_a_kind_that_is_not_read_is_called_that() -> None:
    data = bytearray(encode(flat("RGB", RED), "BMP"))
    data[28] = 64  # bits of a pixel
    assert failure_of(bytes(data)) == Failure.NOT_READ


def test_what_is_no_image_is_called_what_it_is() -> None:
    with pytest.raises(DecodeError, match=r"not an image in a known format \(a Git LFS pointer .* `git lfs pull`\)"):
        decode_image(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", SPEC)


# ---- what is damaged

WIDE = np.random.default_rng(0).integers(0, 65536, (30, 40)).astype(np.uint16)
SAMPLES = {kind: encode(noise(), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000")}
SAMPLES |= {"progressive JPEG": encode(noise(), "JPEG", progressive=True)}
SAMPLES |= {"LZW TIFF": encode(noise(), "TIFF", compression="tiff_lzw")}
SAMPLES |= {"palette PNG": encode(noise().quantize(16), "PNG", transparency=3), "16-bit PNG": sixteen_bits("PNG", WIDE)}


@QUIET
@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("kind", SAMPLES)
def test_an_image_cut_short_is_damaged(kind: str, kept: float) -> None:
    assert failure_of(SAMPLES[kind][: int(len(SAMPLES[kind]) * kept)]) == Failure.DAMAGED


def assert_pixels_or_decode_error(data: bytes) -> None:
    """Nothing but DecodeError may come out of these bytes, or pixels of the right shape."""
    try:
        pixels = decode_image(data, SPEC, max_pixels=100_000)
    except DecodeError:
        return
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8


@settings(deadline=None, max_examples=300)
@given(kind=st.sampled_from(sorted(SAMPLES)), kept=st.floats(0, 1, exclude_max=True))
def test_cutting_anywhere_raises_nothing_but_decode_error(kind: str, kept: float) -> None:
    assert_pixels_or_decode_error(SAMPLES[kind][: int(len(SAMPLES[kind]) * kept)])


PLACES = st.one_of(st.floats(0, 1, exclude_max=True), st.floats(0, 0.05))
"""Parts of a file's length, half of them in its header."""


KINDS = st.sampled_from(sorted(SAMPLES))
FLIPS = st.lists(st.tuples(PLACES, st.integers(0, 7)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=100)
@given(kind=KINDS, flips=FLIPS)
def test_flipping_bits_raises_nothing_but_decode_error(kind: str, flips: list[tuple[float, int]]) -> None:
    flip_bits(kind, flips)


@pytest.mark.exhaustive
@settings(deadline=None, max_examples=400)
@given(kind=KINDS, flips=FLIPS)
def test_flipping_bits_hundreds_of_times_raises_nothing_but_decode_error(
    kind: str, flips: list[tuple[float, int]]
) -> None:
    flip_bits(kind, flips)


def flip_bits(kind: str, flips: list[tuple[float, int]]) -> None:
    """Decode a sample with these bits of these places flipped."""
    data = bytearray(SAMPLES[kind])
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    assert_pixels_or_decode_error(bytes(data))


@pytest.mark.parametrize(
    "data", [SAMPLES["PNG"][:-100], SAMPLES["JPEG"][:30], b"\x89PNG\r\n\x1a\n" + bytes(99), b"no image"]
)
def test_an_image_that_fails_is_not_kept_in_memory(data: bytes) -> None:
    gc.disable()
    try:
        before = sys.getrefcount(data)
        with suppress(DecodeError):
            decode_image(data, SPEC)
        assert sys.getrefcount(data) == before
    finally:
        gc.enable()


def test_a_png_of_countless_empty_chunks_is_damaged_soon() -> None:
    data = SAMPLES["PNG"][:33] + bytes(12) * 2_000_000
    assert failure_of(data) == Failure.DAMAGED


def test_the_reason_names_the_detail() -> None:
    with pytest.raises(DecodeError, match=r"damaged or cut short \(.*truncated"):
        decode_image(SAMPLES["JPEG"][:-100], AS_IS)


# ---- what is too large


def test_the_limit_is_the_last_size_that_passes() -> None:
    data = encode(noise((40, 30)), "PNG")
    assert decode_image(data, SPEC, max_pixels=1200).shape == (16, 16, 3)
    assert failure_of(data, SPEC, max_pixels=1199) == Failure.TOO_MANY_PIXELS


def test_the_error_names_both_sizes() -> None:
    with pytest.raises(DecodeError, match=r"more pixels than the limit \(40 x 30 as stored, above 1199\)"):
        decode_image(encode(noise((40, 30)), "PNG"), SPEC, max_pixels=1199)


GIF_FRAME = "GIF, in its frame"


def gif_frame(width: int, height: int) -> bytes:
    """A GIF whose screen is one pixel and whose frame is larger."""
    start = b"GIF89a" + struct.pack("<HH", 1, 1) + bytes(3)
    return start + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0x80) + bytes(6) + b"\2\2\x4c\1\0;"


def claims(width: int, height: int) -> dict[str, bytes]:
    """Small files whose headers claim this size."""
    tiff = SAMPLES["TIFF"]
    for tag, old, new in ((256, 40, width), (257, 30, height)):
        tiff = patched(tiff, struct.pack("<HHII", tag, 4, 1, old), struct.pack("<HHII", tag, 4, 1, new))
    sizes = {  # how the size of the samples is written in their headers, and how this one is
        "BMP": (struct.pack("<ii", 40, 30), struct.pack("<ii", width, height)),
        "JPEG": (struct.pack(">BHH", 8, 30, 40), struct.pack(">BHH", 8, height, width)),
        "JPEG2000": (struct.pack(">4sII", b"ihdr", 30, 40), struct.pack(">4sII", b"ihdr", height, width)),
    }
    return {kind: patched(SAMPLES[kind], *size) for kind, size in sizes.items()} | {
        "TIFF": tiff,
        "PNG": png((width, height), 8, 2),
        "PPM": b"P6 %d %d 255\n" % (width, height),
        "GIF": b"GIF89a" + struct.pack("<HH", width, height) + gif_frame(1, 1)[10:],
        GIF_FRAME: gif_frame(width, height),
    }


ABOVE = pytest.mark.parametrize("size", [(60000, 60000), (9460, 9460)], ids=["60000 x 60000", "just above the limit"])


@ABOVE
@pytest.mark.parametrize("kind", sorted(set(claims(1, 1)) - {GIF_FRAME}))
def test_a_header_above_the_limit_is_an_error_and_no_warning(kind: str, size: tuple[int, int]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert failure_of(claims(*size)[kind]) == Failure.TOO_MANY_PIXELS
    assert not caught


@ABOVE
@QUIET
def test_a_gif_that_grows_with_its_frame_is_above_the_limit(size: tuple[int, int]) -> None:
    assert failure_of(claims(*size)[GIF_FRAME]) == Failure.TOO_MANY_PIXELS


def test_a_webp_of_the_largest_size_is_above_the_limit() -> None:
    data = encode(noise(), "WEBP", lossless=True)
    largest = struct.unpack("<I", data[21:25])[0] | 0xFFFFFFF
    assert failure_of(data[:21] + struct.pack("<I", largest) + data[25:]) == Failure.TOO_MANY_PIXELS


def test_a_limit_above_pillows_own_is_the_one_that_counts() -> None:
    # Cut short, so that nothing of that size is allocated: the limit is past once "damaged" is told.
    assert failure_of(claims(20000, 20000)["PPM"], max_pixels=10**9) == Failure.DAMAGED


@pytest.mark.parametrize("size", [(10000, 1), (1, 10000)])
def test_a_hair_that_would_be_resized_to_gigabytes_is_too_large(size: tuple[int, int]) -> None:
    assert failure_of(encode(Image.new("L", size), "PNG"), LARGE) == Failure.TOO_MANY_PIXELS


def test_the_error_for_a_hair_names_the_size_once_resized() -> None:
    with pytest.raises(DecodeError, match="2560000 x 256 once resized"):
        decode_image(encode(Image.new("L", (10000, 1)), "PNG"), LARGE)


def test_pillow_prints_nothing_beside_what_featx_tells(
    tiny: Tiny, models: Path, tmp_path: Path, featx: Callable[..., Ran]
) -> None:
    (tmp_path / "odd").mkdir()
    for name, data in {
        "exif.jpg": encode(noise(), "JPEG", exif=exif_cut_short()),
        "half.tif": SAMPLES["LZW TIFF"][:500],
        "header.tif": SAMPLES["TIFF"][:10],
        "frame.gif": gif_frame(9460, 9460),
    }.items():
        (tmp_path / "odd" / name).write_bytes(data)
    ran = featx("extract", tmp_path / "odd", "--backbone", tiny.backbone.name, "--models", models, "--into", "c.h5")
    assert "Warning" not in ran.err
