"""Pages as HTML: well formed, closed to the network, whole, and made of no name's markup."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from featx.errors import ReportError
from featx.report import Page, Picture, Section, render_page, write_page
from featx.report.drawings import Forest, Matrix, Span
from featx.report.html.tables import show_value
from tests.support.pages import CLASSES, HOSTILE, figures, make_page, small_image

VOID = {"meta", "link", "img"}


class Reader(HTMLParser):
    """Reads a page, and fails where a browser would have to guess."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.outside: list[tuple[str, list[str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append(tag)
        self.found.append((tag, dict(attrs)))
        if "svg" not in self.open:
            self.outside.append((tag, [name for name, _ in attrs]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data))

    def values(self, name: str) -> list[str]:
        """The values of an attribute, wherever it is."""
        return [given[name] or "" for _, given in self.found if name in given]


def test_a_page_is_well_formed_and_its_words_for_links_are_there_once() -> None:
    page = Reader(render_page(make_page()))
    names = page.values("id")
    assert len(names) == len(set(names))
    links = [link[1:] for link in page.values("href") if link.startswith("#")]
    assert set(links) | set(page.values("aria-labelledby")) <= set(names)


def test_nothing_is_loaded_and_only_the_own_style_and_script_are_allowed() -> None:
    page = Reader(render_page(make_page()))
    policy = next(given["content"] or "" for _, given in page.found if given.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (text,) = [text for where, text in page.texts if where == tag]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert all(link[0] == "#" or link.startswith("data:") for link in page.values("href") + page.values("src"))
    assert not [name for _, given in page.found for name in given if name.startswith("on") or name == "style"]


def test_the_script_is_no_longer_than_a_hundred_lines() -> None:
    script = next(text for where, text in Reader(render_page(make_page())).texts if where == "script")
    assert len([line for line in script.splitlines() if line.strip()]) <= 100


def test_equal_pages_are_equal_texts() -> None:
    assert render_page(make_page()) == render_page(make_page())


@pytest.mark.parametrize("kind", figures())
def test_each_figure_is_named_described_and_has_a_table_of_its_names(kind: str) -> None:
    figure = figures()[kind]
    page = Reader(render_page(Page("one", (Section("section", figure=figure),))))
    (drawing,) = [given for tag, given in page.found if tag == "svg"]
    assert drawing["role"] == "img"
    place = page.tags.index("svg")
    assert page.tags[place + 1 : place + 3] == ["title", "desc"]
    assert ("title", figure.title) in page.texts
    assert {text for where, text in page.texts if where in ("td", "th")} >= set(CLASSES)


def test_a_table_of_the_section_with_the_names_of_the_figure_is_not_repeated() -> None:
    forest = figures()["forest"]
    rows = tuple((name, "0.9") for name in CLASSES)
    page = Reader(render_page(Page("one", (Section("x", columns=("head", "accuracy"), rows=rows, figure=forest),))))
    assert page.tags.count("table") == 1
    few = Reader(render_page(Page("one", (Section("x", columns=("head", "accuracy"), rows=rows[1:], figure=forest),))))
    assert few.tags.count("table") == 2


def test_cells_of_the_matrix_and_rows_of_its_table_name_the_pictures_of_their_tag() -> None:
    page = Reader(render_page(make_page()))
    cells = {(given["data-cell"], given["data-tag"]) for _, given in page.found if "data-cell" in given}
    assert {said for said, _ in cells} == {
        "true cat, predicted dog",
        "true dog, predicted cat",
        "true owl, predicted dog",
    }
    assert len(cells) == 3
    shown = page.values("data-tags")
    assert sorted(map(shown.count, set(shown))) == [1, 2, 3]


def test_images_that_are_gone_have_a_placeholder_and_are_counted() -> None:
    shown = (Picture("here.png", "", small_image((1, 2, 3))), Picture("gone.png", "was here", None))
    page = Reader(render_page(Page("", (Section(pictures=shown),))))
    assert page.tags.count("img") == 1
    assert ("span", "image is gone") in page.texts
    assert ("summary", "2 pictures, 1 of them gone") in page.texts
    assert ("b", "gone.png") in page.texts


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0.912 [0.9, 0.93]", "0.912"),
        ("1,234", "1234"),
        ("−.5", "-.5"),
        ("+0.047", "0.047"),
        ("< .001", ".001"),
        ("95 %", "95"),
        ("1.3×", "1.3"),
        ("1e-05", "1e-05"),
        ("2 =", "2"),
        ("3cats", None),
        ("cat 3", None),
        ("–", None),
        ("", None),
        ("12-2024", None),
    ],
)
def test_numbers_are_sorted_by_what_a_cell_begins_with(cell: str, value: str | None) -> None:
    assert show_value(cell) == value


