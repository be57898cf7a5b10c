"""What report.py kept -> a table."""

from typing import Any

import numpy as np
from tables import made_on, table

ASKED = {"the demo": "at most 300 kB, 3 s", "5,000 candidates": "at most 10 MB"}
"""Page -> what was asked of it."""


def render_report(found: dict[str, Any] | None) -> str:
    """Bytes of each page, seconds to make and to open it, and what was asked."""
    if found is None:
        return "not measured yet"
    rows = [
        [
            row["page"],
            f"{row['bytes'] / 1000:,.0f}",
            _show_seconds(row["seconds"]),
            _show_seconds(row["opened"]),
            ASKED.get(row["page"], ""),
        ]
        for row in found["rows"]
    ]
    header = ["page", "kB", "seconds to make", "seconds until Chromium has loaded it", "asked"]
    return f"{table(header, rows)}\n\n{made_on(found)}"


def _show_seconds(seconds: list[float]) -> str:
    """Median and range; nothing if it was not measured."""
    return f"{np.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})" if seconds else ""
