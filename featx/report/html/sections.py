"""A section as HTML: its title, the answer, figure, table, pictures and notes."""

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from featx.report.html.figures import draw_plot
from featx.report.html.galleries import draw_gallery, number_tags
from featx.report.html.tables import draw_facts, draw_table
from featx.report.markup import Part, build
from featx.report.section import Section


def draw_section(section: Section, anchor: str) -> Element:
    """The section, with `anchor` as the word that links go to."""
    title = build("h2", section.title, id=f"{anchor}-title") if section.title else None
    answer = build("p", section.sentence, class_="answer") if section.sentence else None
    content = list(_contents(section, anchor))
    return build(
        "section",
        title,
        answer,
        build("div", *content, class_="content") if content else None,
        *list_notes(section.notes),
        id=anchor,
        aria_labelledby=f"{anchor}-title" if section.title else None,
    )


def _contents(section: Section, anchor: str) -> Iterator[Part]:
    tags = number_tags(section.pictures)
    if section.figure is not None:
        yield from draw_plot(section.figure, section, tags, anchor)
    if section.columns:
        yield draw_table(
            section.columns,
            section.rows,
            caption=section.title or "Table",
            wrapped=section.wrapped,
            titled=bool(section.title),
        )
    elif section.rows:
        yield draw_facts(section.rows, caption=section.title or "Facts")
    yield from draw_gallery(section.pictures, tags, anchor)


def list_notes(notes: Sequence[str]) -> Iterator[Element]:
    """The notes as a list; nothing if there are none."""
    if notes:
        yield build("ul", *(build("li", note) for note in notes), class_="notes")
