"""Heads are tuned and measured without a leak, saved without pickle, and used only where they fit."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from featx.cache import Part
from featx.errors import HeadError, TableError
from featx.estimators import MLP, blocks
from featx.heads import (
    HEADS,
    Head,
    Result,
    build_head,
    load_head,
    read_results,
    reserve_head,
    save_head,
    train_head,
    write_results,
)
from featx.heads.recipes import plan_head
from featx.heads.training.development import balance, make_development_set
from featx.heads.training.fitting import group_setups
from featx.heads.training.tuning import tune
from featx.labels import Labels
from featx.tables import make_splits, split_table
from featx.tables.joining import fuse_tables
from tests.support.sizes import as_exhaustive, shortened
from tests.support.tables import make_table, with_columns

NAMES = sorted(HEADS)
SLOW = ("mlp", "pca-logreg", "pca-svm")
SLOW_LATER = [as_exhaustive(name) if name in SLOW else name for name in NAMES]
"""All heads, of which the slow ones take many seconds to tune."""


@pytest.mark.parametrize("name", [as_exhaustive(name) if name == "mlp" else name for name in NAMES])
def test_every_head_learns_what_can_be_learnt(name: str) -> None:
    head, result = train_head(make_table(apart=6.0), name, tuning="validation", jobs=1)
    assert result.metrics.accuracy > 0.9
    assert head.classes == ("class0", "class1")
    assert result.rows == {"train": 48, "validation": 12, "test": 20, "unlabelled": 0, "failed": 0}


def test_a_head_with_a_small_network_learns_and_is_loaded_as_it_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network that `mlp` has takes seconds."""
    small = replace(HEADS["mlp"], classifier=lambda seed: MLP((16,), learning_rate=0.02, seed=seed))
    monkeypatch.setitem(HEADS, "mlp", small)
    table = make_table(apart=6.0)
    head, result = train_head(table, "mlp", folds=2, jobs=1)
    assert result.metrics.accuracy > 0.9
    save_head(head, tmp_path / "h.featx")
    loaded = load_head(tmp_path / "h.featx")
    assert np.array_equal(loaded.predict_probabilities(table.features), head.predict_probabilities(table.features))


@pytest.mark.parametrize("name", SLOW_LATER)
def test_no_head_learns_what_cannot_be_learnt(name: str) -> None:
    """With labels drawn at random, test rows stay at chance: any leak from them would show."""
    table = make_table((120, 120), dim=40)
    shuffled = replace(table, labels=np.random.default_rng(0).permutation(table.labels))
    accuracies = [train_head(shuffled, name, folds=2, seed=seed, jobs=1)[1].metrics.accuracy for seed in range(3)]
    assert 0.35 < np.mean(accuracies) < 0.65


@pytest.mark.parametrize("name", SLOW_LATER)
def test_test_rows_change_neither_the_head_nor_its_parameters(name: str) -> None:
    table = make_table()
    head, _ = train_head(table, name, folds=2, jobs=1)
    features = table.features.copy()
    features[split_table(table).test] = 1e3
    other, _ = train_head(replace(table, parts=(Part(features),)), name, folds=2, jobs=1)
    assert head.params == other.params
    assert np.array_equal(head.predict_probabilities(table.features), other.predict_probabilities(table.features))


@pytest.mark.parametrize("name", shortened(["knn", "rbf-svm", "ridge", "pca-logreg", "logreg"], most=2))
def test_tuning_finds_what_a_plain_grid_search_over_whole_pipelines_finds(name: str) -> None:
    """Folds, scalings and sweeps that share work choose what fitting every whole pipeline again would choose."""
    table = make_table((60, 60), dim=100, apart=2.0)
    development = make_development_set(table, split_table(table), folds=3)
    plan = plan_head(name, blocks=development.block_widths, rows=development.fewest_fitted)
    grid = {f"classifier__{key}": list(values)[::4] for key, values in plan.classifier.items()}
    plan = replace(plan, classifier={key: list(values)[::4] for key, values in plan.classifier.items()}, open_ended="")
    rows = np.arange(len(development.table))
    search = GridSearchCV(
        build_head(name, blocks=development.block_widths),
        {key: list(values) for key, values in plan.before.items()} | grid,
        cv=development.folds,
        scoring="accuracy",
    ).fit(development.features(rows), development.target(rows))
    tuned = tune(plan, development, jobs=1)
    candidates = search.cv_results_["params"]
    assert tuned.measure == pytest.approx(search.best_score_)
    assert search.cv_results_["mean_test_score"][candidates.index(tuned.params)] == pytest.approx(search.best_score_)


