"""The tables of `gain.py`: false verdicts, and gain on solar cells."""

from typing import Any

from tables import made_on, table

TITLES = {"one split": "one split", "few-shot draws": "few-shot draws and one split, Holm over all"}
SHOWN = (1, 4, 16, 64, None)
"""Numbers of shots in the table."""


def render_gain(found: dict[str, Any] | None) -> str:
    """What was said of noise, and of cells."""
    if not found:
        return "Not measured yet: `python benchmarks/gain.py` measures it."
    parts = []
    if "without effect" in found:
        parts.append(_noise(found["without effect"]))
    if "cells" in found:
        parts.append(_cells(found["cells"]))
    return "\n\n".join([*parts, made_on(found)])


def _noise(found: dict[str, Any]) -> str:
    rows = []
    for name, title in TITLES.items():
        of_classes = found[name]["verdicts of classes"]
        every = sum(of_classes.values())
        rows.append(
            [
                title,
                f"{found[name]['calls with a false harms']:.3f}",
                f"{found[name]['calls with a false helps']:.3f}",
                f"{of_classes.get('harms', 0) / every:.3f}" if every else "",
            ]
        )
    header = [f"noise against noise, {found['rounds']} calls", "a false `harms`", "a false `helps`", "classes `harms`"]
    return table(header, rows)


def _cells(found: dict[str, Any]) -> str:
    rows = [
        [title, row["backbone"], _shots(row), *_numbers(row), row["baseline"], f"`{row['verdict']}`"]
        for title, gain in found.items()
        for row in gain["rows"]
        if row["shots"] in SHOWN
    ]
    return table(["cells", "source", "shots", "accuracy", "gain", "best baseline", "verdict"], rows)


def _shots(row: dict[str, Any]) -> str:
    return "all" if row["shots"] is None else str(row["shots"])


def _numbers(row: dict[str, Any]) -> tuple[str, str]:
    low, high = row["ci"] or (float("nan"), float("nan"))
    return f"{row['accuracy']:.3f}", f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
