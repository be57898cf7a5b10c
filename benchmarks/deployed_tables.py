"""The tables of deployed heads: how far from featx's own probabilities, how large, how slow."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from tables import made_on, spread, table


def render_deployed(found: dict[str, Any]) -> str:
    """The parts that were measured."""
    parts = [_differences(found)] if found.get("differences") else []
    if found.get("speed"):
        parts.append(_speed(found))
    return "\n\n".join([*parts, made_on(found)])


def _differences(found: dict[str, Any]) -> str:
    rows = found["differences"]
    worst = max(row["largest_difference"] for row in rows)
    images = min(row["images"] for row in rows)
    sizes = [row for row in rows if row["head"] == "logreg" and row["backbones"] == 1]
    size = (
        f" The file of EfficientNet-Lite0 with logreg has {sizes[0]['bytes'] / found['backbone_bytes']:.3f} of the "
        "bytes of the backbone's file, since its ImageNet classifier is left out."
        if sizes
        else ""
    )
    told = (
        f"{len(rows)} files, {images} cells each, labels equal; largest difference of a probability {worst:.1e}.{size}"
    )
    header = ["head", "files", "largest difference of a probability", "MB of a file"]
    return f"{told}\n\n{table(header, list(_by_head(rows)))}"


def _by_head(rows: list[dict[str, Any]]) -> Iterable[list[str]]:
    for head in dict.fromkeys(row["head"] for row in rows):
        own = [row for row in rows if row["head"] == head]
        megabytes = [row["bytes"] / 1e6 for row in own]
        differences = max(row["largest_difference"] for row in own)
        yield [head, str(len(own)), f"{differences:.1e}", f"{min(megabytes):.1f} to {max(megabytes):.1f}"]


def _speed(found: dict[str, Any]) -> str:
    rows = [
        [
            row["head"],
            row["fusion"] or "none",
            str(row["backbones"]),
            spread(row["ratios"]),
        ]
        for row in sorted(found["speed"], key=lambda row: float(np.median(row["ratios"])))
    ]
    header = ["head", "fusion", "backbones", "time of the file / of the backbones, median (range)"]
    return f"Time on {found['batch']} images at once, in turn:\n\n{table(header, rows)}"
