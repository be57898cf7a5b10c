"""The page as a whole: its head with the style and the script, its contents, and each section in turn."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

from featx.provenance import __version__
from featx.report.html.sections import draw_section, list_notes
from featx.report.markup import build
from featx.report.section import Page, Section

GENERATOR = 'name="generator" content="featx '
"""Stands in the head of every report, before the version; pages that classify images have no version there."""


def render_page(page: Page) -> str:
    """One HTML file that shows the page without a network; equal pages give equal texts.

    The style and the script are in it and allowed by their hashes; nothing else can run or be loaded. All that the
    page says can be read without the script, which adds sorting, filtering and the values of marks.

    >>> from featx.report.html import render_page
    >>> from featx.report.section import Page, Section
    >>> text = render_page(Page("Results", (Section("Heads", columns=("head", "accuracy"), rows=(("knn", "0.91"),)),)))
    >>> text.startswith("<!DOCTYPE html>"), "0.91" in text
    (True, True)
    """
    anchors = _anchors(page.sections)
    body = build(
        "body", _skip_link(), _header(page), _contents(page.sections, anchors), _main(page, anchors), _footer()
    )
    whole = build("html", _head(page.title), body, lang="en")
    return "<!DOCTYPE html>\n" + tostring(whole, encoding="unicode", method="html") + "\n"


def _head(title: str) -> Element:
    style, script = _asset("page.css"), _asset("page.js")
    allowed = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return build(
        "head",
        build("meta", charset="utf-8"),
        build("meta", http_equiv="Content-Security-Policy", content=allowed),
        build("meta", name="generator", content=f"featx {__version__}"),
        build("meta", name="viewport", content="width=device-width, initial-scale=1"),
        build("meta", name="color-scheme", content="light dark"),
        build("link", rel="icon", href="data:,"),
        build("title", title or "featx"),
        _as_it_is("style", style),
        _as_it_is("script", script, type="module"),
    )


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _as_it_is(tag: str, text: str, **attributes: str) -> Element:
    """An element of featx's own text, which is not escaped."""
    element = build(tag, **attributes)
    element.text = text
    return element


def _skip_link() -> Element:
    return build("a", "Skip to the content", class_="skip", href="#content")


def _header(page: Page) -> Element:
    answer = build("p", page.sentence, class_="answer") if page.sentence else None
    return build("header", build("h1", page.title), answer)


def _contents(sections: Sequence[Section], anchors: Sequence[str]) -> Element | None:
    """Links to the sections that have a title; nothing for a page of one section."""
    entries = [
        build("li", build("a", section.title, href=f"#{anchor}"))
        for section, anchor in zip(sections, anchors, strict=True)
        if section.title
    ]
    return build("nav", build("ul", *entries), aria_label="Contents") if len(entries) > 1 else None


def _main(page: Page, anchors: Sequence[str]) -> Element:
    drawn = [draw_section(section, anchor) for section, anchor in zip(page.sections, anchors, strict=True)]
    return build("main", *drawn, *list_notes(page.notes), id="content", tabindex="-1")


def _footer() -> Element:
    return build("footer", build("p", f"Made by featx {__version__}. This page loads nothing from a network."))


def _anchors(sections: Sequence[Section]) -> list[str]:
    """A short word for each section, none twice."""
    return list(_distinct(sections))


def _distinct(sections: Sequence[Section]) -> Iterator[str]:
    taken = {"content"}
    for number, section in enumerate(sections, 1):
        word = re.sub("[^a-z0-9]+", "-", (section.name or section.title).lower())[:40].strip("-")
        anchor = word if word and word not in taken else f"{word or 'section'}-{number}"
        while anchor in taken:
            anchor += "x"
        taken.add(anchor)
        yield anchor
