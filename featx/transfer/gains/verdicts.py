"""Compares sources with baselines, from the results of candidates that were trained on the same splits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from featx.cache import Source
from featx.compare import Candidate, SplitImages
from featx.errors import ChoiceError, TableError, did_you_mean
from featx.heads import Result
from featx.transfer.gains.gain import MAJORITY, Gain, correct_rows
from featx.transfer.gains.judging import Judged, judge
from featx.transfer.gains.parts import notes_on_parts
from featx.transfer.gains.predictors import Predictor, join_results, majority_predictor


def judge_gain(candidates: Sequence[Candidate], results: Sequence[Result], *, against: Sequence[str] = ()) -> Gain:
    """The gain of each source among the candidates, from the results of all; nothing is trained.

    The baselines are the sources whose card has `baseline`, or those named by `against` (a backbone, or
    `backbone:output`), and always the class that is most frequent in the training rows, `majority`. For each number of
    shots the best of them, with any head, is chosen by validation images alone. Every other source is compared with it
    on the same test images: by the paired bootstrap on one split (over groups by a t-test), by a t-test on several.
    p-values are corrected by Holm's method over all rows; a row is `helps` or `harms` below 0.05, else `undecided`. The
    same test on each class and each group alone is corrected over the classes, or groups, of its row. Only candidates
    on a single source count. A source that lacks a result on some split is left out, as a note says.

    Raises ChoiceError if `against` names something else, TableError if all sources are baselines, or if no candidate is
    on a single source.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["ridge"], splits=featx.make_splits)
    >>> gain = featx.judge_gain(candidates, featx.compare_backbones(candidates, jobs=1).results)
    >>> gain.rows[0].baseline, round(gain.rows[0].baseline_accuracy, 2), gain.rows[0].verdict
    ('majority', 0.2, 'helps')
    """
    single = [candidate for candidate in candidates if len(candidate.backbones) == 1]
    if not single:
        raise TableError("no candidate is on a single source; give the candidates of each source alone")
    baselines = choose_baselines(single, against)
    by_key = {result.key: result for result in results}
    kinds = dict.fromkeys(candidate.split.kind for candidate in single)
    compared = [
        _compare_kind([one for one in single if one.split.kind == kind], by_key, baselines=baselines) for kind in kinds
    ]
    rows = correct_rows([row for kind in compared for row in kind.judged.rows])
    notes = [*_notes(single, baselines), *dict.fromkeys(note for kind in compared for note in kind.notes)]
    of_baselines = tuple(one for kind in compared for one in kind.judged.baselines)
    return Gain(rows, of_baselines, measure_name(single[0]), tuple(notes))


def measure_name(candidate: Candidate) -> str:
    """The measure by which heads on such images are compared."""
    if candidate.table.multilabel:
        return "average_precision"
    return "balanced_accuracy" if candidate.balanced else "accuracy"


def choose_baselines(candidates: Sequence[Candidate], against: Sequence[str]) -> frozenset[str]:
    """The labels of the sources that are baselines.

    Raises ChoiceError for a name that no source has, TableError if no source is left.
    """
    sources = {candidate.backbones[0]: candidate.table.sources[0] for candidate in candidates}
    names = {name for label, source in sources.items() for name in _names(label, source)}
    for name in against:
        if name not in {*names, MAJORITY}:
            choices = ", ".join((*sorted(sources), MAJORITY))
            raise ChoiceError(
                f"there is no source {name!r} to compare with{did_you_mean(name, names)}; choose {choices}"
            )
    chosen = frozenset(label for label, source in sources.items() if _is_baseline(label, source, against))
    if len(chosen) == len(sources):
        raise TableError(
            f"every source is a baseline ({', '.join(sorted(chosen))}); add the cache of a source that may transfer, "
            "or name with --against (against=) what it is compared with"
        )
    return chosen


def _names(label: str, source: Source) -> set[str]:
    """All names by which a source can be called."""
    return {label, source.name, f"{source.name}:{source.output}"}


def _is_baseline(label: str, source: Source, against: Sequence[str]) -> bool:
    if against:
        return bool(_names(label, source) & set(against))
    return bool(source.card.get("baseline", ""))


@dataclass(frozen=True)
class _Kind:
    """What came out on one kind of split."""

    judged: Judged
    notes: tuple[str, ...]


def _compare_kind(
    candidates: Sequence[Candidate], results: Mapping[str, Result], *, baselines: frozenset[str]
) -> _Kind:
    by_split = list({candidate.split.key: candidate for candidate in candidates}.values())
    first = by_split[0]
    splits = [candidate.split for candidate in by_split]
    images = SplitImages.of(first.table, splits, balanced=first.balanced, seed=first.seed)
    predictors = dict[str, Predictor]()
    notes = []
    for name, group in _by_variant(candidates).items():
        predictor = join_results(group, results, images) if len(group) == len(splits) else None
        if predictor is None or np.isnan(predictor.values).any():
            notes.append(f"{name}: not judged on {splits[0].kind}, for it has no result on every split")
        else:
            predictors[name] = predictor
    majority = majority_predictor(first.table, images, folds=[candidate.folds for candidate in by_split])
    of_baselines = [one for one in predictors.values() if one.label in baselines]
    sources = [one for one in predictors.values() if one.label not in baselines]
    return _Kind(judge(images, sources, [*of_baselines, majority]), (*notes, *notes_on_parts(images)))


def _by_variant(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """The candidates that differ only in their split, together."""
    groups = dict[str, list[Candidate]]()
    for candidate in candidates:
        groups.setdefault(candidate.variant, []).append(candidate)
    return groups


def _notes(candidates: Sequence[Candidate], baselines: frozenset[str]) -> Iterator[str]:
    """How to read the rows."""
    measure = measure_name(candidates[0]).replace("_", " ")
    named = ", ".join((*sorted(baselines), "the majority class"))
    yield f"difference: {measure} with the source minus {measure} of the best baseline, on the same test images"
    yield f"baselines: {named}; for each number of shots the best one on validation images counts"
    yield "p: Holm's correction over all rows; of classes and of groups, within each row"
    if not baselines:
        yield (
            "no backbone is a baseline: extract raw-pixels, or the same network with random weights, beside the "
            "sources to see whether more than the frequency of the classes is beaten"
        )
