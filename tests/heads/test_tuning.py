"""Where parameters are chosen, what decides between them, and what is used if the best ones do not converge."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from featx.cache import FeatureTable
from featx.errors import ConvergenceError, HeadError
from featx.estimators import LinearSVM
from featx.heads import HEADS, choose_tuning, parse_tuning, train_head
from featx.heads.recipes import plan_head
from featx.heads.training import validating
from featx.heads.training.development import make_development_set
from featx.heads.training.fitting import held_out_scores
from featx.heads.training.tuning import tune
from featx.measures import fit_temperature
from featx.tables import Split, fuse_tables, make_splits, split_table
from tests.support.tables import make_table, with_columns

SPLIT = np.array([b"train", b"train", b"validation", b"test"] * 20)
NO_VALIDATION = np.array([b"train", b"train", b"train", b"test"] * 20)


def first_split(table: FeatureTable, rule: str, **options: Any) -> Split:
    """The first split of this rule."""
    return make_splits(table, rule, **options)[0]


@pytest.mark.parametrize("rule", ["stratified", "k-fold", "blocks"])
def test_few_images_are_tuned_in_five_folds(rule: str) -> None:
    table = make_table()
    found = choose_tuning(table, first_split(table, rule), head="logreg")
    assert (found.folds, found.name) == (5, "folds:5")
    assert "at most 2,000 and no validation images were given" in found.reason


def test_a_fifth_that_was_drawn_is_no_reason_against_folds() -> None:
    table = with_columns(make_table(), splits=NO_VALIDATION)
    assert choose_tuning(table, split_table(table), head="ridge").folds == 5


@pytest.mark.parametrize("head", ["logreg", "pca-logreg"])
def test_validation_images_that_were_given_are_used(head: str) -> None:
    table = with_columns(make_table(), splits=SPLIT)
    found = choose_tuning(table, split_table(table), head=head)
    assert (found.folds, found.reason) == (None, "which were given")
    own = replace(split_table(make_table()), validation_drawn=False)
    assert choose_tuning(table, own, head=head).folds is None


def test_few_shot_splits_keep_the_images_that_they_drew() -> None:
    table = make_table()
    split = first_split(table, "few-shot", shots=(4,))
    assert choose_tuning(table, split, head="pca-svm").folds is None


@pytest.mark.parametrize(
    ("head", "fusion", "folds"),
    [
        ("logreg", "", None),
        ("logreg", "pca", 5),
        ("ridge", "joint-pca", 5),
        ("pca-svm", "", 5),
        ("knn", "stacked", None),
    ],
)
def test_many_images_are_tuned_on_a_fifth_of_them_unless_there_is_pca(
    head: str, fusion: str, folds: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table()
    monkeypatch.setattr(validating, "FEW_IMAGES", 59)
    assert choose_tuning(table, split_table(table), head=head, fusion=fusion).folds == folds
    monkeypatch.setattr(validating, "FEW_IMAGES", 60)
    assert choose_tuning(table, split_table(table), head=head, fusion=fusion).folds == 5


@pytest.mark.parametrize(("rare", "folds"), [(3, None), (4, 3), (5, 4), (7, 5)])
def test_a_rare_class_has_an_image_in_every_fold(rare: int, folds: int | None) -> None:
    table = make_table((60, rare))
    assert choose_tuning(table, split_table(table), head="logreg").folds == folds


def test_groups_stay_whole_in_folds() -> None:
    groups = np.arange(80) // 4
    table = with_columns(make_table(), groups=groups)
    split = split_table(table)
    found = choose_tuning(table, split, head="logreg")
    development = make_development_set(table, split, folds=found.folds)
    assert found.folds == 5
    assert development.groups is not None
    for fit, held_out in development.folds:
        assert not set(development.groups[fit]) & set(development.groups[held_out])


def test_what_is_asked_for_is_done() -> None:
    table = with_columns(make_table(), splits=SPLIT)
    results = {
        asked: train_head(table, "ridge", tuning=asked, jobs=1)[1] for asked in ("auto", "validation", "folds:3")
    }
    assert {asked: result.tuning for asked, result in results.items()} == {
        "auto": "validation",
        "validation": "validation",
        "folds:3": "folds:3",
    }
    assert results["folds:3"].tuned.startswith("best accuracy on 3 folds of all but the test images (as asked for), ")
    assert results["auto"].tuned.startswith("best accuracy on 20 validation images (which were given), ")
    assert results["folds:3"].key == train_head(table, "ridge", folds=3, jobs=1)[1].key


@pytest.mark.parametrize("tuning", ["fold:5", "folds:1", "folds:", "folds:²", "5", "", "Auto"])
def test_an_unknown_tuning_is_refused(tuning: str) -> None:
    with pytest.raises(HeadError, match="choose auto, validation, or folds:K"):
        parse_tuning(tuning)


def test_two_tunings_are_refused() -> None:
    with pytest.raises(HeadError, match="tuning 'validation' and 5 folds were both asked for; leave one of them out"):
        train_head(make_table(), "ridge", tuning="validation", folds=5)


@pytest.mark.parametrize("kept", [0, 2**26])
def test_the_temperature_is_that_of_the_scores_of_held_out_folds(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.heads.training.tuning.KEPT_BYTES", kept)
    table = make_table(apart=1.0)
    head, result = train_head(table, "ridge", jobs=1)
    development = make_development_set(table, split_table(table), folds=5)
    scores = held_out_scores(head.pipeline, development)
    labels = development.labels.take(development.validation_rows)
    assert result.folds == 5
    assert head.temperature == pytest.approx(fit_temperature(scores, labels), rel=1e-4)


@pytest.mark.parametrize(
    ("head", "name", "least", "most"),
    [("logreg", "l2", 1e-4, 1e4), ("ridge", "l2", 1e-4, 1e4), ("linear-svm", "C", 1e-4, 1.0)],
)
def test_of_perfect_values_the_middle_one_is_chosen(head: str, name: str, least: float, most: float) -> None:
    """Weaker penalties make larger scores, which look likelier as long as nothing is wrong."""
    _, result = train_head(make_table(apart=8.0), head, jobs=1)
    assert result.validated == 1
    assert least < result.params[f"classifier__{name}"] < most
    assert not result.edge


@pytest.mark.parametrize("folds", [3, 5, 7])
def test_every_validation_image_counts_once_whatever_the_size_of_its_fold(folds: int) -> None:
    table = make_table((43, 40), apart=1.0)
    development = make_development_set(table, split_table(table), folds=folds)
    blocks = development.block_widths
    rows = development.fewest_fitted
    tuned = tune(plan_head("ridge", blocks=blocks, rows=rows, most=rows, multilabel=False, seed=0), development, jobs=1)
    codes = development.labels_of(development.validation_rows).codes
    assert tuned.scores is not None
    assert len({len(held_out) for _, held_out in development.folds}) > 1
    assert tuned.measure == round(float((tuned.scores.argmax(axis=1) == codes).mean()), 12)


class SweptSVM(LinearSVM):
    """A linear SVM that converges along a path of fits, but above a value of C not from the start."""

    largest = 1e-5

    def _learn(self, *rows_and_targets: Any) -> None:
        if self.largest < self.C:
            raise ConvergenceError("the SVM", iterations=1, reached=f"C = {self.C}", step="lower C")
        super()._learn(*rows_and_targets)


@pytest.mark.parametrize("fusion", ["", "stacked"])
def test_parameters_that_converge_in_tuning_alone_give_way_to_a_stronger_penalty(
    fusion: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table = make_table(apart=1.0)
    if fusion:
        table = fuse_tables([table, make_table(dim=4, apart=1.0, name="other")])
    recipe = replace(HEADS["linear-svm"], classifier=lambda seed: SweptSVM(), grid={"C": (1e-5, 1e-4, 1e-3, 1e-2)})
    monkeypatch.setitem(HEADS, "linear-svm", recipe)
    with caplog.at_level(logging.WARNING, logger="featx"):
        _, result = train_head(table, "linear-svm", fusion=fusion, jobs=1)
    chosen = [value for name, value in result.params.items() if name.endswith("__C")]
    assert all(value <= SweptSVM.largest for value in chosen)
    assert any("the next best" in record.getMessage() for record in caplog.records)


def test_if_no_parameters_converge_that_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(HEADS["linear-svm"], classifier=lambda seed: SweptSVM(), grid={"C": (1e-2, 1e-1)})
    monkeypatch.setitem(HEADS, "linear-svm", recipe)
    with pytest.raises(ConvergenceError, match="the SVM did not converge"):
        train_head(make_table(), "linear-svm", jobs=1)