@pytest.mark.parametrize("fusion", ["pca", "joint-pca"])
def test_components_are_sought_once_for_all_shares_of_the_variance(
    fusion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Mock(wraps=blocks.principal_axes)
    monkeypatch.setattr(blocks, "principal_axes", find)
    development = make_development_set(table := make_table(dim=8), split_table(table), folds=3)
    plan = plan_head("class-mean", fusion=fusion, blocks=development.block_widths)
    tuned = tune(plan, development, jobs=1)
    assert tuned.tried == 2 * len(plan.before["fusion__variance"]) * len(plan.classifier["metric"])
    assert find.call_count == len(development.folds)


def test_a_grid_whose_end_is_best_goes_on() -> None:
    table = make_table((60, 60), apart=2.0)
    development = make_development_set(table, split_table(table))
    plan = plan_head("logreg", blocks=development.block_widths)
    inside = tune(plan, development, jobs=1)
    narrow = replace(plan, classifier={"l2": (1e5, 1e4)})
    tuned = tune(narrow, development, jobs=1)
    assert tuned.measure >= tune(replace(narrow, open_ended=""), development, jobs=1).measure
    assert tuned.params["classifier__l2"] < 1e4
    assert not inside.edge


def test_a_grid_whose_end_stays_best_is_reported() -> None:
    """Of labels drawn at random and a grid that starts where nothing is learnt, all is equal: the end stays best."""
    table = make_table((60, 60), apart=2.0)
    development = make_development_set(table, split_table(table))
    plan = replace(plan_head("logreg", blocks=development.block_widths), classifier={"l2": (1e12, 1e11)})
    assert tune(plan, development, jobs=1).edge


def test_what_tunes_a_head_is_given_no_test_row() -> None:
    table = make_table()
    split = split_table(table)
    development = make_development_set(table, split)
    assert not set(development.table.names) & set(table.names[split.test])
    assert len(development.table) == len(table) - len(split.test)


def test_few_shot_heads_are_fitted_on_their_shots_alone() -> None:
    table = make_table((40, 40), apart=3.0)
    split = next(split for split in make_splits(table, "few-shot", shots=(4,), repeats=1))
    head, result = train_head(table, "class-mean", split=split, jobs=1)
    assert result.rows["train"] == 8
    assert result.shots == 4
    scaled = head.pipeline["scaler"].transform(table.features[split.train])
    labels = table.labels[split.train]
    means = [scaled[labels == label].mean(axis=0) for label in (0, 1)]
    assert np.allclose(head.pipeline["classifier"].means_, means, atol=1e-5)
    both = head.pipeline["scaler"].transform(table.features[split.development])
    wrong = [both[table.labels[split.development] == label].mean(axis=0) for label in (0, 1)]
    assert not np.allclose(head.pipeline["classifier"].means_, wrong, atol=1e-2)


def test_the_penalty_is_reported_in_all_three_ways() -> None:
    _, result = train_head(make_table(), "logreg", tuning="validation", jobs=1)
    assert result.penalty is not None
    assert result.penalty.l2 == result.params["classifier__l2"]
    assert result.penalty.l2_mean == pytest.approx(result.penalty.l2 / 60)
    assert pytest.approx(1 / result.penalty.l2) == result.penalty.C


@pytest.mark.parametrize("parts", [1, 2, 4, 100])
def test_setups_are_cut_into_parts_whose_order_is_theirs(parts: int) -> None:
    plan = plan_head("logreg", fusion="pca", blocks=(4, 4))
    setups = list(ParameterGrid(dict(plan.before)))
    groups = group_setups(plan.pipeline, setups, parts=parts)
    assert [setup for group in groups for setup in group] == setups
    assert len(groups) == min(parts, len(setups))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "folds"), shortened([("logreg", 3), ("pca-logreg", 3), ("pca-logreg", None)]))
