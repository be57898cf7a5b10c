"""The wrongly predicted images of a head: which, in which order, and with which probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.heads import Head, evaluate_head, find_mistakes, train_head
from tests.support.tables import make_table


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    """Two classes that overlap, so that a head is wrong on some images."""
    return make_table((60, 60), apart=0.8)


@pytest.fixture(scope="module")
def head(table: FeatureTable) -> Head:
    """A head that was trained on the table."""
    return train_head(table, "class-mean", jobs=1)[0]


def test_mistakes_are_the_rows_that_accuracy_misses_with_the_surest_first(head: Head, table: FeatureTable) -> None:
    mistakes = find_mistakes(head, table)
    metrics = evaluate_head(head, table)
    assert 0 < len(mistakes) == round(metrics.n * (1 - metrics.accuracy))
    assert all(one.true != one.predicted and one.probability > 0.5 > one.true_probability for one in mistakes)
    assert [one.probability for one in mistakes] == sorted((one.probability for one in mistakes), reverse=True)


def test_probabilities_are_those_of_the_predicted_and_of_the_true_class(head: Head, table: FeatureTable) -> None:
    names = map(table.name, range(len(table)))
    probabilities = dict(zip(names, head.predict_probabilities(table.features), strict=True))
    for mistake in find_mistakes(head, table):
        row = probabilities[mistake.name]
        assert mistake.probability == row[head.classes.index(mistake.predicted)] == row.max()
        assert mistake.true_probability == row[head.classes.index(mistake.true)]


def test_only_the_given_rows_are_looked_at(head: Head, table: FeatureTable) -> None:
    rows = np.arange(0, 120, 3)
    names = {table.name(int(row)) for row in rows}
    every = [one for one in find_mistakes(head, table) if one.name in names]
    assert list(find_mistakes(head, table, rows=rows)) == every


def test_a_table_without_labels_is_refused(head: Head, table: FeatureTable) -> None:
    with pytest.raises(TableError, match="no image has a label"):
        find_mistakes(head, replace(table, labels=np.full(120, -1, np.int32)))


def test_a_soft_label_counts_as_its_largest_share(head: Head, table: FeatureTable) -> None:
    shares = np.where(np.eye(2)[table.labels] > 0, 0.7, 0.3).astype(np.float32)
    assert find_mistakes(head, replace(table, shares=shares)) == find_mistakes(head, table)


def test_of_several_labels_all_must_be_right(head: Head, table: FeatureTable) -> None:
    several = replace(head, multilabel=True)
    probabilities = several.predict_probabilities(table.features)
    shares = (probabilities > 0.5).astype(np.float32)
    shares[0] = 1 - shares[0]
    given = replace(table, shares=shares, multilabel=True, labels=np.full(120, -1, np.int32))
    (mistake,) = find_mistakes(several, given)
    assert mistake.name == table.name(0)
    assert {*mistake.true.split("|"), *mistake.predicted.split("|")} - {""} == {"class0", "class1"}
    right = replace(given, shares=(probabilities > 0.5).astype(np.float32))
    assert find_mistakes(several, right) == ()
