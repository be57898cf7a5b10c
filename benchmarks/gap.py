"""How often `featx gap` gives each verdict, where it is known what lies between two domains.

    python benchmarks/gap.py DIR [--sets A,B] [--runs 200]

DIR is that of `domain_sets.py`. Source and target are drawn again in each run, with at most 200 images each. What was
chosen about the gap was chosen on emoji and solar cells; the other sets are fresh.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from domain_sets import SETS, tables
from numpy.typing import NDArray
from record import keep, read
from sklearn.cluster import KMeans

from featx.cache import FeatureTable, Part
from featx.tables import select_rows
from featx.transfer.domains import Domains
from featx.transfer.gaps.drawing import draw_rows
from featx.transfer.gaps.judging import CHANCE, Judgement, judge_rows

MOST = 200
"""Images of either domain in a run."""
TINY = 20
"""Images of a tiny target."""
FEWER = 5
"""Cases that may harm nobody if they are adapted to, or must be, have this many times fewer runs."""
SPREAD = 0.3
"""Standard deviation of the offset of each column, in its own, and of the logarithm of its scale, in a mild shift."""

Rows = NDArray[np.int64]
Pair = tuple[FeatureTable, FeatureTable]


@dataclass(frozen=True)
class Drawer:
    """Draws sources and targets from the domains of one set."""

    domains: Mapping[str, FeatureTable]
    rng: np.random.Generator

    def pick(self) -> FeatureTable:
        """One of the domains."""
        return self.domains[str(self.rng.choice(list(self.domains)))]

    def two(self) -> tuple[FeatureTable, FeatureTable]:
        """Two different domains."""
        first, second = self.rng.choice(list(self.domains), 2, replace=False)
        return self.domains[str(first)], self.domains[str(second)]

    def halves(self, count: int) -> tuple[Rows, Rows]:
        """The rows in two random halves."""
        order = self.rng.permutation(count)
        return order[: count // 2], order[count // 2 :]

    def some(self, rows: Rows, most: int = MOST) -> Rows:
        """At most this number of the rows."""
        return np.sort(self.rng.permutation(rows)[:most])

    def thinned(self, rows: Rows, chance: NDArray[np.float64]) -> Rows:
        """The rows, each with its chance."""
        return rows[self.rng.random(len(rows)) < chance]


def none(draw: Drawer) -> Pair:
    """Two halves of one domain."""
    table = draw.pick()
    source, target = draw.halves(len(table))
    return select_rows(table, draw.some(source)), select_rows(table, draw.some(target))


def label_shift(draw: Drawer) -> Pair:
    """The same, but each class of the target is thinned to between a tenth and all of its images."""
    table = draw.pick()
    source, target = draw.halves(len(table))
    kept = draw.rng.uniform(0.1, 1, len(table.classes))
    target = draw.thinned(target, kept[table.labels[target]])
    return select_rows(table, draw.some(source)), select_rows(table, draw.some(target))


def classes_missing(draw: Drawer) -> Pair:
    """The target lacks a random three eighths of the classes, and at least one."""
    table = draw.pick()
    source, target = draw.halves(len(table))
    count = len(table.classes)
    gone = draw.rng.permutation(count)[: max(1, round(count * 3 / 8))]
    target = target[~np.isin(table.labels[target], gone)]
    return select_rows(table, draw.some(source)), select_rows(table, draw.some(target))


def tiny(draw: Drawer) -> Pair:
    """Two halves of one domain, of which the target has 20 images."""
    source, target = none(draw)
    return source, select_rows(target, draw.some(np.arange(len(target)), TINY))


def populations(draw: Drawer) -> Pair:
    """Each class has two k-means clusters, alike in the source; the target has 4 images of one to 1 of the other."""
    table = draw.pick()
    cluster = np.zeros(len(table), np.int64)
    for code in range(len(table.classes)):
        own = np.flatnonzero(table.labels == code)
        cluster[own] = KMeans(2, n_init=1, random_state=0).fit_predict(table.take(own)) if len(own) > 2 else 0
    source, target = draw.halves(len(table))
    rare = draw.rng.integers(2, size=len(table.classes))[table.labels[target]]
    target = draw.thinned(target, np.where(cluster[target] == rare, 0.25, 1.0))
    return select_rows(table, draw.some(source)), select_rows(table, draw.some(target))


def other_groups(draw: Drawer) -> Pair:
    """One domain, with no group in both."""
    table = draw.pick()
    assert table.groups is not None
    names, group = np.unique(table.groups, return_inverse=True)
    in_source = np.isin(group, draw.halves(len(names))[0])
    source, target = np.flatnonzero(in_source), np.flatnonzero(~in_source)
    return select_rows(table, draw.some(source)), select_rows(table, draw.some(target))


def mixture(draw: Drawer) -> Pair:
    """Half of the target is of the source's domain, half of another."""
    table, other = draw.two()
    source, same = draw.halves(len(table))
    half = MOST // 2
    mixed = joined(
        select_rows(table, draw.some(same, half)), select_rows(other, draw.some(np.arange(len(other)), half))
    )
    return select_rows(table, draw.some(source)), mixed


