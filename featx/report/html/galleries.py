"""Pictures as HTML: thumbnails within the page, and a placeholder, which is counted, for each that is gone."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from featx.report.markup import build
from featx.report.section import Picture

_PICTURES_OPEN = 60
"""Galleries of more pictures are folded at first."""


def number_tags(pictures: Sequence[Picture]) -> dict[str, int]:
    """A number for each tag of the pictures, which stands for it in the page."""
    tags = dict.fromkeys(tag for picture in pictures for tag in picture.tags)
    return {tag: number for number, tag in enumerate(tags)}


def draw_gallery(pictures: Sequence[Picture], tags: Mapping[str, int], anchor: str) -> Iterator[Element]:
    """The pictures in a box that can be folded; nothing if there are none."""
    if not pictures:
        return
    gone = sum(picture.thumbnail is None for picture in pictures)
    count = f"{len(pictures)} {'picture' if len(pictures) == 1 else 'pictures'}"
    missing = f", {gone} of them gone" if gone else ""
    items = [_item(picture, tags) for picture in pictures]
    yield build(
        "details",
        build("summary", count + missing),
        build("ul", *items, class_="gallery"),
        class_="pictures",
        id=f"{anchor}-pictures",
        open="" if len(pictures) <= _PICTURES_OPEN else None,
    )


def _item(picture: Picture, tags: Mapping[str, int]) -> Element:
    shown = " ".join(str(tags[tag]) for tag in picture.tags)
    name = build("b", picture.name)
    caption = build("figcaption", name, build("span", picture.caption) if picture.caption else None)
    return build("li", build("figure", _image(picture), caption), data_tags=shown or None)


def _image(picture: Picture) -> Element:
    if picture.thumbnail is None:
        return build("span", "image is gone", class_="gone")
    kind = "png" if picture.thumbnail.startswith(b"\x89PNG") else "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(picture.thumbnail).decode()}"
    return build("img", src=source, alt=picture.name, decoding="async")
