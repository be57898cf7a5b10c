"""Splits as a file: what one run writes, another one reads, and gets the same."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.suites import read_splits, write_splits
from featx.tables import Split, make_splits
from tests.suites.test_running import run
from tests.support.tables import make_table

DOMAIN_RULES = ("leave-one-domain-out", "source-target")
Write = Callable[..., Path]


@pytest.fixture
def table() -> FeatureTable:
    """A table of 60 images in 3 classes, some of them without a label."""
    made = make_table((20, 20, 20), dim=5)
    labels = made.labels.copy()
    labels[::15] = -1
    return replace(made, labels=labels)


def assert_equal(found: Split, expected: Split) -> None:
    """All fields of the splits are equal."""
    for field in fields(Split):
        mine, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            assert np.array_equal(mine, other), field.name
            assert mine.dtype == other.dtype
        else:
            assert mine == other, field.name


@pytest.mark.parametrize("rule", ["stratified", "k-fold", "blocks", "few-shot", "official", "grouped", *DOMAIN_RULES])
def test_the_same_splits_come_back(table: FeatureTable, tmp_path: Path, rule: str) -> None:
    if rule == "official":
        table = replace(table, splits=np.array([b"train", b"test", b""], "S5")[np.arange(60) % 3])
    if rule == "grouped":
        table = replace(table, groups=np.array([f"g{row // 2}".encode() for row in range(60)]))
    if rule in DOMAIN_RULES:
        table = replace(table, domains=np.array([b"lab", b"field"])[np.arange(60) % 2])
    splits = make_splits(table, rule, shots=(1, 2))
    write_splits({"shapes": (table, splits)}, tmp_path / "splits.csv")
    found = read_splits(tmp_path / "splits.csv").splits_of("shapes", table)
    assert len(found) == len(splits)
    for one, expected in zip(found, splits, strict=True):
        assert_equal(one, expected)


def test_rows_are_found_by_name_in_whatever_order(table: FeatureTable, tmp_path: Path) -> None:
    (split,) = make_splits(table, "stratified")
    write_splits({"shapes": (table, [split])}, tmp_path / "splits.csv")
    turned = replace(table, names=table.names[::-1], labels=table.labels[::-1])
    (found,) = read_splits(tmp_path / "splits.csv").splits_of("shapes", turned)
    assert set(turned.names[found.test]) == set(table.names[split.test])
    assert np.all(np.diff(found.train) > 0)


def test_equal_splits_give_equal_bytes(table: FeatureTable, tmp_path: Path) -> None:
    splits = make_splits(table, "k-fold")
    for name in ("a.csv", "b.csv"):
        write_splits({"shapes": (table, splits)}, tmp_path / name)
    write_splits({"shapes": (table, splits)}, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_split_that_was_changed_has_another_key(table: FeatureTable, tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    (split,) = make_splits(table, "stratified")
    write_splits({"shapes": (table, [split])}, path)
    path.write_text(path.read_text().replace(",train,", ",unused,", 1))
    (found,) = read_splits(path).splits_of("shapes", table)
    assert found.key.startswith("stratified/0/")
    assert (found.kind, len(found.train)) == (split.kind, len(split.train) - 1)


def test_images_that_are_missing_or_new_are_refused_with_both_sides(table: FeatureTable, tmp_path: Path) -> None:
    write_splits({"shapes": (table, make_splits(table, "stratified"))}, tmp_path / "splits.csv")
    names = table.names.copy()
    gone, names[7] = names[7].decode(), b"new.png"
    with pytest.raises(TableError) as caught:
        read_splits(tmp_path / "splits.csv").splits_of("shapes", replace(table, names=names))
    assert f"1 images of the file are missing or have no feature, such as {gone}" in str(caught.value)
    assert "1 images are not in the file, such as new.png" in str(caught.value)
    with pytest.raises(TableError, match="has no splits of target 'cells', only of shapes"):
        read_splits(tmp_path / "splits.csv").splits_of("cells", table)
    with pytest.raises(TableError, match="which has no label"):
        read_splits(tmp_path / "splits.csv").splits_of("shapes", replace(table, labels=np.full(60, -1, np.int32)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,s/0,,r,drawn,,1.png,trian,", "part is 'trian'; write train, validation, test, adaptation or unused"),
        ("a,s/0,,r,maybe,,1.png,train,", "validation is 'maybe'; write drawn or given"),
        ("a,s/0,few,r,drawn,,1.png,train,", "shots is 'few'; write a whole number, or nothing"),
        ("a,s/0,,r,drawn,,0.png,train,", "'0.png' is in split s/0 of a already; remove one line"),
        ("a,s/0,,other,drawn,,1.png,train,", "shots, rule or validation of split s/0 of a differ from line 2"),
        ("a,s/0,,r,drawn,,1.png,train,", "split s/0 of a has no validation images"),
        ("a,s/0", "line 3"),
    ],
)
def test_lines_that_make_no_sense_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "splits.csv"
    path.write_text(
        "target,split,shots,rule,validation,digest,name,part,block\na,s/0,,r,drawn,,0.png,train,\n" + line + "\n"
    )
    with pytest.raises(TableError) as caught:
        read_splits(path)
    assert message in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text("target,name\na,b\n")
    with pytest.raises(TableError, match="column 'split' is missing"):
        read_splits(tmp_path / "splits.csv")


@pytest.mark.exhaustive
def test_a_run_on_published_splits_has_the_same_results_and_publishes_the_same(write_suite: Write) -> None:
    first = run(write_suite(protocol="shots = [2]\nrepeats = 2"))
    published = (first.folder / "splits.csv").read_bytes()
    (first.folder.parent / "shared.csv").write_bytes(published)
    again = run(write_suite(protocol='splits = "shared.csv"'))
    assert [result.key for result in again.results] == [result.key for result in first.results]
    assert (again.folder / "splits.csv").read_bytes() == published
    own = run(write_suite(protocol='splits = "study/splits.csv"'))
    assert [result.key for result in own.results] == [result.key for result in first.results]
