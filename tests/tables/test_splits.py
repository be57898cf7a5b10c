"""Splits hold out what they say, keep groups together, and refuse what cannot be split."""

import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from featx.cache import FailedImage, FeatureTable
from featx.errors import TableError
from featx.tables import (
    SHOTS,
    Split,
    make_folds,
    make_splits,
    possible_shots,
    select_rows,
    split_table,
    tuning_folds,
)
from featx.tables.splits.rules import RULES
from tests.support.tables import make_table, with_columns


def sides(split: Split) -> list[NDArray[np.int64]]:
    """Its three parts."""
    return [split.train, split.validation, split.test]


def with_shares(table: FeatureTable, shares: NDArray[np.float64], *, multilabel: bool = False) -> FeatureTable:
    """The table with soft labels, or with several labels a row."""
    labels = np.full(len(table), -1) if multilabel else shares.argmax(axis=1)
    return replace(table, labels=labels.astype(np.int32), shares=shares.astype(np.float32), multilabel=multilabel)


def split_thrice(table: FeatureTable) -> NDArray[np.bytes_]:
    """A split column: every fourth row is tested, every sixth validates."""
    rows = np.arange(len(table))
    return np.select([rows % 4 == 0, rows % 6 == 1], [b"test", b"validation"], b"train")


def dressed(rule: str) -> FeatureTable:
    """A table that this rule can split."""
    table = with_columns(make_table((160, 140)), groups=np.arange(300) // 3 if rule == "grouped" else None)
    if rule == "official":
        return replace(table, splits=split_thrice(table))
    if rule in ("leave-one-domain-out", "source-target"):
        table = with_columns(table, domains=np.arange(300) % 2)
    return select_rows(table, np.random.default_rng(0).permutation(300)) if rule != "blocks" else mixed(table)


def mixed(table: FeatureTable) -> FeatureTable:
    """The table with its classes mixed in the order of the image set."""
    shuffled = select_rows(table, np.random.default_rng(0).permutation(len(table)))
    return replace(shuffled, positions=np.arange(len(table)))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_sorted_sides_that_share_no_row_and_all_have_every_class(rule: str) -> None:
    table = dressed(rule)
    for split in make_splits(table, rule, shots=(1, 4)):
        for side in sides(split):
            assert np.all(np.diff(side) > 0)
            assert set(table.labels[side]) == {0, 1}
        assert len(np.unique(np.concatenate(sides(split)))) == sum(map(len, sides(split)))


@pytest.mark.parametrize("rule", RULES)
def test_keys_are_distinct_and_equal_calls_give_equal_splits(rule: str) -> None:
    table, repeats = dressed(rule), None if rule == "official" else 2
    once, again = (make_splits(table, rule, repeats=repeats, shots=(1, 4), seed=5) for _ in range(2))
    assert len({split.key for split in once}) == len(once)
    for one, other in zip(once, again, strict=True):
        assert one.key == other.key
        assert all(map(np.array_equal, sides(one), sides(other)))


@pytest.mark.parametrize("rule", ["stratified", "grouped", "k-fold", "few-shot"])
def test_a_repeat_is_what_its_own_seed_gives(rule: str) -> None:
    table = dressed(rule)
    repeated, alone = make_splits(table, rule, repeats=3, seed=0), make_splits(table, rule, repeats=1, seed=2)
    by_key = {split.key: split for split in repeated}
    for split in alone:
        assert all(map(np.array_equal, sides(split), sides(by_key[split.key])))


@pytest.mark.parametrize("rule", ["stratified", "grouped", "k-fold", "few-shot"])
def test_other_seeds_give_other_splits(rule: str) -> None:
    table = dressed(rule)
    first, second = (make_splits(table, rule, repeats=1, seed=seed)[0] for seed in (0, 1))
    assert not np.array_equal(first.test, second.test)
    assert not np.array_equal(first.train, second.train)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_rows_does_not_matter(rule: str) -> None:
    table = dressed(rule)
    turned = select_rows(table, np.random.default_rng(1).permutation(len(table)))
    for one, other in zip(make_splits(table, rule), make_splits(turned, rule), strict=True):
        for mine, theirs in zip(sides(one), sides(other), strict=True):
            assert set(table.names[mine]) == set(turned.names[theirs])


@pytest.mark.parametrize("rule", ["stratified", "k-fold", "few-shot"])
def test_an_image_that_failed_in_one_cache_moves_hardly_any_other(rule: str) -> None:
    table = dressed(rule)
    lacking = select_rows(table, np.delete(np.arange(len(table)), 17))
    for one, other in zip(make_splits(table, rule), make_splits(lacking, rule), strict=True):
        for mine, theirs in zip(sides(one), sides(other), strict=True):
            assert len(set(table.names[mine]) ^ set(lacking.names[theirs])) <= 4


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(3, 60), min_size=2, max_size=4), seed=st.integers(0, 1000))
def test_a_quarter_of_every_class_is_tested_and_a_fifth_of_the_rest_validates(counts: list[int], seed: int) -> None:
    table, sizes = make_table(tuple(counts)), np.array(counts)
    split = split_table(table, seed=seed)
    assert np.array_equal(np.sort(np.concatenate(sides(split))), np.arange(sizes.sum()))
    train, validation, test = (np.bincount(table.labels[side], minlength=len(counts)) for side in sides(split))
    assert np.all(np.abs(test - sizes / 4) <= 0.5)
    assert np.all(np.abs(validation - sizes * 0.15) <= 1)
    assert np.all(train >= 1)


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(5, 40), min_size=2, max_size=6), folds=st.integers(2, 5), seed=st.integers(0, 1000))
def test_folds_are_as_equal_as_can_be_in_every_class(counts: list[int], folds: int, seed: int) -> None:
    table = make_table(tuple(counts))
    tested = [split.test for split in make_splits(table, "k-fold", folds=folds, seed=seed)]
    assert np.array_equal(np.sort(np.concatenate(tested)), np.arange(sum(counts)))
    of_class = np.array([np.bincount(table.labels[test], minlength=len(counts)) for test in tested])
    assert np.all(np.ptp(of_class, axis=0) <= 1)


