"""Reports of the demo and of a suite in Chromium: all of their sections, rows and figures are there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featx.report import Page, write_report
from tests.cli.test_demo import cells, in_threads
from tests.conftest import run_featx
from tests.suites.conftest import suite_home, write_suite
from tests.support.browsers import browser, opened

__all__ = ["browser", "cells", "in_threads", "suite_home", "write_suite"]

pytestmark = pytest.mark.exhaustive


def check_whole(tab: Any, page: Page) -> None:
    """Every section, row and figure of the page is on it, and every figure has its name."""
    titled = [section for section in page.sections if section.title]
    assert tab.locator("h2").all_text_contents() == [section.title for section in titled]
    tree = tab.locator("main").aria_snapshot()
    for section in titled:
        box = tab.locator("section").filter(has=tab.get_by_role("heading", name=section.title, exact=True))
        assert box.locator(".content > .table tbody tr").count() == len(section.rows)
        assert box.locator(".plot").count() == (section.figure is not None)
        if section.figure is not None:
            assert f'img "{section.figure.title}' in tree
            assert box.locator("svg").first.bounding_box()["height"] > 30
    for width in (400, 1400):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.usefixtures("cells", "in_threads")
def test_the_report_of_the_demo_is_whole_and_a_cell_shows_its_images(browser: Any, tmp_path: Path) -> None:
    ran = run_featx("demo", cwd=tmp_path)
    assert ran.code == 0, ran.err
    folder = tmp_path / "featx-demo"
    with opened(browser, folder / "report.html") as tab:
        sections = tab.locator("h2").all_text_contents()
        assert {"Summary", "Map of features"} <= set(sections)
        assert any(title.startswith("Results (stratified, ") for title in sections)
        cells = tab.locator("svg [data-tag]")
        assert cells.count()
        shown = int(re.findall(r"\d+", cells.first.locator("title").text_content())[-2])
        cells.first.click()
        box = tab.locator("section").filter(has=cells)
        assert 1 <= box.locator(".gallery li:visible").count() <= shown
    page = write_report(folder, tmp_path / "again.html")
    with opened(browser, tmp_path / "again.html") as tab:
        check_whole(tab, page)


def test_the_report_of_a_suite_is_whole(browser: Any, write_suite: Callable[..., Path]) -> None:
    suite = write_suite()
    folder = suite.parent / "study"
    ran = run_featx("benchmark", suite, "--into", folder, "--models", suite.parent / "models", "--jobs=1")
    assert ran.code == 0, ran.err
    page = write_report(folder, folder / "report.html")
    with opened(browser, folder / "report.html") as tab:
        check_whole(tab, page)
