"""The tables of transfer.py: how well each score predicted the accuracies, and on which targets with which sources."""

from collections.abc import Mapping, Sequence
from typing import Any

from tables import made_on, table

MISSING = "Not measured yet: `python benchmarks/transfer.py DIR` measures it."
RIVALS = {
    "accuracy on the other half": "the trained heads' accuracies on the other half: the noise",
    "validation accuracy": "the trained head's own accuracy in 3 folds",
    "published accuracy": "published ImageNet accuracy",
    "bytes of the model": "size of the model",
    "columns": "number of columns",
}
"""What else could order sources, as it is called in the results and in the table."""


def render_agreement(found: Mapping[str, Any] | None) -> str:
    """How well each score predicted accuracies: on all targets, on those that are new, and among pretrained sources."""
    if found is None:
        return MISSING
    header = ["ordered by", "weighted τ (95 % interval)", "Pearson", "pairs", "regret (most)", "width"]
    header += ["pretrained alone: τ", "regret (most)", "fresh targets: τ (95 % interval)", "regret (most)"]
    rows = [_agreement_row(found["agreement"], name) for name in _by_tau(found["agreement"]["all"])]
    notes = [_say_tied(found), _say_three(found), _say_other_half(found), _say_always(found), _say_targets(found)]
    return "\n\n".join([table(header, rows), *notes])


