"""Ranks the candidates of a comparison and tests each against the best head on a single backbone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.compare.candidates import Candidate
from featx.compare.split_images import Outcome, Pairs, SplitImages, means_by_domain
from featx.heads import Result
from featx.measures import Comparison, mcnemar
from featx.showing import Overview, Shown
from featx.tables import Split

Tests: TypeAlias = Mapping[str, tuple[Comparison, ...]]
"""Field of RankedCandidate -> one comparison for each pair."""


@dataclass(frozen=True, repr=False)
class RankedCandidate(Shown):
    """One head on one backbone or several, with its results on all splits of one kind and its rank among the others.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["ridge"], splits=featx.make_splits)
    >>> results = featx.compare_backbones(candidates, jobs=1).results
    >>> best = featx.rank_candidates(candidates, results)[0]
    >>> best.name, best.rank, best.reference
    ('ridge on efficientnet-lite0', 1, True)
    """

    name: str
    head: str
    fusion: str
    backbones: tuple[str, ...]
    splits: str
    """Kind and number of the splits, such as `stratified` or `few-shot-4 x 5`."""
    results: tuple[Result, ...]
    """One for each split, in their order."""
    tested: tuple[str | None, ...] = ()
    """The domain that each of these splits tests, if each tests one; else None."""
    rank: int = 1
    """Place by `validated` among the candidates on this kind of split; equal values share a rank."""
    reference: bool = False
    """Whether this is the best head on a single backbone by `validated`, which all others are tested against.

    Of equal heads it is the one with the lower `validated_loss`, then the first.
    """
    chosen_per_split: float | None = None
    """Of the reference on splits that choose by each other's test images: the mean measure if each split chose anew.

    The mean of the reference itself is too good by chance: the validation images of all splits choose it, and these are
    test images of other splits. For this mean each split chooses by its own validation images only.
    """
    comparison: Comparison | None = None
    """Test against the reference; None for the reference, and if the measure is not defined on every split."""
    mcnemar: Comparison | None = None
    """McNemar's test against the reference; for the accuracy on one split, with one label per image and equal weights
    and no groups."""

    @property
    def values(self) -> NDArray[np.float64]:
        """(splits,): the measure on the test images of each split; NaN if it is not defined."""
        return np.array([result.value for result in self.results])

    @property
    def domains(self) -> dict[str, float]:
        """Tested domain -> the mean measure over its splits; empty unless splits test different domains."""
        return means_by_domain(self.values, self.tested)

    @property
    def validated(self) -> float:
        """Mean over the splits of the measure on the validation images; it alone decides ranks and the reference."""
        return float(np.mean([result.validated for result in self.results]))

    @property
    def validated_loss(self) -> float:
        """Mean over the splits of the log loss on the validation images; infinite for results of featx 0.1.0."""
        losses = [result.validated_loss for result in self.results]
        return float(np.mean([np.inf if loss is None else loss for loss in losses]))

    def overview(self) -> Overview:
        """The candidate's rank and measures, and its difference from the reference."""
        measure = self.results[0].measure.replace("_", " ")
        against = "is the best single backbone" if self.reference else ""
        if self.comparison:
            p = self.comparison.p_holm
            chance = "p unknown" if p is None else f"p {p:.3f}"
            against = f"{self.comparison.difference:+.3f} against the best single backbone, {chance}"
        facts = (
            (measure, f"{self.values.mean():.3f} on test images, {self.validated:.3f} on validation images"),
            ("difference", against),
        )
        return Overview(f"RankedCandidate: {self.name}, rank {self.rank} on {self.splits}", facts)

    def to_dict(self) -> dict[str, Any]:
        """The ranked candidate as plain JSON values, without its results."""
        own = ("name", "head", "fusion", "backbones", "splits", "rank", "reference")
        return {key: getattr(self, key) for key in own} | {
            "mean": _finite(self.values.mean()),
            "values": [_finite(value) for value in self.values],
            "domains": {name: _finite(value) for name, value in self.domains.items()},
            "validated": self.validated,
            "chosen_per_split": self.chosen_per_split,
            "measure": self.results[0].measure,
            "comparison": asdict(self.comparison) if self.comparison else None,
            "mcnemar": asdict(self.mcnemar) if self.mcnemar else None,
        }

    def to_record(self) -> dict[str, Any]:
        """The ranked candidate as one flat row: texts, numbers and None."""
        tested = self.comparison
        low, high = tested.interval if tested and tested.interval else (None, None)
        return {
            "name": self.name,
            "head": self.head,
            "fusion": self.fusion,
            "backbones": " + ".join(self.backbones),
            "splits": self.splits,
            "rank": self.rank,
            "reference": self.reference,
            "measure": self.results[0].measure,
            "mean": _finite(self.values.mean()),
            "deviation": _finite(self.values.std(ddof=1)) if len(self.results) > 1 else None,
            "validated": self.validated,
            "chosen_per_split": self.chosen_per_split,
            "difference": tested.difference if tested else None,
            "difference_low": low,
            "difference_high": high,
            "p": tested.p if tested else None,
            "p_holm": tested.p_holm if tested else None,
            "test": tested.test if tested else None,
        }


