"""Wherever a table is taken, the path of a cache or a list of paths does too; heads have scikit-learn's names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import CacheError, HeadError, TableError

WRITTEN = Path(__file__).parents[1] / "fixtures" / "written-by-0.1.0"
PLAIN = WRITTEN / "plain.h5"


@pytest.fixture(scope="module")
def trained() -> featx.Head:
    return featx.train_head(str(PLAIN), "class-mean", jobs=1)[0]


def test_a_head_is_trained_on_a_path_as_on_its_table(trained: featx.Head) -> None:
    table = featx.read_features(PLAIN)
    of_table, _ = featx.train_head(table, "class-mean", jobs=1)
    of_list, _ = featx.train_head([PLAIN], "class-mean", jobs=1)
    expected = of_table.predict_probabilities(table.features)
    for head in (trained, of_list):
        assert np.array_equal(head.predict_probabilities(table.features), expected)


def test_paths_do_wherever_a_table_is_taken(trained: featx.Head) -> None:
    table = featx.read_features(PLAIN)
    assert featx.evaluate_head(trained, PLAIN).n == featx.evaluate_head(trained, table).n
    assert list(featx.predict_tables(trained, str(PLAIN))) == list(featx.predict_tables(trained, [table]))
    assert featx.fuse_tables([PLAIN, table]).dim == 2 * table.dim
    split = featx.make_splits(PLAIN)[0]
    assert split.key == featx.make_splits(table)[0].key
    assert featx.find_duplicates(PLAIN, split).tested == len(split.test)
    one_head = featx.list_candidates(PLAIN, heads=["class-mean"], splits=featx.make_splits)
    assert [candidate.head for candidate in one_head] == ["class-mean"]


def test_a_list_of_paths_is_fused() -> None:
    head, _ = featx.train_head([PLAIN, WRITTEN / "several.h5"], "class-mean", jobs=1)
    assert [source.name for source in head.sources] == ["plain", "several"]


def test_a_head_predicts_as_a_classifier_of_scikit_learn_does(trained: featx.Head) -> None:
    table = featx.read_features(PLAIN)
    probabilities = trained.predict_proba(table.features)
    assert np.array_equal(probabilities, trained.predict_proba(PLAIN))
    assert trained.classes_.tolist() == list(trained.classes)
    assert trained.predict(PLAIN).tolist() == [trained.classes[best] for best in probabilities.argmax(axis=1)]
    several = replace(trained, multilabel=True)
    assert set(np.unique(several.predict(table.features))) <= {0, 1}


def test_features_of_another_width_are_refused_with_both_numbers(trained: featx.Head) -> None:
    with pytest.raises(HeadError, match=r"shape \(2, 3\) were given, but head 'class-mean' reads floats \(images, 8\)"):
        trained.predict(np.zeros((2, 3), np.float32))


def test_what_is_neither_a_table_nor_a_cache_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="int is no table; give a FeatureTable, or the path of a cache"):
        featx.fuse_tables([7])  # type: ignore[list-item]
    with pytest.raises(TableError, match="NoneType is no table"):
        featx.fuse_tables(None)  # type: ignore[arg-type]
    with pytest.raises(CacheError, match=r"none\.h5: no such cache"):
        featx.train_head(tmp_path / "none.h5", "ridge")
    with pytest.raises(TableError, match="no tables to fuse"):
        featx.fuse_tables([])


def test_names_and_labels_of_a_table_are_texts_too() -> None:
    table = featx.read_features(PLAIN)
    assert table.image_names.tolist() == [table.name(row) for row in range(len(table))]
    row = int(np.flatnonzero(table.labelled)[0])
    assert table.label_names[row] == table.classes[table.labels[row]]
    unlabelled = replace(table, labels=np.full(len(table), -1, np.int32))
    assert set(unlabelled.label_names) == {None}
