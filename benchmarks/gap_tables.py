"""The table of `gap.py`: how often each verdict was given where the truth is known."""

from collections.abc import Iterator
from typing import Any

from tables import made_on, table

VERDICTS = ("same", "label shift", "undecided", "domain shift")


def render_gap(found: dict[str, Any] | None) -> str:
    """One row for each set and case."""
    if not found:
        return "Not measured yet: `python benchmarks/gap.py DIR` measures it."
    header = ["set", "what lies between", "runs", *VERDICTS, "interval holds 0.5", "lesser area: least, median, most"]
    rows = [
        row
        for fresh in (True, False)
        for name, one in found["sets"].items()
        if one["fresh"] is fresh
        for row in _rows(name if fresh else f"{name} (chosen on)", one["cases"])
    ]
    return f"{table(header, rows)}\n\n{made_on(found)}"


def _rows(name: str, cases: dict[str, Any]) -> Iterator[list[str]]:
    for title, one in cases.items():
        counts = [f"{one['verdicts'].get(verdict, 0) / one['runs']:.0%}" for verdict in VERDICTS]
        area = " / ".join(f"{value:.2f}" for value in one["statistic"]) if one["statistic"] else ""
        yield [name, title, str(one["runs"]), *counts, f"{one['holds_chance'] / one['runs']:.0%}", area]
