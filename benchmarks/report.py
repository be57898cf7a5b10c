"""Pages: their bytes, the seconds that making them takes, and the seconds until Chromium has opened them.

    python benchmarks/report.py [--repeats N] [--demo DIR]

The page of the demo is made by the command `featx report`, in a process of its own, from results that are there: what
`--demo` names, or a demo that is run first. Pages of 500 classes and of 5,000 candidates are drawn from random numbers.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from record import keep
from timing import Run, interleave

from featx.report import Page, Section, write_page
from featx.report.drawings import Bars, Forest, Matrix, Span

FEATX = (sys.executable, "-m", "featx")
DEMO, CLASSES, CANDIDATES = "the demo", "500 classes", "5,000 candidates"
COLUMNS = ("rank", "candidate", "accuracy", "difference", "p (Holm)", "images", "seconds", "verdict")


def classes_page() -> Page:
    """A confusion matrix of 500 classes with about 4,500 cells that are not zero, and the recall of each class."""
    rng = np.random.default_rng(0)
    counts = np.diag(rng.integers(5, 30, 500))
    np.add.at(counts, (rng.integers(0, 500, 4000), rng.integers(0, 500, 4000)), 1)
    names = tuple(f"class-{number:03}" for number in range(500))
    recall = counts.diagonal() / counts.sum(axis=1)
    spans = tuple(
        Span(name, value, value - 0.1, value + 0.1) for name, value in zip(names, recall.tolist(), strict=True)
    )
    matrix = Matrix("true and predicted classes", names, tuple(map(tuple, counts.tolist())))
    return Page(CLASSES, (Section("Errors", figure=matrix), Section("Recall", figure=Bars("recall", "recall", spans))))


def candidates_page() -> Page:
    """5,000 candidates: a table of eight columns and a forest plot, and their differences from the best."""
    values = np.sort(np.random.default_rng(0).random(5000))[::-1].tolist()
    names = [f"efficientnet-lite{number % 5}/features, head {number}" for number in range(5000)]
    rows = tuple(
        (f"{number}", name, f"{value:.3f}", f"{value - 1:+.3f}", "0.013", "525", "1.3", "cannot be told apart")
        for number, (name, value) in enumerate(zip(names, values, strict=True), 1)
    )
    spans = tuple(Span(name, value, value - 0.02, value + 0.02) for name, value in zip(names, values, strict=True))
    results = Section("Results", columns=COLUMNS, rows=rows, figure=Forest("accuracy", "accuracy", spans))
    return Page(CANDIDATES, (results, Section("Again", figure=Forest("paired", "difference", spans, reference=0.0))))


def demo_report(folder: Path, into: Path) -> None:
    """Make the page of a demo as a user does."""
    command = [*FEATX, "report", str(folder), "--into", str(into), "--overwrite"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)


def run_demo(into: Path) -> Path:
    """The folder of a demo, which is run if it is not there."""
    if not into.exists():
        subprocess.run([*FEATX, "demo", "--into", str(into)], check=True, capture_output=True, timeout=3600)
    return into


def open_pages(paths: dict[str, Path], repeats: int) -> dict[str, list[float]]:
    """Seconds until Chromium has loaded each page and run its script; nothing without it or playwright."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or find_spec("playwright") is None:
        return {}
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {name: [] for name in paths}
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(repeats):
            for name, path in paths.items():
                tab = browser.new_page()
                start = time.perf_counter()
                tab.goto(path.as_uri(), wait_until="load")
                found[name].append(time.perf_counter() - start)
                tab.close()
        browser.close()
    return found


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--demo", type=Path, help="a folder that featx demo wrote; a new demo is run if it is missing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {title: folder / f"{number}.html" for number, title in enumerate((DEMO, CLASSES, CANDIDATES))}
        demo = run_demo(arguments.demo or folder / "demo")
        makers: dict[str, Callable[[], Any]] = {
            DEMO: partial(demo_report, demo, paths[DEMO]),
            CLASSES: partial(write_page, classes_page(), paths[CLASSES], overwrite=True),
            CANDIDATES: partial(write_page, candidates_page(), paths[CANDIDATES], overwrite=True),
        }
        took, _ = interleave({title: Run(make) for title, make in makers.items()}, arguments.repeats)
        opened = open_pages(paths, arguments.repeats)
        rows = [
            {"page": title, "bytes": path.stat().st_size, "seconds": took[title].wall, "opened": opened.get(title, [])}
            for title, path in paths.items()
        ]
    keep("report", {"rows": rows}, beside=["playwright"])


if __name__ == "__main__":
    main()
