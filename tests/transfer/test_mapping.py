"""The map of features, against the singular value decomposition, and for images in any order."""

from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.errors import TableError
from featx.tables import select_rows
from tests.support.tables import make_table


def test_the_map_is_that_of_the_singular_value_decomposition() -> None:
    table = make_table((30, 30), dim=5)
    found = featx.map_features(table)
    features = table.features.astype(np.float64)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    left, lengths, _ = np.linalg.svd(scaled, full_matrices=False)
    expected = (left * lengths)[:, :2]
    assert np.abs(found.points) == pytest.approx(np.abs(expected), abs=1e-4)
    assert found.explained == pytest.approx(tuple(lengths[:2] ** 2 / (lengths**2).sum()), abs=1e-5)


def test_which_images_are_drawn_follows_from_their_names_and_the_seed_alone() -> None:
    table = make_table((40, 40))
    turned = select_rows(table, np.arange(len(table))[::-1].copy())
    names = {table.name(int(row)) for row in featx.map_features(table, most=20).rows}
    assert names == {turned.name(int(row)) for row in featx.map_features(turned, most=20).rows}
    assert names != {table.name(int(row)) for row in featx.map_features(table, most=20, seed=1).rows}


def test_equal_features_a_single_column_and_labels_change_nothing_that_they_should_not() -> None:
    table = make_table((10, 10), dim=1)
    assert featx.map_features(table).points[:, 1] == pytest.approx(0)
    same = replace(table, parts=tuple(replace(part, values=np.ones_like(part.values)) for part in table.parts))
    assert not featx.map_features(same).points.any()
    unlabelled = replace(table, labels=np.full(20, -1, np.int32))
    assert np.array_equal(featx.map_features(unlabelled).points, featx.map_features(table).points)


def test_two_images_are_no_map() -> None:
    with pytest.raises(TableError, match="a map needs 3 images or more"):
        featx.map_features(make_table((1, 1)))