def test_the_splits_of_five_folds_are_tested_once_each_in_every_repeat() -> None:
    splits = make_splits(make_table(), "k-fold", repeats=2)
    assert len(splits) == 10
    for repeat in (splits[:5], splits[5:]):
        assert np.array_equal(np.sort(np.concatenate([split.test for split in repeat])), np.arange(80))


def test_images_without_a_label_or_of_weight_0_take_no_part() -> None:
    table = make_table((160, 140))
    labels, weights = table.labels.copy(), np.ones(300, np.float32)
    labels[::5], weights[1::5] = -1, 0
    for rule in ("stratified", "k-fold", "few-shot"):
        for split in make_splits(replace(table, labels=labels, weights=weights), rule, shots=(1, 8)):
            rows = np.concatenate(sides(split))
            assert np.all(labels[rows] >= 0)
            assert np.all(weights[rows] == 1)


@st.composite
def tables(draw: st.DrawFn) -> FeatureTable:
    """Tables of few images with whatever columns, many of which cannot be split."""
    count, classes = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    table = replace(make_table((count,)), classes=tuple("abcd"[:classes]))
    table = replace(table, labels=rng.integers(-1, classes, count).astype(np.int32), positions=rng.permutation(count))
    kind = draw(st.sampled_from(["labels", "shares", "several"]))
    if kind == "shares":
        table = with_shares(table, rng.dirichlet(np.ones(classes), count))
    elif kind == "several":
        table = with_shares(table, (rng.random((count, classes)) < 0.4).astype(float), multilabel=True)
    if draw(st.booleans()):
        table = replace(
            table, groups=np.array([b"%d" % group for group in rng.integers(0, draw(st.integers(1, 20)), count)])
        )
    if draw(st.booleans()):
        table = replace(table, weights=rng.integers(0, 3, count).astype(np.float32))
    if draw(st.booleans()):
        table = replace(table, splits=rng.choice([b"train", b"validation", b"test", b""], count))
    if draw(st.booleans()):
        table = replace(table, domains=rng.choice([b"lab", b"field", b"outside"][: draw(st.integers(1, 3))], count))
    return table