class Ranking(Shown, tuple[RankedCandidate, ...]):
    """The ranked candidates of a comparison, one kind of split after another, in the order of the candidates.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["ridge", "class-mean"], splits=featx.make_splits)
    >>> ranking = featx.rank_candidates(candidates, featx.compare_backbones(candidates, jobs=1).results)
    >>> [(row["head"], row["measure"]) for row in ranking.to_records()]
    [('ridge', 'accuracy'), ('class-mean', 'accuracy')]
    """

    __slots__ = ()

    def overview(self) -> Overview:
        """The candidate with rank 1 for each kind of split."""
        facts = []
        for splits, kind in groupby(self, key=lambda ranked: ranked.splits):
            best = min(kind, key=lambda ranked: ranked.rank)
            facts.append((splits, f"{best.name}, {best.values.mean():.3f} on test images"))
        return Overview(f"Ranking: {len(self)} candidates; the best on each kind of split:", tuple(facts))

    def to_records(self) -> list[dict[str, Any]]:
        """One flat row for each ranked candidate, as `pandas.DataFrame` and `polars.DataFrame` take them."""
        return [ranked.to_record() for ranked in self]


def rank_candidates(candidates: Sequence[Candidate], results: Sequence[Result]) -> Ranking:
    """The ranking of all candidates that have a result on every split of their kind, in the order of the candidates.

    Ranks and the reference, which is the best head on a single backbone, are chosen by validation images and not by the
    test images of the same split. On several splits, the validation images of one are test images of another, so that
    the mean of the reference is too good by chance; its `chosen_per_split` is not. Holm's correction is applied to the
    fusions on one kind of split together, and to the other heads on single backbones together.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["ridge", "class-mean"], splits=featx.make_splits)
    >>> results = featx.compare_backbones(candidates, jobs=1).results
    >>> ranking = featx.rank_candidates(candidates, results)
    >>> [(ranked.head, ranked.splits) for ranked in ranking]
    [('ridge', 'stratified'), ('class-mean', 'stratified')]
    """
    by_key = {result.key: result for result in results}
    kinds = dict.fromkeys(candidate.split.kind for candidate in candidates)
    return Ranking(
        ranked
        for kind in kinds
        for ranked in _rank_kind([candidate for candidate in candidates if candidate.split.kind == kind], by_key)
    )


def _rank_kind(candidates: Sequence[Candidate], results: Mapping[str, Result]) -> list[RankedCandidate]:
    """The ranked candidates on one kind of split."""
    complete = _join_splits(candidates, results)
    single = [ranked for ranked in complete if len(ranked.backbones) == 1]
    best = max(single, key=validity, default=None)
    tested = dict[str, RankedCandidate]()
    if best is not None:
        fused = [ranked for ranked in complete if len(ranked.backbones) > 1]
        others = [ranked for ranked in single if ranked is not best]
        one_per_split = list({candidate.split.key: candidate for candidate in candidates}.values())
        if _are_chosen_by_test_images([candidate.split for candidate in one_per_split]):
            tested[best.name] = replace(best, chosen_per_split=_choose_per_split(single))
        for family in (fused, others):
            tested |= {ranked.name: ranked for ranked in _test_family(family, best, one_per_split)}
    ranks = ranks_of([ranked.validated for ranked in complete])
    return [
        replace(tested.get(ranked.name, ranked), rank=rank, reference=ranked is best)
        for ranked, rank in zip(complete, ranks, strict=True)
    ]


