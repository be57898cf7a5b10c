"""What it is worth to choose which images to label: `featx label-next` against labels of images drawn at random.

    python benchmarks/labelling.py DIR [--sets A,B] [--repeats N]

Caches come from `python benchmarks/domain_sets.py DIR`. All domains of a set are one pool. In each repeat half of the
units (identities where there are groups, else images) are the pool, and the others are test images. A strategy asks for
50 labels, gets them, asks for the next 50, and so on; the same head is then trained on the labels of each strategy and
measured on the same test images. Random choice goes on further, to find how many labels it needs to reach the accuracy
of the default. Strategies were chosen on ELPV, emoji, and six sets of the study of scores; the others are new to them.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from domain_sets import tables
from numpy.typing import NDArray
from record import keep, read
from scipy import stats
from threadpoolctl import threadpool_limits

import featx
from featx.cache import FeatureTable, Part
from featx.estimators import SoftmaxRegression
from featx.settings import LABELLING_STRATEGIES
from featx.tables import select_rows

SETS = ("elpv", "fashion", "emoji", "scripts", "letters", "icons")
LABELS = (50, 100, 150, 200)
FURTHER = (250, 300, 400)
"""Numbers of labels that only random choice gets."""
MOST = 2000
"""Images of a pool, and test images, at most."""
PENALTIES = (1000.0, 100.0, 10.0)
FOLDS = 3
UNSEEN = 1e-3
"""Probability of a class that a fold was not fitted to."""
RANDOM = "random"
MANY = 1e6
RESAMPLES = 1000

Measured: TypeAlias = dict[str, dict[int, list[dict[str, float]]]]
"""Strategy -> number of labels -> what was measured in each repeat."""


def main() -> None:
    """Measure each set and keep what is complete."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    for name in options.sets.split(","):
        with threadpool_limits(1):
            measured = measure_set(pool_domains(options.folder, name), repeats=options.repeats)
        earlier = (read("labelling") or {}).get("sets", {})
        keep("labelling", {"sets": earlier | {name: measured}})


def pool_domains(folder: Path, name: str) -> FeatureTable:
    """All domains of a set as one table, whose names begin with the domain."""
    domains = tables(folder, name)
    first = next(iter(domains.values()))
    if any(one.classes != first.classes for one in domains.values()):
        raise SystemExit(f"{name}: the domains have different classes")
    each = list(domains.values())
    count = sum(map(len, each))
    groups = None if first.groups is None else np.concatenate([one.groups for one in each])
    return replace(
        first,
        parts=(Part(np.concatenate([one.take(np.arange(len(one))) for one in each])),),
        names=np.concatenate([np.strings.add(f"{key}/".encode(), one.names) for key, one in domains.items()]),
        labels=np.concatenate([one.labels for one in each]),
        groups=groups,
        positions=np.arange(count),
    )


def measure_set(table: FeatureTable, *, repeats: int) -> dict[str, Any]:
    """Each strategy against random choice, with each number of labels, over this number of pools."""
    found: Measured = {}
    for repeat in range(repeats):
        pool, tested = draw(table, repeat)
        for strategy in LABELLING_STRATEGIES:
            for count, measured in follow(pool, tested, strategy=strategy, seed=repeat):
                found.setdefault(strategy, {}).setdefault(count, []).append(measured)
        print(f"repeat {repeat + 1} of {repeats}", flush=True)
    return {
        "images": len(table),
        "classes": len(table.classes),
        "grouped": table.groups is not None,
        "pool": len(pool),
        "tested": len(tested),
        "repeats": repeats,
        "rows": summarise(found),
        "random": [mean_of(found[RANDOM][count], "accuracy") for count in (*LABELS, *FURTHER)],
        "needed": [labels_needed(found, count) for count in LABELS],
    }


def summarise(found: Measured) -> list[dict[str, Any]]:
    """One row for each strategy and number of labels: accuracies, and what they are above those of random choice."""
    return [
        {
            "strategy": strategy,
            "labels": count,
            "accuracy": mean_of(measured[count], "accuracy"),
            "balanced": mean_of(measured[count], "balanced"),
            **difference(measured[count], found[RANDOM][count], "accuracy"),
            **difference(measured[count], found[RANDOM][count], "balanced"),
            "a class is missing": float(np.mean([one["missing"] > 0 for one in measured[count]])),
        }
        for strategy, measured in found.items()
        for count in LABELS
    ]


def mean_of(measured: list[dict[str, float]], name: str) -> float:
    """The mean over repeats."""
    return float(np.mean([one[name] for one in measured]))


def difference(own: list[dict[str, float]], other: list[dict[str, float]], name: str) -> dict[str, Any]:
    """The mean of the differences of the same repeats, with a 95 % interval by Student's t over the repeats."""
    values = np.array([one[name] - another[name] for one, another in zip(own, other, strict=True)])
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return {f"{name} difference": mean, f"{name} ci": [mean - half, mean + half]}


