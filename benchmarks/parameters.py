"""Parameter transfer with few labels: a head drawn towards a source against source and target alone, and pooling.

    python benchmarks/parameters.py DIR [--sets elpv,emoji] [--draws 20] [--pooled] [--cautious]

DIR is that of domain_sets.py. For each ordered pair of domains, a third of the target's images is tested, and 1, 2, 5
and 10 images of each class of the others have labels, where there are as many. `chosen` is what `featx train --from`
gives, `shuffled` the same with a source whose labels were shuffled, and `pooled`, which takes longer, the same with the
source's images at hand. With --cautious the heads of sources are trained cautiously. Where the same things were drawn
in several domains, the source has one half of them and the target the other. The results so far are kept after each
draw.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
from domain_sets import tables
from record import keep, read
from targets.target import digest

import featx
from featx.cache import FeatureTable
from featx.errors import TableError
from featx.heads import TARGET_ALONE, Head, Result, Transferred
from featx.tables import Split, make_splits, select_rows

SHOTS = (1, 2, 5, 10)
HEAD = "logreg"


def half(table: FeatureTable, which: int) -> FeatureTable:
    """One half of the identities; the whole table if it has none."""
    if table.groups is None:
        return table
    own = np.array([int(digest(group.decode()), 16) % 2 for group in table.groups])
    return replace(select_rows(table, np.flatnonzero(own == which)), groups=None)


def divided(table: FeatureTable) -> FeatureTable:
    """The table with a third of its images to test; from the others, labels are drawn."""
    tested = np.array([int(digest(name.decode()), 16) % 3 == 0 for name in table.names])
    return replace(table, splits=np.where(tested, b"test", b"train"))


def shuffled(table: FeatureTable) -> FeatureTable:
    """The table with its labels in another order."""
    return replace(table, labels=np.random.default_rng(0).permutation(table.labels))


def train_source(table: FeatureTable, *, cautious: bool) -> Head:
    """A head of the source, tuned on its own validation images."""
    return featx.train_head(table, HEAD, tuning="validation", cautious=cautious, jobs=1)[0]


def accuracies(result: Result) -> list[float]:
    """Accuracy and balanced accuracy on the test images."""
    return [float(result.metrics.accuracy or 0), float(result.metrics.balanced_accuracy or 0)]


def taken(result: Result) -> Transferred:
    """What a head took over."""
    assert result.transferred is not None
    return result.transferred


class Source:
    """The images of a source, with a head of them, and one whose labels were shuffled."""

    def __init__(self, table: FeatureTable, *, cautious: bool) -> None:
        self.table = half(table, 0)
        self.head = train_source(self.table, cautious=cautious)
        self.wrong = train_source(shuffled(self.table), cautious=cautious)


class Pair:
    """A source and a target."""

    def __init__(self, name: str, source: Source, target: FeatureTable) -> None:
        self.name = name
        self.pool = source.table
        self.target = divided(half(target, 1))
        self.source = source.head
        self.wrong = source.wrong
        own = np.array(self.target.classes)[self.target.labels]
        self._labels = self.target.labels
        self._right = self.source.predict(self.target) == own

    def shots(self) -> Iterator[int]:
        """The numbers of images of each class that can be drawn, to learn from and to validate with."""
        for shots in SHOTS:
            with suppress(TableError):
                make_splits(self.target, "few-shot", shots=[shots], repeats=1, seed=0)
                yield shots

    def measure(self, shots: int, seed: int, *, pooled: bool) -> dict[str, object]:
        """Accuracies of each way with the images of one draw."""
        split = make_splits(self.target, "few-shot", shots=[shots], repeats=1, seed=seed)[0]
        chosen = self._transfer(split, self.source)
        other = self._transfer(split, self.source, pool=self.pool) if pooled else self._transfer(split, self.wrong)
        return {
            "source": self._source_alone(split),
            "target": accuracies(self._target_alone(split, chosen, other)),
            "chosen": accuracies(chosen),
            "gamma": taken(chosen).gamma,
            "pooled" if pooled else "shuffled": accuracies(other),
            "other way": taken(other).way,
        }

    def _target_alone(self, split: Split, *results: Result) -> Result:
        """The result without sources, which a head that took over nothing has already."""
        for result in results:
            if taken(result).way == TARGET_ALONE:
                return result
        return featx.train_head(self.target, HEAD, split=split, jobs=1)[1]

    def _source_alone(self, split: Split) -> list[float]:
        """Accuracies of the source head as it is."""
        right, labels = self._right[split.test], self._labels[split.test]
        return [float(right.mean()), float(np.mean([right[labels == one].mean() for one in np.unique(labels)]))]

    def _transfer(self, split: Split, source: Head, pool: FeatureTable | None = None) -> Result:
        return featx.transfer_head(self.target, HEAD, sources=[source], pool=pool, split=split, jobs=1)[1]


def pairs_of(folder: Path, name: str, *, cautious: bool) -> Iterator[Pair]:
    """Each ordered pair of domains of a set."""
    found = tables(folder, name)
    sources = {domain: Source(table, cautious=cautious) for domain, table in found.items()}
    for source, target in permutations(found, 2):
        yield Pair(f"{source} → {target}", sources[source], found[target])


def main() -> None:
    """Measure, draw by draw, and keep what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="elpv,emoji,icons,scripts,letters")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--pooled", action="store_true")
    parser.add_argument("--cautious", action="store_true")
    options = parser.parse_args()
    name = "parameters" + "-pooled" * options.pooled + "-cautious" * options.cautious
    for set_name in options.sets.split(","):
        pairs = list(pairs_of(options.folder, set_name, cautious=options.cautious))
        cells: dict[str, list[object]] = defaultdict(list)
        for seed in range(options.draws):
            for pair in pairs:
                for shots in pair.shots():
                    cells[f"{pair.name}, {shots}"].append(pair.measure(shots, seed, pooled=options.pooled))
            before = (read(name) or {}).get("sets", {})
            keep(name, {"head": HEAD, "sets": before | {set_name: dict(cells)}})


if __name__ == "__main__":
    main()
