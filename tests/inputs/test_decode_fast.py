"""Fast decoding: JPEGs are read at a reduced size if that is enough; everything else is exact to the bit."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from PIL import Image

from featx.errors import DecodeError, Failure
from featx.inputs.decode import decode_image
from featx.inputs.pixels import PixelSpec
from featx.settings import CropMode
from tests.inputs.test_decode import (
    FOREIGN,
    LARGE,
    QUIET,
    RESAMPLING,
    SAMPLES,
    SIXTEEN,
    SPEC,
    encode,
    noise,
    sixteen_bits,
)

SQUASH = replace(SPEC, crop_mode="squash")
TURNS = {6: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180, 5: Image.Transpose.TRANSPOSE}
JPEGS: dict[str, Callable[[Image.Image], bytes]] = {
    "baseline": lambda image: encode(image, "JPEG", quality=90),
    "progressive": lambda image: encode(image, "JPEG", progressive=True),
    "without subsampling": lambda image: encode(image, "JPEG", subsampling=0),
    "CMYK": lambda image: encode(image.convert("CMYK"), "JPEG"),
    "grey": lambda image: encode(image.convert("L"), "JPEG"),
    "several pictures": lambda image: encode(image, "MPO", save_all=True, append_images=[noise((80, 60), 1)]),
}


def smooth(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A picture of soft blobs, which looks the same at whatever size it is decoded."""
    return noise((7, 5), seed).resize(size, Image.Resampling.BICUBIC)


