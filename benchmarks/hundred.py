"""A hundred heads on solar cells, drawn from all that `featx compare` makes of two backbones: how long they take.

    make models
    featx extract ... --backbone efficientnet-lite0 --into A.h5; the same with efficientnet-lite1 into B.h5
    python benchmarks/hundred.py A.h5 B.h5

Every head on each cache alone and on both of them fused in every way, on five stratified splits: a hundred of these are
drawn at random, so that their time is that of them all, as far as a hundred tell. Nothing is kept between runs.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import keep

from featx.cache import FeatureTable, read_features
from featx.compare import compare_backbones, list_candidates
from featx.hardware import usable_cores
from featx.heads import FUSIONS, HEADS, STACKED
from featx.heads.results import Result
from featx.tables import Split, make_splits

COUNT, SPLITS = 100, 5


def five_splits(table: FeatureTable) -> Sequence[Split]:
    """Stratified quarters, seeds 0 to 4."""
    return make_splits(table, "stratified", repeats=SPLITS)


def by_head(results: Sequence[Result]) -> list[dict[str, Any]]:
    """How many of each head were drawn, and the seconds of a process that each took."""
    seconds = defaultdict[str, list[float]](list)
    for result in results:
        seconds[result.head].append(result.seconds)
    return [{"head": head, "seconds": sorted(seconds[head])} for head in HEADS if head in seconds]


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("caches", nargs="+", type=Path)
    tables = [read_features(path) for path in parser.parse_args().caches]
    candidates = list_candidates(tables, heads=tuple(HEADS), fusions=(*FUSIONS, STACKED), splits=five_splits)
    drawn = np.sort(np.random.default_rng(0).choice(len(candidates), COUNT, replace=False))
    start = time.perf_counter()
    made = compare_backbones([candidates[index] for index in drawn], report=lambda tally: print(tally, flush=True))
    seconds = time.perf_counter() - start
    about = {"images": len(tables[0]), "columns": [table.dim for table in tables], "of": len(candidates)}
    trained = {"failures": [failure.reason for failure in made.failures], "heads": by_head(made.results)}
    keep("hundred", about | {"count": COUNT, "seconds": seconds, "cores": usable_cores()} | trained)


if __name__ == "__main__":
    main()