def test_a_column_with_a_name_in_it_is_not_one_of_numbers() -> None:
    page = Reader(render_page(Page("", (Section(columns=("a", "b"), rows=(("1", "1,000"), ("x", "–"))),))))
    heads = [given for tag, given in page.found if tag == "th" and given.get("scope") == "col"]
    assert [given.get("class") for given in heads] == [None, "number"]
    assert page.values("data-value") == ["1000"]


def test_hostile_names_become_neither_elements_nor_attributes() -> None:
    clean, hostile = (Reader(render_page(make_page(names))) for names in (CLASSES, HOSTILE[:3]))
    assert hostile.outside == clean.outside
    assert {(tag, *sorted(names)) for tag, names in hostile.found} <= {
        (tag, *sorted(names)) for tag, names in clean.found
    }


@given(st.lists(st.text() | st.sampled_from(HOSTILE), min_size=3, max_size=3, unique=True).map(tuple))
@settings(max_examples=15, deadline=None)
def test_no_text_changes_the_elements_of_a_page(names: tuple[str, ...]) -> None:
    page = Page(
        names[0],
        (
            Section(
                names[0], names[1], (names[1], names[2]), ((names[0], names[2]),), figures(names)["bars"], name=names[2]
            ),
            Section(
                names[1] or "x",
                figure=figures(names)["matrix"],
                pictures=(Picture(names[0], names[2], None, (names[1],)),),
            ),
            Section(names[2] or "x", rows=((names[0], names[1]),), notes=names),
        ),
        names[1],
        names,
    )
    read = Reader(render_page(page))
    assert read.tags.count("table") == 4
    assert read.tags.count("tr") == 3 + 1 + 3 + 1 + 6 + 1 + 1 - 2
    assert read.tags.count("script") == 1


@given(st.text(st.characters(codec=None), min_size=1))
@settings(max_examples=25, deadline=None)
def test_what_is_not_seen_or_turns_the_direction_is_written_out(name: str) -> None:
    text = render_page(Page(f"\x1b[2J\u202e{name}", (Section(name, rows=((name, name),)),)))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert r"\x1b[2J\u202e" in text


def test_of_5000_candidates_the_table_has_all_and_the_page_stays_below_4_megabytes() -> None:
    spans = tuple(Span(f"backbone-{place % 7}, head-{place}", place / 5000, place / 5500, 1.0) for place in range(5000))
    text = render_page(Page("many", (Section("Results", figure=Forest("Accuracy", "accuracy", spans)),)))
    assert text.count("<tr>") == 5001
    assert text.count("<svg") == 10
    assert "the first 50 of 5,000; further drawings go on to 500, and the table has all" in text
    assert len(text.encode()) < 4e6


def test_of_500_classes_the_most_confused_are_drawn_and_the_table_has_every_cell() -> None:
    counts = [[0] * 500 for _ in range(500)]
    for place in range(500):
        counts[place][place] = 10
        counts[place][(place + 1) % 500] = 5 if place < 20 else 1
    matrix = Matrix("Confusion", tuple(f"c{place:03}" for place in range(500)), tuple(map(tuple, counts)))
    page = Reader(render_page(Page("wide", (Section("Errors", figure=matrix),))))
    assert page.tags.count("tr") == 1001
    drawn = {text for where, text in page.texts if where == "text"}
    assert {f"c{place:03}" for place in range(20)} <= drawn
    assert len([text for text in drawn if text.startswith("c") and text[1:].isdigit()]) == 30
    assert ("figcaption", "Confusion. Drawn: the 30 of 500 names with the most confusions.") in page.texts


def test_a_page_replaces_pages_only_and_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(make_page(), path)
    with pytest.raises(ReportError, match="already exists"):
        write_page(make_page(), path)
    write_page(replace(make_page(), title="anew"), path, overwrite=True)
    assert "<title>anew</title>" in path.read_text()
    for other in ("<!DOCTYPE html>\n<p>somebody's own", '<!DOCTYPE html>\n<meta name="generator" content="featx">'):
        path.write_text(other)
        with pytest.raises(ReportError, match="is not a page of featx"):
            write_page(make_page(), path, overwrite=True)
    with pytest.raises(ReportError, match="end it in"):
        write_page(make_page(), tmp_path / "report.csv")
