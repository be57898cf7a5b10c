"""Pictures that are drawn: SVG files, and characters of fonts."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE = 128
"""Width and height of what is drawn, in pixels."""
MOST_SIDE = 400
"""Pixels of the longer side of a picture that is written."""
LONGEST_SIDE = 4000


def render_svg(text: str, *, side: int = SIDE) -> Image.Image:
    """The SVG document as an image of this width."""
    import resvg_py

    return Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=text, width=side)))


def open_picture(path: Path) -> Image.Image:
    """The picture in a file, made smaller if it is larger than the networks need it."""
    with Image.open(path) as image:
        picture = image.convert("RGBA")
    picture.thumbnail((MOST_SIDE, MOST_SIDE))
    return picture


def has_usual_size(path: Path) -> bool:
    """Whether the picture in a PNG file has at most 4,000 pixels a side: some clip art has 600 megapixels in all."""
    with path.open("rb") as file:
        start = file.read(24)
    return max(int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")) <= LONGEST_SIDE


def render_character(character: str, font: Path, *, index: int = 0) -> Image.Image:
    """A character in black on white, in the middle of its image, its longer side two thirds of that of the image."""
    loaded = ImageFont.truetype(str(font), SIDE, index=index)
    left, top, right, bottom = loaded.getbbox(character)
    longest = max(right - left, bottom - top, 1)
    loaded = ImageFont.truetype(str(font), round(SIDE * 2 / 3 * SIDE / longest), index=index)
    image = Image.new("L", (SIDE, SIDE), 255)
    left, top, right, bottom = loaded.getbbox(character)
    corner = (SIDE - right - left) / 2, (SIDE - bottom - top) / 2
    ImageDraw.Draw(image).text(corner, character, fill=0, font=loaded)
    return image
