"""What a run of `transfer.py` says: how well scores predicted accuracies, on all targets and on those that are new."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sources import SOURCES
from targets import TARGETS

import featx
from featx.measures import mean_over_sets
from featx.suites import GroupTarget, Prediction, measure_agreement

SETS = {"all": tuple(TARGETS)} | {
    title: tuple(name for name, target in TARGETS.items() if target.seen == seen)
    for title, seen in (("seen", True), ("fresh", False))
}
"""All targets, those that the default ranking was chosen on, and the others."""
NEAR = 0.01
RANKED = ("ridge", "press", "knn")
MEAN_RANK = "mean rank of ridge, press and knn"
OTHER_HALF = "accuracy on the other half"
"""What no score can be expected to beat: the accuracies of the same sources with both halves exchanged."""


def summarize(outcome: featx.SuiteOutcome) -> dict[str, Any]:
    """What is kept of the run, as JSON values."""
    (group,) = outcome.leaderboard.groups
    known = add_other_half(add_mean_ranks(outcome.predictions[group.name]))
    reached = accuracies(known)
    uninformative = [target for target, sources in reached.items() if _is_reached_by_baseline(sources)]
    sets = SETS | {"admitted": tuple(name for name in TARGETS if name not in uninformative)}
    there = {title: [one for one in known if one.target in names] for title, names in sets.items()}
    return {
        "group": group.text,
        "targets": [_describe(target) for target in group.targets],
        "sources": _sources(known),
        "uninformative": uninformative,
        "accuracy": reached,
        "agreement": {title: [asdict(row) for row in measure_agreement(found)] for title, found in there.items()},
        "always": {title: regrets_of_one(found) for title, found in there.items()},
        "first_three": {title: regret_of_three(found) for title, found in there.items() if found},
        "other_half": {title: regrets_by_other_half(found) for title, found in there.items() if found},
    }


def _is_reached_by_baseline(reached: Mapping[str, float]) -> bool:
    """Whether what transfers nothing is within a point of the best source of a target.

    By the means alone: the test of the leaderboard, over two splits with groups, has an interval that is too wide.
    """
    trained = {name: SOURCES[name.partition(":")[0]].trained for name in reached}
    best, baseline = (
        max((reached[name] for name in reached if trained[name] == of), default=0.0) for of in (True, False)
    )
    return best - baseline <= NEAR


def add_mean_ranks(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions with one more score: the mean of the ranks by three others, the largest for the best source."""
    found = []
    for of_split in _splits(predictions).values():
        values = np.array([[one.scores[name] for name in RANKED] for one in of_split], np.float64)
        means = rankdata(values, axis=0).mean(axis=1)
        found += [
            replace(one, scores={**one.scores, MEAN_RANK: float(mean)})
            for one, mean in zip(of_split, means, strict=True)
        ]
    return found


def add_other_half(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions with one more score: what the source reached on the other split of the same target."""
    reached = {(one.target, one.split, one.source): one.truth for one in predictions}
    splits: dict[str, set[str]] = {}
    for one in predictions:
        splits.setdefault(one.target, set()).add(one.split)
    found = []
    for one in predictions:
        (other,) = splits[one.target] - {one.split}
        found.append(replace(one, scores={**one.scores, OTHER_HALF: reached.get((one.target, other, one.source))}))
    return found


def _describe(target: GroupTarget) -> dict[str, Any]:
    known = TARGETS[target.name]
    return {
        "name": target.name,
        "title": known.title,
        "source": known.source,
        "licence": known.licence,
        "fresh": not known.seen,
        "images": target.tested,
        "classes": target.classes,
        "majority": target.majority,
    }


def _sources(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    found = {one.source: one.columns for one in predictions}
    return [
        {
            "backbone": name,
            "output": output,
            "columns": found[f"{name}:{output}"],
            "title": source.title,
            "trained": source.trained,
        }
        for name, source in SOURCES.items()
        for output in source.outputs
        if f"{name}:{output}" in found
    ]


def accuracies(predictions: Sequence[Prediction]) -> dict[str, dict[str, float]]:
    """Target -> source -> accuracy, as a mean over splits."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in predictions:
        found.setdefault(one.target, {}).setdefault(one.source, []).append(one.truth)
    return {
        target: {source: float(np.mean(truths)) for source, truths in sources.items()}
        for target, sources in found.items()
    }


def _splits(predictions: Sequence[Prediction]) -> Mapping[tuple[str, str], list[Prediction]]:
    found: dict[tuple[str, str], list[Prediction]] = {}
    for one in predictions:
        found.setdefault((one.target, one.split), []).append(one)
    return found


def regrets_of_one(predictions: Sequence[Prediction]) -> dict[str, dict[str, float]]:
    """Source -> points below the best source of each split if it is always taken: their mean, and the most."""
    lost: dict[str, list[float]] = {}
    for found in _splits(predictions).values():
        best = max(one.truth for one in found)
        for one in found:
            lost.setdefault(one.source, []).append(100 * (best - one.truth))
    return {source: {"mean": float(np.mean(points)), "most": max(points)} for source, points in lost.items()}


def regret_of_three(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Points by which the best of the ranking's first three is below the best source: mean over splits, and most."""
    lost = []
    for found in _splits(predictions).values():
        ranked = sorted(found, key=lambda one: one.scores["default ranking"] or 0, reverse=True)
        lost.append(100 * (max(one.truth for one in found) - max(one.truth for one in ranked[:3])))
    return {"mean": float(np.mean(lost)), "most": max(lost)}


def regrets_by_other_half(predictions: Sequence[Prediction]) -> dict[str, dict[str, Any]]:
    """Score -> points by which its first source is below the one that is best on the other half of the target.

    The best source of a half is the best partly by luck, which makes every regret too large. The one that is best on
    the other half had no such luck on this one; but it need not be the best, so that this regret is rather too small.
    """
    names = ("default ranking", "ridge", "press", MEAN_RANK, "validation accuracy")
    return {name: regret_by_other_half(predictions, name) for name in names}


def regret_by_other_half(predictions: Sequence[Prediction], name: str) -> dict[str, Any]:
    """The mean over targets of the regret of one score, with its 95 % interval."""
    lost: dict[str, list[float]] = {}
    splits = _splits(predictions)
    for (target, split), found in splits.items():
        reached = {one.source: one.truth for one in found}
        for (other_target, other), rivals in splits.items():
            if other_target == target and other != split:
                best = max(rivals, key=lambda one: one.truth).source
                lost.setdefault(target, []).append(100 * (reached[best] - _truth_of_first(found, name)))
    mean, ci = mean_over_sets(np.array([np.mean(points) for points in lost.values()]))
    return {"mean": mean, "ci": ci}


def _truth_of_first(found: Sequence[Prediction], name: str) -> float:
    """What the first source by this score reaches; the mean of them, if several are first."""
    scores = np.array([one.scores[name] for one in found], np.float64)
    return float(np.mean([one.truth for one, score in zip(found, scores, strict=True) if score == scores.max()]))
