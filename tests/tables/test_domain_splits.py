"""Splits by domain test what heads were not trained on, keep groups whole across domains, and lock tested rows away."""

from dataclasses import replace

import numpy as np
import pytest

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.tables import Split, make_splits, select_rows, tuning_folds
from tests.support.tables import make_table, with_columns

RULES = ("leave-one-domain-out", "source-target")


def make_domains(count: int = 3) -> FeatureTable:
    """Two classes of 60 images, in domains that have different images."""
    return with_columns(make_table((60, 60)), domains=np.arange(120) % count)


def make_drawings() -> FeatureTable:
    """Forty things of two classes, each drawn in the three domains; a group is a thing."""
    return with_columns(make_table((60, 60)), groups=np.arange(120) // 3, domains=np.arange(120) % 3)


def domains_of(table: FeatureTable, rows: np.ndarray) -> set[str]:
    """The domains of these rows."""
    assert table.domains is not None
    return {name.decode() for name in table.domains[rows]}


def groups_of(table: FeatureTable, rows: np.ndarray) -> set[bytes]:
    """The groups of these rows."""
    assert table.groups is not None
    return set(table.groups[rows].tolist())


def only(splits: list[Split]) -> Split:
    """The only split."""
    (split,) = splits
    return split


# ---- each domain is left out once


def test_each_domain_is_tested_once_as_a_whole_and_the_others_train_and_validate() -> None:
    table = make_domains()
    splits = make_splits(table, "leave-one-domain-out")
    assert [split.key for split in splits] == [f"leave-one-domain-out/0.domain{number}" for number in range(3)]
    assert np.array_equal(np.sort(np.concatenate([split.test for split in splits])), np.arange(120))
    for number, split in enumerate(splits):
        assert domains_of(table, split.test) == {f"domain{number}"}
        others = {f"domain{other}" for other in range(3) if other != number}
        assert domains_of(table, split.train) == domains_of(table, split.validation) == others
        assert len(split.development) == 80
        assert split.adaptation is None


def test_what_is_drawn_by_several_domains_is_in_one_part_only() -> None:
    table = make_drawings()
    for split in make_splits(table, "leave-one-domain-out"):
        tested = groups_of(table, split.test)
        assert len(tested) == len(split.test) == 10
        assert not tested & groups_of(table, split.development)
        assert not groups_of(table, split.train) & groups_of(table, split.validation)
        assert len(split.development) == 60
        assert "of the 40 groups that other domains have too, a quarter is tested and never trained on" in split.rule


def test_groups_of_one_domain_are_tested_as_wholes_beside_a_quarter_of_the_shared() -> None:
    table = make_drawings()
    assert table.groups is not None
    groups = np.where(np.arange(120) % 6 == 0, [b"own%d" % row for row in range(120)], table.groups)
    split = make_splits(replace(table, groups=groups), "leave-one-domain-out")[0]
    own = [row for row in range(120) if row % 6 == 0]
    assert set(own) <= set(split.test.tolist())
    assert len(split.test) == len(own) + 5


def test_folds_of_tuning_keep_groups_whole_across_domains() -> None:
    table = make_drawings()
    split = make_splits(table, "leave-one-domain-out")[0]
    for fitted, held_out in tuning_folds(table, split, folds=3):
        assert not groups_of(table, fitted) & groups_of(table, held_out)


def test_a_class_that_only_one_domain_has_is_refused_by_name() -> None:
    table = make_domains()
    labels = np.where(np.arange(120) % 6 == 0, 2, table.labels).astype(np.int32)
    table = replace(table, labels=labels, classes=("class0", "class1", "rare"))
    with pytest.raises(
        TableError, match=r"domain 'domain0' held out.*: class 'rare' has 20 test images but none to trai"
    ):
        make_splits(table, "leave-one-domain-out")


def test_a_domain_that_lacks_a_class_is_tested_and_told(caplog: pytest.LogCaptureFixture) -> None:
    table = make_domains()
    table = select_rows(table, np.flatnonzero((np.arange(120) % 3 != 1) | (table.labels == 0)))
    splits = make_splits(table, "leave-one-domain-out")
    assert set(table.labels[splits[1].test]) == {0}
    assert "domain 'domain1' held out, seed 0: 1 of 2 classes, such as 'class1', have no test image" in caplog.text


# ---- a source and a target


@pytest.mark.parametrize("table", [make_domains(), make_drawings()], ids=["own", "shared"])
def test_half_of_the_target_is_tested_and_adaptation_sees_the_rest(table: FeatureTable) -> None:
    split = only(make_splits(table, "source-target", target_domain="domain1"))
    assert split.key == "source-target/0.domain0+domain2>domain1"
    assert domains_of(table, split.development) == {"domain0", "domain2"}
    assert split.adaptation is not None
    assert domains_of(table, split.test) == domains_of(table, split.adaptation) == {"domain1"}
    assert (len(split.test), len(split.adaptation)) == (20, 20)
    assert not np.intersect1d(split.test, split.adaptation).size
    assert split.rule == (
        "domain0 + domain2 to domain1: half of domain1 tested, seed 0; adaptation may see its 20 other images without "
        "labels (inductive)"
    )
    if table.groups is not None:
        tested = groups_of(table, split.test)
        assert not tested & (groups_of(table, split.development) | groups_of(table, split.adaptation))


def test_each_of_two_domains_is_the_target_once_if_none_is_named() -> None:
    splits = make_splits(make_domains(2), "source-target")
    assert [split.key for split in splits] == ["source-target/0.domain1>domain0", "source-target/0.domain0>domain1"]


def test_only_the_named_sources_train() -> None:
    table = make_domains()
    split = only(make_splits(table, "source-target", source_domains=["domain2"], target_domain="domain0"))
    assert domains_of(table, split.development) == {"domain2"}
    both = only(make_splits(table, "source-target", source_domains=["domain2", "domain1"]))
    assert domains_of(table, both.test) == {"domain0"}


def test_images_of_the_target_without_a_label_are_for_adaptation_and_those_of_weight_0_for_nothing() -> None:
    table = make_domains(2)
    unlabelled = np.arange(1, 120, 8)
    weightless = np.arange(3, 120, 8)
    labels, weights = table.labels.copy(), np.ones(120, np.float32)
    labels[unlabelled], weights[weightless] = -1, 0
    split = only(make_splits(replace(table, labels=labels, weights=weights), "source-target", target_domain="domain1"))
    assert split.adaptation is not None
    assert set(unlabelled.tolist()) <= set(split.adaptation.tolist())
    assert not np.intersect1d(split.adaptation, weightless).size


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, r"the target may be any of the domains domain0, domain1, domain2; name it as target domain \(--to-domain"),
        ({"source_domains": ["domain0"]}, "the target may be any of the domains domain1, domain2; name it"),
        (
            {"target_domain": "domain9"},
            r"no domain 'domain9' has labels \(did you mean .*domain0\?\); choose from domain0, domain1",
        ),
        ({"source_domains": ["domain0"], "target_domain": "domain0"}, "domain 'domain0' is both source and target"),
        ({"source_domains": ["domain0", "domain1", "domain2"]}, "all domains are named as sources; leave one of them"),
    ],
)
def test_domains_that_cannot_be_meant_are_refused(named: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        make_splits(make_domains(), "source-target", **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES)
def test_one_domain_and_none_are_refused_with_the_next_step(rule: str) -> None:
    with pytest.raises(
        TableError, match="the images have no domains; give a manifest or --annotations a column 'domain'"
    ):
        make_splits(make_table(), rule)
    with pytest.raises(TableError, match=r"all labelled images are of the domain 'domain0'; .* choose another rule"):
        make_splits(make_domains(1), rule)
    table = make_domains(2)
    labels = np.where(np.arange(120) % 2, -1, table.labels).astype(np.int32)
    with pytest.raises(TableError, match=r"of the domain 'domain0' \(no image of domain1 has a label\)"):
        make_splits(replace(table, labels=labels), rule)


def test_a_class_of_one_source_image_is_refused_before_anything_is_trained() -> None:
    table = make_domains(2)
    kept = np.flatnonzero((table.labels == 0) | (np.arange(120) % 2 == 1) | (np.arange(120) == 60))
    with pytest.raises(
        TableError, match="class 'class1' has 1 image outside of domain 'domain1', too few to train and"
    ):
        make_splits(select_rows(table, kept), "source-target", target_domain="domain1")
