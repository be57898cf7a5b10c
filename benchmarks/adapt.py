"""What adapting is worth without labels of the target, where it must do nothing, and what known shares of classes add.

    python benchmarks/adapt.py DIR [--parts cells,emoji,fresh,simulations,shares] [--seeds 5] [--simulations 200]

DIR is that of `domain_sets.py`. Every head is logistic regression, tuned on validation images,
among fewer parameters than usual unless --slow is given. Adaptation is inductive:
methods see other images of the target than those that measure, and of things that the source has not drawn. `auto` and
all methods were chosen on solar cells and emoji; icons, scripts, letters and Fashion-MNIST have decided nothing.
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from domain_sets import tables
from numpy.typing import NDArray
from record import keep, read
from sklearn.cluster import KMeans

import featx
from featx.cache import FeatureTable, Part
from featx.errors import TableError
from featx.heads import HEADS, find_recipe
from featx.tables import select_rows
from featx.transfer import Adaptation

UNSUPERVISED = ("auto", "standardise", "standardise+self-training", "coral", "transport", "weights", "none+prior")
FRESH = ("scripts", "letters", "icons")
SHOTS = {"scripts": 2, "letters": 2, "icons": 1}
"""Labelled images of each class for the methods that need some; small classes have no more."""

PENALTIES_TRIED = tuple(float(value) for value in np.logspace(0, 4, 9))
MOST_SIMULATED = 1500
"""Images of source and target together in a simulation."""
KINDS = 4
"""Kinds of images within a class."""

Numbers = dict[str, Any]
Measured = Iterator[tuple[str, Numbers]]
"""What was measured, each under its name, as soon as it is known."""
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


def be_fast() -> None:
    """Let logistic regression try nine penalties on standardised columns, and no other ways to scale them."""
    fewer = replace(find_recipe("logreg"), grid={"l2": PENALTIES_TRIED}, scalings=("standardise",), open_ended="l2")
    HEADS["logreg"] = fewer  # type: ignore[index]


def adapt(source: FeatureTable, target: FeatureTable, methods: Sequence[str], *, seed: int, **given: Any) -> Adaptation:
    """One adaptation, with heads that are tuned on one set of validation images and not in folds, to be fast."""
    return featx.adapt_head(source, target, methods=methods, tuning="validation", seed=seed, jobs=1, **given)


def accuracies(found: Adaptation) -> dict[str, list[float]]:
    """Accuracy and balanced accuracy of each method, in percent; empty if nothing was measured."""
    measured = [row for row in found.rows if row.accuracy is not None and row.balanced_accuracy is not None]
    return {row.method: [100 * float(row.accuracy), 100 * float(row.balanced_accuracy)] for row in measured}  # type: ignore[arg-type]


def assign(table: FeatureTable, part_of: Mapping[bytes, str]) -> FeatureTable:
    """The table with the part of each identity as its own split, without identities that have none."""
    parts = np.array([part_of.get(name, "") for name in identities(table)], "S5")
    rows = np.flatnonzero(parts != b"")
    return replace(select_rows(table, rows), splits=parts[rows], groups=None)


def identities(table: FeatureTable) -> list[bytes]:
    """The thing that each image shows."""
    return list(map(bytes, table.names if table.groups is None else table.groups))


def disjoint(source: FeatureTable, target: FeatureTable, *, seed: int) -> tuple[FeatureTable, FeatureTable]:
    """Both tables, with half of the identities to learn from in the source, a quarter to see, and a quarter to test.

    Identities that only one domain has are learnt in the source and seen in the target.
    """
    if not set(identities(source)) & set(identities(target)):
        return source, halve(target, seed=seed)
    order = np.random.default_rng(seed).permutation(sorted({*identities(source), *identities(target)}))
    half, rest = len(order) // 2, 3 * len(order) // 4
    of_source = dict.fromkeys(map(bytes, order[:half]), "train") | dict.fromkeys(map(bytes, order[rest:]), "test")
    of_target = dict.fromkeys(map(bytes, order[half:rest]), "train") | dict.fromkeys(map(bytes, order[rest:]), "test")
    return assign(source, of_source), assign(target, of_target)


def halve(table: FeatureTable, *, seed: int) -> FeatureTable:
    """The table with half of the identities to see, and half to test."""
    order = np.random.default_rng(seed).permutation(sorted(set(identities(table))))
    half = len(order) // 2
    return assign(
        table, dict.fromkeys(map(bytes, order[:half]), "train") | dict.fromkeys(map(bytes, order[half:]), "test")
    )


def over_seeds(
    source: FeatureTable, target: FeatureTable, methods: Sequence[str], *, seeds: int, **given: Any
) -> Numbers:
    """Mean accuracies of each method over seeds, in percent, and how often `auto` adapted."""
    runs = []
    adapted = 0
    for seed in range(seeds):
        with suppress(TableError):  # this draw leaves a class too few images for the methods that learn from some
            found = adapt(*disjoint(source, target, seed=seed), methods, seed=seed, **given)
            adapted += found.gap.adapts
            runs.append(accuracies(found))
    mean = {name: np.mean([run[name] for run in runs], axis=0).round(2).tolist() for name in runs[0]}
    return {"accuracy": {name: one[0] for name, one in mean.items()}} | {
        "balanced_accuracy": {name: one[1] for name, one in mean.items()},
        "adapted": adapted,
        "seeds": len(runs),
    }


def pairs(folder: Path, name: str, methods: Sequence[str], *, seeds: int, **given: Any) -> Measured:
    """Every ordered pair of the domains of a set."""
    domains = tables(folder, name)
    for source, target in permutations(domains, 2):
        start = time.perf_counter()
        found = over_seeds(domains[source], domains[target], methods, seeds=seeds, **given)
        print(f"{name} {source} → {target}: {found}, {time.perf_counter() - start:.0f} s", flush=True)
        yield f"{name}: {source} → {target}", found


def cells(folder: Path, options: argparse.Namespace) -> Measured:
    """Solar cells: made of one crystal, and of many."""
    return pairs(folder, "elpv", UNSUPERVISED, seeds=options.seeds)


def emoji(folder: Path, options: argparse.Namespace) -> Measured:
    """Emoji of four vendors."""
    return pairs(folder, "emoji", ("auto",), seeds=options.seeds)


def fresh(folder: Path, options: argparse.Namespace) -> Measured:
    """Sets that have decided nothing, with all methods, those with few labels among them."""
    every = (*UNSUPERVISED, "tradaboost", "pooled")
    for name in FRESH:
        yield from pairs(folder, name, every, seeds=options.seeds, shots=SHOTS[name])


def shares(folder: Path, options: argparse.Namespace) -> Measured:
    """Domain shift together with other shares of classes in the target, which are given or not."""
    for name in ("scripts", "letters", "emoji"):
        yield name, shares_of_set(tables(folder, name), options.seeds)


def shares_of_set(domains: Mapping[str, FeatureTable], seeds: int) -> Numbers:
    """Every ordered pair of domains of a set: `none`, `auto`, and `auto` that knows the shares of classes."""
    runs = []
    for source, target in permutations(domains, 2):
        for seed in range(seeds):
            learnt, other = disjoint(domains[source], domains[target], seed=seed)
            if run := with_known_shares(learnt, thin(other, seed=seed), seed=seed):
                runs.append(run)
    mean = {name: float(np.mean([run[name] for run in runs]).round(2)) for name in runs[0]}
    gains = [run["known shares"] - run["auto"] for run in runs]
    print(mean, flush=True)
    return {"accuracy": mean, "runs": len(runs), "least": round(min(gains), 2)}


def thin(table: FeatureTable, *, seed: int) -> FeatureTable:
    """The table with only a part of the images of each class, from a twentieth to all, but 8 at least."""
    rng = np.random.default_rng(seed)
    kept = []
    for code in range(len(table.classes)):
        rows = np.flatnonzero(table.labels == code)
        share = np.exp(rng.uniform(np.log(0.05), 0))
        kept.append(rng.permutation(rows)[: max(8, round(share * len(rows)))])
    return select_rows(table, np.sort(np.concatenate(kept)))


def with_known_shares(source: FeatureTable, target: FeatureTable, *, seed: int) -> dict[str, float]:
    """Accuracies in percent; empty if the target lacks test images."""
    counts = np.bincount(target.labels, minlength=len(target.classes))
    known = dict(zip(target.classes, (counts / counts.sum()).tolist(), strict=True))
    plain = accuracies(adapt(source, target, ["auto"], seed=seed))
    if not plain:
        return {}
    given = accuracies(adapt(source, target, ["auto"], seed=seed, target_shares=known))
    return {"none": plain["none"][0], "auto": plain["auto"][0], "known shares": given["auto"][0]}


@dataclass(frozen=True)
class Case:
    """A kind of difference between two domains that `auto` must not mistake for a domain shift."""

    title: str
    draw: Callable[[FeatureTable, np.random.Generator], tuple[FeatureTable, FeatureTable]]
    """One domain -> source and target, both with a split of their own."""


def cut(table: FeatureTable, rng: np.random.Generator) -> tuple[FeatureTable, FeatureTable]:
    """Half of the images as source, and the other half as target, both with a quarter or a half of test images."""
    rows = rng.permutation(len(table))[:MOST_SIMULATED]
    half = len(rows) // 2
    return part(table, rows[:half], tested=0.2), part(table, rows[half:], tested=0.5)


def part(table: FeatureTable, rows: Rows, *, tested: float) -> FeatureTable:
    """These rows, the first of them to test, in the table's own split."""
    splits = np.where(np.arange(len(rows)) < tested * len(rows), b"test", b"train")
    order = np.argsort(rows)
    return replace(select_rows(table, rows[order]), splits=splits[order], groups=None)


