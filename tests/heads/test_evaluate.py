"""A head on a table: labels found by name, whatever kind they are, and what cannot be measured refused."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from featx.cache import Part
from featx.errors import HeadError, TableError
from featx.hashing import hash_columns
from featx.heads import (
    Head,
    find_named,
    find_unseen,
    has_names_of_training,
    is_of_training,
    tell_apart,
    train_head,
)
from featx.heads.evaluate import evaluate_head, order_classes
from featx.labels import Labels
from featx.measures import HeadMetrics
from featx.tables import make_splits
from tests.support.tables import make_source, make_table, with_columns

COUNTS = (50, 30, 20)


def fitted_head(classes: Sequence[str] = ("class0", "class1", "class2")) -> Head:
    """A head that makes mistakes."""
    table = make_table(COUNTS)
    pipeline = Pipeline([("classifier", LogisticRegression())]).fit(table.features, table.labels)
    return Head("logreg", tuple(classes), {}, table.sources, {}, pipeline)


def test_metrics_equal_scikit_learns() -> None:
    head, table = fitted_head(), make_table(COUNTS, seed=0)
    found = evaluate_head(head, table)
    guess, labels = head.pipeline.predict(table.features), table.labels
    probabilities = head.pipeline.predict_proba(table.features.astype(np.float64))
    assert found.n == 100
    assert found.accuracy == pytest.approx(reference.accuracy_score(labels, guess))
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, guess))
    assert found.macro_f1 == pytest.approx(reference.f1_score(labels, guess, average="macro"))
    assert found.log_loss == pytest.approx(reference.log_loss(labels, probabilities), abs=1e-5)
    assert np.array_equal(found.confusion or (), reference.confusion_matrix(labels, guess))
    assert found.majority_accuracy == 0.5


def test_weighted_metrics_equal_those_of_rows_repeated_that_often() -> None:
    head, table = fitted_head(), make_table(COUNTS)
    times = np.random.default_rng(0).integers(1, 4, 100)
    weighted = evaluate_head(head, replace(table, weights=times.astype(np.float32)))
    repeated = np.repeat(np.arange(100), times)
    plain = evaluate_head(head, table, rows=repeated)
    assert weighted.weighted
    assert weighted.accuracy == pytest.approx(plain.accuracy)
    assert weighted.macro_f1 == pytest.approx(plain.macro_f1)
    assert weighted.log_loss == pytest.approx(plain.log_loss)
    assert weighted.majority_accuracy == pytest.approx(plain.majority_accuracy)


def test_a_class_without_images_has_no_recall_and_does_not_count() -> None:
    head, table = fitted_head(), make_table(COUNTS)
    found = evaluate_head(head, table, rows=np.arange(80))
    assert found.per_class[2].n == 0
    assert found.per_class[2].recall is None
    recalls = [row.recall for row in found.per_class[:2] if row.recall is not None]
    assert found.balanced_accuracy == pytest.approx(np.mean(recalls))


def test_a_class_whose_images_all_weigh_nothing_counts_as_absent() -> None:
    head, table = fitted_head(), make_table(COUNTS)
    weights = np.where(table.labels == 2, 0, 1).astype(np.float32)
    weighted = evaluate_head(head, replace(table, weights=weights))
    without = evaluate_head(head, table, rows=np.flatnonzero(table.labels != 2))
    assert weighted.per_class[2].recall is None
    assert weighted.balanced_accuracy == pytest.approx(without.balanced_accuracy)
    assert weighted.macro_f1 == pytest.approx(without.macro_f1)


def test_features_that_are_not_finite_are_refused() -> None:
    table = make_table(COUNTS)
    features = table.features.copy()
    features[7, 1] = np.nan
    with pytest.raises(HeadError, match="row 7 of the features is NaN or infinite"):
        evaluate_head(fitted_head(), replace(table, parts=(Part(features),)))


def test_labels_are_matched_by_class_name() -> None:
    table = make_table(COUNTS)
    renamed = replace(table, classes=("class2", "class1", "class0"), labels=2 - table.labels)
    assert evaluate_head(fitted_head(), renamed).accuracy == evaluate_head(fitted_head(), table).accuracy


def test_a_class_that_the_head_does_not_know_is_an_error() -> None:
    table = replace(make_table(COUNTS), classes=("class0", "class1", "zebra"))
    with pytest.raises(TableError, match="class 'zebra' is not one of the head's classes, class0, class1, class2"):
        evaluate_head(fitted_head(), table)


def test_features_of_another_backbone_are_refused_naming_both() -> None:
    table = replace(make_table(COUNTS), sources=(make_source("zoo"),))
    with pytest.raises(HeadError, match=r"trained on features of made-up \(m+\) but was given zoo \(z+\)"):
        evaluate_head(fitted_head(), table)


def test_nothing_labelled_is_an_error() -> None:
    table = replace(make_table(COUNTS), labels=np.full(100, -1, np.int32))
    with pytest.raises(TableError, match="no image has a label to compare with"):
        evaluate_head(fitted_head(), table)


def test_weights_that_are_all_zero_are_an_error() -> None:
    with pytest.raises(TableError, match="all 0"):
        evaluate_head(fitted_head(), replace(make_table(COUNTS), weights=np.zeros(100, np.float32)))


def test_soft_labels_are_matched_by_class_name() -> None:
    table = make_table(COUNTS)
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 100).astype(np.float32)
    soft = replace(table, shares=shares)
    renamed = replace(soft, classes=("class2", "class1", "class0"), shares=shares[:, ::-1])
    found = evaluate_head(fitted_head(), soft)
    assert found.labels == "soft"
    assert evaluate_head(fitted_head(), renamed) == found


def test_a_class_that_only_the_table_names_is_no_error() -> None:
    table = make_table(COUNTS)
    wider = replace(table, classes=("zebra", *table.classes), labels=table.labels + 1)
    assert evaluate_head(fitted_head(), wider) == evaluate_head(fitted_head(), table)


def test_a_class_of_soft_labels_that_the_head_does_not_know_is_an_error() -> None:
    shares = np.full((100, 3), 1 / 3, np.float32)
    table = replace(make_table(COUNTS), classes=("class0", "class1", "zebra"), shares=shares)
    with pytest.raises(TableError, match="class 'zebra' is not one of the head's classes, class0, class1, class2"):
        evaluate_head(fitted_head(), table)


def test_several_labels_stand_in_the_order_of_the_heads_classes() -> None:
    shares = np.array([[1.0, 0, 1, 0], [0, 0, 1, 0]])
    labels = order_classes(Labels(("a", "b", "c", "none"), np.full(2, -1), shares, multilabel=True), ("c", "a"))
    assert labels.classes == ("c", "a")
    assert np.array_equal(labels.shares, [[1, 1], [1, 0]])
    assert np.array_equal(labels.codes, [-1, -1])


def test_rows_that_are_not_labelled_take_no_part() -> None:
    table = make_table(COUNTS)
    labels = table.labels.copy()
    labels[::2] = -1
    assert evaluate_head(fitted_head(), replace(table, labels=labels)).n == 50


def test_the_last_quarter_is_found_again_though_the_first_one_cannot_be_tested() -> None:
    plain = make_table((20, 80))
    table = replace(plain, labels=np.where(np.arange(100) < 20, 0, 1 + np.arange(100) % 2), classes=("a", "b", "c"))
    split = make_splits(table, "blocks")[0]
    with pytest.raises(TableError, match="none to train on"):
        make_splits(table, "blocks", repeats=4)
    training = {"images": hash_columns([table.names]), "test": hash_columns([table.names[split.test]])}
    head = replace(fitted_head(), training=training | {"split_key": split.key})
    found = find_unseen(head, table)
    assert found is not None
    assert np.array_equal(found, split.test)


@pytest.mark.parametrize("rule", ["leave-one-domain-out", "source-target"])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_images_of_the_domain_that_was_held_out_are_found_again(rule: str, seed: int) -> None:
    table = with_columns(make_table(COUNTS), domains=np.arange(100) % 3)
    named = {} if rule == "leave-one-domain-out" else {"source_domains": ["domain2"], "target_domain": "domain0"}
    split = make_splits(table, rule, seed=seed, **named)[0]  # type: ignore[arg-type]
    training = {"images": hash_columns([table.names]), "test": hash_columns([table.names[split.test]])}
    head = replace(fitted_head(), training=training | {"split_key": split.key})
    found = find_unseen(head, table)
    assert found is not None
    assert np.array_equal(found, split.test)


def test_the_bootstrap_draws_the_groups_of_the_table() -> None:
    table = with_columns(make_table(COUNTS), groups=np.arange(100) // 4)
    found = evaluate_head(fitted_head(), table)
    assert "25 whole groups" in found.interval
    assert found.per_group is not None
    assert [group.n for group in found.per_group] == [4] * 25


@pytest.mark.parametrize("kind", ["single", "soft", "weighted", "grouped"])
def test_metrics_are_read_back_from_json_as_they_were_written(kind: str) -> None:
    table = make_table(COUNTS)
    shares, weights = np.full((100, 3), 1 / 3, np.float32), np.linspace(0, 1, 100, dtype=np.float32)
    tables = {
        "single": table,
        "soft": replace(table, shares=shares),
        "weighted": replace(table, weights=weights),
        "grouped": with_columns(table, groups=np.arange(100) // 10),
    }
    found = evaluate_head(fitted_head(), tables[kind])
    assert HeadMetrics.from_dict(json.loads(json.dumps(asdict(found), allow_nan=False))) == found


@pytest.mark.parametrize("counts", [(40, 40), (30, 30, 30)])
def test_other_images_with_the_names_of_the_training_are_told_apart(counts: tuple[int, ...]) -> None:
    table = make_table(counts)
    head, _ = train_head(table, "class-mean", jobs=1)
    others = make_table(counts, seed=1)
    assert has_names_of_training(head, others)
    assert not is_of_training(head, others)
    assert find_unseen(head, others) is None
    assert find_named(head, others) is not None
    assert "after its training" in tell_apart(head, others)


def test_images_whose_features_were_computed_again_or_relabelled_stay_those_of_the_training() -> None:
    table = with_columns(make_table((60, 60)), splits=np.array([b"train", b"train", b"test"] * 40))
    head, result = train_head(table, "class-mean", jobs=1)
    noise = np.random.default_rng(0).normal(scale=1e-3, size=table.features.shape).astype(np.float32)
    again = replace(table, parts=(Part(table.features + noise),), digest="on another machine")
    relabelled = replace(table, labels=np.roll(table.labels, 30), digest="with annotations")
    for one in (table, again, relabelled):
        rows = find_unseen(head, one)
        assert rows is not None
        assert len(rows) == result.metrics.n == 40


def test_other_images_of_a_head_for_several_labels_are_told_apart_by_the_loss() -> None:
    rng = np.random.default_rng(0)
    table = make_table((60, 60))
    shares = rng.integers(0, 2, size=(120, 3)).astype(np.float32)
    table = replace(
        table,
        parts=(Part((shares @ rng.normal(size=(3, 6)) + rng.normal(scale=0.2, size=(120, 6))).astype(np.float32)),),
        shares=shares,
        multilabel=True,
        labels=np.full(120, -1, np.int32),
        classes=("a", "b", "c"),
    )
    head, _ = train_head(table, "class-mean", jobs=1)
    others = replace(table, parts=(Part(table.features[::-1].copy()),), digest="others")
    assert find_unseen(head, replace(table, digest="again")) is not None
    assert find_unseen(head, others) is None
