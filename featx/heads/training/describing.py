"""A head that was trained, and how, in; its result on test rows, with what is needed to repeat it, out."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, label_sources
from featx.hashing import hash_columns
from featx.heads.evaluate import order_classes, predict_rows
from featx.heads.head import Head
from featx.heads.results import (
    Penalty,
    Result,
    pack,
)
from featx.heads.training.choosing import STACKED
from featx.heads.training.development import Lesson
from featx.heads.training.tuning import Tuned
from featx.labels import Labels
from featx.measures import (
    HeadMetrics,
    measure,
    resample_measure,
)
from featx.provenance import versions
from featx.tables import Split


def measure_head(
    head: Head,
    table: FeatureTable,
    *,
    split: Split,
    lesson: Lesson,
    tuned: Tuned,
    fusion: str,
    folds: int | None,
    seed: int,
) -> Result:
    """The result of the head on the test rows of the split; its seconds are still to be told."""
    probabilities = predict_rows(head, table, split.test)
    truth = order_classes(table.labels_of(split.test), head.classes)
    metrics = measure(probabilities, truth, seed=seed)
    if split.blocks is not None and table.groups is None:
        metrics = replace(metrics, interval=f"{metrics.interval}; neighbours, which may be alike, count as independent")
    return Result(
        head=head.name,
        fusion=fusion,
        table=table.digest,
        images=hash_columns([table.names]),
        backbones=label_sources(table.sources),
        identities=tuple(source.backbone for source in table.sources),
        params=tuned.params,
        penalty=_penalty(tuned, lesson, fusion),
        edge=tuned.edge,
        folds=folds,
        balanced=lesson.balanced,
        tuned=_how(lesson, split, folds),
        validated=tuned.measure,
        temperature=head.temperature,
        metrics=metrics,
        rows=_count(table, split),
        split=split.rule,
        split_key=split.key,
        shots=split.shots,
        test=hash_columns([table.names[split.test]]),
        guesses=None if head.multilabel else pack(probabilities.argmax(axis=1)),
        drawn=_resample(probabilities, truth, metrics, seed=seed) if head.multilabel else None,
        classes=head.classes,
        seed=seed,
        seconds=0.0,
        versions=versions(),
    )


def _resample(probabilities: NDArray[np.float64], truth: Labels, metrics: HeadMetrics, *, seed: int) -> str | None:
    if metrics.average_precision is None:
        return None
    return pack(resample_measure(probabilities, truth, measure="average_precision", seed=seed))


def _penalty(tuned: Tuned, lesson: Lesson, fusion: str) -> Penalty | None:
    """The strength of regularisation of the classifier, where it has one."""
    if fusion == STACKED:
        return None  # every block has its own
    of_classifier = {name.rpartition("__")[2]: value for name, value in tuned.params.items() if "classifier__" in name}
    l2 = of_classifier.get("l2", 1 / of_classifier["C"] if "C" in of_classifier else None)
    if l2 is None:
        return None
    total = float(lesson.truth.take(lesson.train).weights.sum())
    return Penalty(l2, l2 / total, 1 / l2)


def _how(lesson: Lesson, split: Split, folds: int | None) -> str:
    accuracy = "balanced accuracy" if lesson.balanced else "accuracy"
    best = "mean average precision" if lesson.truth.multilabel else accuracy
    rows = f"{folds} folds of all but the test images" if folds else f"{len(split.validation)} validation images"
    fitted = "refitted with them" if split.refit else "not refitted with them"
    return f"best {best} on {rows}, {fitted}; every step fitted without the images it is judged by"


def _count(table: FeatureTable, split: Split) -> dict[str, int]:
    return {
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
        "unlabelled": int((~table.labelled).sum()),
        "failed": len(table.failed),
    }
