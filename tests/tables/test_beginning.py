"""The first rows of a stratified order: nested, in proportion, with whole groups."""

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.tables import first_rows
from tests.support.tables import make_table, with_columns


def classes_in(table_labels: NDArray[np.int32], rows: NDArray[np.int64]) -> list[int]:
    """How many of these rows each class has."""
    return [int(count) for count in np.bincount(table_labels[rows])]


@pytest.mark.parametrize("count", [20, 50, 100])
def test_every_beginning_has_each_class_in_proportion(count: int) -> None:
    table = make_table((100, 60, 40))
    found = first_rows(table, np.arange(200), count=count)
    assert len(found) == count
    expected = [share * count for share in (0.5, 0.3, 0.2)]
    assert np.abs(np.subtract(classes_in(table.labels, found), expected)).max() <= 2


def test_a_rare_class_has_two_images_from_the_beginning() -> None:
    table = make_table((500, 4))
    assert classes_in(table.labels, first_rows(table, np.arange(504), count=10)) == [8, 2]


def test_fewer_rows_are_a_subset_of_more_and_another_seed_draws_others() -> None:
    table = make_table((60, 60))
    found = [first_rows(table, np.arange(120), count=count) for count in (10, 40, 120)]
    assert set(found[0]) < set(found[1]) < set(found[2])
    assert not np.array_equal(found[0], first_rows(table, np.arange(120), count=10, seed=1))


def test_rows_that_were_not_given_are_never_drawn() -> None:
    table = make_table((60, 60))
    given = np.arange(0, 120, 3)
    assert set(first_rows(table, given, count=30)) <= set(given)
    assert np.array_equal(first_rows(table, given, count=1000), given)


def test_groups_are_drawn_as_wholes() -> None:
    table = make_table((60, 60))
    groups = np.repeat(np.arange(24), 5)
    grouped = with_columns(table, groups=groups)
    found = first_rows(grouped, np.arange(120), count=32)
    assert len(found) == 35
    assert set(np.bincount(groups[found])) <= {0, 5}
    assert set(first_rows(grouped, np.arange(120), count=12)) < set(found)
