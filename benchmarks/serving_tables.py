"""The table of serving.py."""

from typing import Any

import numpy as np
from tables import made_on, spread, table

LEAST_RATIO = 0.85
"""Images a second, served over extracted, that are asked for."""


def render_serving(found: dict[str, Any] | None) -> str:
    """Images a second against extraction, how long answers took, memory, and that every answer was right."""
    if found is None:
        return "not measured yet"
    served = found["served"]
    ratio = [float(one) for one in found["ratio"]]
    met = "yes" if np.median(ratio) >= LEAST_RATIO else "no"
    rows = [
        ["images a second, extracted", _range(found["extracted_per_second"])],
        ["images a second, served", _range([one["images_per_second"] for one in served])],
        [f"served / extracted (asked: at least {LEAST_RATIO}; met: {met})", spread(ratio)],
        ["an answer, median, ms", _range([one["p50_ms"] for one in served])],
        ["an answer, 99th percentile, ms", _range([one["p99_ms"] for one in served])],
        ["memory at the end, MiB", _range([one["memory_after"] / 2**20 for one in served])],
        ["memory at the end / after the first fifth", spread(found["memory_ratio"])],
    ]
    answers, wrong, given_up = (sum(one[key] for one in served) for key in ("answers", "wrong", "given_up"))
    told = (
        f"{found['clients']} clients, {found['images']:,} images; of {answers:,} answers {wrong} were wrong; "
        f"{given_up:,} requests were given up by their clients."
    )
    return "\n\n".join([table(["what", "median (range)"], rows), told, made_on(found)])


def _range(values: list[float]) -> str:
    """Median and range, with one digit."""
    return f"{np.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
