"""Near-duplicates across training and test rows are found by their features; merely similar images are not."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part
from featx.tables import (
    Split,
    find_duplicates,
    split_table,
)
from featx.tables.splits import duplicates
from tests.support.tables import make_table


def with_features(table: FeatureTable, features: NDArray[np.floating]) -> FeatureTable:
    """The table with other features."""
    return replace(table, parts=(Part(features.astype(np.float32)),))


def copied(count: int, *, noise: float, seed: int = 0) -> tuple[FeatureTable, Split, NDArray[np.int64]]:
    """A table in which `count` test rows are copies of training rows, but for some noise."""
    table = make_table((200, 200), dim=40, apart=4.0)
    split, features = split_table(table), table.features.copy()
    rng = np.random.default_rng(seed)
    copies = rng.choice(split.test, count, replace=False)
    originals = [rng.choice(split.train[table.labels[split.train] == table.labels[row]]) for row in copies]
    features[copies] = features[originals] + noise * rng.normal(size=(count, 40))
    return with_features(table, features), split, copies


def test_images_of_which_none_is_a_copy_have_no_near_duplicate() -> None:
    table, split, _ = copied(0, noise=0)
    found = find_duplicates(table, split)
    assert (found.count, found.equal, found.nearest) == (0, 0, ())
    assert (found.compared, found.tested) == (100, 100)
    assert found.text == (
        f"0 of 100 test images have a near-duplicate among the training images (cosine above {found.threshold:.4f})"
    )


@pytest.mark.parametrize("count", [1, 20, 100])
def test_noisy_copies_are_found_however_many_they_are(count: int) -> None:
    table, split, copies = copied(count, noise=0.05)
    found = find_duplicates(table, split)
    assert (found.count, found.equal) == (count, 0)
    assert len(found.nearest) == min(count, 10)
    assert {pair.test for pair in found.nearest} <= {table.name(int(row)) for row in copies}
    assert all(0.99 < pair.cosine < 1 for pair in found.nearest)
    assert np.all(np.diff([pair.cosine for pair in found.nearest]) <= 0)


def test_equal_features_are_found_and_named() -> None:
    table, split, copies = copied(3, noise=0)
    found = find_duplicates(table, split)
    assert (found.count, found.equal) == (3, 3)
    assert [pair.test for pair in found.nearest] == sorted(table.name(int(row)) for row in copies)
    assert all(pair.cosine == 1 for pair in found.nearest)
    assert found.text.endswith(f"3 an equal one; such as {found.nearest[0].test} and {found.nearest[0].train} (1.0000)")


def test_equal_features_are_found_where_all_images_are_alike() -> None:
    table = make_table((40, 40))
    split = split_table(table)
    found = find_duplicates(with_features(table, np.ones((80, 6))), split)
    assert found.count == found.equal == found.tested == 20


def test_equal_features_are_found_where_all_others_are_nearly_equal() -> None:
    """Differences of one bit: no cosine tells them apart."""
    table = make_table((40, 40))
    split = split_table(table)
    features = np.ones((80, 6), np.float32) + 2.0**-23 * np.random.default_rng(0).integers(0, 1000, (80, 6))
    features[split.test[5]] = features[split.train[7]]
    found = find_duplicates(with_features(table, features), split)
    assert found.equal == 1
    assert (found.nearest[0].test, found.nearest[0].train) == tuple(
        table.name(int(row)) for row in (split.test[5], split.train[7])
    )


def test_validation_rows_are_learnt_from_too() -> None:
    table, split, _ = copied(0, noise=0)
    features = table.features.copy()
    features[split.test[0]] = features[split.validation[0]]
    found = find_duplicates(with_features(table, features), split)
    assert [pair.train for pair in found.nearest] == [table.name(int(split.validation[0]))]


@pytest.mark.parametrize("few", [0, 1, 1000])
def test_rows_compared_in_chunks_give_what_they_give_at_once(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    table, split, _ = copied(20, noise=0.05)
    at_once = find_duplicates(table, split)
    monkeypatch.setattr(duplicates, "TRAIN_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(duplicates, "TEST_ROWS_AT_ONCE", 11)
    monkeypatch.setattr(duplicates, "FEW_PAIRS", few)
    in_chunks = find_duplicates(table, split)
    assert [(pair.test, pair.train) for pair in in_chunks.nearest] == [
        (pair.test, pair.train) for pair in at_once.nearest
    ]
    assert in_chunks.threshold == pytest.approx(at_once.threshold, abs=1e-6)
    assert in_chunks.count == at_once.count


def test_of_too_many_test_images_some_are_compared_and_all_equal_ones_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table, split, _ = copied(100, noise=0)
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 30 * 300)
    found = find_duplicates(table, split)
    assert (found.compared, found.tested, found.equal) == (30, 100, 100)
    assert found.text.startswith("100 of 100 test images (30 of them searched for near-duplicates) have")
    noisy = find_duplicates(copied(100, noise=0.05)[0], split)
    assert (noisy.compared, noisy.count) == (30, 30)
    assert noisy.text.startswith("30 of 100 test images (30 of them searched for")


def test_the_scale_and_the_origin_of_features_do_not_matter() -> None:
    table, split, _ = copied(20, noise=0.05)
    moved = find_duplicates(with_features(table, 1000 * table.features + 300), split)
    assert moved.count == 20


def test_images_of_several_labels_are_compared_with_those_of_other_labels() -> None:
    table, split, _ = copied(20, noise=0.05)
    shares = np.eye(2, dtype=np.float32)[table.labels]
    several = replace(table, labels=np.full(400, -1, np.int32), shares=shares, multilabel=True)
    assert find_duplicates(several, split) == find_duplicates(table, split)


@pytest.mark.parametrize("axes", [1, 3, 64])
def test_what_is_found_is_what_comparing_all_pairs_finds(monkeypatch: pytest.MonkeyPatch, axes: int) -> None:
    monkeypatch.setattr(duplicates, "AXES", axes)
    monkeypatch.setattr(duplicates, "PAIRS_LISTED", 100)
    table, split, _ = copied(50, noise=0.35)
    found = find_duplicates(table, split)
    units = table.features - table.features[split.development].mean(axis=0, dtype=np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units[split.test] @ units[split.development].T
    other = table.labels[split.test][:, None] != table.labels[split.development]
    apart = np.log(1 - np.where(other, cosines, -np.inf).max(axis=1))
    median = np.median(apart)
    threshold = max(0.95, 1 - np.exp(median - 4 * 1.4826 * np.median(np.abs(apart - median))))
    assert found.threshold == pytest.approx(threshold, abs=1e-5)
    near = np.flatnonzero(cosines.max(axis=1) > threshold)
    assert 5 < len(near) < 50
    assert {(pair.test, pair.train) for pair in found.nearest} == {
        (table.name(int(split.test[row])), table.name(int(split.development[cosines[row].argmax()]))) for row in near
    }


@pytest.mark.parametrize("at_once", [7, 1024])
def test_copies_that_are_less_similar_are_suspects_and_not_counted(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(duplicates, "TRAIN_ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(duplicates, "PAIRS_LISTED", 100)
    table, split, copies = copied(30, noise=0.45)
    found = find_duplicates(table, split)
    units = table.features - table.features[split.development].mean(axis=0, dtype=np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units[split.test] @ units[split.development].T
    second, highest = np.sort(cosines, axis=1)[:, -2:].T
    suspect = (highest > 0.8) & (1 - highest <= (1 - second) / 2) & (highest <= found.threshold)
    assert found.suspects == np.sum(suspect) > 5
    assert found.searched == found.tested == 100
    assert {(pair.test, pair.train) for pair in found.nearest_suspects} == {
        (table.name(int(split.test[row])), table.name(int(split.development[cosines[row].argmax()])))
        for row in np.flatnonzero(suspect)
    }
    assert {pair.test for pair in found.nearest_suspects} <= {table.name(int(row)) for row in copies}
    first = found.nearest_suspects[0]
    assert found.text.endswith(
        f"; {found.suspects} more may have one, such as {first.test} and {first.train} ({first.cosine:.4f})"
    )


def test_of_too_many_test_images_suspects_are_searched_among_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "SUSPECT_PAIRS", 40 * 300)
    found = find_duplicates(*copied(100, noise=0.45)[:2])
    assert found.searched == 40
    assert f"; {found.suspects} more of 40 searched may have one" in found.text


def test_images_of_equal_features_are_no_suspects() -> None:
    table, split, _ = copied(3, noise=0)
    found = find_duplicates(table, split)
    assert (found.suspects, found.nearest_suspects) == (0, ())