@settings(max_examples=300, deadline=None)
@given(table=tables(), rule=st.sampled_from([*RULES, "auto"]), seed=st.integers(0, 3))
def test_whatever_the_table_a_split_is_refused_or_leaks_nothing(table: FeatureTable, rule: str, seed: int) -> None:
    try:
        splits = make_splits(table, rule, folds=3, shots=(1, 2), seed=seed)
        assigned = [(split, tuning_folds(table, split, folds=2, seed=seed)) for split in splits]
    except TableError as error:
        assert "\n" not in str(error)
        return
    for split, folds in assigned:
        pairs = [(split.development, split.test), (split.train, split.validation), *folds]
        rows = np.concatenate(sides(split))
        assert table.labelled[rows].all()
        assert table.weights is None or np.all(table.weights[rows] > 0)
        for one, other in pairs:
            assert len(one)
            assert len(other)
            assert not np.intersect1d(one, other).size
            assert table.groups is None or not np.intersect1d(table.groups[one], table.groups[other]).size
        assert all(not np.intersect1d(np.concatenate(fold), split.test).size for fold in folds)
        if split.by_domain and table.domains is not None:
            assert not np.intersect1d(table.domains[split.development], table.domains[split.test]).size
        if split.adaptation is not None:
            assert not np.intersect1d(split.adaptation, rows).size


# groups


def grouped(seed: int, *, groups: int = 40, classes: int = 3) -> FeatureTable:
    """Groups of very different sizes, each mostly of one class, in no order."""
    rng = np.random.default_rng(seed)
    sizes = np.maximum(3, rng.pareto(1.2, groups) * 4).astype(int).clip(max=60)
    sizes[:8] = 5  # a class may not hang on a group
    of_group = np.repeat(np.arange(groups), sizes)
    labels = np.where(rng.random(len(of_group)) < 0.8, of_group % classes, rng.integers(0, classes, len(of_group)))
    table = make_table((len(labels),))
    table = replace(table, labels=labels.astype(np.int32), classes=tuple(f"class{label}" for label in range(classes)))
    return with_columns(table, groups=of_group)


@pytest.mark.parametrize("rule", ["auto", "grouped", "k-fold", "few-shot"])
@pytest.mark.parametrize("seed", range(5))
def test_a_group_stands_on_one_side_only(rule: str, seed: int) -> None:
    table = grouped(seed)
    assert table.groups is not None
    for split in make_splits(table, rule, shots=(1, 4), seed=seed):
        train, validation, test = (set(table.groups[side]) for side in sides(split))
        assert not train & validation
        assert not (train | validation) & test
        for fit, held_out in tuning_folds(table, split, folds=2):
            assert not set(table.groups[fit]) & set(table.groups[held_out])


def test_groups_are_assigned_nearly_by_the_shares() -> None:
    off = []
    for seed in range(20):
        table = grouped(seed)
        [split] = make_splits(table, "grouped", seed=seed)
        sizes = np.array([np.bincount(table.labels[side], minlength=3) for side in sides(split)])
        off.append(np.abs(sizes / np.bincount(table.labels) - [[0.6], [0.15], [0.25]]).max())
    assert np.median(off) < 0.06
    assert np.max(off) < 0.2


