"""Trains heads on sources and baselines, and measures what each source is worth."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from featx.compare import ComparisonProgress, compare_backbones
from featx.heads import AUTO
from featx.tables import FEW_SHOT_REPEATS, SHOTS, GivenTables, as_tables, fuse_tables
from featx.transfer.domains import Domains
from featx.transfer.gains.across import measure_across
from featx.transfer.gains.gain import Gain
from featx.transfer.gains.options import GainOptions
from featx.transfer.gains.verdicts import choose_baselines, judge_gain


def measure_gain(
    tables: GivenTables,
    *,
    to: GivenTables | None = None,
    against: Sequence[str] = (),
    heads: Sequence[str] = ("logreg",),
    shots: Sequence[int] = SHOTS,
    repeats: int = FEW_SHOT_REPEATS,
    balanced: bool = False,
    tuning: str = AUTO,
    seed: int = 0,
    jobs: int | None = None,
    into: Path | str | None = None,
    report: Callable[[ComparisonProgress], None] = lambda progress: None,
) -> Gain:
    """What each source in these tables is worth: the accuracy with it minus that of the best baseline, and a verdict.

    A source is one output of one backbone. `judge_gain` says what baselines are, and how verdicts follow. Every head is
    trained on every source with few labels, `repeats` draws for each of the possible `shots`, and with all training
    images of the split of rule `auto`; the splits are the same for all. Results are added to the file `into`, and taken
    from it, as by `compare_backbones`. What cannot be trained is in `failures`.

    With `to`, tables of another domain (the target), heads are trained on `tables` (the source) and tested on the
    target, without any label of it. Baselines are then what needs no transfer: the majority class of the target, and
    heads that are trained on `shots` labels of each class of the target. `against=["target"]` adds heads that are
    trained on all its labels, `against=["majority"]` leaves all heads out. Classes are matched by name.

    Raises TableError if the tables do not fit together or cannot be split, or if source and target have no class or
    no backbone in common, HeadError for an unknown head, and what `judge_gain` raises.

    >>> import featx
    >>> gain = featx.measure_gain(["photos.h5"], heads=["ridge"], shots=[2, 4], jobs=1)
    >>> [(row.shots, row.verdict) for row in gain.rows]
    [(2, 'helps'), (4, 'helps'), (None, 'helps')]
    """
    options = GainOptions(heads, shots, repeats, balanced, tuning, seed)
    given = as_tables(tables)
    if to is not None:
        domains = Domains.of(given, as_tables(to))
        return measure_across(domains, options=options, against=against, jobs=jobs, into=into, report=report)
    candidates = options.list_candidates(given)
    choose_baselines(candidates, against)
    compared = compare_backbones(candidates, into=into, jobs=jobs, report=report)
    gain = judge_gain(candidates, compared.results, against=against)
    notes = (*gain.notes, *options.notes(fuse_tables(given)))
    return replace(gain, notes=notes, failures=compared.failures)
