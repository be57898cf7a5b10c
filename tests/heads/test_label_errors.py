"""Labels that were made wrong are ranked first, whatever the order of the rows; groups say nothing of themselves."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.naive_bayes import GaussianNB

from featx.cache import FeatureTable, Part
from featx.errors import HeadError, TableError
from featx.heads.label_errors import LabelError, find_label_errors
from featx.tables import select_rows
from tests.support.tables import make_table, with_columns


def flip(table: FeatureTable, share: float, seed: int = 0) -> tuple[FeatureTable, set[str]]:
    """The table with so many labels made wrong, and the names of these images."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(table), round(share * len(table)), replace=False)
    labels, classes = table.labels.copy(), len(table.classes)
    labels[rows] = (labels[rows] + rng.integers(1, classes, len(rows))) % classes
    return replace(table, labels=labels), {table.name(int(row)) for row in rows}


def digits() -> FeatureTable:
    """1,797 photographed digits of 8 x 8 pixels."""
    images, labels = load_digits(return_X_y=True)
    table = make_table((len(labels),))
    classes = tuple(map(str, range(10)))
    return replace(table, parts=(Part(images.astype(np.float32)),), labels=labels.astype(np.int32), classes=classes)


def precision(ranked: tuple[LabelError, ...], wrong: set[str]) -> float:
    """Share of the first images of the ranking that are wrong, of as many as are wrong."""
    return float(np.mean([found.name in wrong for found in ranked[: len(wrong)]]))


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_of_classes_far_apart_are_all_ranked_first(seed: int) -> None:
    table = make_table((100, 80, 60), dim=20, apart=8.0)
    flipped, wrong = flip(table, 0.05, seed)
    ranked = find_label_errors(flipped, seed=seed)
    assert precision(ranked, wrong) == 1
    right = {table.name(row): table.classes[label] for row, label in enumerate(table.labels)}
    for found in ranked:
        assert found.suggested == right[found.name]
        assert (found.score > 0) == (found.suggested != found.label) == (found.name in wrong)


def test_most_wrong_labels_of_real_images_are_ranked_first() -> None:
    flipped, wrong = flip(digits(), 0.05)
    ranked = find_label_errors(flipped, repeats=1)
    assert precision(ranked, wrong) > 0.9
    assert len(ranked) == 1797


def test_either_kind_of_evidence_alone_ranks_worse() -> None:
    """Classifier and neighbours err on different images, which is why the score is made of both."""
    flipped, wrong = flip(digits(), 0.05)
    ranked = find_label_errors(flipped, repeats=1)
    labels = [found.name in wrong for found in ranked]
    kinds = ("score", [found.score for found in ranked]), ("classifier", [-found.self_confidence for found in ranked])
    precisions = {
        kind: average_precision_score(labels, scores)
        for kind, scores in (*kinds, ("neighbours", [-found.neighbour_share for found in ranked]))
    }
    assert max(precisions, key=precisions.__getitem__) == "score"


def test_a_habit_of_calling_one_class_another_is_found_sooner_than_by_each_image_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = select_rows(digits(), np.arange(600))
    rows = np.random.default_rng(0).choice(len(table), 60, replace=False)
    labels = table.labels.copy()
    labels[rows] = (labels[rows] + 1) % 10
    is_wrong = np.isin(np.arange(len(table)), rows)
    spoilt, found = replace(table, labels=labels), {}
    for weight in (0.0, 8.0):
        monkeypatch.setattr("featx.heads.label_errors.HABIT", weight)
        scores = {error.name: error.score for error in find_label_errors(spoilt, repeats=1)}
        found[weight] = average_precision_score(is_wrong, [scores[table.name(row)] for row in range(len(table))])
    assert found[8.0] > found[0.0]