def test_folds_of_groups_are_about_as_even_as_those_of_scikit_learn() -> None:
    """Spread over the folds of how much of each class they hold: what its greedy algorithm minimises step by step."""
    ours: list[float] = []
    theirs: list[float] = []
    for seed in range(20):
        table = grouped(seed)
        reference = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        folds = make_folds(table, np.arange(len(table)), folds=5, seed=seed)
        for spreads, made in ((ours, folds), (theirs, reference.split(table.names, table.labels, table.groups))):
            held_out = [np.bincount(table.labels[rows], minlength=3) for _, rows in made]
            spreads.append((np.array(held_out) / np.bincount(table.labels)).std(axis=0).mean())
    assert np.mean(ours) < 1.1 * np.mean(theirs)


def test_groups_of_one_image_are_assigned_as_evenly_as_images() -> None:
    table = with_columns(make_table((60, 80)), groups=np.arange(140))
    [split] = make_splits(table, "grouped")
    for side, share in zip(sides(split), (0.6, 0.15, 0.25), strict=True):
        assert np.all(np.abs(np.bincount(table.labels[side]) - share * np.array([60, 80])) <= 1)


def test_a_class_of_three_groups_is_on_all_three_sides() -> None:
    groups = np.concatenate([np.arange(60) % 12, 20 + np.arange(20) % 3])
    table = with_columns(make_table((60, 20)), groups=groups)
    for split in make_splits(table, "grouped", repeats=10):
        assert all(set(table.labels[side]) == {0, 1} for side in sides(split))


def test_a_class_of_two_groups_cannot_train_validate_and_test() -> None:
    groups = np.concatenate([np.arange(60) % 12, 20 + np.arange(20) % 2])
    with pytest.raises(TableError, match="class 'class1' is in 2 groups, too few to train, validate and test"):
        split_table(with_columns(make_table((60, 20)), groups=groups))


