"""Splits hold out what they say, keep groups together, and refuse what cannot be split."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.cache import FailedImage
from featx.errors import TableError
from featx.fusion import select_rows
from featx.splits import make_folds, split_table

from .tables import make_table, with_columns


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(8, 60), min_size=2, max_size=4), seed=st.integers(0, 1000))
def test_a_quarter_of_every_class_is_held_out(counts: list[int], seed: int) -> None:
    table = make_table(tuple(counts))
    split = split_table(table, seed=seed)
    assert sorted([*split.train, *split.test]) == list(range(sum(counts)))
    held_out = np.bincount(table.labels[split.test], minlength=len(counts))
    assert np.all(np.abs(held_out - np.array(counts) / 4) <= 1)


def test_equal_seeds_give_equal_splits_and_others_do_not() -> None:
    table = make_table()
    assert np.array_equal(split_table(table, seed=3).test, split_table(table, seed=3).test)
    assert not np.array_equal(split_table(table, seed=3).test, split_table(table, seed=4).test)


def test_images_without_a_label_take_no_part() -> None:
    table = make_table()
    labels = table.labels.copy()
    labels[::5] = -1
    split = split_table(replace(table, labels=labels))
    assert np.all(labels[np.concatenate([split.train, split.test])] >= 0)


def test_a_group_never_stands_on_both_sides_nor_in_two_folds() -> None:
    groups = np.random.default_rng(0).integers(0, 20, 80)
    table = with_columns(make_table(), groups=groups)
    split = split_table(table)
    assert not set(groups[split.train]) & set(groups[split.test])
    for train, test in make_folds(table, split.train):
        assert not set(groups[split.train][train]) & set(groups[split.train][test])


def test_the_image_sets_own_split_is_taken_and_its_validation_rows_trained_on() -> None:
    splits = np.array([b"train", b"validation", b"test", b"train"] * 20)
    split = split_table(with_columns(make_table(), splits=splits))
    assert set(splits[split.test]) == {b"test"}
    assert set(splits[split.train]) == {b"train", b"validation"}
    assert split.rule == "the image set's own split"


def test_folds_partition_the_training_rows() -> None:
    table = make_table()
    split = split_table(table)
    folds = make_folds(table, split.train)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(split.train)))
    assert all(not set(train) & set(test) for train, test in folds)


def test_a_small_class_lowers_the_number_of_folds() -> None:
    table = make_table((40, 4))
    assert len(make_folds(table, split_table(table).train)) == 3


def test_images_of_weight_0_take_no_part() -> None:
    table = make_table()
    weights = np.where(np.arange(80) % 5 == 0, 0, 1).astype(np.float32)
    split = split_table(replace(table, weights=weights))
    assert np.all(weights[np.concatenate([split.train, split.test])] == 1)


def test_a_class_of_weight_0_is_named() -> None:
    table = make_table()
    with pytest.raises(TableError, match="all images of class 'class1' have weight 0"):
        split_table(replace(table, weights=(table.labels == 0).astype(np.float32)))


def test_a_class_with_one_image_is_named() -> None:
    with pytest.raises(TableError, match="class 'class1' has one image"):
        split_table(make_table((40, 1)))


def test_a_class_whose_training_rows_are_one_is_named() -> None:
    splits = np.array([b"train"] * 41 + [b"test"] * 4)
    with pytest.raises(TableError, match="class 'class1' has one image among the training rows"):
        split_table(with_columns(make_table((40, 5)), splits=splits))


def test_a_class_that_is_only_tested_is_named() -> None:
    splits = np.array([b"train"] * 40 + [b"test"] * 40)
    table = replace(make_table((20, 20, 40)), splits=splits)
    with pytest.raises(TableError, match="class 'class2' has test images but none to train on"):
        split_table(table)


def test_one_class_is_refused() -> None:
    with pytest.raises(TableError, match="all 40 labelled images are of class 'class0'"):
        split_table(make_table((40,)))


def test_no_labels_are_refused() -> None:
    table = make_table()
    with pytest.raises(TableError, match="no image has a label"):
        split_table(replace(table, labels=np.full(80, -1, np.int32)))


@pytest.mark.parametrize("side", [b"train", b"test"])
def test_a_split_with_an_empty_side_is_refused(side: bytes) -> None:
    with pytest.raises(TableError, match="the image set's own split has no"):
        split_table(with_columns(make_table(), splits=np.full(80, side)))


@pytest.mark.parametrize("counts", [(3, 3), (10, 3), (30, 3), (3,) * 30])
def test_small_classes_are_split_with_every_class_on_both_sides(counts: tuple[int, ...]) -> None:
    table = make_table(counts)
    split = split_table(table)
    assert set(table.labels[split.test]) == set(table.labels[split.train]) == set(range(len(counts)))


@pytest.mark.parametrize("counts", [(2, 2), (10, 2), (30, 2)])
def test_classes_too_small_to_be_tuned_are_named_or_split(counts: tuple[int, ...]) -> None:
    try:
        split = split_table(make_table(counts))
    except TableError as error:
        assert "has one image among the training rows" in str(error)
    else:
        assert len(split.train) + len(split.test) == sum(counts)


def test_a_class_too_small_for_a_grouped_split_is_named() -> None:
    with pytest.raises(TableError, match="class 'class1' has 3 images, fewer than the 4 parts of a grouped split"):
        split_table(with_columns(make_table((40, 3)), groups=np.arange(43)))


def test_a_table_whose_images_all_failed_says_so() -> None:
    table = make_table()
    nobody = replace(select_rows(table, np.arange(0)), failed={0: FailedImage("a.png", "empty")})
    with pytest.raises(TableError, match="all 1 images failed"):
        split_table(nobody)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(TableError, match="2 groups cannot be split into 4 parts"):
        split_table(with_columns(make_table(), groups=np.arange(80) % 2))


def test_a_class_in_a_single_group_cannot_be_tuned() -> None:
    groups = np.concatenate([np.arange(40) % 8, np.full(40, 99)])
    table = with_columns(make_table(), groups=groups)
    with pytest.raises(TableError, match="single group"):
        make_folds(table, np.arange(80))


def test_a_group_on_both_sides_of_the_image_sets_own_split_is_refused() -> None:
    splits = np.where(np.arange(80) % 4 == 0, b"test", b"train")
    with pytest.raises(TableError, match=r"group '0' is both in the test split and outside of it \(20 groups"):
        split_table(with_columns(make_table(), groups=np.arange(80) // 4, splits=splits))
    assert split_table(with_columns(make_table(), groups=np.arange(80), splits=splits)).rule