def test_scores_are_in_order_and_in_their_range() -> None:
    ranked = find_label_errors(flip(make_table(), 0.05)[0])
    scores = [found.score for found in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    assert all(0 <= found.self_confidence <= 1 and 0 <= found.neighbour_share <= 1 for found in ranked)


def test_the_order_of_rows_does_not_matter() -> None:
    table = flip(make_table((60, 60, 60), apart=3.0), 0.05)[0]
    turned = select_rows(table, np.random.default_rng(1).permutation(180))
    assert find_label_errors(table) == find_label_errors(turned)


def test_a_class_without_images_does_not_matter() -> None:
    table = flip(make_table(), 0.05)[0]
    widened = replace(table, classes=("none", *table.classes), labels=table.labels + np.int32(1))
    assert find_label_errors(table) == find_label_errors(widened)


def with_pairs(table: FeatureTable) -> FeatureTable:
    """Every image twice, the copy in the same group: together they could confirm each other's label."""
    twice = np.repeat(np.arange(len(table)), 2)
    doubled = replace(
        select_rows(table, twice),
        names=np.array([f"{row:05}{side}".encode() for row in range(len(table)) for side in "ab"]),
        positions=np.arange(len(twice)),
    )
    return with_columns(doubled, groups=twice)


def test_images_of_one_group_do_not_confirm_each_other() -> None:
    table, wrong = flip(make_table((60, 60), dim=20, apart=8.0), 0.05)
    ranked = find_label_errors(with_pairs(table), neighbours=1)
    names = {table.name(row): f"{row:05}" for row in range(len(table))}
    assert {found.name[:5] for found in ranked[: 2 * len(wrong)]} == {names[name] for name in wrong}


def test_images_without_a_label_or_of_weight_0_are_not_ranked() -> None:
    table = make_table()
    labels, weights = table.labels.copy(), np.ones(80, np.float32)
    labels[::4], weights[1::4] = -1, 0
    assert len(find_label_errors(replace(table, labels=labels, weights=weights))) == 40


def test_soft_labels_count_as_their_largest_share() -> None:
    table = flip(make_table(), 0.05)[0]
    shares = np.where(np.eye(2)[table.labels] > 0, 0.7, 0.3).astype(np.float32)
    assert find_label_errors(replace(table, shares=shares)) == find_label_errors(table)


def test_any_classifier_with_probabilities_can_be_used() -> None:
    table, wrong = flip(make_table((100, 100), dim=20, apart=8.0), 0.05)
    assert precision(find_label_errors(table, classifier=GaussianNB()), wrong) == 1


def test_weights_reach_the_classifier() -> None:
    table = make_table((60, 60), apart=2.0)
    weights: NDArray[np.float32] = np.where(np.arange(120) % 3, 1, 9).astype(np.float32)
    weighted, plain = (find_label_errors(one) for one in (replace(table, weights=weights), table))
    assert {found.name: found.self_confidence for found in weighted} != {
        found.name: found.self_confidence for found in plain
    }


def test_of_many_images_some_are_asked_as_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    table, wrong = flip(make_table((200, 200), dim=20, apart=8.0), 0.05)
    monkeypatch.setattr("featx.heads.label_errors.REFERENCES", 50)
    monkeypatch.setattr("featx.heads.label_errors.AT_ONCE", 33)
    assert precision(find_label_errors(table), wrong) == 1


def test_several_labels_are_refused() -> None:
    shares = np.eye(2, dtype=np.float32)[make_table().labels]
    several = replace(make_table(), labels=np.full(80, -1, np.int32), shares=shares, multilabel=True)
    with pytest.raises(TableError, match="needs images with one label each, but these are multi-label"):
        find_label_errors(several)


@pytest.mark.parametrize("number", [{"folds": 1}, {"repeats": 0}, {"neighbours": 0}])
def test_too_few_folds_repeats_or_neighbours_are_refused_by_name(number: dict[str, int]) -> None:
    with pytest.raises(TableError, match=rf"{min(number)} must be [12] or more, not [01]"):
        find_label_errors(make_table(), **number)


def test_a_class_that_cannot_fill_the_folds_is_named() -> None:
    with pytest.raises(TableError, match="class 'class1' has 4 images, too few for 5 folds"):
        find_label_errors(make_table((40, 4)))


def test_a_classifier_that_does_not_converge_is_an_error() -> None:
    with pytest.raises(HeadError, match="fitted to 64 images, did not converge"):
        find_label_errors(make_table(apart=6.0), classifier=LogisticRegression(max_iter=1))
