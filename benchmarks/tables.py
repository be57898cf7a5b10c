"""The pieces of which every page of results is made: tables of Markdown, medians with their ranges, and the machine."""

from typing import Any

import numpy as np


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def made_on(found: dict[str, Any]) -> str:
    """When, on what, with what."""
    machine = ", ".join(str(value) for value in found["hardware"].values())
    numbers = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{found['measured']}; {machine} cores; {numbers}"


def spread(ratios: list[float]) -> str:
    """Median and range of some ratios."""
    return f"{np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