def target_of(size: tuple[int, int], spec: PixelSpec) -> tuple[int, int]:
    """The size to which a picture of this size is resized."""
    (width, height), short = size, min(size)
    squash = spec.crop_mode == "squash"
    return (spec.resize,) * 2 if squash else (spec.resize * width // short, spec.resize * height // short)


def part_of(size: tuple[int, int], spec: PixelSpec) -> int:
    """The part of its size, one in so many, at which a JPEG may be read: worked out a second time, without Pillow."""
    width, height = target_of(size, spec)
    return max(part for part in (1, 2, 4, 8) if part == 1 or (size[0] >= part * width and size[1] >= part * height))


def fast(data: bytes | NDArray[np.uint8], spec: PixelSpec = SPEC) -> NDArray[np.uint8]:
    """The pixels of the fast lane."""
    return decode_image(data, spec, decode="fast")


def reference(data: bytes, spec: PixelSpec, turn: Image.Transpose | None = None) -> NDArray[np.uint8]:
    """What a fast decode should give, give or take a rounding: the whole picture resized, then cropped."""
    file = Image.open(io.BytesIO(data))
    (width, height), part = file.size, part_of(file.size, spec)
    file.draft(None, (width // part, height // part))
    file.load()
    assert file.size == (-(-width // part), -(-height // part))
    image = file.convert("L" if file.mode == "L" else "RGB")
    if turn is not None:
        image = image.transpose(turn)
        width, height = (width, height) if turn == Image.Transpose.ROTATE_180 else (height, width)
    box = (0, 0, width / part, height / part)
    image = image.resize(target_of((width, height), spec), RESAMPLING[spec.filter], box).convert("RGB")
    left, top = (round((side - spec.size) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + spec.size, top + spec.size)))


def difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How far pixels are apart."""
    return np.asarray(np.abs(left.astype(np.int64) - right))


# ---- which are read at a part of their size, and at which


@pytest.mark.parametrize("size", [(80, 60), (60, 80), (36, 36), (151, 149), (145, 300), (640, 427)])
@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("spec", [SPEC, SQUASH], ids=["crop", "squash"])
def test_a_large_jpeg_gives_the_pixels_of_pillows_scaled_decoding(
    kind: str, size: tuple[int, int], spec: PixelSpec
) -> None:
    data = JPEGS[kind](smooth(size))
    assert part_of(size, spec) > 1
    assert difference(fast(data, spec), reference(data, spec)).max() <= 2


@pytest.mark.parametrize("kind", JPEGS)
def test_a_fast_picture_shows_what_the_exact_one_shows(kind: str) -> None:
    data = JPEGS[kind](smooth((1603, 1069)))
    exact, quick = decode_image(data, LARGE), fast(data, LARGE)
    assert not np.array_equal(exact, quick)
    assert difference(exact, quick).mean() < 1


SIDES = st.integers(1, 200)


ASKED = {
    "size": st.tuples(SIDES, SIDES),
    "side": st.integers(1, 24),
    "more": st.integers(0, 9),
    "crop_mode": st.sampled_from(["center", "squash"]),
}


@settings(deadline=None, max_examples=60)
@given(**ASKED)
def test_no_jpeg_is_read_at_a_size_below_the_one_asked_for(
    size: tuple[int, int], side: int, more: int, crop_mode: CropMode
) -> None:
    assert_large_enough(size, side, more, crop_mode)


@pytest.mark.exhaustive
@settings(deadline=None, max_examples=200)
@given(**ASKED)
def test_no_jpeg_of_hundreds_is_read_at_a_size_below_the_one_asked_for(
    size: tuple[int, int], side: int, more: int, crop_mode: CropMode
) -> None:
    assert_large_enough(size, side, more, crop_mode)


def assert_large_enough(size: tuple[int, int], side: int, more: int, crop_mode: CropMode) -> None:
    """Fail unless a JPEG of this size is read whole, or at a part that is large enough."""
    spec = replace(SPEC, size=side, resize=side + more, crop_mode=crop_mode)
    data = encode(noise(size), "JPEG")
    if part_of(size, spec) == 1:
        assert np.array_equal(fast(data, spec), decode_image(data, spec))
    else:
        assert difference(fast(data, spec), reference(data, spec)).max() <= 2


@pytest.mark.parametrize("size", [(35, 36), (35, 300), (17, 17), (1, 1), (1, 50), (50, 1), (2, 3)])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_whose_half_is_too_small_is_exact_to_the_bit(kind: str, size: tuple[int, int]) -> None:
    data = JPEGS[kind](noise(size))
    assert np.array_equal(fast(data), decode_image(data, SPEC))


def test_squashing_needs_both_sides() -> None:
    data = encode(noise((35, 400)), "JPEG")
    assert np.array_equal(fast(data, SQUASH), decode_image(data, SQUASH))


# ---- what is no JPEG

OTHERS = {kind: data for kind, data in SAMPLES.items() if "JPEG" not in kind or kind == "JPEG2000"}
OTHERS |= {f"16 bits: {kind}": sixteen_bits(kind, np.tile(np.arange(65536, step=64), (90, 1))) for kind in SIXTEEN}
OTHERS |= {kind: encode(noise((200, 150)), kind) for kind in ("PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000")}
OTHERS |= {"JPEG in TIFF": encode(noise((200, 150)), "TIFF", compression="jpeg")}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_jpeg_is_the_same_in_both_lanes(kind: str) -> None:
    assert np.array_equal(fast(OTHERS[kind]), decode_image(OTHERS[kind], SPEC))


@pytest.mark.parametrize("shape", [(300, 400), (300, 400, 3)])
def test_pixels_that_are_no_file_are_the_same_in_both_lanes(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(fast(pixels), decode_image(pixels, SPEC))


# ---- colour


def test_a_colour_stays_the_colour_that_it_is() -> None:
    image = Image.new("RGB", (160, 120), (250, 10, 20))
    assert difference(fast(encode(image, "JPEG", quality=95)), np.array([250, 10, 20])).max() <= 3


def test_a_grey_jpeg_has_three_equal_channels() -> None:
    pixels = fast(encode(noise((160, 120)).convert("L"), "JPEG"))
    assert np.array_equal(pixels, np.repeat(pixels[:, :, :1], 3, axis=2))
    assert len(np.unique(pixels)) > 20


def test_a_model_of_one_channel_takes_the_grey_of_the_colours() -> None:
    grey, data = replace(SPEC, channels="L"), encode(smooth((160, 120)), "JPEG")
    assert difference(fast(data, grey), decode_image(data, grey)).mean() < 2
    assert np.array_equal(fast(data, grey), np.repeat(fast(data, grey)[:, :, :1], 3, axis=2))


# ---- orientation


@pytest.mark.parametrize("size", [(163, 119), (121, 160)])
@pytest.mark.parametrize("spec", [SPEC, SQUASH], ids=["crop", "squash"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_fast_picture_is_turned_if_asked(orientation: int, spec: PixelSpec, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(smooth(size), "JPEG", exif=exif.tobytes())
    asking = replace(spec, exif_orientation=True)
    assert difference(fast(data, asking), reference(data, spec, TURNS[orientation])).max() <= 2
    assert np.array_equal(fast(data, spec), fast(encode(smooth(size), "JPEG"), spec))


# ---- what fails

BIG = {"JPEG": encode(noise((160, 120)), "JPEG"), "progressive": encode(noise((160, 120)), "JPEG", progressive=True)}


def outcome(data: bytes, **options: object) -> Failure | None:
    """Why these bytes fail, or None."""
    try:
        assert decode_image(data, SPEC, **options).shape == (16, 16, 3)  # type: ignore[arg-type]
    except DecodeError as error:
        return error.failure
    return None


@QUIET
@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(sorted(BIG)), kept=st.floats(0, 1))
def test_a_jpeg_cut_anywhere_fails_alike_in_both_lanes(kind: str, kept: float) -> None:
    data = BIG[kind][: int(len(BIG[kind]) * kept)]
    assert outcome(data, decode="fast") == outcome(data)


FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=12)


@QUIET
@settings(deadline=None, max_examples=50)
@given(flips=FLIPS)
def test_flipped_bits_raise_nothing_but_decode_error(flips: list[tuple[float, int]]) -> None:
    flip_bits(flips)


@pytest.mark.exhaustive
@QUIET
@settings(deadline=None, max_examples=200)
@given(flips=FLIPS)
def test_bits_flipped_hundreds_of_times_raise_nothing_but_decode_error(flips: list[tuple[float, int]]) -> None:
    flip_bits(flips)


def flip_bits(flips: list[tuple[float, int]]) -> None:
    """Decode a JPEG with these bits of these places flipped."""
    data = bytearray(BIG["JPEG"])
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    outcome(bytes(data), decode="fast")


@pytest.mark.parametrize("data", [b"", b"no image\n", FOREIGN["EPS"]])
def test_what_is_no_image_is_told_so_in_both_lanes(data: bytes) -> None:
    assert outcome(data, decode="fast") == outcome(data) is not None


@pytest.mark.parametrize("max_pixels", [160 * 120, 160 * 120 - 1])
def test_the_limit_of_pixels_is_that_of_the_whole_picture(max_pixels: int) -> None:
    found = outcome(BIG["JPEG"], decode="fast", max_pixels=max_pixels)
    assert found == outcome(BIG["JPEG"], max_pixels=max_pixels)
    assert (found is None) == (max_pixels == 160 * 120)


# ---- into an array of the caller's


@pytest.mark.parametrize("decode", ["exact", "fast"])
@pytest.mark.parametrize("kind", [*JPEGS, "16 bits"])
def test_pixels_are_written_where_they_are_wanted(kind: str, decode: str) -> None:
    data = sixteen_bits("PNG") if kind == "16 bits" else JPEGS[kind](noise((80, 60)))
    batch = np.full((3, 16, 16, 3), 7, np.uint8)
    found = decode_image(data, SPEC, decode=decode, out=batch[1])  # type: ignore[arg-type]
    assert np.array_equal(batch[1], decode_image(data, SPEC, decode=decode))  # type: ignore[arg-type]
    assert np.shares_memory(found, batch)
    assert (batch[[0, 2]] == 7).all()


def test_an_image_that_fails_leaves_the_array_as_it_was() -> None:
    slot = np.full((16, 16, 3), 7, np.uint8)
    with pytest.raises(DecodeError):
        decode_image(BIG["JPEG"][:-50], SPEC, out=slot)
    assert (slot == 7).all()
