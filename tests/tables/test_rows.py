"""Rows are chosen by split and class from a table as from a cache, with the same errors."""

from dataclasses import replace

import numpy as np
import pytest

from featx.cache import FeatureTable
from featx.errors import CacheError, ChoiceError, TableError
from featx.tables import select_domains
from featx.tables.rows import choose_rows
from tests.support.tables import make_table

SPLITS = np.array([b"train", b"test", b"", b"train"] * 3)


def make_three() -> FeatureTable:
    """Four images of each of three classes, some of them in a split."""
    return replace(make_table((4, 4, 4)), splits=SPLITS)


def test_a_split_keeps_its_rows() -> None:
    table = make_three()
    chosen = choose_rows(table, split="test")
    assert chosen.positions.tolist() == [1, 5, 9]
    assert np.array_equal(chosen.features, table.features[[1, 5, 9]])
    assert chosen.classes == table.classes


def test_classes_become_the_only_ones_and_are_renumbered() -> None:
    chosen = choose_rows(make_three(), labels=["class2", "class0"], split="train")
    assert chosen.classes == ("class0", "class2")
    assert chosen.labels.tolist() == [0, 0, 1, 1]
    assert chosen.positions.tolist() == [0, 3, 8, 11]


def test_without_a_choice_the_table_is_unchanged() -> None:
    table = make_three()
    assert choose_rows(table) is table


def test_the_digest_depends_on_the_choice_but_not_on_its_order() -> None:
    table = make_three()
    chosen = [
        choose_rows(table, split="train"),
        choose_rows(table, split="test"),
        choose_rows(table, labels=["class0"]),
        choose_rows(table, labels=["class0", "class1"]),
    ]
    assert len({table.digest, *(each.digest for each in chosen)}) == 5
    assert choose_rows(table, labels=["class1", "class0"]).digest == chosen[3].digest


@pytest.mark.parametrize("error", [ChoiceError, TableError, CacheError])
def test_an_unknown_split_or_class_lists_the_known(error: type[Exception]) -> None:
    with pytest.raises(error, match=r"the cache of made-up: no split 'tset' \(did you mean test\?\); choose from test"):
        choose_rows(make_three(), split="tset")
    with pytest.raises(error, match=r"no class 'dog'; choose from class0, class1, class2"):
        choose_rows(make_three(), labels=["class0", "dog"])


def test_rows_without_a_split_are_not_a_split() -> None:
    with pytest.raises(ChoiceError, match="no split ''"):
        choose_rows(make_three(), split="")
    with pytest.raises(ChoiceError, match="no split 'test', as there are no splits; leave it out"):
        choose_rows(make_table(), split="test")


def test_one_text_is_not_a_list_of_classes() -> None:
    with pytest.raises(
        ChoiceError, match=r"labels='class0' is one text, not a list of classes; give labels=\['class0'"
    ):
        choose_rows(make_three(), labels="class0")


def test_images_with_soft_labels_are_not_chosen_by_class() -> None:
    table = replace(make_three(), shares=np.eye(3, dtype=np.float32)[make_three().labels])
    with pytest.raises(TableError, match="soft labels or several labels cannot be chosen by class"):
        choose_rows(table, labels=["class0"])
    assert len(choose_rows(table, split="test")) == 3


def make_mixed() -> FeatureTable:
    """Twelve images of three classes in the domains lab and field."""
    return replace(make_three(), domains=np.array([b"lab", b"lab", b"field"] * 4))


def test_domains_keep_their_rows_and_all_classes() -> None:
    table = make_mixed()
    chosen = select_domains(table, ["field"])
    assert chosen.positions.tolist() == [2, 5, 8, 11]
    assert chosen.domains is not None
    assert set(chosen.domains.tolist()) == {b"field"}
    assert chosen.classes == table.classes
    assert np.array_equal(select_domains(table, ["lab", "field"]).features, table.features)


def test_the_digest_depends_on_the_domains_but_not_on_their_order() -> None:
    table = make_mixed()
    both = select_domains(table, ["lab", "field"])
    assert len({table.digest, both.digest, select_domains(table, ["lab"]).digest}) == 3
    assert select_domains(table, ["field", "lab"]).digest == both.digest


def test_a_domain_that_the_table_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ChoiceError, match=r"no domain 'feild' \(did you mean field\?\); choose from field, lab"):
        select_domains(make_mixed(), ["lab", "feild"])
    with pytest.raises(ChoiceError, match="no domain 'lab', as there are no domains"):
        select_domains(make_three(), ["lab"])
    with pytest.raises(ChoiceError, match="no domain was named; name at least one"):
        select_domains(make_mixed(), [])
    with pytest.raises(ChoiceError, match=r"is one text, not a list of domains; give \['lab'\]"):
        select_domains(make_mixed(), "lab")
