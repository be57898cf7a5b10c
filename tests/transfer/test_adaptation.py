"""Adapting helps where a domain has moved, does nothing where it has not, and never sees labels of the target."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part
from featx.errors import ChoiceError, HeadError, TableError
from featx.heads import Head, evaluate_head, find_unseen, load_head, refit_head, save_head, train_head
from featx.tables import select_rows, split_table
from featx.transfer import Adaptation, AdaptationRow, adapt_head
from featx.transfer.adaptation.methods import expand_methods
from tests.support.sizes import as_exhaustive
from tests.support.tables import make_table, with_columns

COUNTS = (60, 60, 60)


def domains(
    counts: Sequence[int] = COUNTS, *, apart: float = 4.0, shift: float = 2.0, scale: float = 2.0
) -> tuple[FeatureTable, FeatureTable]:
    """A source, and a target that is scaled, and shifted so that the first class lies beyond the second one."""
    table = make_table(tuple(2 * count for count in counts), apart=apart)
    even = np.arange(len(table)) % 2 == 0
    source, target = (select_rows(table, np.flatnonzero(rows)) for rows in (even, ~even))
    first, second = (source.features[source.labels == code].mean(axis=0) for code in (0, 1))
    features = target.features * np.float32(scale) + np.float32(shift) * (second - first)
    return source, replace(target, parts=(Part(features),), names=np.char.add(b"t/", target.names))


def adapted(source: FeatureTable, target: FeatureTable, **given: Any) -> Adaptation:
    """An adaptation of ridge regression, tuned on validation images."""
    return adapt_head(source, target, **({"head": "ridge", "tuning": "validation", "jobs": 1} | given))  # type: ignore[arg-type]


def head_of(found: Adaptation) -> Head:
    """The head of the chosen method."""
    assert found.head is not None
    return found.head


def chosen_of(found: Adaptation) -> AdaptationRow:
    """The row of the chosen method."""
    assert found.chosen is not None
    return found.chosen


def with_labels(table: FeatureTable, labels: NDArray[Any]) -> FeatureTable:
    """The table with these labels."""
    return replace(table, labels=labels.astype(np.int32))


@pytest.fixture(scope="module")
def every() -> tuple[FeatureTable, FeatureTable, Adaptation]:
    """A source, a moved target, and what all methods made of them."""
    source, target = domains()
    return source, target, adapted(source, target, methods=["all", "none+prior", "coral+self-training"], shots=3)


def test_every_method_that_moves_features_helps_where_they_have_moved(every: tuple[Any, Any, Adaptation]) -> None:
    rows: dict[str, Any] = {row.method: row for row in every[2].rows}
    for name in ("auto", "standardise", "standardise+self-training", "coral", "transport", "coral+self-training"):
        assert rows[name].verdict == "helps", name
        assert rows[name].accuracy > 0.9, name
    assert rows["none"].accuracy < 0.7
    assert rows["none"].difference is None


def test_auto_stands_for_standardising_after_a_domain_shift(every: tuple[Any, Any, Adaptation]) -> None:
    found = every[2]
    assert (found.gap.verdict, found.gap.adapts) == ("domain shift", True)
    assert (chosen_of(found).method, chosen_of(found).stands_for) == ("auto", "standardise")


def test_methods_say_how_many_labels_of_the_target_they_used(every: tuple[Any, Any, Adaptation]) -> None:
    used = {row.method: row.target_labels for row in every[2].rows if row.target_labels}
    assert used == {"tradaboost": 9, "pooled": 9, "target": 18}
    assert all(row.unsupervised == (row.method not in used) for row in every[2].rows)
    assert all((row.versus_target is None) == (row.method == "target") for row in every[2].rows)


def test_p_values_are_corrected_over_all_methods(every: tuple[Any, Any, Adaptation]) -> None:
    rows: list[Any] = [row for row in every[2].rows if row.p is not None]
    assert all(row.p_holm >= row.p for row in rows)
    smallest = min(rows, key=lambda row: row.p)
    assert smallest.p_holm == pytest.approx(min(1.0, smallest.p * len(rows)))


def test_the_saved_head_reaches_what_was_measured(every: tuple[Any, Any, Adaptation], tmp_path: Path) -> None:
    _, target, found = every
    save_head(head_of(found), tmp_path / "h.featx")
    head = load_head(tmp_path / "h.featx")
    tested = find_unseen(head, target)
    assert tested is not None
    assert np.array_equal(tested, split_table(target).test)
    assert evaluate_head(head, target, rows=tested).accuracy == chosen_of(found).accuracy
    assert head.training["metrics"]["accuracy"] == chosen_of(found).accuracy
    assert head.training["adaptation"]["stands_for"] == "standardise"


@pytest.mark.parametrize(
    "method", ["transport", "tradaboost", *map(as_exhaustive, ("coral", "weights", "pooled", "none+prior", "target"))]
)
def test_a_head_of_every_method_can_be_saved(method: str, tmp_path: Path) -> None:
    source, target = domains((20, 20))
    found = adapted(source, target, methods=[method], shots=2 if method in ("tradaboost", "pooled", "target") else None)
    save_head(head_of(found), tmp_path / "h.featx")
    assert np.array_equal(load_head(tmp_path / "h.featx").predict_proba(target), head_of(found).predict_proba(target))


def test_none_is_the_head_that_train_head_makes() -> None:
    source, target = domains((20, 20))
    found = adapted(source, target, methods=["none"])
    head, result = train_head(source, "ridge", tuning="validation", jobs=1)
    assert np.array_equal(head_of(found).predict_proba(target), head.predict_proba(target))
    assert found.rows[0].source_accuracy == result.value


def test_auto_changes_nothing_at_all_without_a_domain_shift() -> None:
    source, target = domains(shift=0.0, scale=1.0)
    found = adapted(source, target)
    assert not found.gap.adapts
    head, _ = train_head(source, "ridge", tuning="validation", jobs=1)
    assert np.array_equal(head_of(found).predict_proba(target), head.predict_proba(target))
    row = found.rows[1]
    assert (row.method, row.stands_for, row.difference, row.verdict) == ("auto", "none", 0.0, "undecided")


@pytest.mark.parametrize(
    "method", ["standardise+self-training", *map(as_exhaustive, ("weights", "none+prior", "transport"))]
)
def test_labels_of_the_target_that_do_not_measure_change_nothing(method: str) -> None:
    source, target = domains((20, 20))
    target = with_columns(target, splits=np.where(np.arange(len(target)) % 2, b"train", b"test"))
    seen = np.flatnonzero(target.splits == b"train")
    labels = target.labels.copy()
    labels[seen] = np.random.default_rng(0).permutation(labels[seen])
    first, second = (adapted(source, one, methods=[method]) for one in (target, with_labels(target, labels)))
    assert np.array_equal(head_of(first).predict_proba(target), head_of(second).predict_proba(target))
    assert [row.accuracy for row in first.rows] == [row.accuracy for row in second.rows]


def test_test_images_do_not_change_an_inductive_head_and_do_a_transductive_one() -> None:
    source, target = domains((20, 20))
    other = np.array(target.features)
    other[split_table(target).test] *= 3
    for transductive in (False, True):
        first, second = (
            head_of(adapted(source, one, methods=["standardise"], transductive=transductive)).predict_proba(source)
            for one in (target, replace(target, parts=(Part(other),)))
        )
        assert np.array_equal(first, second) == (not transductive)


def test_a_target_without_labels_is_adapted_to_and_not_measured() -> None:
    source, target = domains()
    found = adapted(source, with_labels(target, np.full(len(target), -1)), methods=["standardise"])
    assert all((row.accuracy, row.verdict, row.difference) == (None, None, None) for row in found.rows)
    assert any("nothing is measured" in note for note in found.notes)
    assert np.mean(head_of(found).predict(target) == target.label_names) > 0.9
    assert "metrics" not in head_of(found).training


def test_shares_that_are_given_move_predictions_towards_them() -> None:
    source, target = domains((40, 40), apart=1.0)
    plain, given = (
        adapted(source, target, methods=["standardise"], target_shares=shares)
        for shares in (None, {"class0": 0.9, "class1": 0.1})
    )
    counts = [np.mean(head_of(found).predict(target) == "class0") for found in (plain, given)]
    assert counts[1] > counts[0] + 0.1
    assert given.rows[1].stands_for == "standardise+prior"


def test_classes_of_one_domain_only_are_said_and_count_as_wrong() -> None:
    source, target = domains()
    source = replace(source, classes=("class0", "class1", "other"))
    found = adapted(source, target, methods=["standardise"])
    assert any("classes of the target only" in note and "class2" in note for note in found.notes)
    assert any("classes of the source only" in note and "other" in note for note in found.notes)
    assert found.rows[1].accuracy == pytest.approx(2 / 3, abs=0.05)


def test_balanced_accuracy_is_measured_and_shown_beside_accuracy() -> None:
    source, target = domains((60, 20))
    plain, balanced = (adapted(source, target, methods=["standardise"], balanced=one) for one in (False, True))
    assert (plain.measure, balanced.measure) == ("accuracy", "balanced_accuracy")
    assert balanced.rows[1].accuracy == balanced.rows[1].balanced_accuracy


def test_names_of_methods_are_expanded_in_order_and_once() -> None:
    assert expand_methods(["auto"], shots=None) == ("none", "auto")
    assert expand_methods(["coral", "none", "coral"], shots=None) == ("none", "coral")
    every = expand_methods(["all"], shots=4)
    assert every[:4] == ("none", "auto", "standardise", "standardise+self-training")
    assert {"tradaboost", "pooled", "target"} <= set(every)
    assert not {"tradaboost", "pooled", "target"} & set(expand_methods(["all"], shots=None))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ["corall"]}, "did you mean coral"),
        ({"methods": ["coral+selftraining"]}, "did you mean self-training"),
        ({"methods": ["pooled+prior"], "shots": 1}, r"\+prior cannot be added to pooled"),
        ({"methods": ["auto+prior"]}, "nothing can be added to auto"),
        ({"methods": ["pooled"]}, "say with shots how many"),
        ({"save": "coral"}, "coral is to be saved but is not among the methods"),
        ({"target_shares": {"class7": 1.0}}, "the source has no class 'class7'"),
        ({"target_shares": {"class0": 0.5}}, "sum to 0.5"),
        ({"target_shares": {"class0": 1.5, "class1": -0.5}}, "the share of class 'class1' is -0.5"),
    ],
)
def test_what_was_asked_for_in_vain_is_told_with_what_to_do(given: dict[str, Any], message: str) -> None:
    source, target = domains((8, 8))
    with pytest.raises(ChoiceError, match=message):
        adapted(source, target, **given)


def test_a_method_that_one_image_refuses_is_left_out_with_the_reason_unless_its_head_is_kept() -> None:
    source, target = domains((12, 12))
    one = select_rows(target, np.array([3]))
    found = adapted(source, one, methods=["all"])
    methods = [row.method for row in found.rows]
    assert methods[:3] == ["none", "auto", "standardise"]
    assert not {"coral", "transport"} & set(methods)
    for name in ("coral", "transport"):
        assert any(note.startswith(f"{name} is left out: the target has no covariance") for note in found.notes)
    with pytest.raises(HeadError, match="the target has no covariance"):
        adapted(source, one, methods=["all"], save="coral")


def test_a_source_of_one_class_is_refused() -> None:
    source, target = domains((12, 12))
    alone = select_rows(source, np.flatnonzero(source.labels == 0))
    with pytest.raises(TableError, match="the source: all 12 labelled images have class 'class0'"):
        adapted(alone, target)


def test_shots_that_the_target_lacks_are_refused() -> None:
    source, target = domains((12, 12))
    with pytest.raises(TableError, match="fewer than 20 shots"):
        adapted(source, target, shots=20)


def test_a_target_of_one_image_has_no_covariance_and_other_methods_have_a_head() -> None:
    source, target = domains((12, 12))
    alone = select_rows(target, np.array([0]))
    with pytest.raises(HeadError, match="the target has no covariance"):
        adapted(source, alone, methods=["coral"])
    found = adapted(source, alone, methods=["auto", "standardise", "weights"])
    assert (found.gap.adapts, found.rows[1].stands_for) == (False, "none")


@pytest.mark.parametrize("rows", [[0, 1, 2], list(range(8))])
def test_a_target_of_few_images_or_one_class_is_adapted_to_without_being_measured(rows: list[int]) -> None:
    source, target = domains((12, 12))
    found = adapted(source, select_rows(target, np.array(rows)), methods=["auto", "standardise", "coral", "weights"])
    assert all(row.accuracy is None for row in found.rows)
    assert found.head is not None


def test_constant_columns_and_more_columns_than_images_are_no_obstacle() -> None:
    source, target = domains((12, 12))
    wide = [
        replace(
            one,
            parts=(Part(np.hstack([one.features, np.full((len(one), 30), 7, np.float32)])),),
            sources=make_table(dim=36).sources,
        )
        for one in (source, target)
    ]
    found = adapted(*wide, methods=["all"])
    assert {row.method for row in found.rows} >= {"standardise", "coral", "transport", "weights"}


def test_no_head_learns_from_a_group_that_is_tested() -> None:
    source, target = domains()
    groups = np.arange(len(source)) // 2
    source, target = with_columns(source, groups=groups), with_columns(target, groups=groups)
    found = adapted(source, target, methods=["standardise"])
    tested = np.isin(groups, groups[split_table(target).test])
    note = f"{tested.sum()} images of the source are left out, since their groups are tested in the target"
    assert note in found.notes
    rows = head_of(found).training["rows"]
    assert rows["train"] + rows["validation"] < np.count_nonzero(~tested)
    with pytest.raises(TableError, match="every image of the source is of a group that is tested"):
        adapted(select_rows(source, np.flatnonzero(tested)), target)


def test_a_refitted_head_on_the_same_rows_is_the_same_head() -> None:
    table, _ = domains((20, 20))
    head, _ = train_head(table, "logreg", tuning="validation", jobs=1)
    again = refit_head(head, select_rows(table, split_table(table).development))
    assert again.predict_proba(table) == pytest.approx(head.predict_proba(table), abs=1e-6)


def test_a_cautious_head_has_the_stronger_penalty() -> None:
    table = make_table((100, 100), apart=1.5)
    (plain, _), (cautious, result) = (
        train_head(table, "linear-svm", cautious=one, tuning="validation", jobs=1) for one in (False, True)
    )
    assert plain.params["classifier__C"] / 10.01 <= cautious.params["classifier__C"] < plain.params["classifier__C"]
    assert cautious.params["scaler__how"] == "standardise"
    assert result.tuned.startswith("strongest penalty within a standard error of the best accuracy")


def test_few_labels_may_be_all_that_a_class_has_among_images_that_do_not_measure() -> None:
    source, target = domains((30, 8))
    used = adapted(source, target, methods=["pooled"], shots=3).rows[1].target_labels
    assert int(np.count_nonzero(target.labels[split_table(target).development] == 1)) == 6
    assert used == 6
