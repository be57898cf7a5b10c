"""The tables of validity.py: false positives, the coverage of intervals, and what temperatures of few images lose."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tables import made_on, table

KINDS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "single images": lambda scenario: not scenario["groups"],
    "5 groups": lambda scenario: scenario["groups"] == 5,
    "10 groups": lambda scenario: scenario["groups"] == 10,
    "20 groups": lambda scenario: scenario["groups"] == 20,
}
OFTEN_ENOUGH = 0.2
"""A coverage counts if the interval was given for at least this share of the samples."""


def render_validity(found: dict[str, Any]) -> str:
    """All tables of the simulations."""
    parts = [
        _render_tests(found["tests"]),
        _render_intervals(found["intervals"]),
        _render_temperature(found["temperature"]),
    ]
    return "\n\n".join([*parts, made_on(found)])


def _render_tests(found: dict[str, Any]) -> str:
    rows = [[row["scenario"], f"{row['false_positives']:.3f}"] for row in found["rows"]]
    header = ["two equally good heads", f"p < 0.05, share of {found['simulations']} simulations"]
    return table(header, rows)


def _render_intervals(found: dict[str, Any]) -> str:
    names = list(found["rows"][0]["coverage"])
    rows = [[name, *(_coverage(found["rows"], name, kind) for kind in KINDS.values())] for name in names]
    header = [f"coverage, mean (lowest) of the scenarios, {found['simulations']} samples each", *KINDS]
    return table(header, rows)


def _coverage(rows: list[dict[str, Any]], name: str, kind: Callable[[Mapping[str, Any]], bool]) -> str:
    """The mean and the lowest coverage of a measure's interval over the scenarios of a kind."""
    held = [
        row["coverage"][name]
        for row in rows
        if kind(row["scenario"]) and row["coverage"].get(name) is not None and row["given"][name] >= OFTEN_ENOUGH
    ]
    return f"{np.mean(held):.3f} ({min(held):.3f})" if held else ""


def _render_temperature(found: dict[str, Any]) -> str:
    rows = [
        [
            row["set"],
            str(row["images"]),
            row["head"],
            row["validated_on"],
            f"{row['mean_nats_lost']:.3f}",
            f"{row['most_nats_lost']:.3f}",
        ]
        for row in found["rows"]
    ]
    header = ["images of", "to learn from", "head", "temperature fitted on", "nats lost, mean", "most"]
    return table(header, rows)
