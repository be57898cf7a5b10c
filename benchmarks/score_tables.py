"""The tables of scores.py and logme.py: what scores of sources cost."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from tables import made_on, table

MEBIBYTE = 2**20


def render_scores(found: Mapping[str, Any] | None) -> str:
    """Time beside numpy's Gram matrix and eigendecomposition, each score alone, and peak memory."""
    if found is None:
        return "Not measured yet: `python benchmarks/scores.py` measures it."
    rows = [[name, f"{median(found['seconds'][name]):.1f}", _range(ratio)] for name, ratio in found["by_numpy"].items()]
    rows.insert(0, ["numpy: Gram matrix and eigendecomposition", f"{median(found['seconds']['numpy']):.1f}", "1"])
    shared = min(median(seconds) for seconds in found["seconds_of_score_with_shared"].values())
    alone = ", ".join(
        f"{name} {median(seconds) - shared:.1f}"
        for name, seconds in found["seconds_of_score_with_shared"].items()
        if median(seconds) - shared >= 0.05
    )
    small, large = found["memory"]["peak_bytes"].items()
    memory = (
        f"Peak memory of the default scores of a file: {int(small[1]) / MEBIBYTE:.0f} MiB for {int(small[0]):,} rows, "
        f"{int(large[1]) / MEBIBYTE:.0f} MiB for {int(large[0]):,} rows, {found['memory']['ratio']:.2f} times as much."
    )
    return "\n\n".join(
        [
            table(["scores", "seconds", "divided by numpy"], rows),
            f"{found['rows']:,} x {found['columns']:,} features of {found['classes']} classes. Seconds of single "
            f"scores, beyond the {shared:.1f} that all share (others: less than 0.05): {alone}.",
            memory,
            made_on(dict(found)),
        ]
    )


def render_logme(found: Mapping[str, Any] | None) -> str:
    """Time and value of LogME beside other implementations."""
    if found is None:
        return "Not measured yet: `python benchmarks/logme.py` measures it."
    rows = [
        [
            name,
            f"{median(seconds):.2f}",
            _range(found["by_featx"][name]) if name in found["by_featx"] else "1",
            f"{found['values'][name]:.6f}",
        ]
        for name, seconds in found["seconds"].items()
    ]
    header = ["implementation", "seconds", "divided by featx", "value"]
    shape = f"{found['rows']:,} x {found['columns']:,} features of {found['classes']} classes, one thread."
    return "\n\n".join([table(header, rows), shape, made_on(dict(found))])


def _range(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