def labels_needed(found: Measured, count: int) -> dict[str, Any]:
    """How many labels random choice needs to be as accurate as the default is with a given number.

    Read from a line through the means of random choice, which never falls; the interval is of resamples of the repeats.
    MANY stands for more labels than random choice got.
    """
    counts = np.array([*LABELS, *FURTHER])
    curve = np.array([[one["accuracy"] for one in found[RANDOM][each]] for each in counts.tolist()])
    reached = np.array([one["accuracy"] for one in found[LABELLING_STRATEGIES[0]][count]])
    rng = np.random.default_rng(0)
    resamples = [_read(curve[:, rows].mean(axis=1), counts, reached[rows].mean()) for rows in _draws(rng, len(reached))]
    return {
        "labels": count,
        "random": _read(curve.mean(axis=1), counts, float(reached.mean())),
        "ci": np.quantile(resamples, [0.025, 0.975], method="nearest").tolist(),
    }


def _read(curve: NDArray[np.float64], counts: NDArray[np.int64], accuracy: float) -> float:
    rising = np.maximum.accumulate(curve)
    return MANY if accuracy > rising[-1] else float(np.interp(accuracy, rising, counts))


def _draws(rng: np.random.Generator, repeats: int) -> NDArray[np.int64]:
    return rng.integers(repeats, size=(RESAMPLES, repeats))


def draw(table: FeatureTable, repeat: int) -> tuple[FeatureTable, FeatureTable]:
    """A pool and test images: half of the units each, at most MOST images."""
    rng = np.random.default_rng(1000 + repeat)
    units = np.arange(len(table)) if table.groups is None else np.unique(table.groups, return_inverse=True)[1]
    order = rng.permutation(int(units.max()) + 1)
    of_pool = np.isin(units, order[: len(order) // 2])
    parts = (rng.permutation(np.flatnonzero(chosen))[:MOST] for chosen in (of_pool, ~of_pool))
    pool, tested = (select_rows(table, np.sort(rows)) for rows in parts)
    return pool, tested


def follow(pool: FeatureTable, tested: FeatureTable, *, strategy: str, seed: int) -> Any:
    """Numbers of labels, each with what a head reaches with the labels that the strategy has asked for by then."""
    features = pool.take(np.arange(len(pool)))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1
    rows, test_rows = ((one - mean) / deviation for one in (features, tested.take(np.arange(len(tested)))))
    places = {name: place for place, name in enumerate(pool.image_names.tolist())}
    labels = np.full(len(pool), -1, np.int32)
    for count in (*LABELS, *(FURTHER if strategy == RANDOM else ())):
        asked = count - int((labels >= 0).sum())
        plan = featx.suggest_labels(replace(pool, labels=labels), count=asked, strategy=of(strategy, labels), seed=seed)
        for one in plan.suggestions:
            labels[places[one.name]] = pool.labels[places[one.name]]
        known = np.flatnonzero(labels >= 0)
        guesses = predict(rows[known], pool.labels[known], test_rows, seed=seed)
        right = guesses == tested.labels
        recalls = [right[tested.labels == code].mean() for code in np.unique(tested.labels)]
        missing = len(np.setdiff1d(pool.labels, labels[known]))
        yield count, {"accuracy": float(right.mean()), "balanced": float(np.mean(recalls)), "missing": missing}


def of(strategy: str, labels: NDArray[np.int32]) -> str:
    """The strategy; `uncertain` needs labels, so its first ones are those of `typical`."""
    return "typical" if strategy == "uncertain" and not (labels >= 0).any() else strategy


def predict(rows: NDArray[Any], codes: NDArray[Any], tested: NDArray[Any], *, seed: int) -> NDArray[Any]:
    """The classes of test rows by logistic regression, its penalty chosen by cross-validation of the labels."""
    present = np.unique(codes)
    if len(present) == 1:
        return np.full(len(tested), present[0])
    mean = rows.mean(axis=0)
    # fits along the directions that the few rows span are the same, and much faster
    left, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    kept = sizes > sizes[0] * 1e-5
    turned = (left * sizes)[:, kept]
    model = SoftmaxRegression(choose_penalty(turned, codes, seed=seed), tol=1e-3).fit(turned, codes)
    return np.asarray(model.predict((tested - mean) @ axes[kept].T))


def choose_penalty(rows: NDArray[Any], codes: NDArray[Any], *, seed: int) -> float:
    """The penalty with the lowest log loss of labels that a fold did not see."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(codes), int)
    for code in np.unique(codes):
        own = rng.permutation(np.flatnonzero(codes == code))
        fold[own] = (np.arange(len(own)) + rng.integers(FOLDS)) % FOLDS
    losses = np.zeros(len(PENALTIES))
    for number in range(FOLDS):
        learnt, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(np.unique(codes[learnt])) < 2 or not len(held):
            continue
        for place, penalty in enumerate(PENALTIES):
            model = SoftmaxRegression(penalty, tol=1e-2).fit(rows[learnt], codes[learnt])
            losses[place] += log_loss(model, rows[held], codes[held])
    return PENALTIES[int(losses.argmin())]


def log_loss(model: SoftmaxRegression, rows: NDArray[Any], codes: NDArray[Any]) -> float:
    """The sum of the log losses of these rows."""
    probabilities = np.column_stack([model.predict_proba(rows), np.full(len(rows), UNSEEN)])
    column = np.searchsorted(model.classes_, codes).clip(max=len(model.classes_) - 1)
    column = np.where(model.classes_[column] == codes, column, len(model.classes_))
    return float(-np.log(np.maximum(probabilities[np.arange(len(codes)), column], 1e-9)).sum())


if __name__ == "__main__":
    main()
