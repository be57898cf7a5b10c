"""Pages in Chromium: nothing fails or is requested, and what a reader clicks does what it says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featx.report import write_page
from tests.support.browsers import browser, opened
from tests.support.pages import HOSTILE, figures, make_page

__all__ = ["browser"]

pytestmark = pytest.mark.exhaustive


@pytest.fixture
def tab(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of `make_page`."""
    write_page(make_page(), tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as tab:
        yield tab


@pytest.fixture
def hostile_tab(browser: Any, tmp_path: Path) -> Iterator[Any]:
    write_page(make_page(HOSTILE[:3]), tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as tab:
        yield tab


def texts(found: Any) -> list[str]:
    return list(found.all_text_contents())


def test_all_sections_rows_and_pictures_are_there(tab: Any) -> None:
    assert texts(tab.locator("h2")) == ["Heads", *(one.title for one in figures().values()), "How to reproduce"]
    assert tab.locator("#heads tbody tr").count() == 60
    assert tab.locator("#matrix .gallery li").count() == 6
    assert tab.locator("#matrix .gone").count() == 1
    assert "6 pictures, 1 of them gone" in tab.locator("#matrix summary").last.inner_text()


def test_every_figure_has_its_name_in_the_accessibility_tree(tab: Any) -> None:
    tree = tab.locator("main").aria_snapshot()
    for figure in figures().values():
        assert f'img "{figure.title}"' in tree
    assert len(re.findall(r'- img "', tree)) == len(re.findall(r"- img\b", tree)) == len(figures()) + 5


def test_headings_and_landmarks_are_those_of_one_document(tab: Any) -> None:
    tree = tab.locator("body").aria_snapshot()
    for landmark in ("banner", 'navigation "Contents"', "main", "contentinfo", 'region "Heads"'):
        assert landmark in tree
    assert tree.count("[level=1]") == 1
    assert not re.search(r"\[level=[3-6]\]", tree)


def test_a_click_on_a_head_sorts_by_number_and_another_one_turns_the_order(tab: Any) -> None:
    head = tab.locator("#heads thead th").nth(2)
    head.get_by_role("button").click()
    numbers = [int(one.replace(",", "")) for one in tab.locator("#heads tbody td:last-child").all_inner_texts()]
    assert head.get_attribute("aria-sort") == "descending"
    assert numbers[:3] == [1059, 1058, 1057]
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert tab.locator("#heads tbody td:last-child").first.inner_text() == "1,000"


def test_names_are_sorted_as_people_do(tab: Any) -> None:
    tab.locator("#heads thead button").nth(1).click()
    assert tab.locator("#heads tbody th").all_inner_texts()[:3] == ["cat-0", "cat-3", "cat-6"]


def test_rows_are_filtered_by_words_and_long_tables_unfold(tab: Any) -> None:
    box, visible = tab.locator("#heads"), tab.locator("#heads tbody tr:visible")
    assert visible.count() == 50
    assert "50 of 60 rows" in box.inner_text()
    box.get_by_role("button", name="Show all rows").click()
    assert visible.count() == 60
    box.get_by_label("Rows with").fill("OWL -5")
    assert visible.count() == 5
    assert "5 of 60 rows" in box.inner_text()


@pytest.mark.parametrize("by", ["cell", "table", "keyboard"])
def test_a_cell_of_the_confusion_matrix_shows_its_pictures(tab: Any, by: str) -> None:
    box = tab.locator("#matrix")
    if by == "cell":
        box.locator("svg [data-tag]").filter(has_text="true owl, predicted dog").click()
    elif by == "table":
        box.get_by_role("button", name="true owl, predicted dog").click()
    else:
        box.locator("svg").focus()
        for _ in range(5):
            tab.keyboard.press("ArrowRight")
        tab.keyboard.press("Enter")
    shown = box.locator(".gallery li:visible")
    assert texts(shown.locator("b")) == ["owl/210.png", "owl/211.png", "owl/212.png"]
    assert "true owl, predicted dog: 3 of 6 pictures" in box.inner_text()
    box.get_by_role("button", name="Show all pictures").click()
    assert shown.count() == 6


def test_a_mark_tells_its_values_to_pointer_and_keyboard(tab: Any) -> None:
    tip = tab.locator(".tip")
    tab.locator("#forest .mark").nth(1).hover()
    assert tip.inner_text() == "dog: 0.800 [0.700, 0.950]"
    tab.locator("#lines svg").focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert tip.inner_text() == "cat: images of each class 2, accuracy 0.520 [0.400, 0.900]"
    tab.keyboard.press("Escape")
    assert not tip.is_visible()


def test_dots_take_the_colours_and_the_legend_of_what_is_chosen(tab: Any) -> None:
    box = tab.locator("#cloud")
    assert texts(box.locator(".legend:visible text")) == ["cat", "dog", "owl"]
    box.get_by_label("Colours show").select_option("error")
    assert texts(box.locator(".legend:visible text")) == ["right", "wrong"]
    drawn = box.locator("use.mark").evaluate_all(
        "dots => dots.map(dot => [dot.textContent.endsWith('wrong'), getComputedStyle(dot).fill])"
    )
    assert len(drawn) == 12
    assert len({fill for wrong, fill in drawn if wrong}) == len({fill for wrong, fill in drawn if not wrong}) == 1
    assert len({fill for _, fill in drawn}) == 2


def test_light_and_dark_change_places_by_a_button(tab: Any) -> None:
    paper = "() => getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(paper)
    tab.get_by_role("button", name="Light or dark").click()
    dark = tab.evaluate(paper)
    tab.emulate_media(color_scheme="dark")
    tab.get_by_role("button", name="Light or dark").click()
    assert tab.evaluate(paper) == light != dark


@pytest.mark.parametrize("width", [320, 400, 1400, 1600])
def test_no_page_is_wider_than_its_window(tab: Any, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 900})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_printed_pages_show_folded_rows_and_no_controls(tab: Any) -> None:
    tab.emulate_media(media="print")
    assert tab.locator("#heads tbody tr:visible").count() == 60
    assert tab.locator(".tools:visible, nav:visible, .theme:visible").count() == 0
    assert tab.locator("#matrix .gallery li:visible").count() == 6


def test_without_a_script_all_rows_figures_and_pictures_are_seen(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(make_page(), path)
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(path.as_uri())
    assert tab.locator("#heads tbody tr:visible").count() == 60
    assert tab.locator(".drawing svg:visible").count() == len(figures())
    assert tab.locator("button, select, input").count() == 0
    context.close()


def test_names_that_would_be_markup_run_nothing_and_forge_no_row(hostile_tab: Any) -> None:
    assert hostile_tab.title().startswith("Which head is best for <script>")
    assert hostile_tab.locator("script").count() == 1
    assert hostile_tab.locator("img:not(.gallery img)").count() == 0
    assert hostile_tab.locator("#heads tbody tr").count() == 60
    hostile_tab.locator("#forest .mark").first.hover()
    hostile_tab.locator("#matrix svg [data-tag]").first.click()
    hostile_tab.get_by_label("Colours show").select_option("error")
    assert hostile_tab.locator("script").count() == 1
    assert hostile_tab.locator("#matrix output").last.inner_text().startswith("true <script>")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_texts_stand_out_from_what_is_behind_them(tab: Any, scheme: str) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3), of the counts on the cells of a matrix too."""
    tab.emulate_media(color_scheme=scheme)
    low = tab.evaluate(CONTRASTS)
    assert not low


CONTRASTS = """() => {
  const read = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [[r, g, b], a]; };
  const light = (colour) => {
    const even = (one) => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4;
    const [r, g, b] = colour.map((one) => even(one / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const paper = read(getComputedStyle(document.body).backgroundColor)[0];
  const low = [];
  const texts = "h1, h2, p, li, th, td, a, button, label, output, summary, caption, figcaption, svg text";
  for (const one of document.querySelectorAll(texts)) {
    const style = getComputedStyle(one), svg = one.tagName === "text";
    const cell = svg && one.closest(".mark")?.querySelector(".cell");
    let behind = paper;
    if (cell) {
      const own = getComputedStyle(cell), [colour] = read(own.fill), share = Number(own.fillOpacity);
      behind = paper.map((value, place) => share * colour[place] + (1 - share) * value);
    }
    const found = ratio(read(svg ? style.fill : style.color)[0], behind);
    if (found < 4.5) low.push([one.tagName, one.textContent.slice(0, 30), found.toFixed(2)]);
  }
  return low;
}"""
