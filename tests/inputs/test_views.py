"""Views: their names and order, and that each shows what its name says, of an image that is decoded once."""

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from featx.errors import DecodeError, ImageSetError
from featx.inputs import check_views, decode_image, decode_views, order_views, parse_views
from featx.inputs.pixels import MOST_SIDE, PixelSpec
from featx.inputs.views import CORNERS, SYMMETRIES, draw_crop

SPEC = PixelSpec(size=16, resize=18, mean=(127.0,) * 3, std=(128.0,) * 3)
WHOLE = replace(SPEC, resize=16, crop_mode="squash")
TURNS = {
    "hflip": Image.Transpose.FLIP_LEFT_RIGHT,
    "vflip": Image.Transpose.FLIP_TOP_BOTTOM,
    "rot90": Image.Transpose.ROTATE_90,
    "rot180": Image.Transpose.ROTATE_180,
    "rot270": Image.Transpose.ROTATE_270,
    "transpose": Image.Transpose.TRANSPOSE,
    "transverse": Image.Transpose.TRANSVERSE,
}


def noise(width: int = 40, height: int = 30, *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """A picture in which no two pixels are alike."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    """The image as a file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def only(image: Image.Image, view: str, spec: PixelSpec = SPEC) -> NDArray[np.uint8]:
    """The pixels of this view."""
    return np.asarray(decode_views(encode(image), spec, ("center", view))[1])


def test_a_list_has_one_order_however_it_is_written() -> None:
    names = "random-crop:2,scale=1.150,rot90,five-crop,hflip,scale=0.9,hflip"
    expected = (
        *("center", "hflip", "rot90", *CORNERS),
        *("scale=0.9", "scale=1.15", "random-crop-1", "random-crop-2"),
    )
    assert parse_views(names) == parse_views(",".join(reversed(names.split(",")))) == expected
    assert parse_views(",".join(expected)) == order_views(expected) == expected
    assert order_views(["scale=1.150", "scale=1.15"]) == ("center", "scale=1.15")
    assert parse_views("symmetries") == ("center", *SYMMETRIES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hflop", "hflip"),
        ("scale=1", "other than 1"),
        ("scale=nan", "factor"),
        ("scale=-2", "factor"),
        ("random-crop:0", "from 1 to"),
        ("random-crop:5000", "from 1 to"),
        ("random-crop-0", "choose from"),
        ("random-crop:\N{ARABIC-INDIC DIGIT THREE}", "choose from"),
        ("\x1b[31m", "choose from"),
    ],
)
def test_a_name_that_is_no_view_is_refused_and_the_message_names_what_is(text: str, told: str) -> None:
    with pytest.raises(ImageSetError, match=told):
        parse_views(text)


def test_a_list_that_was_not_parsed_is_refused_and_the_message_says_what_parses_it() -> None:
    with pytest.raises(ImageSetError, match=r"parse_views\('hflip'\)"):
        order_views("hflip")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("view", SYMMETRIES)
def test_a_mirror_or_turn_is_that_of_the_pixels_of_view_0(view: str, mode: str) -> None:
    image = noise(mode=mode)
    straight = Image.fromarray(decode_image(encode(image), SPEC))
    assert np.array_equal(only(image, view), np.asarray(straight.transpose(TURNS[view])))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_view_0_is_what_the_image_gives_without_views(kind: str) -> None:
    data = encode(noise(), kind)
    views = decode_views(data, SPEC, parse_views("symmetries,five-crop,scale=1.5,random-crop:3"))
    assert np.array_equal(views[0], decode_image(data, SPEC))
    assert len({view.tobytes() for view in views}) == len(views)


def test_the_corners_are_those_of_the_resized_image() -> None:
    image = noise(36, 18)  # as high as it is resized to, so that no pixel changes
    pixels = np.asarray(image)
    assert np.array_equal(only(image, "crop-top-left"), pixels[:16, :16])
    assert np.array_equal(only(image, "crop-top-right"), pixels[:16, 20:])
    assert np.array_equal(only(image, "crop-bottom-left"), pixels[2:, :16])
    assert np.array_equal(only(image, "crop-bottom-right"), pixels[2:, 20:])


