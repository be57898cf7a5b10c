"""The tables of parameter transfer, from results/parameters.json and results/parameters-pooled.json."""

from typing import Any

import numpy as np
from record import read
from tables import made_on, table

WAYS = ("source", "target", "chosen", "shuffled", "pooled")


def render_parameters(found: dict[str, Any] | None) -> str:
    """Balanced accuracy of each way in each cell, for each set that was measured."""
    if not found:
        return "Not measured yet: `python benchmarks/parameters.py DIR` measures it."
    parts = [_set(name, cells) for name, cells in found["sets"].items()]
    return "\n\n".join([*parts, made_on(found)])


def render_cautious(found: dict[str, Any] | None) -> str:
    """What heads of sources that were trained cautiously are worth, beside those of the table above, on equal draws."""
    if not found:
        return "Not measured yet: `python benchmarks/parameters.py DIR --cautious` measures it."
    usual = read("parameters")["sets"]
    rows = []
    for name, cells in found["sets"].items():
        draws = min(map(len, cells.values()))
        means = [_mean(one, way, draws) for way in ("source", "chosen") for one in (usual[name], cells)]
        rows.append([name, str(draws), *(f"{mean:.1f}" for mean in means), f"{means[3] - means[2]:+.1f}"])
    header = ["set", "draws", "source", "source, cautious", "chosen", "chosen, cautious", "difference"]
    return f"Mean balanced accuracy over all cells, %:\n\n{table(header, rows)}\n\n{made_on(found)}"


def _mean(cells: dict[str, list[dict[str, Any]]], way: str, draws: int) -> float:
    """The mean balanced accuracy of a way over the first draws of all cells, in percent."""
    return 100 * float(np.mean([draw[way][1] for each in cells.values() for draw in each[:draws]]))


def _set(name: str, cells: dict[str, list[dict[str, Any]]]) -> str:
    ways = [way for way in WAYS if all(way in draw for draws in cells.values() for draw in draws)]
    rows = [_row(cell, draws, ways) for cell, draws in cells.items()]
    header = ["source → target, shots", "draws", *ways, "chosen − the better one", "a source is used"]
    return f"{name}, balanced accuracy, %:\n\n{table(header, rows)}"


def _row(cell: str, draws: list[dict[str, Any]], ways: list[str]) -> list[str]:
    means = {way: 100 * float(np.mean([draw[way][1] for draw in draws])) for way in ways}
    better = max(means["source"], means["target"])
    used = np.mean([draw["gamma"] > 0 for draw in draws])
    difference = f"{means['chosen'] - better:+.1f}"
    return [cell, str(len(draws)), *(f"{means[way]:.1f}" for way in ways), difference, f"{used:.0%}"]