def thinned(table: FeatureTable, share_of_row: Floats, rng: np.random.Generator) -> FeatureTable:
    """The table without some rows, each kept by this chance."""
    return select_rows(table, np.flatnonzero(rng.random(len(table)) < share_of_row))


def no_shift(table: FeatureTable, rng: np.random.Generator) -> tuple[FeatureTable, FeatureTable]:
    """Both domains are drawn alike."""
    return cut(table, rng)


def label_shift(table: FeatureTable, rng: np.random.Generator) -> tuple[FeatureTable, FeatureTable]:
    """The target has from a tenth to all images of each class."""
    source, target = cut(table, rng)
    return source, thinned(target, rng.uniform(0.1, 1, len(table.classes))[target.labels], rng)


def missing_classes(table: FeatureTable, rng: np.random.Generator) -> tuple[FeatureTable, FeatureTable]:
    """The target lacks three classes."""
    source, target = cut(table, rng)
    missing = rng.permutation(len(table.classes))[:3]
    return source, thinned(target, (~np.isin(target.labels, missing)).astype(float), rng)


def kinds_of(table: FeatureTable, rng: np.random.Generator) -> Rows:
    """The kind of each image within its class, of four, by k-means."""
    kinds = np.zeros(len(table), np.int64)
    for code in range(len(table.classes)):
        rows = np.flatnonzero(table.labels == code)
        seed = int(rng.integers(2**31))
        kinds[rows] = KMeans(KINDS, n_init=1, random_state=seed).fit_predict(table.take(rows))
    return kinds


