"""Ranks results that were read from files, and tests them on the caches of their images, if these are at hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

import numpy as np

from featx.cache import FeatureTable
from featx.compare.candidates import Candidate
from featx.compare.ranking import RankedCandidate, Ranking, rank_candidates, ranks_of, validity
from featx.compare.split_images import predicted_classes
from featx.hashing import hash_columns
from featx.heads import Result, find_split
from featx.measures import class_correctness
from featx.settings import CENTER, TUNING_VIEWS
from featx.showing import show_views
from featx.tables import Split

MOST_TESTED = 1000
"""Most candidates on one kind of split that are tested against the best single one."""
SAME_ACCURACY = 1e-6
"""Largest difference of accuracies that are the same but for rounding."""


@dataclass(frozen=True, repr=False)
class MeasuredCandidate(Candidate):
    """A candidate whose result was read; its table has the images of the result, and perhaps other features."""

    result: Result | None = None

    @cached_property
    def key(self) -> str:
        """Key of the result that was read, whatever versions computed it."""
        assert self.result is not None
        return self.result.key

    @property
    def variant(self) -> str:
        """The name without the split, with what came from heads of other images."""
        assert self.result is not None
        return _name(self.result)


@dataclass(frozen=True)
class RankedResults:
    """The rankings of results that were read, one for each image set and way of measuring."""

    rankings: tuple[Ranking, ...]
    tested: tuple[bool, ...]
    """Whether candidates of the ranking were compared by paired tests, for which their images must be at hand."""
    candidates: tuple[MeasuredCandidate, ...]
    """Those that are tested, for learning curves."""
    notes: tuple[str, ...]
    """What was left out."""


def rank_results(results: Sequence[Result], tables: Sequence[FeatureTable] = ()) -> RankedResults:
    """The rankings of these results, with paired tests where a table has their images.

    Results of different images, seeds of training or class weights are in different rankings. Of several results of
    the same training the last one counts. Candidates that lack a split which others of their kind have are left out,
    and named in the notes.

    >>> import featx
    >>> from featx.compare import rank_results
    >>> table = featx.read_features("photos.h5")
    >>> results = [featx.train_head(table, head, jobs=1)[1] for head in ("ridge", "class-mean")]
    >>> found = rank_results(results, [table])
    >>> [(one.head, one.comparison is not None) for one in found.rankings[0]]
    [('ridge', False), ('class-mean', True)]
    >>> rank_results(results).tested
    (False,)
    """
    found = _Found(list(tables), {}, [], [], [], [])
    latest = {(_measured_alike(result), _variant(result), result.split_key): result for result in results}
    if len(latest) < len(results):
        left = len(results) - len(latest)
        found.notes.append(f"left out: {left} of {len(results)} results; later ones of the same head and split count")
    for _, own in groupby(sorted(latest.values(), key=_measured_alike), key=_measured_alike):
        found.add(_in_given_order(list(own), results))
    return RankedResults(tuple(found.rankings), tuple(found.tested), tuple(found.candidates), tuple(found.notes))


def _measured_alike(result: Result) -> tuple[str, bool, int, str]:
    return result.images, result.balanced, result.seed, result.measure


def _variant(result: Result) -> tuple[str, str, tuple[str, ...], str, tuple[str, ...]]:
    way = result.transferred.way if result.transferred else ""
    return result.head, result.fusion, result.backbones, way, _views_of(result)


def _views_of(result: Result) -> tuple[str, ...]:
    """The views that the head uses beside view 0; none for the eight symmetries, which names need not list."""
    used = () if result.views is None or result.views.names == TUNING_VIEWS else result.views.names
    return tuple(view for view in used if view != CENTER)


def _in_given_order(own: list[Result], results: Sequence[Result]) -> list[Result]:
    place = {id(result): index for index, result in enumerate(results)}
    return sorted(own, key=lambda result: place[id(result)])


@dataclass
class _Found:
    """What was found so far."""

    tables: list[FeatureTable]
    splits: dict[tuple[str, str], Split | None]
    rankings: list[Ranking]
    tested: list[bool]
    candidates: list[MeasuredCandidate]
    notes: list[str]

    def add(self, results: list[Result]) -> None:
        """Rank these results, which are of the same images and measured in the same way."""
        complete = [one for kind in _by_kind(results) for one in self._complete(kind)]
        if not complete:
            return
        ranking = [one for kind in _by_kind(complete) for one in _rank_kind(kind)]
        candidates = self._candidates(complete)
        if candidates:
            tests = {(one.name, one.splits): one for one in rank_candidates(candidates, complete)}
            ranking = [_with_tests(one, tests.get((one.name, one.splits))) for one in ranking]
        self.rankings.append(Ranking(ranking))
        self.tested.append(bool(candidates))
        self.candidates.extend(candidates)

    def _candidates(self, results: list[Result]) -> list[MeasuredCandidate]:
        """The candidates of these results, to be tested; none if a table or split of them is not at hand."""
        table = next((one for one in self.tables if _has_images(one, results[0])), None)
        if table is None:
            return []
        found = [self._candidate(table, result) for result in results]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return []
        if not all(map(_has_labels, known)):
            self.notes.append("no paired tests: the labels in the cache are not those that results were measured with")
            return []
        return self._few(known)

    def _complete(self, kind: list[Result]) -> list[Result]:
        """The results of candidates that have one on every split of their kind."""
        splits = {result.split_key for result in kind}
        of_variant = dict[object, list[Result]]()
        for result in kind:
            of_variant.setdefault(_variant(result), []).append(result)
        lacking = [own for own in of_variant.values() if len(own) < len(splits)]
        for own in lacking:
            self.notes.append(
                f"{own[0].head} on {' + '.join(own[0].backbones)} is left out: it has results on {len(own)} of "
                f"{len(splits)} {kind[0].split_key.partition('/')[0]} splits"
            )
        return [result for own in of_variant.values() if len(own) == len(splits) for result in own]

    def _candidate(self, table: FeatureTable, result: Result) -> MeasuredCandidate | None:
        """The candidate of the result; None if its split cannot be drawn from the table again."""
        place = (result.split_key, result.test)
        if place not in self.splits:
            self.splits[place] = find_split(table, result.split_key, test=result.test)
        split = self.splits[place]
        if split is None:
            return None
        return MeasuredCandidate(
            table,
            result.backbones,
            result.head,
            result.fusion,
            split,
            "auto",
            result.balanced,
            result.seed,
            result=result,
        )

    def _few(self, candidates: list[MeasuredCandidate]) -> list[MeasuredCandidate]:
        """The candidates, or of very many on one kind of split those that are best on validation images."""
        kept = list[MeasuredCandidate]()
        for kind in dict.fromkeys(one.split.kind for one in candidates):
            own = dict[str, list[MeasuredCandidate]]()
            for one in candidates:
                if one.split.kind == kind:
                    own.setdefault(one.variant, []).append(one)
            best = sorted(own.values(), key=_validated, reverse=True)[:MOST_TESTED]
            if len(best) < len(own):
                self.notes.append(
                    f"{kind}: tests are of the best {MOST_TESTED} of {len(own)} by validation images alone"
                )
            kept += [one for splits in best for one in splits]
        return kept


def _validated(candidates: Sequence[MeasuredCandidate]) -> float:
    return sum(one.result.validated for one in candidates if one.result is not None)


def _rank_kind(results: list[Result]) -> list[RankedCandidate]:
    """The candidates of these results on one kind of split, with ranks by validation images and without tests."""
    of_variant = dict[object, list[Result]]()
    for result in results:
        of_variant.setdefault(_variant(result), []).append(result)
    found = [_join(tuple(own)) for own in of_variant.values()]
    single = [one for one in found if len(one.backbones) == 1]
    best = max(single, key=validity, default=None)
    ranks = ranks_of([one.validated for one in found])
    return [replace(one, rank=rank, reference=one is best) for one, rank in zip(found, ranks, strict=True)]


def _join(results: tuple[Result, ...]) -> RankedCandidate:
    first = results[0]
    kind = first.split_key.partition("/")[0]
    splits = f"{kind} x {len(results)}" if len(results) > 1 else kind
    tested = tuple(result.domain for result in results)
    return RankedCandidate(_name(first), first.head, first.fusion, first.backbones, splits, results, tested)


def _name(result: Result) -> str:
    """Head, fusion and backbones, as candidates are called."""
    fusion = f" ({result.fusion})" if result.fusion else ""
    way = f", {result.transferred.way}" if result.transferred else ""
    views = f", views {show_views(others)}" if (others := _views_of(result)) else ""
    return f"{result.head}{fusion} on {' + '.join(result.backbones)}{way}{views}"


def _with_tests(ranked: RankedCandidate, tested: RankedCandidate | None) -> RankedCandidate:
    if tested is None:
        return ranked
    return replace(
        ranked,
        comparison=tested.comparison,
        mcnemar=tested.mcnemar,
        chosen_per_split=tested.chosen_per_split,
    )


def _has_labels(candidate: MeasuredCandidate) -> bool:
    """Whether the accuracy of the result follows from its predictions and these labels; of several labels, always."""
    result = candidate.result
    if result is None or result.metrics.labels == "several":
        return result is not None and candidate.table.multilabel
    labels = candidate.table.labels_of(candidate.split.test)
    if labels.multilabel or not set(result.classes) <= set(labels.classes) or len(labels) != result.metrics.n:
        return False
    correct = class_correctness(predicted_classes(result, labels), labels)
    return abs(float(np.average(correct, weights=labels.weights)) - result.metrics.accuracy) < SAME_ACCURACY


def _by_kind(results: list[Result]) -> list[list[Result]]:
    kinds = dict[str, list[Result]]()
    for result in results:
        kinds.setdefault(result.split_key.partition("/")[0], []).append(result)
    return list(kinds.values())


def _has_images(table: FeatureTable, result: Result) -> bool:
    return hash_columns([table.names]) == result.images