def test_a_scale_is_the_centre_of_the_image_resized_to_more_pixels() -> None:
    image = noise()
    assert np.array_equal(only(image, "scale=1.5"), decode_image(encode(image), replace(SPEC, resize=27)))


def test_random_crops_depend_on_the_bytes_and_the_number_alone() -> None:
    views = parse_views("random-crop:2")
    data = encode(noise())
    found = decode_views(data, SPEC, views)
    assert np.array_equal(found, decode_views(data, SPEC, views))
    assert np.array_equal(found[:2], decode_views(data, SPEC, views[:2]))
    assert not np.array_equal(found[1], found[2])
    assert draw_crop("random-crop-1", (40, 30), fingerprint=bytes(16)) != draw_crop(
        "random-crop-1", (40, 30), fingerprint=bytes(15) + b"\1"
    )


@pytest.mark.parametrize("size", [(40, 30), (1000, 100), (100, 10_000), (1, 300), (300, 1), (1, 1)])
def test_a_random_crop_lies_within_the_image_and_has_its_share_of_the_area(size: tuple[int, int]) -> None:
    for seed in range(200):
        crop = draw_crop("random-crop-1", size, fingerprint=seed.to_bytes(16, "big"))
        left, top, right, bottom = crop.box
        assert 0 <= left < right <= size[0] + 1e-9
        assert 0 <= top < bottom <= size[1] + 1e-9
        assert 0.25 - 1e-9 <= (right - left) * (bottom - top) / (size[0] * size[1]) <= 1 + 1e-9


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (7, 5)])
def test_images_of_any_shape_have_all_views(size: tuple[int, int]) -> None:
    views = parse_views("symmetries,five-crop,scale=0.9,random-crop:20")
    for seed in range(5):
        assert len(decode_views(encode(noise(*size, seed=seed)), SPEC, views)) == len(views)


def test_the_crops_are_mirrored_about_as_often_as_not() -> None:
    crops = [draw_crop("random-crop-1", (40, 30), fingerprint=seed.to_bytes(16, "big")) for seed in range(1000)]
    assert 440 < sum(crop.mirrored for crop in crops) < 560


@pytest.mark.parametrize(
    ("view", "spec", "fast", "told"),
    [
        ("crop-top-left", WHOLE, False, "whole image"),
        ("scale=0.5", SPEC, False, "factor from 0.889"),
        ("scale=1.01", SPEC, False, "as it has in view 0"),
        ("scale=16", replace(SPEC, resize=MOST_SIDE), False, "choose a smaller factor"),
        ("scale=1.5", SPEC, True, "--decode exact"),
        ("random-crop-1", SPEC, True, "--decode exact"),
    ],
)
def test_a_view_that_a_backbone_cannot_be_given_is_refused_with_the_reason(
    view: str, spec: PixelSpec, fast: bool, told: str
) -> None:
    with pytest.raises(ImageSetError, match=told):
        check_views(("center", view), spec, decode="fast" if fast else "exact")


def test_turns_of_a_jpeg_read_at_a_reduced_size_are_those_of_its_view_0() -> None:
    data = encode(noise(400, 300), "JPEG")
    views = decode_views(data, SPEC, ("center", "rot90", "crop-top-left"), decode="fast")
    assert np.array_equal(views[1], np.rot90(views[0]))
    assert views[2].any()


def test_an_image_that_fails_leaves_the_buffer_as_it_was() -> None:
    out = np.full((2, 16, 16, 3), 7, np.uint8)
    with pytest.raises(DecodeError):
        decode_views(encode(noise())[:300], SPEC, ("center", "hflip"), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("view", ["hflp", "symmetries", "random-crop:2", "scale=0.5"])
def test_only_views_that_can_be_made_are_made(view: str) -> None:
    with pytest.raises(ImageSetError, match="views: "):
        decode_views(encode(noise()), SPEC, ("center", view))


def test_views_come_in_the_order_in_which_they_are_asked_for() -> None:
    data = encode(noise())
    found = decode_views(data, SPEC, ("rot90", "center"))
    assert np.array_equal(found[::-1], decode_views(data, SPEC, ("center", "rot90")))
