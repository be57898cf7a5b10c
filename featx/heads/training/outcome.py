"""Measures a trained head on the test rows, and records what is needed to repeat the training."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, label_sources
from featx.hashing import hash_columns
from featx.heads.evaluate import predict_rows
from featx.heads.head import Head
from featx.heads.results import Penalty, Result, pack
from featx.heads.training.choosing import STACKED
from featx.heads.training.development import DevelopmentSet
from featx.heads.training.tuning import TunedPipeline
from featx.heads.training.validating import Tuning
from featx.heads.transferred import TARGET_ALONE, Transferred
from featx.heads.used_views import UsedViews
from featx.labels import Labels
from featx.measures import (
    HeadMetrics,
    measure,
    resample_measure,
)
from featx.provenance import versions
from featx.tables import Split


@dataclass(frozen=True)
class Training:
    """How a head was trained."""

    split: Split
    development: DevelopmentSet
    tuned: TunedPipeline
    fusion: str
    """Name of the fusion, or empty."""
    tuning: Tuning
    """Where parameters were chosen, and why there."""
    seed: int
    transferred: Transferred | None = None
    """What was taken over from heads of other images."""
    views: UsedViews | None = None
    """Which views of images are used, and what they are worth; None for view 0, if nobody asked."""


def measure_head(head: Head, table: FeatureTable, *, training: Training) -> Result:
    """The result of the head on the test rows of the split; its `seconds` are 0 until the caller sets them."""
    split = training.split
    tuned = training.tuned
    probabilities, labels = predict_rows(head, table, split.test)
    metrics = measure(probabilities, labels, seed=training.seed)
    if split.blocks is not None and table.groups is None:
        metrics = replace(metrics, interval=f"{metrics.interval}; neighbours, which may be alike, count as independent")
    return Result(
        head=head.name,
        fusion=training.fusion,
        table=table.digest,
        images=hash_columns([table.names]),
        backbones=label_sources(table.sources),
        identities=tuple(source.backbone for source in table.sources),
        params=tuned.params,
        penalty=_penalty(training),
        edge=tuned.edge,
        folds=training.tuning.folds,
        balanced=training.development.balanced,
        tuned=_describe_tuning(training),
        validated=tuned.measure,
        temperature=head.temperature,
        metrics=metrics,
        rows=_count_rows(table, split),
        split=split.rule,
        split_key=split.key,
        shots=split.shots,
        test=hash_columns([table.names[split.test]]),
        domain=table.domain_of(split.test),
        guesses=None if head.multilabel else pack(probabilities.argmax(axis=1)),
        drawn=_resample(probabilities, labels, metrics, seed=training.seed) if head.multilabel else None,
        classes=head.classes,
        seed=training.seed,
        seconds=0.0,
        versions=versions(),
        tuning=training.tuning.name,
        tuning_reason=training.tuning.reason,
        transferred=training.transferred,
        views=training.views,
    )


def _resample(probabilities: NDArray[np.float64], labels: Labels, metrics: HeadMetrics, *, seed: int) -> str | None:
    """Average precision on resamples of the test rows, packed; None if it is undefined."""
    if metrics.average_precision is None:
        return None
    return pack(resample_measure(probabilities, labels, measure="average_precision", seed=seed))


def _penalty(training: Training) -> Penalty | None:
    """The strength of regularisation of the classifier; None if it has none, or one for each block."""
    if training.fusion == STACKED:
        return None
    params = training.tuned.params
    of_classifier = {name.rpartition("__")[2]: value for name, value in params.items() if "classifier__" in name}
    if "l2" in of_classifier:
        l2 = of_classifier["l2"]
    elif "C" in of_classifier:
        l2 = 1 / of_classifier["C"]
    else:
        return None
    development = training.development
    total = float(development.labels.take(development.final_rows).weights.sum())
    return Penalty(l2, l2 / total, 1 / l2)


def _describe_tuning(training: Training) -> str:
    """How parameters were chosen. Results on disk contain this sentence: a changed word makes equal results differ."""
    development = training.development
    split = training.split
    accuracy = "balanced accuracy" if development.balanced else "accuracy"
    best = f"best {'mean average precision' if development.labels.multilabel else accuracy}"
    if development.cautious:
        best = f"strongest penalty within a standard error of the {best}"
    if training.transferred and training.transferred.way != TARGET_ALONE:
        best = "lowest log loss"
    folds = training.tuning.folds
    rows = f"{folds} folds of all but the test images" if folds else f"{len(split.validation)} validation images"
    fitted = "refitted with them" if split.refit else "not refitted with them"
    where = f"{rows} ({training.tuning.reason})"
    return f"{best} on {where}, {fitted}; every step fitted without the images it is judged by"


def _count_rows(table: FeatureTable, split: Split) -> dict[str, int]:
    return {
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
        "unlabelled": int((~table.labelled).sum()),
        "failed": len(table.failed),
    }