def mixed_kinds(table: FeatureTable, rng: np.random.Generator) -> tuple[FeatureTable, FeatureTable]:
    """Kinds of images within each class are from a tenth as frequent in the target to as frequent as in the source."""
    table = replace(table, positions=kinds_of(table, rng))
    source, target = cut(table, rng)
    chance = rng.uniform(0.1, 1, (len(table.classes), KINDS))
    return source, thinned(target, chance[target.labels, target.positions], rng)


def some_kinds(table: FeatureTable, rng: np.random.Generator) -> tuple[FeatureTable, FeatureTable]:
    """The target has two of the four kinds of images of each class."""
    table = replace(table, positions=kinds_of(table, rng))
    source, target = cut(table, rng)
    chance = np.array([rng.permutation([1.0, 1.0, 0.0, 0.0]) for _ in table.classes])
    return source, thinned(target, chance[target.labels, target.positions], rng)


def few_images(table: FeatureTable, rng: np.random.Generator) -> tuple[FeatureTable, FeatureTable]:
    """20 images of the target are seen, without a shift."""
    source, target = cut(table, rng)
    return source, keep_seen(target, 20, rng)


def keep_seen(table: FeatureTable, count: int, rng: np.random.Generator) -> FeatureTable:
    """The table with this number of images beside those that are tested."""
    seen = np.flatnonzero(table.splits == b"train") if table.splits is not None else np.arange(len(table))
    kept = np.concatenate([np.flatnonzero(table.splits == b"test"), rng.permutation(seen)[:count]])
    return select_rows(table, np.sort(kept))


CASES = (
    Case("no shift", no_shift),
    Case("label shift", label_shift),
    Case("three classes missing", missing_classes),
    Case("other mixtures of kinds within classes", mixed_kinds),
    Case("two of four kinds within classes", some_kinds),
    Case("20 images, no shift", few_images),
)
MIXED = "30 % of the target's images in the source, 30 % of the source's in the target"
TINY = "20 images, domain shift"


def mixed_domains(first: FeatureTable, second: FeatureTable, seed: int) -> tuple[FeatureTable, FeatureTable]:
    """Source and target are mixtures of both domains: 70 % of one, 30 % of the other."""
    rng = np.random.default_rng(seed)
    joined = concatenate(first, second)
    of_first = np.arange(len(joined)) < len(first)
    source, target = cut(replace(joined, positions=of_first.astype(np.int64)), rng)
    return (
        thinned(source, np.where(source.positions == 1, 1.0, 3 / 7), rng),
        thinned(target, np.where(target.positions == 0, 1.0, 3 / 7), rng),
    )