def mild(draw: Drawer) -> Pair:
    """Two halves of one domain; each column of the target is scaled and moved a little."""
    source, target = none(draw)
    features = target.take(np.arange(len(target)))
    scale = np.exp(SPREAD * draw.rng.normal(size=target.dim))
    offset = SPREAD * draw.rng.normal(size=target.dim) * features.std(axis=0)
    moved = (features * scale + offset).astype(np.float32)
    return source, replace(target, parts=(Part(moved),))


def shift(draw: Drawer) -> Pair:
    """Two domains, whatever they draw."""
    table, other = draw.two()
    return select_rows(table, draw.some(np.arange(len(table)))), select_rows(other, draw.some(np.arange(len(other))))


def tiny_shift(draw: Drawer) -> Pair:
    """Two domains, of which the target has 20 images."""
    source, target = shift(draw)
    return source, select_rows(target, draw.some(np.arange(len(target)), TINY))


def joined(first: FeatureTable, second: FeatureTable) -> FeatureTable:
    """The images of both, without labels, which the gap does not read."""
    features = np.concatenate([table.take(np.arange(len(table))) for table in (first, second)])
    groups = None if first.groups is None or second.groups is None else np.concatenate([first.groups, second.groups])
    return replace(
        first,
        parts=(Part(features),),
        names=np.concatenate([first.names, second.names]),
        labels=np.full(len(features), -1, np.int32),
        positions=np.arange(len(features)),
        groups=groups,
    )


@dataclass(frozen=True)
class Case:
    """Something that may lie between two domains."""

    draw: Callable[[Drawer], Pair]
    exact: bool = False
    """Whether adapting would be a mistake in every run."""
    domains: int = 1
    """Domains that a set must have."""
    grouped: bool = False
    """Whether a set must have groups of several images."""


CASES = {
    "no shift": Case(none, exact=True),
    "label shift": Case(label_shift, exact=True),
    "classes missing": Case(classes_missing, exact=True),
    "no shift, 20 images": Case(tiny, exact=True),
    "other mixture of clusters": Case(populations),
    "other groups": Case(other_groups, grouped=True),
    "half of another domain": Case(mixture, domains=2),
    "mild shift": Case(mild),
    "domain shift": Case(shift, domains=2),
    "domain shift, 20 images": Case(tiny_shift, domains=2),
}


def measure(draw: Drawer, case: Case, *, runs: int) -> dict[str, Any]:
    """How often each verdict was given, and the quantiles of the lesser of both areas."""
    judged = [_judge(case.draw(draw), seed=run) for run in range(runs)]
    verdicts = Counter(one.verdict for one in judged)
    statistics = [min(one.plain.auroc, one.weighted.auroc) for one in judged if one.plain and one.weighted]
    plain = [one.plain.auroc for one in judged if one.plain]
    return {
        "runs": runs,
        "verdicts": dict(verdicts),
        "adapts": verdicts["domain shift"],
        "holds_chance": sum(one.plain.ci[0] <= CHANCE <= one.plain.ci[1] for one in judged if one.plain),
        "statistic": np.quantile(statistics, [0, 0.5, 1]).tolist() if statistics else None,
        "plain": np.quantile(plain, [0, 0.5, 1]).tolist() if plain else None,
    }


def _judge(pair: Pair, *, seed: int) -> Judgement:
    domains = Domains.of_features([pair[0]], [pair[1]])
    return judge_rows(draw_rows(domains, seed=seed).rows, seed=seed)


def measure_set(folder: Path, name: str, *, runs: int) -> dict[str, Any]:
    """Every case that the set has domains and groups for."""
    domains = tables(folder, name)
    grouped = all(one.groups is not None and len(np.unique(one.groups)) < len(one) / 2 for one in domains.values())
    found: dict[str, Any] = {}
    for title, case in CASES.items():
        if len(domains) < case.domains or (case.grouped and not grouped):
            continue
        started = time.monotonic()
        draw = Drawer(domains, np.random.default_rng(len(found)))
        found[title] = measure(draw, case, runs=runs if case.exact else max(1, runs // FEWER))
        print(f"{name}, {title}: {found[title]} in {time.monotonic() - started:.0f} s", flush=True)
    return found


def main() -> None:
    """Measure the sets that are named, and keep the others as they were."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    for name in options.sets.split(","):
        found = measure_set(options.folder, name, runs=options.runs)
        known = (read("gap") or {}).get("sets", {})
        keep("gap", {"sets": known | {name: {"fresh": SETS[name].fresh, "cases": found}}})


if __name__ == "__main__":
    main()
