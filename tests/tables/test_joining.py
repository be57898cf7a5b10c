"""Tables are joined by name, never by position."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from featx.cache import FailedImage, FeatureTable
from featx.errors import TableError
from featx.tables import fuse_tables, select_rows, separate_blocks
from tests.support.tables import make_table


def shuffled(table: FeatureTable, seed: int = 1) -> FeatureTable:
    """The same images in another order."""
    return select_rows(table, np.random.default_rng(seed).permutation(len(table)))


def test_columns_stand_side_by_side_in_the_order_of_the_first_table() -> None:
    left, right = make_table(), make_table(dim=4, seed=5, name="other")
    fused = fuse_tables([left, shuffled(right)])
    assert np.array_equal(fused.features, np.hstack([left.features, right.features]))
    assert np.array_equal(fused.names, left.names)
    assert [(s.name, s.start, s.stop) for s in fused.sources] == [("made-up", 0, 6), ("other", 6, 10)]


def test_one_table_stays_as_it_is() -> None:
    table = make_table()
    assert fuse_tables([table]) is table


def test_three_tables_keep_their_columns_apart() -> None:
    fused = fuse_tables([make_table(), make_table(dim=4, name="b"), make_table(dim=3, name="c")])
    assert [(s.start, s.stop) for s in fused.sources] == [(0, 6), (6, 10), (10, 13)]


def test_an_image_that_failed_in_one_table_is_left_out_of_both() -> None:
    left = make_table()
    right = replace(
        select_rows(make_table(name="other"), np.arange(1, 80)), failed={0: FailedImage("image00000.png", "empty")}
    )
    fused = fuse_tables([left, right])
    assert len(fused) == 79
    assert fused.failed == {0: FailedImage("image00000.png", "empty")}
    assert fused.positions[0] == 1
    assert fused.name(0) == "image00001.png"


@pytest.mark.parametrize("swapped", [False, True])
def test_an_image_that_one_table_does_not_know_is_an_error(swapped: bool) -> None:
    tables = [make_table(), select_rows(make_table(name="other"), np.arange(3, 80))]
    with pytest.raises(
        TableError, match=r"the cache of other lacks 3 images of the cache of made-up, such as image00000"
    ):
        fuse_tables(tables[::-1] if swapped else tables)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_name_in_two_rows_is_an_error_that_names_both(swapped: bool) -> None:
    names = make_table().names.copy()
    names[7] = names[3]
    once = select_rows(make_table(), np.delete(np.arange(80), 7))
    tables = [once, replace(make_table(name="other"), names=names)]
    with pytest.raises(TableError, match=r"other has the image image00003\.png in row 3 and in row 7; .* by name"):
        fuse_tables(tables[::-1] if swapped else tables)
    with pytest.raises(TableError, match="in row 3 and in row 7"):
        separate_blocks([tables[1]], tables[1])


def test_a_label_that_differs_is_an_error_that_names_image_and_both_labels() -> None:
    right = make_table(name="other")
    labels = right.labels.copy()
    labels[3] = 1
    with pytest.raises(
        TableError, match=r"image00003.png is class0 in the cache of made-up but class1 in the cache of other"
    ):
        fuse_tables([make_table(), replace(right, labels=labels)])


def test_a_label_missing_in_the_second_table_is_an_error() -> None:
    right = make_table(name="other")
    labels = right.labels.copy()
    labels[7] = -1
    with pytest.raises(TableError, match=r"image00007.png is class0 .* but not labelled in the cache of other"):
        fuse_tables([make_table(), replace(right, labels=labels)])


def test_labels_are_compared_by_class_name_not_by_number() -> None:
    right = make_table(name="other")
    flipped = replace(right, classes=("class1", "class0"), labels=1 - right.labels)
    assert np.array_equal(fuse_tables([make_table(), flipped]).labels, make_table().labels)


@pytest.mark.parametrize("column", ["splits", "groups", "domains", "weights"])
def test_what_decides_the_held_out_rows_may_not_be_in_one_table_alone(column: str) -> None:
    with pytest.raises(TableError, match=f"the cache of other has {column} but the cache of made-up has none"):
        fuse_tables([make_table(), decided(make_table(name="other"), column)])


@pytest.mark.parametrize("column", ["splits", "groups", "domains", "weights"])
def test_what_decides_the_held_out_rows_may_not_differ(column: str) -> None:
    left, right = decided(make_table(), column), decided(make_table(name="other"), column)
    getattr(right, column)[5] = getattr(right, column)[6]
    with pytest.raises(TableError, match=f"image image00005.png differs in its {column}"):
        fuse_tables([left, right])


@pytest.mark.parametrize("column", ["splits", "groups", "domains", "weights"])
def test_what_decides_the_held_out_rows_is_joined_by_name(column: str) -> None:
    left = decided(make_table(), column)
    fused = fuse_tables([left, shuffled(decided(make_table(name="other"), column))])
    assert np.array_equal(getattr(fused, column), getattr(left, column))


def decided(table: FeatureTable, column: str) -> FeatureTable:
    """The table with values in this column that alternate."""
    values = np.array([1.0, 2.0] * 40, np.float32) if column == "weights" else np.array([b"train", b"test"] * 40)
    changes: dict[str, Any] = {column: values}
    return replace(table, **changes)


def test_a_fused_table_copies_no_feature_before_it_is_asked_for_one() -> None:
    left, right = make_table(), make_table(dim=4, name="other")
    fused = fuse_tables([left, shuffled(right)])
    assert all(part.values is table.parts[0].values for part, table in zip(fused.parts, (left, right), strict=True))
    assert np.array_equal(fused.take(np.array([5, 3])), np.hstack([left.features, right.features])[[5, 3]])


def test_rows_of_rows_are_those_of_the_first_table() -> None:
    table = make_table()
    chosen = select_rows(select_rows(table, np.arange(10, 50)), np.array([3, 1, 7]))
    assert np.array_equal(chosen.features, table.features[[13, 11, 17]])
    assert np.array_equal(select_rows(shuffled(table), np.array([4, 4])).features, shuffled(table).features[[4, 4]])
    following = select_rows(select_rows(table, np.arange(10, 50)), np.arange(5, 9))
    assert np.shares_memory(following.features, table.features)
    assert np.array_equal(following.features, table.features[15:19])
