"""The tables of `adapt.py`: accuracies of methods over pairs of domains, and what `auto` does where it should not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tables import made_on, table

TITLES = {
    "cells": "solar cells (chosen on)",
    "cells, all parameters": "solar cells (chosen on), with --slow",
    "emoji": "emoji of four vendors (chosen on)",
    "fresh": "sets that have decided nothing",
}


def render_adapt(found: dict[str, Any] | None) -> str:
    """What was measured, part by part."""
    if not found:
        return "Not measured yet: `python benchmarks/adapt.py` measures it."
    parts = found["parts"]
    shown = [_pairs(TITLES[name], parts[name]) for name in TITLES if name in parts]
    if "shares" in parts:
        shown.append(_shares(parts["shares"]))
    if "simulations" in parts:
        shown.append(_simulations(parts["simulations"]))
    return "\n\n".join([*shown, made_on(found)])


def _pairs(title: str, found: Mapping[str, Any]) -> str:
    """Accuracy of each method, and balanced accuracy in brackets, in percent; then the mean gain."""
    methods = list(next(iter(found.values()))["accuracy"])
    rows = [[pair.partition(": ")[2], *_accuracies(one, methods), _adapted(one)] for pair, one in found.items()]
    gains = [_mean_gain(found, name) for name in methods]
    return table([title, *methods, "adapted"], [*rows, ["mean gain", *gains, ""]])


def _accuracies(one: Mapping[str, Any], methods: list[str]) -> list[str]:
    return [f"{one['accuracy'][name]:.1f} ({one['balanced_accuracy'][name]:.1f})" for name in methods]


def _adapted(one: Mapping[str, Any]) -> str:
    return f"{one['adapted']} of {one['seeds']}"


def _mean_gain(found: Mapping[str, Any], name: str) -> str:
    kinds = ("accuracy", "balanced_accuracy")
    plain, balanced = (np.mean([one[kind][name] - one[kind]["none"] for one in found.values()]) for kind in kinds)
    return f"{plain:+.1f} ({balanced:+.1f})"


def _shares(found: Mapping[str, Any]) -> str:
    """Accuracies in percent where shares of classes differ too."""
    rows = [
        [name, str(one["runs"]), *(f"{value:.1f}" for value in one["accuracy"].values())] for name, one in found.items()
    ]
    return table(["domain shift and other shares of classes", "runs", "none", "auto", "auto, shares given"], rows)


def _simulations(found: Mapping[str, Any]) -> str:
    """How often `auto` changed something, and its mean gain in points."""
    rows = [
        [name, f"{one['adapted']} of {one['runs']}", f"{one['mean_gain']:+.2f}", f"{one['least']:+.1f}"]
        for name, one in found.items()
    ]
    return table(["case", "`auto` adapted", "mean gain, points", "least"], rows)
