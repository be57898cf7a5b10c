"""A head that was trained, and how, in; its result on test rows, with what is needed to repeat it, out."""

from featx.cache import FeatureTable, label_sources
from featx.evaluate import evaluate_head
from featx.heads import Head
from featx.provenance import hash_columns, versions
from featx.results import Penalty, Result, pack
from featx.splits import Split
from featx.train.lesson import Lesson
from featx.train.tuning import Tuned


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
    return Result(
        head=head.name,
        fusion=fusion,
        table=table.digest,
        backbones=label_sources(table.sources),
        params=tuned.params,
        penalty=_penalty(tuned, lesson),
        edge=tuned.edge,
        folds=folds,
        tuned=_how(lesson, split, folds),
        validated=tuned.measure,
        temperature=head.temperature,
        metrics=evaluate_head(head, table, rows=split.test, seed=seed),
        rows=_count(table, split),
        split=split.rule,
        split_key=split.key,
        shots=split.shots,
        test=hash_columns([table.names[split.test]]),
        guesses=pack(head.predict_probabilities(table.take(split.test)).argmax(axis=1)),
        classes=head.classes,
        seed=seed,
        seconds=0.0,
        versions=versions(),
    )


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