def test_several_processes_choose_what_one_chooses(name: str, folds: int | None) -> None:
    one, several = (train_head(make_table(apart=1.0), name, folds=folds, jobs=jobs) for jobs in (1, 2))
    assert one[0].params == several[0].params
    assert one[1].metrics == several[1].metrics


@pytest.mark.parametrize("name", ["linear-svm", "rbf-svm", "pca-svm"])
def test_probabilities_of_svms_are_learnt_on_rows_that_were_not_fitted(name: str) -> None:
    """Fitted on random labels, an SVM is sure of its own rows; honest probabilities stay near one half."""
    table = make_table((200, 200), dim=100, apart=0.0)
    head, result = train_head(table, name, folds=2, jobs=1)
    assert result.metrics.log_loss < 0.8
    assert np.abs(head.predict_probabilities(table.features) - 0.5).mean() < 0.25


@pytest.mark.parametrize("name", SLOW_LATER)
def test_probabilities_are_probabilities_for_several_classes(name: str) -> None:
    table = make_table((30, 30, 30, 30), apart=4.0)
    head, _ = train_head(table, name, tuning="validation", jobs=1)
    probabilities = head.predict_probabilities(table.features)
    assert probabilities.shape == (120, 4)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert probabilities.min() >= 0


@pytest.mark.parametrize(
    "name", [name for name in SLOW_LATER if name != "class-mean"]
)  # whose means know nothing of their frequency
def test_weights_count_in_fitting(name: str) -> None:
    """One class weighs next to nothing, so the other is named."""
    table = make_table(apart=0.3)
    light = replace(table, weights=np.where(table.labels == 0, 1, 1e-3).astype(np.float32))
    head, _ = train_head(light, name, tuning="validation", jobs=1)
    assert head.predict_probabilities(table.features)[:, 0].mean() > 0.85


def test_features_that_are_not_finite_are_refused_and_the_image_named() -> None:
    table = make_table()
    features = table.features.copy()
    bad = int(split_table(table).train[3])
    features[bad, 2] = np.inf
    with pytest.raises(TableError, match=table.name(bad)):
        train_head(replace(table, parts=(Part(features),)), "logreg", jobs=1)


def test_a_constant_column_does_no_harm() -> None:
    table = make_table(apart=6.0)
    features = np.hstack([table.features, np.full((80, 1), 7, np.float32)])
    _, result = train_head(replace(table, parts=(Part(features),)), "logreg", tuning="validation", jobs=1)
    assert result.metrics.accuracy > 0.9


def test_more_columns_than_rows_do_no_harm() -> None:
    _, result = train_head(make_table((15, 15), dim=400, apart=20.0), "pca-logreg", tuning="validation", jobs=1)
    assert result.metrics.accuracy > 0.7


def test_a_fused_head_asks_for_its_backbones_in_their_order() -> None:
    left, right = make_table(apart=6.0), make_table(dim=4, apart=6.0, name="other")
    head, _ = train_head(fuse_tables([left, right]), "pca-logreg", tuning="validation", jobs=1)
    with pytest.raises(HeadError, match=r"made-up \(m+\) \+ other \(o+\) but was given other"):
        head.check(fuse_tables([right, left]).sources)


def test_groups_and_official_splits_reach_the_result() -> None:
    splits = np.array([b"train", b"train", b"test", b"train"] * 20)
    _, result = train_head(with_columns(make_table(), splits=splits), "logreg", tuning="validation", jobs=1)
    assert "the image set's own split" in result.split
    assert result.rows["test"] == 20


