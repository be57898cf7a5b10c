"""The tables of `labelling.py`: what choosing the images to label is worth against labels drawn at random."""

from typing import Any

from tables import made_on, table

TITLES = {
    "elpv": "ELPV, defective or not",
    "fashion": "Fashion-MNIST",
    "emoji": "emoji, 8 groups",
    "scripts": "scripts",
    "letters": "letters of fonts",
    "icons": "icons",
}
DEFAULT = "mixed"
OTHERS = ("typical", "cover", "uncertain")
MANY = 1e6


def render_labelling(found: dict[str, Any] | None) -> str:
    """The default against random choice, then the other strategies."""
    if not found:
        return "Not measured yet: `python benchmarks/labelling.py` measures it."
    return "\n\n".join([_default(found["sets"]), _others(found["sets"]), made_on(found)])


def _default(sets: dict[str, Any]) -> str:
    rows = []
    for name, measured in sets.items():
        by_strategy = _by(measured)
        for needed in measured["needed"]:
            own, drawn = (by_strategy[strategy, needed["labels"]] for strategy in (DEFAULT, "random"))
            rows.append(
                [
                    f"{TITLES[name]}, {measured['classes']} classes",
                    str(needed["labels"]),
                    f"{100 * own['accuracy']:.1f}",
                    f"{100 * drawn['accuracy']:.1f}",
                    _points(own, "accuracy"),
                    _points(own, "balanced"),
                    _count(needed["random"]) + f" ({' to '.join(map(_count, needed['ci']))})",
                    f"{own['a class is missing']:.0%}, {drawn['a class is missing']:.0%}",
                ]
            )
    header = [
        "images",
        "labels",
        "`label-next`",
        "random",
        "difference, points",
        "of balanced accuracy",
        "labels that random choice needs",
        "a class has no label: `label-next`, random",
    ]
    return table(header, rows)


def _others(sets: dict[str, Any]) -> str:
    rows = []
    for name, measured in sets.items():
        by_strategy = _by(measured)
        for count in (50, 100, 200):
            cells = [_points(by_strategy[strategy, count], "accuracy") for strategy in (DEFAULT, *OTHERS)]
            rows.append([TITLES[name], str(count), *cells])
    return table(["difference from random, points", "labels", *(f"`{one}`" for one in (DEFAULT, *OTHERS))], rows)


def _by(measured: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["strategy"], row["labels"]): row for row in measured["rows"]}


def _points(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name} ci"]
    return f"{100 * row[f'{name} difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _count(labels: float) -> str:
    return "over 400" if labels >= MANY else f"{labels:.0f}"
