"""Pictures in the folders of Debian and npm packages, whose folders say what they show."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image

from targets.rendering import has_usual_size, open_picture, render_svg
from targets.target import Picture, Target, image_files, safe_name

STAMPS = "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
CLIP_ART = "openclipart-png/usr/share/openclipart/png"
WESNOTH = "wesnoth-1.16-data/usr/share/games/wesnoth/1.16/data/core/images"
ICONS = {
    "oxygen": "oxygen-icon-theme/usr/share/icons/oxygen/base/48x48",
    "gnome": "gnome-icon-theme/usr/share/icons/gnome/48x48",
}
TOPICS = (
    *("animals", "buildings", "electronics", "food", "geography", "office", "people", "plants", "recreation"),
    *("signs_and_symbols", "tools", "transportation"),
)
"""Topics of the clip art; the others are collections of one shape in many colours, or say nothing of what is shown."""
RACES = (
    *("drakes", "dunefolk", "dwarves", "elves-wood", "human-loyalists", "human-magi", "human-outlaws", "monsters"),
    *("nagas", "orcs", "saurians", "undead", "undead-skeletal"),
)


def _pictures(folder: Path, classes: Sequence[str] | None, group: Callable[[Path], str | None]) -> Sequence[Picture]:
    """The pictures below a folder: each sub-folder a class, all or those named; `group` is told the path in it."""
    found = []
    for path in image_files(folder):
        inside = path.relative_to(folder)
        wanted = len(inside.parts) > 1 and (classes is None or inside.parts[0] in classes)
        if wanted and has_usual_size(path):
            draw = partial(open_picture, path)
            found.append(Picture(safe_name(path, folder), inside.parts[0], draw, group(inside)))
    return found


def _stamps(packages: Path) -> Sequence[Picture]:
    """Without those that are another one in a mirror."""
    found = _pictures(packages / STAMPS, None, lambda path: None)
    return [picture for picture in found if not re.search("_(mirror|flip)", picture.name)]


def _clip_art(packages: Path) -> Sequence[Picture]:
    """In groups of those whose names begin alike: the same thing drawn several times, or a series by one hand."""
    return _pictures(packages / CLIP_ART, TOPICS, lambda path: f"{path.parent}/{_first_word(path.stem)}")


def _sprites(packages: Path) -> Sequence[Picture]:
    """In groups of all pictures of one unit, such as those in which an archer draws the bow."""
    return _pictures(packages / WESNOTH / "units", RACES, lambda path: f"{path.parts[0]}/{_unit(path)}")


def _unit(path: Path) -> str:
    """The unit that a picture shows, from its folder within that of its race or from its name."""
    return path.parts[1] if len(path.parts) > 2 else re.split("[+-]", path.stem)[0]


def _first_word(stem: str) -> str:
    return re.split(r"[-_\d]", stem)[0]


def _icons(packages: Path) -> Sequence[Picture]:
    """In groups of those with one name, which two themes may draw."""
    return [picture for theme in ICONS for picture in _of_theme(theme, packages)]


def icons_of(theme: str) -> Callable[[Path], Sequence[Picture]]:
    """What lists the icons of one theme, in groups of one name."""
    return partial(_of_theme, theme)


def _of_theme(theme: str, packages: Path) -> Sequence[Picture]:
    return [
        replace(picture, name=f"{theme}_{picture.name}")
        for picture in _pictures(packages / ICONS[theme], None, lambda path: path.stem)
        if picture.label != "animations"
    ]


def _flags(packages: Path) -> Sequence[Picture]:
    """Flags in two shapes each, in groups of one country's."""
    folder = packages / "flag-icons"
    countries = json.loads((folder / "country.json").read_text(encoding="utf-8"))
    found = []
    for country in countries:
        for shape in ("1x1", "4x3"):
            if country.get("continent"):
                draw = partial(_draw_svg, folder / country[f"flag_{shape}"])
                found.append(Picture(f"{country['code']}_{shape}", country["continent"], draw, country["code"]))
    return found


def _draw_svg(path: Path) -> Image.Image:
    return render_svg(path.read_text(encoding="utf-8"))


STAMP_TOPICS = Target(
    "stamps of Tux Paint, photographs and drawings, by topic",
    "Debian: tuxpaint-stamps-default",
    "GPL-2+, some public domain",
    ("tuxpaint-stamps-default",),
    _stamps,
    seen=True,
)
CLIP_ART_TOPICS = Target(
    "clip art, by topic", "Debian: openclipart-png", "public domain", ("openclipart-png",), _clip_art
)
SPRITES = Target(
    "figures of the game Wesnoth, by race; units of the test images are not seen in training",
    "Debian: wesnoth-1.16-data",
    "GPL-2+",
    ("wesnoth-1.16-data",),
    _sprites,
)
ICON_CONTEXTS = Target(
    "icons of two desktops, by what they are for",
    "Debian: oxygen-icon-theme, gnome-icon-theme",
    "LGPL-3+; CC BY-SA 3.0 or LGPL-3",
    ("oxygen-icon-theme", "gnome-icon-theme"),
    _icons,
)
FLAGS = Target("flags of countries, by continent", "npm: flag-icons", "MIT", ("flag-icons",), _flags)