def _by_tau(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores by their weighted tau among all sources, rivals after them."""
    known = {row["score"]: row["tau"]["mean"] for row in rows if row["among"] == "all" and row["tau"]}
    return sorted(known, key=lambda name: (name in RIVALS, -known[name]))


def _agreement_row(agreement: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> list[str]:
    overall = _find(agreement["all"], name, among="all")
    pretrained = _find(agreement["all"], name, among="pretrained")
    fresh = _find(agreement["fresh"], name, among="all")
    return [
        RIVALS.get(name, name if " " in name else f"`{name}`"),
        _with_interval(overall, "tau"),
        _mean(overall, "pearson"),
        _share(overall, "pairs"),
        _regret(overall),
        _mean(overall, "bias", signed=True),
        _mean(pretrained, "tau"),
        _regret(pretrained),
        _with_interval(fresh, "tau"),
        _regret(fresh),
    ]


def _find(rows: Sequence[Mapping[str, Any]], name: str, *, among: str) -> Mapping[str, Any]:
    """The row of a score; nothing is defined in it if there is none."""
    return next((row for row in rows if row["score"] == name and row["among"] == among), {})


def _mean(row: Mapping[str, Any], key: str, *, signed: bool = False) -> str:
    found = row.get(key)
    if not found:
        return "–"
    return f"{found['mean']:+.2f}" if signed else f"{found['mean']:.2f}"


def _with_interval(row: Mapping[str, Any], key: str) -> str:
    found = row.get(key)
    if not found:
        return "–"
    low, high = found["ci"] or (found["mean"], found["mean"])
    return f"{found['mean']:.3f} ({low:.2f} to {high:.2f})"


def _share(row: Mapping[str, Any], key: str) -> str:
    found = row.get(key)
    return f"{100 * found['mean']:.0f} %" if found else "–"


def _regret(row: Mapping[str, Any]) -> str:
    found = row.get("regret")
    return f"{found['mean']:.1f} ({found['highest']:.1f})" if found else "–"


def _say_tied(found: Mapping[str, Any]) -> str:
    shares = {
        title: _find(rows, "default ranking", among="all").get("tied") for title, rows in found["agreement"].items()
    }
    told = {title: f"{100 * share['mean']:.0f} %" for title, share in shares.items() if share}
    return (
        f"The tied set of the default ranking holds a source within one point of the best on {told['all']} of the "
        f"splits; on {told.get('fresh', '–')} of those of fresh targets."
    )


def _say_three(found: Mapping[str, Any]) -> str:
    lost, fresh = found["first_three"]["all"], found["first_three"].get("fresh")
    more = f"; on fresh targets {fresh['mean']:.2f} ({fresh['most']:.1f})" if fresh else ""
    return (
        f"The best of the first three of the default ranking is {lost['mean']:.2f} points below the best source "
        f"({lost['most']:.1f} at most){more}."
    )


def _say_other_half(found: Mapping[str, Any]) -> str:
    """The regret without the luck of the best source."""
    told = []
    for name in ("default ranking", "ridge"):
        of_all, of_fresh = (found["other_half"][title][name] for title in ("all", "fresh"))
        low, high = of_all["ci"]
        told.append(f"{name} {of_all['mean']:.1f} ({low:.1f} to {high:.1f}), on fresh targets {of_fresh['mean']:.1f}")
    return (
        "The best source of a half is the best partly by luck, which makes these regrets too large. Against the source "
        f"that is best on the other half of the target, the first one loses: {'; '.join(told)}."
    )


def _say_always(found: Mapping[str, Any]) -> str:
    """The sources that lose least if they are always taken, and Lite0's own feature."""
    lost = found["always"]["all"]
    names = sorted(lost, key=lambda name: lost[name]["mean"])[:2]
    told = [f"`{name}` {lost[name]['mean']:.1f} ({lost[name]['most']:.1f})" for name in names]
    usual = "efficientnet-lite0:features"
    if usual in lost and usual not in names:
        told.append(f"`{usual}` {lost[usual]['mean']:.1f} ({lost[usual]['most']:.1f})")
    return f"Points lost if the same source is always taken, mean (most): {', '.join(told)}."


def _say_targets(found: Mapping[str, Any]) -> str:
    targets, sources = found["targets"], found["sources"]
    fresh = [target["name"] for target in targets if target["fresh"]]
    trained = sum(source["trained"] for source in sources)
    none = found["uninformative"]
    told = (
        f" On {', '.join(none)} a baseline is within a point of the best source; {_say_admitted(found)}" if none else ""
    )
    return (
        f"{len(sources)} sources, {trained} of them pretrained, on {len(targets)} targets, two splits each. "
        f"Fresh are {', '.join(fresh)}: the default ranking was chosen on the other {len(targets) - len(fresh)}.{told}"
    )


def _say_admitted(found: Mapping[str, Any]) -> str:
    """What the default ranking reaches without the targets that say little about sources."""
    row = _find(found["agreement"]["admitted"], "default ranking", among="all")
    return f"without these the default ranking has a weighted τ of {_mean(row, 'tau')} and a regret of {_regret(row)}."


def render_transfer(found: Mapping[str, Any] | None) -> str:
    """The targets with the best source of each, the sources, and the machine."""
    if found is None:
        return MISSING
    return "\n\n".join([_render_targets(found), _render_sources(found), made_on(dict(found))])


def _render_targets(found: Mapping[str, Any]) -> str:
    header = [
        "target",
        "images, classes",
        "licence",
        "most frequent class",
        "best that transfers nothing",
        "best source",
    ]
    trained = {f"{source['backbone']}:{source['output']}": source["trained"] for source in found["sources"]}
    rows = []
    for target in found["targets"]:
        reached = found["accuracy"][target["name"]]
        best, baseline = (
            max((name for name in reached if trained[name] == of), key=reached.__getitem__) for of in (1, 0)
        )
        rows.append(
            [
                f"{target['name']}{', fresh' if target['fresh'] else ''}: {target['title']}",
                f"{target['images']}, {target['classes']}",
                f"{target['licence']} ({target['source']})",
                f"{100 * target['majority']:.1f} %",
                f"`{baseline}` {100 * reached[baseline]:.1f} %",
                f"`{best}` {100 * reached[best]:.1f} %",
            ]
        )
    return table(header, rows)


def _render_sources(found: Mapping[str, Any]) -> str:
    accuracies = list(found["accuracy"].values())
    ranks = [sorted(reached, key=lambda name: -reached[name]) for reached in accuracies]
    rows = []
    for source in found["sources"]:
        name = f"{source['backbone']}:{source['output']}"
        places = [ranked.index(name) + 1 for ranked in ranks if name in ranked]
        lost = found["always"]["all"][name]
        rows.append(
            [
                f"`{name}`",
                source["title"],
                str(source["columns"]),
                f"{sum(places) / len(places):.1f}",
                str(places.count(1)),
                f"{lost['mean']:.1f} ({lost['most']:.1f})",
            ]
        )
    header = ["source", "trained on", "columns", "mean rank", "times first", "regret if always taken (most)"]
    return table(header, sorted(rows, key=lambda row: float(row[3])))
