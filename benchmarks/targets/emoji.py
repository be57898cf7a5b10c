"""Emoji of Iconify's npm packages: of one vendor by group, and of four vendors by vendor."""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from targets.rendering import render_svg
from targets.target import Picture, Target

VENDORS = {"noto": "Apache-2.0", "openmoji": "CC BY-SA 4.0", "twemoji": "CC BY 4.0", "fluent-emoji": "MIT"}
SKIN = re.compile(r"-(light|medium-light|medium|medium-dark|dark)-skin-tone")


def read_icons(packages: Path, vendor: str) -> dict[str, str]:
    """Name -> SVG document of each emoji of a vendor."""
    icons = _read(packages, vendor, "icons.json")
    return {name: as_svg(icon, width=icons["width"], height=icons["height"]) for name, icon in icons["icons"].items()}


def as_svg(icon: dict[str, Any], *, width: int, height: int) -> str:
    """The SVG document of an icon, which has this width and height unless it says otherwise."""
    box = icon.get("left", 0), icon.get("top", 0), icon.get("width", width), icon.get("height", height)
    view = " ".join(map(str, box))
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {space} viewBox="{view}">{icon["body"]}</svg>'


def _read(packages: Path, vendor: str, name: str) -> Any:
    return json.loads((packages / f"@iconify-json/{vendor}" / name).read_text(encoding="utf-8"))


def _without_skin(name: str) -> str:
    """What emoji that differ in the colour of the skin have in common."""
    return SKIN.sub("", name)


def _by_group(packages: Path) -> Sequence[Picture]:
    icons = read_icons(packages, "noto")
    groups = _read(packages, "noto", "metadata.json")["categories"]
    return [
        Picture(name, group, partial(render_svg, icons[name]), _without_skin(name))
        for group, names in groups.items()
        for name in names
        if name in icons
    ]


def emoji_of(vendor: str) -> Callable[[Path], Sequence[Picture]]:
    """What lists the emoji of one vendor that all vendors draw, by group, those with another skin left out."""
    return partial(_of_vendor, vendor)


def _of_vendor(vendor: str, packages: Path) -> Sequence[Picture]:
    shared = set.intersection(*(set(read_icons(packages, one)) for one in VENDORS))
    drawn = read_icons(packages, vendor)
    groups = _read(packages, "noto", "metadata.json")["categories"]
    return [
        Picture(f"{name}_{vendor}", group, partial(render_svg, drawn[name]), name)
        for group, names in groups.items()
        for name in names
        if name in shared and name == _without_skin(name)
    ]


def _by_drawer(packages: Path) -> Sequence[Picture]:
    icons = {vendor: read_icons(packages, vendor) for vendor in VENDORS}
    shared = set.intersection(*(set(drawn) for drawn in icons.values()))
    names = sorted(name for name in shared if name == _without_skin(name))
    return [
        Picture(f"{name}_{vendor}", vendor, partial(render_svg, drawn[name]), name)
        for vendor, drawn in icons.items()
        for name in names
    ]


EMOJI_GROUPS = Target(
    "Noto's emoji, by group",
    "npm: @iconify-json/noto",
    "Apache-2.0",
    ("@iconify-json/noto",),
    _by_group,
    seen=True,
)
EMOJI_DRAWERS = Target(
    "the same emoji, by who drew them",
    "npm: @iconify-json/noto, openmoji, twemoji, fluent-emoji",
    ", ".join(VENDORS.values()),
    tuple(f"@iconify-json/{vendor}" for vendor in VENDORS),
    _by_drawer,
    seen=True,
)
