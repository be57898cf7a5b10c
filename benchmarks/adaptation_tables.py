"""The table of adaptation_speed.py: what adapters cost."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from tables import made_on, table

MEBIBYTE = 2**20


def render_adaptation_speed(found: Mapping[str, Any] | None) -> str:
    """Time beside numpy's Gram matrices with eigendecompositions, and memory beside the features of one domain."""
    if found is None:
        return "Not measured yet: `python benchmarks/adaptation_speed.py` measures it."
    peaks = found["memory"]["peaks"]
    references = next(iter(found["ratios"].values()))
    rows = [[name, f"{median(found['seconds'][name]):.1f}", *("" for _ in references), "", ""] for name in references]
    for name, ratio in found["ratios"].items():
        memory = [f"{peaks[name]['allocated'] / MEBIBYTE:.0f}", f"{peaks[name]['by_features']:.2f}"]
        rows.append([name, f"{median(found['seconds'][name]):.1f}", *map(_range, ratio.values()), *memory])
    header = ["what", "seconds", *(f"divided by {name}" for name in references), "MiB allocated", "divided by features"]
    shape = (
        f"Source and target of {found['rows']:,} x {found['columns']:,} float32 each, memory maps; the features of one "
        f"domain are {found['memory']['feature_bytes'] / MEBIBYTE:.0f} MiB."
    )
    return "\n\n".join([table(header, rows), shape, made_on(dict(found))])


def _range(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
