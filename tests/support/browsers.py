"""Chromium, in which pages are tried: what a reader sees, and that nothing fails or is requested."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A running Chromium; tests are skipped where playwright or the browser is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path) -> Iterator[Any]:
    """The page in a tab of 1,400 pixels; after the block, nothing has failed, was logged or requested."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
    tab = context.new_page()
    happened: list[str] = []
    tab.on("pageerror", lambda error: happened.append(str(error)))
    tab.on("console", lambda message: happened.append(message.text))
    tab.on("request", lambda request: happened.append(request.url))
    tab.goto(path.as_uri())
    yield tab
    assert happened == [path.as_uri()]
    context.close()