def concatenate(first: FeatureTable, second: FeatureTable) -> FeatureTable:
    """The rows of two tables with the same columns and classes, one after another."""
    features = np.vstack([first.features, second.features])
    return replace(
        first,
        parts=(Part(features),),
        names=np.concatenate([np.char.add(b"1/", first.names), np.char.add(b"2/", second.names)]),
        labels=np.concatenate([first.labels, second.labels]),
        positions=np.arange(len(features)),
        groups=None,
    )


def simulations(folder: Path, options: argparse.Namespace) -> Measured:
    """How often `auto` changes something, and what that costs; fewer runs on the set that the gate was chosen on."""
    for name, runs in (("fashion", options.simulations), ("emoji", options.simulations // 4)):
        domains = tables(folder, name)
        names = sorted(domains)
        for case in CASES:
            drawn = (case.draw(domains[names[seed % len(names)]], np.random.default_rng(seed)) for seed in range(runs))
            yield f"{name}: {case.title}", tally(f"{name}: {case.title}", drawn)
        if name == "emoji":
            yield from of_pairs(folder, name, runs)
        else:
            yield from of_pairs(folder, "scripts", runs)


def of_pairs(folder: Path, name: str, runs: int) -> Measured:
    """Mixtures of two domains, and few images of another domain."""
    ordered = list(permutations(tables(folder, name).values(), 2))
    drawn = [(seed, *ordered[seed % len(ordered)]) for seed in range(runs)]
    yield f"{name}: {MIXED}", tally(f"{name}: {MIXED}", (mixed_domains(a, b, seed) for seed, a, b in drawn))
    yield f"{name}: {TINY}", tally(f"{name}: {TINY}", (tiny(a, b, seed) for seed, a, b in drawn))


def tiny(source: FeatureTable, target: FeatureTable, seed: int) -> tuple[FeatureTable, FeatureTable]:
    """Domains that differ, with 20 images of the target to see."""
    learnt, other = disjoint(source, target, seed=seed)
    return learnt, keep_seen(other, 20, np.random.default_rng(seed))


def tally(title: str, runs: Iterator[tuple[FeatureTable, FeatureTable]]) -> Numbers:
    """In how many runs `auto` adapted, and its mean and least gain in points; where it did not, that is 0."""
    start = time.perf_counter()
    gains = []
    adapted = 0
    for seed, (source, target) in enumerate(runs):
        changed = adapts(source, target, seed=seed)
        gains.append(gain_of(source, target, seed=seed) if changed else 0.0)
        adapted += changed
    about = {"runs": len(gains), "adapted": adapted, "mean_gain": round(float(np.mean(gains)), 3), "least": min(gains)}
    print(f"{title}: {about}, {time.perf_counter() - start:.0f} s", flush=True)
    return about


def adapts(source: FeatureTable, target: FeatureTable, *, seed: int) -> bool:
    """Whether `auto` would adapt, by the gap that `adapt_head` measures: between what is learnt and what is seen."""
    learnt = select_rows(source, featx.make_splits(source, seed=seed)[0].development)
    seen = select_rows(target, np.flatnonzero(target.splits == b"train"))
    return featx.measure_gap(learnt, replace(seen, labels=np.full_like(seen.labels, -1)), seed=seed).adapts


def gain_of(source: FeatureTable, target: FeatureTable, *, seed: int) -> float:
    """What `auto` gains, in points; 0 if the target has too few images to measure that."""
    found = accuracies(adapt(source, target, ["auto"], seed=seed))
    return found["auto"][0] - found["none"][0] if found else 0.0


PARTS: Mapping[str, Callable[[Path, argparse.Namespace], Measured]] = {
    "cells": cells,
    "emoji": emoji,
    "shares": shares,
    "simulations": simulations,
    "fresh": fresh,
}


def main() -> None:
    """Run the chosen parts, and keep each as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--slow", action="store_true", help="tune heads as featx does, not over fewer parameters")
    options = parser.parse_args()
    logging.getLogger("featx").setLevel(logging.ERROR)
    if not options.slow:
        be_fast()
    for name in options.parts.split(","):
        kept_as = f"{name}, all parameters" if options.slow else name
        measured: Numbers = {}
        for key, numbers in PARTS[name](options.folder, options):
            measured[key] = numbers
            keep("adapt", {"parts": ((read("adapt") or {}).get("parts") or {}) | {kept_as: measured}})


if __name__ == "__main__":
    main()
