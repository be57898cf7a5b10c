"""The tables of small_data.py: tuning in folds, the MLP against scikit-learn's, and wrong labels that are found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tables import made_on, table


def render_small_data(found: dict[str, Any]) -> str:
    """A table for each part that was measured."""
    renderers = {"tuning": _render_tuning, "mlp": _render_networks, "labels": _render_labels}
    parts = [render(found[name]) for name, render in renderers.items() if name in found]
    return "\n\n".join([*parts, made_on(found)])


def _render_tuning(found: Mapping[str, Any]) -> str:
    kinds = {**found["by_head"], **found["by_set"], "all": found["all"]}
    rows = [
        [
            name,
            f"{gain['points']:+.2f} ± {gain['standard_error']:.2f}",
            f"{gain['log_loss_difference']:+.3f}",
            f"{gain['cpu_ratio']:.2f}",
        ]
        for name, gain in kinds.items()
    ]
    header = [f"five folds against one fifth, {found['all']['splits']} splits", "points of accuracy", "nats", "CPU"]
    return table(header, rows)


def _render_networks(found: Mapping[str, Any]) -> str:
    rows = []
    for count in dict.fromkeys(row["rows"] for row in found["rows"]):
        these = [row for row in found["rows"] if row["rows"] == count]
        ours, theirs = (np.array([row[name] for row in these]) for name in ("featx", "scikit-learn"))
        rows.append([str(count), f"{ours.mean():.3f}", f"{theirs.mean():.3f}", f"{100 * (ours - theirs).mean():+.1f}"])
    seeds = len({row["seed"] for row in found["rows"]})
    return table([f"digits to learn from, mean of {seeds} seeds", "mlp", "MLPClassifier", "points"], rows)


def _render_labels(found: Mapping[str, Any]) -> str:
    cases = dict.fromkeys((row["set"], row["share"], row["changed_to"]) for row in found["rows"])
    kinds = ("featx", "self_confidence", "neighbour_share")
    rows = [
        [name, f"{share:.0%} {changed_to}", *(_mean_precision(found["rows"], (name, share, changed_to), kinds))]
        for name, share, changed_to in cases
    ]
    return table(["images", "labels changed to", "label errors: average precision", *kinds[1:]], rows)


def _mean_precision(rows: Sequence[Mapping[str, Any]], case: tuple[str, float, str], kinds: Sequence[str]) -> list[str]:
    """For each ranking the mean of all seeds."""
    these = [row for row in rows if (row["set"], row["share"], row["changed_to"]) == case]
    return [f"{np.mean([row[kind] for row in these]):.3f}" for kind in kinds]
