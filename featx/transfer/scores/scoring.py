"""Scores sources on the images that a head would learn from: how well each may transfer, without training any head."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, Source, label_sources
from featx.errors import ChoiceError, did_you_mean
from featx.labels import Labels
from featx.measures import Interval
from featx.showing import Overview, Shown, shorten
from featx.tables import (
    GivenTables,
    RowIndices,
    as_tables,
    check_range,
    fuse_tables,
    separate_blocks,
    split_table,
)
from featx.transfer.scores.clock import Clock, Timed
from featx.transfer.scores.left_out import LeaveOut, LeftOut
from featx.transfer.scores.measured import Measured
from featx.transfer.scores.neighbours import QUERIES
from featx.transfer.scores.pac_bound import ROWS
from featx.transfer.scores.pareto import cost_notes, with_costs
from featx.transfer.scores.ranking import RankedSource, rank_sources
from featx.transfer.scores.rows import Indices, LabelledRows, usable_rows
from featx.transfer.scores.scorers import OF_CLASS_SCORES, SCORERS, is_defined, is_known
from featx.transfer.scores.spectrum import collect, decompose

SCORES = {
    "ridge": "accuracy of ridge regression on images that were left out",
    "press": "share of the variance of the classes that ridge regression predicts on images that were left out",
    "logme": "log-evidence of a Bayesian linear model, in nats per image",
    "knn": "accuracy of the 20 nearest neighbours",
    "class-mean": "accuracy of the nearest class mean on images that were left out",
    "leep": "log-likelihood of the labels by the classes of the source, in nats per image",
    "nce": "minus the entropy of the labels, given the class that the source finds most likely, in nats per image",
    "nleep": "LEEP of clusters of the features, in nats per image",
    "gbc": "minus the overlap of the classes, if each is Gaussian",
    "transrate": "nats by which the features are coded shorter if the classes are known",
    "h-score": "variance between the classes, relative to the variance of the features",
    "pactran": "minus a bound on the loss of a linear classifier on images never seen, in nats per image",
}
"""What each score is; larger is better."""
DEFAULT_SCORES = ("ridge", "press", "logme")
FEW_PER_CLASS = 20
"""With fewer images a class, every score is weak."""


@dataclass(frozen=True)
class SourceScore:
    """One score of one source, which is one output of one backbone.

    >>> import featx
    >>> row = featx.score_transferability(["photos.h5"]).rows[0]
    >>> row.backbone, row.output, row.score
    ('efficientnet-lite0', 'features', 'ridge')
    """

    backbone: str
    output: str
    score: str
    value: float | None
    """Larger is better; None if the score is not defined for such labels."""
    ci: Interval | None
    """95 % interval of an accuracy, over images or over groups; None for other scores."""
    seconds: float
    """How long it took, with what all scores of the source share."""


@dataclass(frozen=True, repr=False)
class TransferScores(Shown):
    """The scores of all sources, and the ranking that follows from them.

    >>> import featx
    >>> featx.score_transferability(["photos.h5"])
    TransferScores: 1 source
      to train: efficientnet-lite0:features
    """

    rows: tuple[SourceScore, ...]
    ranking: tuple[RankedSource, ...]
    notes: tuple[str, ...]
    """Which images were scored, what is not defined, and how sure the ranking is."""

    def overview(self) -> Overview:
        """The sources that the images cannot tell from the first."""
        tied = [f"{one.backbone}:{one.output}" for one in self.ranking if one.tied]
        count = len(self.ranking)
        return Overview(f"TransferScores: {count} source{'s' * (count > 1)}", (("to train", shorten(tied)),))


def score_transferability(
    tables: GivenTables, *, scores: Sequence[str] = DEFAULT_SCORES, rows: RowIndices | None = None, seed: int = 0
) -> TransferScores:
    """The scores of every output in these tables for their labels, and the outputs in the order of their promise.

    Tables are of the same images; paths of caches are read. Only images that a head would learn from are scored: those
    of the training and validation split, or of the split that `train_head` would draw with this seed, or these `rows`
    of the joined table. No test image is looked at. Sources are ranked by the accuracy of ridge regression on images
    that were left out (whole groups, if there are groups). Sources within two paired standard errors of the first are
    tied: they are the ones to train, and `press` orders them. What an image has cost is beside it, and whether no
    other source is as accurate and cheaper. Raises TableError if the tables do not fit together or
    have fewer than two classes, ChoiceError for an unknown score.

    >>> import featx
    >>> found = featx.score_transferability(["photos.h5"])
    >>> [(row.score, row.value > 0.5) for row in found.rows if row.score != "logme"]
    [('ridge', True), ('press', True)]
    >>> found.ranking[0].backbone
    'efficientnet-lite0'
    """
    check_scores(scores)
    given = as_tables(tables)
    joined = fuse_tables(given)
    learnt = split_table(joined, seed=seed).development if rows is None else rows
    blocks = separate_blocks(given, joined)
    sources = [_rows_of(block, learnt) for block in blocks]
    names = name_sources(joined.sources)
    scored = [_score(*source, scores=scores, seed=seed) for source in zip(sources, names, strict=True)]
    labels = sources[0].labels
    ranking = rank_sources(names, [one.left_out for one in scored], labels, seed=seed)
    of_names = dict(zip(names, (source.cost for source in joined.sources), strict=True))
    costs = [of_names[one.backbone, one.output] for one in ranking]
    rows_of_all = tuple(row for one in scored for row in one.scores)
    notes = [*_notes(labels, scores, ranking, drawn=rows is None), *_notes_on_classes(sources, scores)]
    return TransferScores(rows_of_all, with_costs(ranking, costs), (*notes, *cost_notes(ranking, costs)))


def tables_of(tables: GivenTables, ranking: Sequence[RankedSource]) -> list[FeatureTable]:
    """One table for each of these sources, in this order; all have the same images, those of every table."""
    given = as_tables(tables)
    joined = fuse_tables(given)
    blocks = dict(zip(name_sources(joined.sources), separate_blocks(given, joined), strict=True))
    return [blocks[one.backbone, one.output] for one in ranking]


def check_scores(scores: Sequence[str]) -> None:
    """Raise ChoiceError for a score that does not exist."""
    for name in scores:
        if name not in SCORES:
            hint = did_you_mean(name, SCORES)
            raise ChoiceError(f"there is no score {name!r}{hint}; choose {', '.join(SCORES)}")


def name_sources(sources: Sequence[Source]) -> list[tuple[str, str]]:
    """The backbone, with its use of views, and the output of each source; backbones of equal sources are numbered."""
    uses = [f" ({source.view_use})" if source.view_use else "" for source in sources]
    pairs = [(source.name + use, source.output) for source, use in zip(sources, uses, strict=True)]
    labels = label_sources(sources)
    return [
        (label, output) if pairs.count((name, output)) > 1 else (name, output)
        for label, (name, output) in zip(labels, pairs, strict=True)
    ]


def _rows_of(block: FeatureTable, learnt: RowIndices) -> LabelledRows:
    """The rows of one source that are scored."""
    source = block.sources[0]
    return usable_rows(
        partial(_read, block, learnt),
        block.labels_of(learnt),
        columns=block.dim,
        class_scores=source.output == source.card.get("classifier"),
        kind=str(source.card.get("classifier_kind") or ""),
    )


def _read(block: FeatureTable, learnt: RowIndices, rows: Indices) -> NDArray[np.float32]:
    """The features of these rows of those that are scored. Raises TableError for numbers out of range."""
    features = block.take(learnt[rows])
    block.release()
    check_range(features, lambda row: f"the features of {block.name(int(learnt[rows[row]]))} are")
    return features


@dataclass(frozen=True)
class _Scored:
    """One source with its scores."""

    left_out: LeftOut
    scores: tuple[SourceScore, ...]


def _score(rows: LabelledRows, source: tuple[str, str], *, scores: Sequence[str], seed: int) -> _Scored:
    """All scores of one source, by two passes over its features, and a third for images with several labels."""
    clock = Clock()
    with clock.time():
        spectrum = decompose(rows, class_rates="transrate" in scores and is_known("transrate", rows))
    leave_out = LeaveOut(rows, spectrum)
    scorers = {name: SCORERS[name](rows, spectrum, leave_out, seed) for name in scores if is_known(name, rows)}
    collect(rows, spectrum, [Timed(leave_out, clock), *(Timed(one, clock, name) for name, one in scorers.items())])
    found = []
    for name in scores:
        with clock.time(name):
            measured = scorers[name].measured() if name in scorers else Measured(None)
        found.append(SourceScore(*source, name, measured.value, measured.ci, clock.seconds(name)))
    return _Scored(leave_out.result(), tuple(found))


def _notes(labels: Labels, scores: Sequence[str], ranking: Sequence[RankedSource], *, drawn: bool) -> Iterator[str]:
    """What a reader must know."""
    groups = "" if labels.groups is None else f" in {len(np.unique(labels.groups))} groups, left out as wholes"
    which, untouched = ("training and validation images", "; no test image was looked at") if drawn else ("images", "")
    yield f"scored on {len(labels):,} {which}{groups}{untouched}"
    if len(labels) < FEW_PER_CLASS * len(labels.classes):
        per_class = len(labels) / len(labels.classes)
        yield f"weak: {per_class:.0f} images a class are few to choose a source by; compare the tied ones by training"
    undefined = [name for name in scores if not is_defined(name, labels)]
    if undefined:
        yield f"not defined for such labels: {', '.join(undefined)}"
    if "knn" in scores and len(labels) > QUERIES:
        yield f"knn: of {QUERIES:,} images that were drawn, among all"
    if "pactran" in scores and len(labels) > ROWS:
        yield f"pactran: of {ROWS:,} images that were drawn"
    tied = sum(one.tied for one in ranking)
    if tied > 1:
        yield f"train the first {tied}: the images cannot tell them apart"


def _notes_on_classes(sources: Sequence[LabelledRows], scores: Sequence[str]) -> Iterator[str]:
    """What is missing for the scores that read the classes of a source."""
    wanted = [name for name in scores if name in OF_CLASS_SCORES]
    if wanted and not any(rows.class_scores for rows in sources):
        yield (
            f"{' and '.join(wanted)} read the class scores of the source model: extract them beside the features "
            "with --output logits"
        )
