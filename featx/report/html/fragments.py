"""Sections as a fragment of HTML, for pages of other programs, such as notebooks."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import tostring

from featx.report.html.sections import draw_section
from featx.report.markup import build
from featx.report.section import Section

_DIGITS = 10
"""Digits of a hash that tell the sections of one fragment from those of another in the same notebook."""


def render_fragment(sections: Sequence[Section]) -> str:
    """The sections as HTML with their tables and figures, without a script; empty if there are none.

    Its style is for itself alone, and its ids are those of no other fragment with other content.

    >>> from featx.report.html import render_fragment
    >>> from featx.report.section import Section
    >>> "&lt;b&gt;" in render_fragment([Section("<b>", notes=("a note",))])
    True
    """
    if not sections:
        return ""
    digest = hashlib.sha256(repr(sections).encode()).hexdigest()[:_DIGITS]
    drawn = [draw_section(section, f"featx-{digest}-{number}") for number, section in enumerate(sections)]
    style = build("style")
    style.text = _style()
    return tostring(build("div", style, *drawn, class_="featx-shown"), encoding="unicode", method="html")


@cache
def _style() -> str:
    return Path(__file__).with_name("notebook.css").read_text(encoding="utf-8")