def test_a_stratified_split_does_not_divide_groups() -> None:
    with pytest.raises(TableError, match="would divide the 20 groups; choose grouped"):
        make_splits(with_columns(make_table(), groups=np.arange(80) // 4), "stratified")


def test_a_grouped_split_needs_groups() -> None:
    with pytest.raises(TableError, match="the images have no groups"):
        make_splits(make_table(), "grouped")


def test_a_class_in_a_single_group_cannot_be_tuned() -> None:
    groups = np.concatenate([np.arange(40) % 8, np.full(40, 99)])
    table = with_columns(make_table(), groups=groups)
    with pytest.raises(TableError, match="class 'class1' is in 1 group, too few for 2 folds"):
        make_folds(table, np.arange(80), folds=2)


def test_groups_that_no_assignment_can_divide_name_the_class() -> None:
    """Class 2 has an image in each of three groups, and these hold nearly all images of the other two classes."""
    labels, groups = np.array([0, 0, 1, 1, 2, 2] * 2), np.array([0, 1, 0, 2, 0, 1] * 2)
    table = replace(make_table((4, 4, 4)), labels=labels.astype(np.int32))
    with pytest.raises(TableError, match="class 'class0' is in 2 groups"):
        split_table(with_columns(table, groups=groups))


# the image set's own split


def test_the_image_sets_own_split_is_taken_as_it_is() -> None:
    table = make_table()
    splits = split_thrice(table)
    split = split_table(replace(table, splits=splits))
    for side, name in zip(sides(split), (b"train", b"validation", b"test"), strict=True):
        assert np.array_equal(side, np.flatnonzero(splits == name))
    assert (split.rule, split.key) == ("the image set's own split", "official")


def test_a_fifth_of_the_training_rows_validates_where_the_image_set_does_not_say() -> None:
    table = with_columns(make_table(), splits=np.array([b"train", b"train", b"test", b"train"] * 20))
    split = split_table(table)
    assert len(split.development) == 60
    assert np.array_equal(np.bincount(table.labels[split.validation]), [6, 6])


def test_the_validation_images_are_tested_where_the_image_set_has_no_test_images(
    caplog: pytest.LogCaptureFixture,
) -> None:
    splits = np.array([b"train", b"train", b"validation", b"train"] * 20)
    split = split_table(with_columns(make_table(), splits=splits))
    assert np.array_equal(split.test, np.flatnonzero(splits == b"validation"))
    assert set(splits[split.validation]) == {b"train"}
    assert "has no test images: its validation images are the test images" in caplog.text


def test_a_split_with_labels_for_training_images_only_is_not_used_unless_it_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = make_table()
    given = np.array([b"train", b"train", b"test", b"train"] * 20)
    contest = replace(table, splits=given, labels=np.where(given == b"test", np.int32(-1), table.labels))
    assert split_table(contest).rule.startswith("stratified quarter")
    assert "has labels for training images only; the split is stratified instead" in caplog.text
    with pytest.raises(TableError, match="the image set's own split has no test rows"):
        make_splits(contest, "official")


def test_the_image_sets_own_split_has_no_repeats() -> None:
    table = make_table()
    with pytest.raises(TableError, match="is one split, but 5 repeats were asked for"):
        make_splits(replace(table, splits=split_thrice(table)), repeats=5)


def test_the_image_sets_own_split_must_be_there() -> None:
    with pytest.raises(
        TableError,
        match="the image set has no split of its own, or --split chose images of one part of it; give",
    ):
        make_splits(make_table(), "official")


@pytest.mark.parametrize(
    ("first", "second"), [("test", "training"), ("test", "validation"), ("validation", "training")]
)
def test_a_group_on_two_sides_of_the_image_sets_own_split_is_refused(first: str, second: str) -> None:
    name = {"training": b"train", "validation": b"validation", "test": b"test"}
    splits = np.array([b"train", b"train", b"validation", b"validation", b"test", b"test"] * 14)
    groups = np.arange(84) // 2
    groups[np.flatnonzero(splits == name[first])[0]] = groups[np.flatnonzero(splits == name[second])[0]] = 7000
    with pytest.raises(TableError, match=f"group '7000' has both {first} and {second} images"):
        split_table(with_columns(make_table((42, 42)), groups=groups, splits=splits))


def test_an_official_split_with_an_empty_side_is_refused() -> None:
    for side in (b"train", b"test"):
        with pytest.raises(TableError, match="the image set's own split has no"):
            make_splits(with_columns(make_table(), splits=np.full(80, side)), "official")


def test_a_split_is_drawn_if_all_labels_are_for_training(caplog: pytest.LogCaptureFixture) -> None:
    split = split_table(with_columns(make_table(), splits=np.full(80, b"train")))
    assert split.key.startswith("stratified")
    assert "has labels for training images only; the split is stratified instead" in caplog.text


def test_a_class_that_is_only_tested_is_named() -> None:
    splits = np.array([b"train"] * 40 + [b"test"] * 40)
    table = replace(make_table((20, 20, 40)), splits=splits)
    with pytest.raises(TableError, match="class 'class2' has 40 test images but none to train on"):
        split_table(table)


def test_a_class_that_the_image_set_does_not_test_is_told(caplog: pytest.LogCaptureFixture) -> None:
    splits = np.array([b"train"] * 30 + [b"test"] * 10 + [b"train"] * 40)
    with caplog.at_level(logging.WARNING, logger="featx"):
        split = split_table(with_columns(make_table(), splits=splits))
    assert len(split.test) == 10
    assert caplog.messages == ["the image set's own split: 1 of 2 classes, such as 'class1', have no test image"]


# blocks


def test_blocks_are_quarters_of_the_image_sets_order_the_last_one_first() -> None:
    table = mixed(make_table((100, 100)))
    tested = [split.test for split in make_splits(table, "blocks", repeats=4)]
    assert [list(test) for test in tested] == [list(range(start, start + 50)) for start in (150, 100, 50, 0)]
    [last] = make_splits(table, "blocks")
    assert np.array_equal(last.test, tested[0])


def test_blocks_stay_together_in_validation_and_in_tuning() -> None:
    table = mixed(make_table((100, 100)))
    [split] = make_splits(table, "blocks")
    for fit, held_out in tuning_folds(table, split, folds=5) + tuning_folds(table, split):
        assert not set(fit // 10) & set(held_out // 10)


def test_a_group_is_not_cut_by_a_block() -> None:
    table = with_columns(mixed(make_table((100, 100))), groups=np.arange(200) // 7)
    for split in make_splits(table, "blocks", repeats=4):
        parts = [set(side // 7) for side in sides(split)]
        assert not parts[0] & parts[1]
        assert not (parts[0] | parts[1]) & parts[2]


def test_blocks_of_images_in_the_order_of_their_classes_are_refused() -> None:
    with pytest.raises(TableError, match="class 'class1' has 20 test images but none to train on"):
        make_splits(make_table((60, 20)), "blocks")


def test_there_are_four_quarters_to_test() -> None:
    with pytest.raises(TableError, match="5 repeats were asked for, but blocks have only 4 quarters"):
        make_splits(mixed(make_table()), "blocks", repeats=5)


# few shots


def test_so_many_images_of_each_class_train_and_validate_and_all_others_are_tested() -> None:
    table = dressed("few-shot")
    splits = make_splits(table, "few-shot")
    assert [split.shots for split in splits] == [shots for shots in SHOTS for _ in range(5)]
    for split in splits:
        for side in (split.train, split.validation):
            assert np.all(np.bincount(table.labels[side]) == split.shots)
        assert sum(map(len, sides(split))) == 300
        assert not split.refit
        assert np.array_equal(split.fitted, split.train)


@pytest.mark.parametrize("kind", ["alike", "scarce", "grouped", "own split", "test rows only"])
def test_possible_shots_are_those_that_can_be_drawn(kind: str) -> None:
    table = make_table((9, 40) if kind == "scarce" else (60, 60))
    rows = np.arange(len(table))
    if kind == "grouped":
        table = with_columns(table, groups=rows // 3)
    if kind in ("own split", "test rows only"):
        parts = np.where(rows % 3 == 0, b"test", b"train" if kind == "own split" else b"test")
        table = with_columns(table, splits=parts)
    found = possible_shots(table, repeats=3, seed=2)
    assert found == tuple(shots for shots in SHOTS if _can_be_drawn(table, shots))
    assert bool(found) == (kind != "test rows only")


def _can_be_drawn(table: FeatureTable, shots: int) -> bool:
    try:
        make_splits(table, "few-shot", shots=(shots,), repeats=3, seed=2)
    except TableError:
        return False
    return True


def test_no_number_of_shots_is_blamed_for_missing_labels() -> None:
    table = make_table()
    with pytest.raises(TableError, match="no image has a label"):
        possible_shots(replace(table, labels=np.full(len(table), -1, np.int32)))


def test_more_shots_train_on_the_rows_of_fewer() -> None:
    splits = {split.key: split for split in make_splits(dressed("few-shot"), "few-shot")}
    for few, many in pairwise(SHOTS):
        assert set(splits[f"few-shot-{few}/3"].train) < set(splits[f"few-shot-{many}/3"].train)


def test_a_draw_is_the_same_whichever_other_shots_are_asked_for() -> None:
    table = dressed("few-shot")
    [alone] = make_splits(table, "few-shot", shots=(8,), repeats=1)
    assert all(np.array_equal(alone.train, s.train) for s in make_splits(table, "few-shot") if s.key == alone.key)


def test_tables_of_two_backbones_get_the_same_draws() -> None:
    one, other = make_table((40, 40), name="a"), make_table((40, 40), name="b", dim=9, seed=4)
    for mine, theirs in zip(*(make_splits(t, "few-shot", shots=(2, 16)) for t in (one, other)), strict=True):
        assert all(map(np.array_equal, sides(mine), sides(theirs)))


def test_few_shots_are_tested_on_the_image_sets_own_test_rows() -> None:
    table = make_table((160, 140))
    splits = split_thrice(table)
    for split in make_splits(replace(table, splits=splits), "few-shot", shots=(1, 16)):
        assert np.array_equal(split.test, np.flatnonzero(splits == b"test"))
        assert set(splits[split.train]) == {b"train"}
        assert set(splits[split.validation]) == {b"validation"}


def test_a_class_that_is_not_tested_is_told_once_for_all_draws(caplog: pytest.LogCaptureFixture) -> None:
    table = make_table((100, 100))
    splits = np.where((np.arange(200) % 4 == 0) & (table.labels == 0), b"test", b"train")
    with caplog.at_level(logging.WARNING, logger="featx"):
        assert len(make_splits(replace(table, splits=splits), "few-shot", shots=(1, 2))) == 10
    [told] = caplog.messages
    assert told.endswith("1 of 2 classes, such as 'class1', have no test image")


@pytest.mark.parametrize("shots", [8, 16])
def test_more_shots_than_a_class_has_name_the_class(shots: int) -> None:
    with pytest.raises(TableError, match=rf"class 'class1' has \d+ images, of which \d+ are left to .* {shots} shots"):
        make_splits(make_table((100, 15)), "few-shot", shots=(1, shots))


def test_a_class_of_which_no_image_is_left_to_test_is_named() -> None:
    with pytest.raises(TableError, match="class 'class1' has 8 training images but no test image"):
        make_splits(make_table((100, 16)), "few-shot", shots=(8,))


# soft labels and several labels


def test_soft_labels_are_stratified_by_their_largest_share() -> None:
    shares = np.tile([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6], [0.0, 0.9, 0.1], [0.6, 0.4, 0.0]], (20, 1))
    table = with_shares(make_table((40, 40, 0)), shares)
    split = split_table(table)
    assert np.array_equal(np.bincount(shares[split.test].argmax(axis=1)), [10, 5, 5])


def test_images_whose_shares_are_not_known_take_no_part() -> None:
    shares = np.tile([[0.7, 0.3], [0.2, 0.8]], (40, 1))
    shares[::10] = np.nan
    split = split_table(with_shares(make_table(), shares))
    assert np.isfinite(shares[np.concatenate(sides(split))]).all()


def several(seed: int = 0) -> FeatureTable:
    """Of each class an image is or is not: half of all, a fifth, a tenth."""
    given = np.random.default_rng(seed).random((400, 3)) < [0.5, 0.2, 0.1]
    return with_shares(make_table((200, 200, 0)), given.astype(float), multilabel=True)


@pytest.mark.parametrize("rule", ["stratified", "k-fold", "few-shot"])
def test_several_labels_are_stratified_by_the_rarest(rule: str) -> None:
    table = several()
    assert table.shares is not None
    rarest = table.shares[:, 2] > 0
    for split in make_splits(table, rule, shots=(4,)):
        assert all(table.shares[side].any(axis=0).all() for side in sides(split))
        if rule != "few-shot":
            share = {"stratified": 0.25, "k-fold": 0.2}[rule]
            assert abs(rarest[split.test].sum() - share * rarest.sum()) <= 1


def test_every_one_of_several_labels_has_its_shots() -> None:
    table = several()
    assert table.shares is not None
    for split in make_splits(table, "few-shot", shots=(1, 8)):
        for side in (split.train, split.validation):
            counts = table.shares[side].sum(axis=0)
            assert np.all(counts >= split.shots)
            assert counts[2] == split.shots
            assert len(side) <= 3 * counts[2]


def test_one_class_of_yes_and_no_can_be_split() -> None:
    given = (np.arange(80) % 4 == 0)[:, None].astype(float)
    split = split_table(with_shares(make_table((80,)), given, multilabel=True))
    assert [int(given[side].sum()) for side in sides(split)] == [12, 3, 5]


def test_labels_none_of_which_is_ever_given_are_refused() -> None:
    with pytest.raises(TableError, match="none of the 80 labelled images has a class"):
        split_table(with_shares(make_table(), np.zeros((80, 2)), multilabel=True))


# tuning


def test_tuning_uses_the_validation_rows_or_folds_of_all_that_is_not_tested() -> None:
    table = make_table()
    split = split_table(table)
    [(fit, held_out)] = tuning_folds(table, split)
    assert np.array_equal(fit, split.train)
    assert np.array_equal(held_out, split.validation)
    folds = tuning_folds(table, split, folds=3)
    assert np.array_equal(np.sort(np.concatenate([held_out for _, held_out in folds])), split.development)
    for fit, held_out in folds:
        assert np.array_equal(np.sort(np.concatenate([fit, held_out])), split.development)


def test_a_class_too_small_to_be_tuned_by_so_many_folds_is_named() -> None:
    table = make_table((40, 4))
    split = split_table(table)
    assert len(tuning_folds(table, split, folds=3)) == 3
    with pytest.raises(TableError, match="class 'class1' has 3 images, too few for 5 folds, which needs 5; ask for"):
        tuning_folds(table, split, folds=5)


# what cannot be split


def test_a_class_of_weight_0_is_named() -> None:
    table = make_table()
    with pytest.raises(TableError, match="all images of class 'class1' have weight 0"):
        split_table(replace(table, weights=(table.labels == 0).astype(np.float32)))


def test_weights_that_are_all_0_are_refused() -> None:
    with pytest.raises(TableError, match="all 80 labelled images have weight 0"):
        split_table(replace(make_table(), weights=np.zeros(80, np.float32)))


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_to_train_validate_and_test_is_named(count: int) -> None:
    images = "1 image" if count == 1 else "2 images"
    with pytest.raises(TableError, match=f"class 'class1' has {images}, too few to train, validate and test, .* 3;"):
        split_table(make_table((40, count)))


def test_a_class_whose_training_rows_are_one_is_named() -> None:
    splits = np.array([b"train"] * 41 + [b"test"] * 4)
    with pytest.raises(TableError, match="class 'class1' has 1 image among the training rows, too few"):
        split_table(with_columns(make_table((40, 5)), splits=splits))


def test_a_class_with_fewer_images_than_folds_is_named() -> None:
    with pytest.raises(TableError, match="class 'class1' has 4 images, too few for 5 folds, which needs 5; ask for"):
        make_splits(make_table((40, 4)), "k-fold")


def test_one_class_is_refused() -> None:
    with pytest.raises(TableError, match="all 40 labelled images have class 'class0'"):
        split_table(make_table((40,)))


def test_no_labels_are_refused() -> None:
    table = make_table()
    with pytest.raises(TableError, match="no image has a label"):
        split_table(replace(table, labels=np.full(80, -1, np.int32)))


def test_a_table_whose_images_all_failed_says_so() -> None:
    table = make_table()
    nobody = replace(select_rows(table, np.arange(0)), failed={0: FailedImage("a.png", "empty")})
    with pytest.raises(TableError, match="all 1 images failed"):
        split_table(nobody)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"repeats": 0}, "repeats must be 1 or more, not 0"),
        ({"folds": 1}, "folds must be 2 or more, not 1"),
        ({"shots": (0, 4)}, "shots must be 1 or more, not 0"),
        ({"shots": ()}, "shots must be 1 or more"),
    ],
)
def test_numbers_that_make_no_split_are_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        make_splits(make_table(), "stratified", **asked)  # type: ignore[arg-type]


def test_an_unknown_rule_is_answered_with_the_known() -> None:
    with pytest.raises(TableError, match=r"no split rule 'kfold' \(did you mean k-fold\?\); choose auto, official"):
        make_splits(make_table(), "kfold")
