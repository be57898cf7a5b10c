"""Trains a head that takes over parameters of heads of other images, where that helps on images of the target."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.errors import HeadError
from featx.heads import (
    AUTO,
    TARGET_ALONE,
    Calibration,
    DevelopmentSet,
    Head,
    Result,
    SourceOfHead,
    Training,
    Transferred,
    TunedPipeline,
    calibrate,
    choose_tuning,
    complete_head,
    fit_tuned,
    held_out_scores,
    is_of_training,
    load_head,
    make_development_set,
    measure_validation,
)
from featx.labels import Labels
from featx.tables import GivenTables, Split, as_table, split_table
from featx.transfer.parameters.choosing import MARGIN, NOTHING, Chosen, Judge, SourceSelection, Way, pooled_way
from featx.transfer.parameters.drawing import Drawing
from featx.transfer.parameters.pooling import Pool, Pooling, make_pool
from featx.transfer.parameters.sources import DRAWN_HEADS, LinearSource, linear_source

logger = logging.getLogger(__name__)


MOST_SEEN = 5_000
"""Images of the target that say what the mean and scale of its columns are; at most twice as many."""


def transfer_head(
    table: GivenTables,
    name: str,
    *,
    sources: Sequence[Head | Path | str],
    pool: GivenTables | None = None,
    split: Split | None = None,
    tuning: str = AUTO,
    balanced: bool = False,
    seed: int = 0,
    jobs: int | None = None,
) -> tuple[Head, Result]:
    """The head of this name for a target domain, drawn towards heads of other domains, and its result on test rows.

    `table` is the target, as `train_head` takes it. `sources` are heads, or paths of head files, of the same backbones;
    their classes are matched by name. The head minimises loss + l2 / 2 x |W - sum of gamma W_s|^2, where W_s are the
    coefficients of a source on the features of the target. These are first given the mean and scale that each column
    has in the source, if its head knows them; images of the target that are not tested, with or without labels, say
    what they are there.

    The first source is used with gamma 3/4, an l2 of a tenth of the number of columns, and the change of the intercept
    penalised too; with another gamma (1/4, 1/2, 1), penalty, free intercepts or unchanged features if that makes
    validation images more likely by a factor of e^5 (148, about as many as are tried); and not at all if they are more
    likely without it by a factor of e (2.7). The head is then the one that `train_head` gives. Further sources must
    lower the log loss on validation images by 5 %; so must, with `pool`, a fit to labelled images of source and target
    together. A source that is not better than chance on test images of its own is never used. Few-shot splits validate
    in both directions, and the head is fitted to the training rows. `result.transferred` says what was taken over.

    Raises HeadError for a head other than logreg, ridge and linear-svm, for a source that is not linear in its
    features, is of other backbones or views or shares fewer than two classes, and for images with several labels.

    >>> import featx
    >>> source, _ = featx.train_head("photos.h5", "ridge", jobs=1)
    >>> head, result = featx.transfer_head("photos.h5", "ridge", sources=[source], jobs=1)
    >>> result.transferred.way in ("target", "drawn"), len(result.transferred.sources)
    (True, 1)
    """
    start = time.perf_counter()
    table = as_table(table)
    split = split or split_table(table, seed=seed)
    _check(table, name, sources)
    chosen = choose_tuning(table, split, head=name, tuning=tuning, seed=seed)
    development = make_development_set(table, split, folds=chosen.folds, balanced=balanced, seed=seed)
    loaded = _load(sources, table, split=split, development=development, name=name)
    transfer = _Transfer(name, table, split, development, loaded)
    # BLAS threads that wait for each other make a small fit many times slower
    with threadpool_limits(None if development.large else 1):
        alone = fit_tuned(name, "", development=development, seed=seed, jobs=jobs)
        outcome = transfer.choose(alone[0], None if pool is None else _pool(pool, table, development))
        tuned, pipeline, calibration = alone if outcome.way is None else _fitted(outcome.way, transfer.judged)
    training = Training(split, development, tuned, fusion="", tuning=chosen, seed=seed)
    about = replace(training, transferred=outcome.transferred)
    return complete_head(name, pipeline, table=table, training=about, calibration=calibration, start=start)


def _check(table: FeatureTable, name: str, sources: Sequence[Head | Path | str]) -> None:
    if name not in DRAWN_HEADS:
        raise HeadError(f"head {name!r} cannot be drawn towards a source; choose from {', '.join(DRAWN_HEADS)}")
    if table.multilabel:
        raise HeadError(
            "images with several labels cannot take over parameters of a head; give one label for each image with "
            "--annotations, or train without --from"
        )
    if any(source.view_rule == "rows" for source in table.sources):
        raise HeadError("a head of single views cannot take over parameters; read the table with views first or mean")
    if not sources:
        raise HeadError("no source was given; name a head file with --from")


def _load(
    sources: Sequence[Head | Path | str], table: FeatureTable, *, split: Split, development: DevelopmentSet, name: str
) -> list[LinearSource]:
    heads = [one if isinstance(one, Head) else load_head(one) for one in sources]
    for head in heads:
        if is_of_training(head, table):
            logger.warning(
                "the source head %r was trained on these same images, so validation and test images are no news to it: "
                "what is measured here is too good",
                head.name,
            )
    seen = _seen(table, split)
    return [linear_source(head, table, classes=development.labels.classes, name=name, seen=seen) for head in heads]


def _seen(table: FeatureTable, split: Split) -> NDArray[np.float32]:
    """(m, d): features of some images of the target that are not tested, with or without labels."""
    rows = np.setdiff1d(np.arange(len(table)), split.test)
    if table.groups is not None:
        rows = rows[~np.isin(table.groups[rows], table.groups[split.test])]
    if table.weights is not None:
        rows = rows[table.weights[rows] > 0]
    return table.take(rows[:: max(1, len(rows) // MOST_SEEN)])


def _pool(pool: GivenTables, table: FeatureTable, development: DevelopmentSet) -> Pool:
    return make_pool(as_table(pool, sources=table.sources), table, classes=development.labels.classes)


@dataclass(frozen=True)
class _Outcome:
    """The way that was chosen, None for the target alone; and what is said about it."""

    way: Way | None
    transferred: Transferred


@dataclass(frozen=True)
class _Transfer:
    """The ways to train one head, and what is needed to compare them."""

    name: str
    table: FeatureTable
    split: Split
    development: DevelopmentSet
    sources: Sequence[LinearSource]

    def choose(self, alone: TunedPipeline, pool: Pool | None) -> _Outcome:
        """The best way by the log loss of validation rows: another one than the target alone only by a margin."""
        judged = self.judged
        judge = Judge(judged.labels_of(judged.validation_rows))
        target_loss = calibrate(held_out_scores(alone.pipeline, judged), judge.labels).loss
        chosen = self._draw(judge, target_loss)
        losses = {"target": min(one.alone for one in chosen)}
        drawn = [one.loss for one in chosen if one.loss is not None]
        losses |= {"drawn": min(drawn)} if drawn else {}
        best = min((one.way for one in chosen if one.way), key=lambda way: way.loss, default=None)
        pooling = None if pool is None else Pooling(self.name, judged, pool, tested=self._tested)
        if pooling is not None:
            pooled = pooled_way(pooling, judge)
            losses["pooled"] = pooled.loss
            if pooled.loss < (1 - MARGIN) * (best.loss if best else losses["target"]):
                best = pooled
        return _Outcome(best, self._describe(best, chosen, losses=losses, pooling=pooling))

    def _draw(self, judge: Judge, target_loss: float) -> list[Chosen]:
        """What is chosen of the sources that bring features to length 1, and of the others: a head does one or not."""
        found = []
        for normalises in dict.fromkeys(source.normalises for source in self.sources):
            alike = [source for source in self.sources if source.normalises == normalises]
            drawing = Drawing(self.name, self.judged, normalises=normalises)
            found.append(SourceSelection(drawing, alike, judge, target_loss=target_loss).choose())
        return found

    @cached_property
    def judged(self) -> DevelopmentSet:
        """The development set; one of few shots with both directions, so that all its few labels have a say."""
        if self.split.refit:
            return self.development
        turned = [(held_out, fit) for fit, held_out in self.development.folds]
        return replace(self.development, folds=(*self.development.folds, *turned))

    @property
    def _tested(self) -> NDArray[np.bytes_] | None:
        """The groups of the test images, of which no image of the source may be."""
        return None if self.table.groups is None else self.table.groups[self.split.test]

    def _describe(
        self, way: Way | None, chosen: Sequence[Chosen], *, losses: dict[str, float], pooling: Pooling | None
    ) -> Transferred:
        sources = tuple(self._source(one, chosen, way) for one in self.sources)
        known = np.any([source.known for source in self.sources], axis=0)
        used = [source.known for source, said in zip(self.sources, sources, strict=True) if said.admitted]
        taken = np.any(used, axis=0) if used else np.zeros(len(known), bool)
        labels = self.development.labels
        return Transferred(
            way=way.name if way else TARGET_ALONE,
            gamma=sum(source.gamma for source in sources),
            classes=_names(labels, taken),
            new_classes=_names(labels, ~known),
            sources=sources,
            losses=losses,
            images=pooling.images() if pooling and way and way.weight else 0,
            weight=way.weight if way else 0.0,
            pool=pooling.pool.table.digest if pooling else "",
        )

    def _source(self, source: LinearSource, chosen: Sequence[Chosen], way: Way | None) -> SourceOfHead:
        """What became of a source in the way that was chosen."""
        (own,) = (one for one in chosen if source in one.sources)
        place = own.sources.index(source)
        term, why = own.terms[place], own.reasons[place]
        if term.gamma and way is not None and way is not own.way:
            term, why = NOTHING, f"{why}; but {_OTHERS[way.name]}"
        return SourceOfHead(
            head=source.head.name,
            backbones=source.backbones,
            digest=source.digest,
            classes=_names(self.development.labels, np.array(source.known)),
            dropped=tuple(name for name in source.head.classes if name not in self.development.labels.classes),
            gamma=term.gamma,
            why=why,
            standardised=term.gamma > 0 and len(source.variants) > 1 and term.variant == 0,
        )


_OTHERS = {
    "drawn": "the sources that are used treat the length of features in another way, and help more",
    "pooled": "images of the source help more",
}
"""Why a source that helps is not used, by the way that was chosen."""


def _names(labels: Labels, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, one in zip(labels.classes, chosen, strict=True) if one)


def _fitted(way: Way, judged: DevelopmentSet) -> tuple[TunedPipeline, Pipeline, Calibration]:
    """The way as tuning records it, its pipeline fitted to the final rows, and its temperature."""
    pipeline = way.fit()
    measured = measure_validation(way.scores, judged.labels_of(judged.validation_rows))
    tuned = TunedPipeline(
        pipeline, dict(way.params), measure=measured.measure, tried=way.tried, edge=False, scores=way.scores
    )
    return tuned, pipeline, calibrate(way.scores, judged.labels.take(judged.validation_rows))