def test_an_unknown_head_lists_the_known_ones() -> None:
    with pytest.raises(
        HeadError, match=r"no head is called 'logrge' \(did you mean logreg.*choose from logreg, linear-svm"
    ):
        build_head("logrge")


def test_an_unfitted_head_can_be_cloned() -> None:
    assert repr(clone(build_head("pca-svm"))) == repr(build_head("pca-svm"))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Head, Path]:
    """A head and its file."""
    head, _ = train_head(make_table(apart=4.0), "linear-svm", tuning="validation", jobs=1)
    save_head(head, tmp_path / "h.featx")
    return head, tmp_path / "h.featx"


@pytest.mark.parametrize("name", SLOW_LATER)
def test_a_loaded_head_predicts_exactly_what_the_saved_one_predicted(name: str, tmp_path: Path) -> None:
    table = make_table((30, 30, 30), apart=4.0)
    head, _ = train_head(table, name, tuning="validation", jobs=1)
    save_head(head, tmp_path / "h.featx")
    loaded = load_head(tmp_path / "h.featx")
    assert np.array_equal(loaded.predict_probabilities(table.features), head.predict_probabilities(table.features))
    assert (loaded.name, loaded.classes, loaded.params) == (head.name, head.classes, dict(head.params))
    assert loaded.sources == head.sources


def test_a_head_carries_its_result(saved: tuple[Head, Path]) -> None:
    head, path = saved
    assert Result.from_dict(load_head(path).training) == Result.from_dict(head.training)


def test_a_head_file_holds_no_pickle(saved: tuple[Head, Path]) -> None:
    with zipfile.ZipFile(saved[1]) as file:
        assert sorted(file.namelist()) == ["head.json", "pipeline.skops"]
        assert json.loads(file.read("head.json"))["format"] == "featx head"
    assert b"pickle" not in saved[1].read_bytes()