def validity(ranked: RankedCandidate) -> tuple[float, float]:
    """Sorts heads, the best one last: by the measure on validation images, then by the log loss there."""
    return np.nan_to_num(ranked.validated, nan=-np.inf), -ranked.validated_loss


def _are_chosen_by_test_images(splits: Sequence[Split]) -> bool:
    """Whether images that one split chooses heads by are test images of another; of the same split they never are."""
    development = np.concatenate([split.development for split in splits])
    return bool(np.isin(development, np.concatenate([split.test for split in splits])).any())


def _choose_per_split(single: Sequence[RankedCandidate]) -> float | None:
    """The mean test measure of the heads that each split's own validation images choose; None if it is undefined."""
    by_split = [
        [replace(ranked, results=(result,)) for ranked, result in zip(single, results, strict=True)]
        for results in zip(*(ranked.results for ranked in single), strict=True)
    ]
    return _finite(float(np.mean([max(heads, key=validity).values[0] for heads in by_split])))


def _join_splits(candidates: Sequence[Candidate], results: Mapping[str, Result]) -> list[RankedCandidate]:
    """One ranked candidate for those that differ only in their split, unless a split has no result."""
    groups = dict[tuple[str, str], list[Candidate]]()
    for candidate in candidates:
        groups.setdefault((candidate.table.digest, candidate.variant), []).append(candidate)
    return [
        _join_group(group, tuple(results[candidate.key] for candidate in group))
        for group in groups.values()
        if all(candidate.key in results for candidate in group)
    ]


def _join_group(candidates: Sequence[Candidate], results: tuple[Result, ...]) -> RankedCandidate:
    first = candidates[0]
    kind = first.split.kind
    splits = f"{kind} x {len(results)}" if len(results) > 1 else kind
    tested = tuple(candidate.table.domain_of(candidate.split.test) for candidate in candidates)
    return RankedCandidate(first.variant, first.head, first.fusion, first.backbones, splits, results, tested)


def ranks_of(validated: Iterable[float]) -> list[int]:
    """The rank of each value, 1 for the highest; equal values share one, and NaN comes last."""
    values = np.nan_to_num(np.array(list(validated)), nan=-np.inf)
    return [1 + int(np.count_nonzero(values > value)) for value in values]


def _test_family(
    family: Sequence[RankedCandidate], best: RankedCandidate, one_per_split: Sequence[Candidate]
) -> list[RankedCandidate]:
    """Those of the family whose measure is defined on every split, with their tests against the best."""
    rivals = [rival for rival in family if np.isfinite(rival.values - best.values).all()]
    if not rivals:
        return []
    pairs = [(rival.name, best.name) for rival in rivals]
    first = one_per_split[0]
    splits = [candidate.split for candidate in one_per_split]
    images = SplitImages.of(first.table, splits, balanced=first.balanced, seed=first.seed)
    outcomes = {
        one.name: [images.outcome(result, place) for place, result in enumerate(one.results)] for one in (*rivals, best)
    }
    tests = {"comparison": images.compare(outcomes, pairs), **_mcnemar(images, outcomes, pairs)}
    by_pair = [dict(zip(tests, comparisons, strict=True)) for comparisons in zip(*tests.values(), strict=True)]
    return [replace(rival, **comparisons) for rival, comparisons in zip(rivals, by_pair, strict=True)]


def _mcnemar(images: SplitImages, outcomes: Mapping[str, Sequence[Outcome]], pairs: Pairs) -> Tests:
    """McNemar's test, for the accuracy on one split with one label per image, equal weights and no groups."""
    labels = images.labels[0]
    plain = labels.given_shares is None and labels.given_weights is None and labels.groups is None
    if len(images.splits) > 1 or images.multilabel or images.balanced or not plain:
        return {}
    return {"mcnemar": mcnemar({name: one.each for name, (one,) in outcomes.items()}, pairs, labels=labels)}


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
