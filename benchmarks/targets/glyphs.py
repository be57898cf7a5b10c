"""Characters of fonts: which letter, which typeface, which script."""

import string
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from targets.rendering import render_character
from targets.target import Picture, Target

FONTS = {
    "Breip": "fonts-breip/breipfont.ttf",
    "Cabin": "fonts-cabin/Cabin-Regular.otf",
    "Caladea": "fonts-crosextra-caladea/Caladea-Regular.ttf",
    "Cantarell": "fonts-cantarell/Cantarell-Regular.otf",
    "Cantarell Thin": "fonts-cantarell/Cantarell-Thin.otf",
    "Comic Neue": "fonts-comic-neue/ComicNeue-Regular.otf",
    "Courier Prime": "fonts-courier-prime/Courier Prime.otf",
    "Dancing Script": "fonts-dancingscript/DancingScript-Regular.otf",
    "DejaVu Sans": "fonts-dejavu-core/DejaVuSans.ttf",
    "DejaVu Serif": "fonts-dejavu-core/DejaVuSerif.ttf",
    "Domestic Manners": "fonts-dustin/Domestic_Manners.ttf",
    "Dustismo": "fonts-dustin/Dustismo.ttf",
    "EB Garamond": "fonts-ebgaramond/EBGaramond12-Regular.otf",
    "Free Mono": "fonts-freefont-otf/FreeMono.otf",
    "Free Serif Italic": "fonts-freefont-otf/FreeSerifItalic.otf",
    "Gentium": "fonts-sil-gentium-basic/GenBasR.ttf",
    "Hack": "fonts-hack/Hack-Regular.ttf",
    "Inconsolata": "fonts-inconsolata/Inconsolata.otf",
    "Isabella": "fonts-isabella/Isabella.ttf",
    "It Wasn't Me": "fonts-dustin/It_wasn_t_me.ttf",
    "Junkyard": "fonts-dustin/Junkyard.ttf",
    "Jura": "fonts-jura/Jura-Regular.otf",
    "Kristi": "fonts-kristi/Kristi.ttf",
    "Lato": "fonts-lato/Lato-Regular.ttf",
    "Lato Black": "fonts-lato/Lato-Black.ttf",
    "Liberation Sans": "fonts-liberation/LiberationSans-Regular.ttf",
    "Liberation Serif": "fonts-liberation/LiberationSerif-Regular.ttf",
    "Libertine": "fonts-linuxlibertine/LinLibertine_R.otf",
    "Lobster": "fonts-lobster/lobster.otf",
    "Marked Fool": "fonts-dustin/MarkedFool.ttf",
    "Open Sans": "fonts-open-sans/OpenSans-Regular.ttf",
    "Quicksand": "fonts-quicksand/Quicksand-Regular.ttf",
    "Rufscript": "fonts-rufscript/Rufscript010.ttf",
    "Vollkorn": "fonts-vollkorn/Vollkorn-Regular.ttf",
    "Winks": "fonts-dustin/Winks.ttf",
}
"""Name -> package, and the font's file there."""
TYPEFACES = (
    *("Cabin", "Caladea", "Cantarell", "Courier Prime", "DejaVu Sans", "DejaVu Serif", "EB Garamond", "Gentium"),
    *("Hack", "Inconsolata", "Lato", "Liberation Sans", "Liberation Serif", "Libertine", "Open Sans", "Vollkorn"),
)
"""Fonts for reading, which are told apart by their details."""
SCRIPTS: dict[str, tuple[str, str | tuple[int, int]]] = {
    "Latin": ("", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    "Greek": ("", "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρστυφχψω"),
    "Cyrillic": ("", "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя"),
    "Armenian": ("Armenian", (0x531, 0x556)),
    "Georgian": ("Georgian", (0x10D0, 0x10F0)),
    "Hebrew": ("Hebrew", (0x5D0, 0x5EA)),
    "Devanagari": ("Devanagari", (0x905, 0x939)),
    "Bengali": ("Bengali", (0x995, 0x9A8)),
    "Gujarati": ("Gujarati", (0xA95, 0xAA8)),
    "Kannada": ("Kannada", (0xC95, 0xCA8)),
    "Telugu": ("Telugu", (0xC15, 0xC28)),
    "Malayalam": ("Malayalam", (0xD15, 0xD28)),
    "Sinhala": ("Sinhala", (0xD9A, 0xDB1)),
    "Thai": ("Thai", (0xE01, 0xE2E)),
    "Lao": ("Lao", "ກຂຄງຈຊຍດຕຖທນບປຜຝພຟມຢຣລວສຫອຮ"),
    "Khmer": ("Khmer", (0x1780, 0x17A2)),
    "Myanmar": ("Myanmar", (0x1000, 0x1021)),
    "Ethiopic": ("Ethiopic", (0x1200, 0x1246)),
}
"""Script -> the end of the names of its Noto fonts, and characters or the first and last code point of some."""
STYLES = {
    "sans": (
        *("Cabin", "Cantarell", "Cantarell Thin", "Comic Neue", "DejaVu Sans", "Dustismo", "Hack", "Inconsolata"),
        *("Jura", "Lato", "Lato Black", "Liberation Sans", "Open Sans", "Quicksand"),
    ),
    "serif": (
        *("Caladea", "Courier Prime", "DejaVu Serif", "EB Garamond", "Free Mono", "Free Serif Italic", "Gentium"),
        *("Liberation Serif", "Libertine", "Vollkorn"),
    ),
    "written": (
        *("Breip", "Dancing Script", "Domestic Manners", "Isabella", "It Wasn't Me", "Junkyard", "Kristi", "Lobster"),
        *("Marked Fool", "Rufscript", "Winks"),
    ),
}
"""Style -> its fonts; each font is of one style."""
NOTO_STYLES = ("Sans", "Serif")


def find_font(packages: Path, place: str) -> Path:
    """The file of a font, wherever in its package it is."""
    package, _, name = place.partition("/")
    found = next((packages / package).rglob(name), None)
    if found is None:
        raise SystemExit(f"{packages / package}: no {name}; `python benchmarks/transfer.py DIR packages` fetches it")
    return found


def _letters(packages: Path) -> Sequence[Picture]:
    fonts = {name: find_font(packages, place) for name, place in FONTS.items()}
    return [
        Picture(f"{letter}_{_plain(name)}", letter, partial(render_character, letter, font), name)
        for name, font in fonts.items()
        for letter in string.ascii_uppercase
    ]


def letters_of(style: str) -> Callable[[Path], Sequence[Picture]]:
    """What lists the capital letters of the fonts of one style, in groups of one font."""
    return partial(_of_style, style)


def _of_style(style: str, packages: Path) -> Sequence[Picture]:
    return [picture for picture in _letters(packages) if picture.group in STYLES[style]]


def _typefaces(packages: Path) -> Sequence[Picture]:
    fonts = {name: find_font(packages, FONTS[name]) for name in TYPEFACES}
    return [
        Picture(f"u{ord(character):04x}_{_plain(name)}", name, partial(render_character, character, font), character)
        for name, font in fonts.items()
        for character in string.ascii_letters + string.digits
    ]


def _scripts(packages: Path) -> Sequence[Picture]:
    pictures = []
    for script, (ending, characters) in SCRIPTS.items():
        for style in NOTO_STYLES:
            font = find_font(packages, f"fonts-noto-core/Noto{style}{ending}-Regular.ttf")
            for character in _expand(characters):
                draw = partial(render_character, character, font)
                pictures.append(Picture(f"u{ord(character):04x}_{style}", script, draw, f"u{ord(character):04x}"))
    return pictures


def scripts_of(style: str) -> Callable[[Path], Sequence[Picture]]:
    """What lists the characters of the fonts of one of NOTO_STYLES, by script."""
    return partial(_of_noto_style, style)


def _of_noto_style(style: str, packages: Path) -> Sequence[Picture]:
    return [picture for picture in _scripts(packages) if picture.name.endswith(f"_{style}")]


def _expand(characters: str | tuple[int, int]) -> str:
    """The characters, or those from the first to the last code point."""
    if isinstance(characters, str):
        return characters
    first, last = characters
    return "".join(map(chr, range(first, last + 1)))


def _plain(name: str) -> str:
    return "".join(letter for letter in name if letter.isalnum())


def _packages(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({FONTS[name].partition("/")[0] for name in names}))


LETTERS = Target(
    "capital letters of 35 fonts, by letter; fonts of the test images are not seen in training",
    "Debian: fonts-*",
    "free licences, most of them the SIL Open Font License",
    _packages(tuple(FONTS)),
    _letters,
    seen=True,
)
TYPEFACE_NAMES = Target(
    "letters and digits of 16 fonts, by font; characters of the test images are not seen in training",
    "Debian: fonts-*",
    "free licences, most of them the SIL Open Font License",
    _packages(TYPEFACES),
    _typefaces,
    seen=True,
)
SCRIPT_NAMES = Target(
    "characters of Noto's fonts, by script",
    "Debian: fonts-noto-core",
    "SIL Open Font License 1.1",
    ("fonts-noto-core",),
    _scripts,
)
