"""Thumbnails: a small picture of each image that can be read, and None for each that cannot."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from featx.errors import DecodeError
from featx.inputs import decode_thumbnail, images_of_array, list_images, read_thumbnails


def opened(thumbnail: bytes | None) -> Image.Image:
    """The thumbnail as a picture."""
    assert thumbnail is not None
    return Image.open(io.BytesIO(thumbnail))


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    """The path of a file with this picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def test_a_thumbnail_shows_the_whole_image_and_keeps_its_proportions(tmp_path: Path) -> None:
    saved(Image.new("RGB", (400, 100), "red"), tmp_path / "wide.png")
    saved(Image.new("L", (5000, 2)), tmp_path / "thin.png")
    found = read_thumbnails(list_images(tmp_path), ["wide.png", "thin.png"])
    assert opened(found["wide.png"]).size == (96, 24)
    assert opened(found["thin.png"]).size == (96, 1)
    assert {opened(one).format for one in found.values()} == {"JPEG"}


def test_a_small_image_is_not_enlarged(tmp_path: Path) -> None:
    saved(Image.new("RGB", (28, 20)), tmp_path / "small.png")
    assert opened(read_thumbnails(list_images(tmp_path), ["small.png"])["small.png"]).size == (28, 20)


def test_images_that_are_gone_damaged_or_unknown_are_none(tmp_path: Path) -> None:
    saved(Image.new("RGB", (9, 9)), tmp_path / "a.png")
    gone = saved(Image.new("RGB", (9, 9)), tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    (tmp_path / "d.png").write_bytes(b"")
    images = list_images(tmp_path)
    gone.unlink()
    names = ["d.png", "b.png", "../a.png", "c.png", "a.png", "\ud800"]
    found = read_thumbnails(images, names)
    assert list(found) == names
    assert [name for name, thumbnail in found.items() if thumbnail is not None] == ["a.png"]


def test_transparent_images_are_laid_over_white_as_extraction_does(tmp_path: Path) -> None:
    saved(Image.new("RGBA", (16, 16), (255, 0, 0, 0)), tmp_path / "clear.png")
    thumbnail = opened(read_thumbnails(list_images(tmp_path), ["clear.png"])["clear.png"])
    assert thumbnail.getpixel((8, 8)) == (255, 255, 255)


def test_exif_orientation_is_applied_only_if_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(Image.new("RGB", (60, 30)), tmp_path / "turned.jpg", exif=exif)
    images = list_images(tmp_path)
    sizes = [
        opened(read_thumbnails(images, ["turned.jpg"], exif_orientation=turn)["turned.jpg"]).size
        for turn in (False, True)
    ]
    assert sizes == [(60, 30), (30, 60)]


def test_an_image_with_more_pixels_than_the_limit_has_no_thumbnail() -> None:
    file = io.BytesIO()
    Image.new("L", (300, 300)).save(file, "PNG")
    with pytest.raises(DecodeError, match="above 1000"):
        decode_thumbnail(file.getvalue(), size=96, max_pixels=1000)


def test_rows_of_arrays_have_thumbnails_too() -> None:
    images = images_of_array(np.zeros((3, 20, 20), np.uint8))
    names = [images.name(row) for row in range(3)]
    assert all(opened(one).size == (20, 20) for one in read_thumbnails(images, names).values())
