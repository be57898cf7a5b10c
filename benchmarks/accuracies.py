"""Tables of accuracies beside the published ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tables import made_on, spread, table

NEAR = 0.006
"""So near to the published accuracy, one is made again."""


def render_heads(found: dict[str, Any] | None) -> str:
    """The sweep over 45 penalties against scikit-learn's search."""
    if found is None:
        return "Not measured yet: `python benchmarks/heads.py` measures it."
    sweep = found["sweep"]
    sides = "featx", "scikit-learn"
    own, other = sweep["seconds"]["featx"], sweep["seconds"]["scikit-learn"]
    rows = [
        ["seconds", f"{np.median(own):,.0f} ({min(own):,.0f} to {max(own):,.0f})", f"{other:,.0f}"],
        ["chosen l2", *(f"{sweep['chosen_l2'][side]:.3g}" for side in sides)],
        ["accuracy on validation images", *(f"{max(sweep['validation_accuracy'][side]):.4f}" for side in sides)],
        ["accuracy on test images", *(f"{sweep['test_accuracy'][side]:.4f}" for side in sides)],
        ["peak of memory / features", *(f"{sweep['peaks']['over_features'][side]:.2f}" for side in sides)],
    ]
    size = f"{sweep['rows']:,} x {sweep['dim']:,}, {sweep['classes']} classes, {len(sweep['l2'])} values of l2"
    alone = f"loading alone takes {sweep['peaks']['over_features']['loading']:.2f} times the features"
    ratio = f"{size}: featx is {spread(sweep['peer_over_featx'])} times as fast; {alone}."
    unfinished = f"{sweep['not_converged']} fits of scikit-learn did not converge."
    return "\n\n".join([f"{ratio} {unfinished}", table(["", *sides], rows), made_on(found)])


def render_hundred(found: dict[str, Any] | None) -> str:
    """How long a hundred heads took, and each kind of them."""
    if found is None:
        return "Not measured yet: `python benchmarks/hundred.py` measures it."
    rows = [
        [row["head"], str(len(row["seconds"])), f"{np.median(row['seconds']):.1f}", f"{sum(row['seconds']):.0f}"]
        for row in found["heads"]
    ]
    took = f"{found['count']} of {found['of']} heads, {found['images']:,} images: {found['seconds'] / 60:.1f} minutes"
    header = ["head", "drawn", "seconds of a process, median", "in all"]
    failed = f"{len(found['failures'])} failed."
    return "\n\n".join([f"{took} on {found['cores']} cores. {failed}", table(header, rows), made_on(found)])


def render_published(found: dict[str, Any] | None) -> str:
    """Raw pixels as published, frozen features of the same images, and solar cells by the rule of their paper."""
    if found is None:
        return "Not measured yet: `python benchmarks/published.py` measures it."
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in found["rows"]:
        part, name, *_ = row["key"].split("/")
        rows.setdefault(part, {}).setdefault(name, []).append(row)
    published = found["published"]
    parts = [
        _raw(rows.get("raw", {}), published["raw"]),
        _fashion(rows.get("fashion", {}), published["fashion"]),
        _elpv(rows.get("elpv", {}), published["elpv"]),
        made_on(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _raw(rows: Mapping[str, list[dict[str, Any]]], published: Mapping[str, float]) -> str:
    made = []
    for name, accuracy in published.items():
        runs = [row["accuracy"] for row in rows.get(name, [])]
        mean = f"{np.mean(runs):.4f}" if runs else "not measured"
        near = ("yes" if abs(np.mean(runs) - accuracy) <= NEAR else "no") if runs else ""
        seconds = f"{np.mean([row['seconds'] for row in rows[name]]):,.0f}" if runs else ""
        made.append([name, f"{accuracy:.3f}", mean, near, seconds])
    header = ["Fashion-MNIST, raw pixels", "published", "here", f"within {NEAR}", "seconds"]
    return table(header, made)


def _fashion(rows: Mapping[str, list[dict[str, Any]]], published: Mapping[str, float]) -> str:
    best = max(published, key=lambda name: published[name])
    made = [
        [
            name,
            f"{row['accuracy']:.4f} ({row['interval'][0]:.4f} to {row['interval'][1]:.4f})",
            f"{sum(row['accuracy'] > accuracy for accuracy in published.values())} of {len(published)}",
            "yes" if row["interval"][0] > published[best] else "no",
        ]
        for name, (row,) in rows.items()
    ]
    above = f"interval above {published[best]:.3f} ({best}, the best)"
    header = ["Fashion-MNIST, frozen features", "accuracy (95 % interval)", "published families beaten", above]
    return table(header, made) if made else ""


def _elpv(rows: Mapping[str, list[dict[str, Any]]], published: Mapping[str, float]) -> str:
    made = [[name, "", f"{accuracy:.3f}", "", "", ""] for name, accuracy in published.items()]
    for name, runs in rows.items():
        by_part = dict(sorted((row["key"].rpartition("/")[2], row["accuracy"]) for row in runs))
        splits, fresh, quarters = (
            [accuracy for part, accuracy in by_part.items() if part.startswith(kind)]
            for kind in ("split", "fresh", "quarter")
        )
        cells = _mean(splits), _each(splits), _mean(fresh), _each(quarters)
        made.append([name, f"{runs[0]['columns']:,}", *cells])
    parts = "mean ± s.d. of splits", "each split", "of five further splits", "each quarter in turn"
    header = ["ELPV, frozen features", "columns", *parts]
    return table(header, made) if rows else ""


def _mean(accuracies: Sequence[float]) -> str:
    return f"{np.mean(accuracies):.4f} ± {np.std(accuracies, ddof=1):.4f}" if len(accuracies) > 1 else ""


def _each(accuracies: Sequence[float]) -> str:
    return " ".join(f"{accuracy:.3f}" for accuracy in accuracies)