def test_a_head_of_other_types_is_refused(saved: tuple[Head, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(saved[1]) as file:
        about = file.read("head.json")
    strange = skops.io.dumps(FunctionTransformer(func=print_something))
    with zipfile.ZipFile(tmp_path / "strange.featx", "w") as file:
        file.writestr("head.json", about)
        file.writestr("pipeline.skops", strange)
    with pytest.raises(HeadError, match=r"contains types that no head consists of .*print_something"):
        load_head(tmp_path / "strange.featx")


def print_something(value: object) -> object:
    """A function that no head needs."""
    return value


def test_damaged_head_files_never_end_in_anything_but_a_head_error(saved: tuple[Head, Path]) -> None:
    path, original, rng = saved[1], saved[1].read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        data = bytearray(original)
        if rng.random() < 0.3:
            del data[int(rng.integers(len(data))) :]
        for offset in rng.integers(max(len(data), 1), size=4 if data else 0):
            data[offset] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            load_head(path)
        except HeadError as error:
            refused += str(path) in str(error)
    assert refused > 30


@pytest.mark.parametrize("about", ["[1, 2]", '"x"', "null", "{}", '{"format": "featx head"}'])
def test_a_head_whose_description_is_another_is_refused(tmp_path: Path, about: str) -> None:
    with zipfile.ZipFile(tmp_path / "h.featx", "w") as file:
        file.writestr("head.json", about)
    with pytest.raises(HeadError, match=r"h\.featx: "):
        load_head(tmp_path / "h.featx")


@pytest.mark.parametrize("there", ["cache.h5", "notes.txt", "empty"])
def test_a_head_never_replaces_what_is_no_head(saved: tuple[Head, Path], tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"" if there == "empty" else b"featx cache\n and features")
    with pytest.raises(HeadError, match=r"already exists and is not a featx head|would be a featx head, but files"):
        save_head(saved[0], tmp_path / there)


@pytest.mark.parametrize("place", [".", "file.txt/h.featx", "/proc/h.featx"])
def test_a_place_where_no_head_can_be_written_is_refused_before_training(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(HeadError, match=r"; choose another --into|fix that and run the same command|move it away"):
        reserve_head(tmp_path / place).__enter__()


def test_a_head_replaces_an_earlier_head_only_when_told(saved: tuple[Head, Path]) -> None:
    before = saved[1].read_bytes()
    with pytest.raises(HeadError, match=r"already exists; .*--overwrite"):
        save_head(replace(saved[0], temperature=2.0), saved[1])
    assert saved[1].read_bytes() == before
    save_head(replace(saved[0], temperature=2.0), saved[1], overwrite=True)
    assert load_head(saved[1]).temperature == 2.0


def test_a_missing_head_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="no such head; create it with `featx train`"):
        load_head(tmp_path / "none.featx")


def test_results_survive_a_round_trip_through_json_lines(tmp_path: Path) -> None:
    _, result = train_head(make_table(), "logreg", tuning="validation", jobs=1)
    write_results([result, result], tmp_path / "r.jsonl")
    assert read_results(tmp_path / "r.jsonl") == [result, result]


def test_a_damaged_results_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"head": 1}\n')
    with pytest.raises(TableError, match=r"r\.jsonl: not a readable file of results"):
        read_results(tmp_path / "r.jsonl")


def test_balanced_classes_have_equal_weight_in_fitting_and_in_tuning() -> None:
    table = make_table((300, 30), apart=1.5)
    (_, plain), (head, balanced) = (
        train_head(table, "logreg", folds=2, balanced=given, jobs=1) for given in (False, True)
    )
    (rare,) = (one.recall for one in balanced.metrics.per_class if one.name == "class1")
    (rare_plain,) = (one.recall for one in plain.metrics.per_class if one.name == "class1")
    assert rare is not None
    assert rare_plain is not None
    assert rare > rare_plain + 0.2
    assert balanced.tuned.startswith("best balanced accuracy on")
    assert (plain.balanced, balanced.balanced) == (False, True)
    assert plain.key != balanced.key
    theirs = LogisticRegression(C=1 / head.params["classifier__l2"], class_weight="balanced", tol=1e-8, max_iter=5000)
    split = split_table(table)
    fitted = make_pipeline(clone(head.pipeline["scaler"]), theirs).fit(
        table.features[split.development], table.labels[split.development]
    )
    margins = head.pipeline.decision_function(table.features)
    assert np.allclose(margins, fitted.decision_function(table.features), atol=0.02 * np.abs(margins).max())


def test_balanced_soft_labels_keep_their_total_weight_and_give_classes_equal_weight() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [1.0, 0.0], [0.0, 1.0]])
    labels = Labels(
        ("a", "b"), shares.argmax(axis=1), given_shares=shares, given_weights=np.array([1.0, 2.0, 1.0, 1.0])
    )
    balanced = balance(labels)
    assert balanced.class_totals == pytest.approx([2.5, 2.5])
    assert balanced.shares.sum(axis=1) == pytest.approx(1)
    assert balanced.shares[2:].tolist() == [[1, 0], [0, 1]]
    odds, before = balanced.shares[:2, 1] / balanced.shares[:2, 0], shares[:2, 1] / shares[:2, 0]
    assert odds / before == pytest.approx(labels.class_totals[0] / labels.class_totals[1])


def test_classes_of_multi_label_images_cannot_be_balanced() -> None:
    table = make_table()
    several = replace(table, shares=np.eye(2, dtype=np.float32)[table.labels], multilabel=True)
    with pytest.raises(TableError, match="class balancing does not support multi-label images"):
        train_head(several, "logreg", split=split_table(several), balanced=True, jobs=1)


def test_a_kernel_is_approximate_in_tuning_if_it_is_in_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between 48 training rows and 60 with those for validation: the head is what was tuned, and says what it is."""
    for limit, approximate in ((47, True), (55, True), (60, False)):
        monkeypatch.setattr("featx.heads.recipes.EXACT_ROWS", limit)
        head, result = train_head(make_table(apart=3.0), "rbf-svm", jobs=1)
        assert head.pipeline["classifier"].approximate_ == approximate
        assert result.params["classifier__approximate"] == approximate
