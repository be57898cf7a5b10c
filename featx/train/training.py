"""A table and the name of a head in; the head, tuned and fitted on training rows, and its result on test rows out."""

import time
from dataclasses import replace

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx.cache import FeatureTable, label_sources
from featx.errors import HeadError
from featx.estimators import FeatureScaler, StackedBlocks, class_scores
from featx.evaluate import evaluate_head
from featx.heads import Head, plan_head
from featx.measures import fit_temperature
from featx.provenance import hash_columns, versions
from featx.results import Penalty, Result, pack
from featx.splits import Split, split_table
from featx.train.fitting import fit_pipeline
from featx.train.lesson import Lesson, make_lesson
from featx.train.tuning import Tuned, tune

STACKED = "stacked"
"""The fusion of heads: each block has its own, and one more weighs what they say."""
STACKED_HEADS = ("logreg", "linear-svm", "rbf-svm", "ridge", "knn", "class-mean", "mlp")


def train_head(
    table: FeatureTable,
    name: str,
    *,
    fusion: str = "",
    split: Split | None = None,
    folds: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> tuple[Head, Result]:
    """The fitted head of this name, and its result on rows that neither fitting nor tuning saw.

    Parameters are chosen on the validation rows of the split, or on so many folds of all rows but the test rows; every
    step is fitted without the rows it is judged by. Then the head is fitted on training and validation rows together;
    of few-shot splits, on training rows alone. `jobs` processes share the tuning (default: one a core, where the
    features are small). Raises TableError where the labels cannot be split, HeadError for an unknown head or fusion,
    ConvergenceError where a fit does not converge.
    """
    start = time.perf_counter()
    split = split or split_table(table, seed=seed)
    lesson = make_lesson(table, split, folds=folds, seed=seed)
    choose = _choose_stacked if fusion == STACKED else _choose
    pipeline, tuned = choose(name, fusion, lesson, seed=seed, jobs=jobs)
    temperature = _temperature(pipeline, lesson)
    fitted = fit_pipeline(pipeline, lesson, lesson.train)
    truth = lesson.truth
    head = Head(name, truth.classes, tuned.params, table.sources, {}, fitted, temperature, truth.multilabel)
    metrics = evaluate_head(head, table, rows=split.test, seed=seed)
    result = Result(
        head=name,
        fusion=fusion,
        table=table.digest,
        backbones=label_sources(table.sources),
        params=tuned.params,
        penalty=_penalty(tuned, lesson),
        edge=tuned.edge,
        folds=folds,
        tuned=_how(lesson, split, folds),
        validated=tuned.measure,
        temperature=temperature,
        metrics=metrics,
        rows=_count(table, split),
        split=split.rule,
        split_key=split.key,
        shots=split.shots,
        test=hash_columns([table.names[split.test]]),
        guesses=pack(head.predict_probabilities(table.take(split.test)).argmax(axis=1)),
        classes=head.classes,
        seed=seed,
        seconds=round(time.perf_counter() - start, 3),
        versions=versions(),
    )
    return replace(head, training=result.to_dict()), result


def _choose(name: str, fusion: str, lesson: Lesson, *, seed: int, jobs: int | None) -> tuple[Pipeline, Tuned]:
    plan = plan_head(
        name,
        fusion=fusion,
        blocks=lesson.blocks,
        rows=min(len(fit) for fit, _ in lesson.folds),
        multilabel=lesson.truth.multilabel,
        seed=seed,
    )
    tuned = tune(plan, lesson, jobs=jobs)
    return clone(plan.pipeline).set_params(**tuned.params), tuned


def _choose_stacked(name: str, fusion: str, lesson: Lesson, *, seed: int, jobs: int | None) -> tuple[Pipeline, Tuned]:
    """Late fusion: a head of each block, tuned on that alone, then stacked (Wolpert 1992)."""
    if name not in STACKED_HEADS or lesson.truth.multilabel:
        what = "images of several classes" if lesson.truth.multilabel else f"head {name!r}"
        raise HeadError(f"{what} cannot be stacked; choose another fusion")
    found = [_choose(name, "", lesson.block(index), seed=seed, jobs=jobs) for index in range(len(lesson.blocks))]
    alone = [pipeline for pipeline, _ in found]
    stacked = StackedBlocks(lesson.blocks, alone, seed=seed)
    pipeline = Pipeline([("scaler", FeatureScaler("none")), ("classifier", stacked)])
    of_blocks = dict(zip(label_sources(lesson.table.sources), (tuned for _, tuned in found), strict=True))
    params = {f"{label}.{key}": value for label, tuned in of_blocks.items() for key, value in tuned.params.items()}
    return pipeline, Tuned(
        params,
        max(tuned.measure for tuned in of_blocks.values()),
        sum(tuned.tried for tuned in of_blocks.values()),
        any(tuned.edge for tuned in of_blocks.values()),
    )


def _temperature(pipeline: Pipeline, lesson: Lesson) -> float:
    """What class scores are divided by to be calibrated, learnt on rows that each fold's pipeline did not see."""
    scores = [
        class_scores(fit_pipeline(pipeline, lesson, fit), lesson.features(held_out)) for fit, held_out in lesson.folds
    ]
    unseen = np.concatenate([held_out for _, held_out in lesson.folds])
    return fit_temperature(np.concatenate(scores), lesson.truth.take(unseen))


def _penalty(tuned: Tuned, lesson: Lesson) -> Penalty | None:
    """The strength of regularisation of the classifier, where it has one."""
    of_classifier = {name.rpartition("__")[2]: value for name, value in tuned.params.items() if "classifier__" in name}
    l2 = of_classifier.get("l2", 1 / of_classifier["C"] if "C" in of_classifier else None)
    if l2 is None:
        return None
    total = float(lesson.truth.take(lesson.train).weight.sum())
    return Penalty(l2, l2 / total, 1 / l2)


def _how(lesson: Lesson, split: Split, folds: int | None) -> str:
    measure = "mean average precision" if lesson.truth.multilabel else "accuracy"
    rows = f"{folds} folds of training images" if folds else f"{len(split.validation)} validation images"
    fitted = "refitted with them" if split.refit else "not refitted with them"
    return f"best {measure} on {rows}, {fitted}; every step fitted without the images it is judged by"


def _count(table: FeatureTable, split: Split) -> dict[str, int]:
    return {
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
        "unlabelled": int((~table.labelled).sum()),
        "failed": len(table.failed),
    }
