"""Heads use the views of images as they were asked to, never divide them, and refuse views that they do not know."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.cache import FeatureTable, replace_parts, use_views
from featx.errors import ConvergenceError, HeadError, TableError
from featx.heads import Head, Result, evaluate_head, load_head, make_development_set, refit_head, save_head, train_head
from featx.heads.training import training
from featx.heads.training.viewing import ViewFit
from featx.heads.used_views import ViewChoice
from featx.measures import pool_views, to_probabilities
from featx.settings import ViewRule
from featx.tables import fuse_tables, make_splits, split_table
from tests.support.tables import make_table, with_columns
from tests.support.views import VIEWS, mirrored_views, noisy_views, with_views

SOLVED = {"logreg": 1e-4, "ridge": 1e-7, "linear-svm": 1e-4, "knn": 1e-7, "class-mean": 1e-6, "rbf-svm": 1e-3}
"""Heads, and how far their probabilities may be apart when the same optimum is computed twice."""


def identical_views() -> FeatureTable:
    """Three views of each image that are all the same."""
    table = make_table(apart=2.0)
    return with_views(table, np.repeat(table.features[:, None], 3, axis=1))


@pytest.mark.parametrize("name", SOLVED)
def test_rows_of_identical_views_give_the_head_of_one_view(name: str) -> None:
    table = identical_views()
    alone, _ = train_head(table, name, tuning="validation", jobs=1)
    rows, _ = train_head(use_views(table, "rows"), name, tuning="validation", jobs=1)
    assert rows.predict_proba(table) == pytest.approx(alone.predict_proba(table), abs=SOLVED[name])


def test_rows_of_one_view_give_the_same_bits_as_view_0() -> None:
    table = identical_views()
    one = replace_parts(table, [replace(table.parts[0], view_rule="rows")])
    alone, measured = train_head(table, "ridge", jobs=1)
    rows, of_rows = train_head(one, "ridge", jobs=1)
    assert np.array_equal(rows.predict_proba(one), alone.predict_proba(table))
    assert of_rows.metrics == measured.metrics


def test_the_probability_of_an_image_is_the_mean_of_those_of_its_views() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 3, 4)) * 30
    pooled = to_probabilities(pool_views(scores))
    each = np.stack([to_probabilities(scores[:, view]) for view in range(3)])
    assert pooled == pytest.approx(each.mean(axis=0), abs=1e-12)
    several = to_probabilities(pool_views(scores, multilabel=True), multilabel=True)
    each = np.stack([to_probabilities(scores[:, view], multilabel=True) for view in range(3)])
    assert several == pytest.approx(each.mean(axis=0), abs=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_views_of_an_image_are_never_in_both_parts_of_a_fold(grouped: bool) -> None:
    """The features of each image are its number: so the rows that a fit and its validation get say whose they are."""
    table = make_table((20, 20))
    if grouped:
        table = with_columns(table, groups=np.arange(40) // 2)
    numbers = np.broadcast_to(1 + np.arange(40)[:, None, None], (40, 3, table.dim)).astype(np.float32)
    rows = use_views(with_views(table, numbers), "rows")
    development = make_development_set(rows, split_table(rows), folds=5)
    for fit, held_out in development.folds:
        fitted, others = (set(development.features(part)[:, 0]) for part in (fit, held_out))
        assert len(development.features(fit)) == 3 * len(fit)
        assert not fitted & others
    groups = development.groups_of(development.final_rows)
    assert groups is not None
    assert all(len(set(groups[start : start + 3])) == 1 for start in range(0, len(groups), 3))
    assert len(set(groups)) == len(development.final_rows) // (2 if grouped else 1)
    weights = development.weights(development.final_rows)
    assert weights is not None
    assert weights.sum() == pytest.approx(len(development.final_rows))


@pytest.mark.parametrize("rule", ["mean", "rows"])
def test_views_that_an_image_shares_with_no_other_cannot_be_learnt_by_heart(rule: ViewRule) -> None:
    """Labels are random, and the views of an image alike: a view in training would give away that in validation."""
    table = make_table((60, 60), dim=20)
    random = replace(table, labels=np.random.default_rng(0).permutation(table.labels))
    alike = noisy_views(random, noise=0.01)
    _, result = train_head(use_views(alike, rule), "knn", folds=3, jobs=1)
    assert 0.3 < result.validated < 0.7


def test_auto_takes_view_0_if_the_mirror_image_is_of_another_class() -> None:
    _, result = train_head(mirrored_views(make_table(apart=4.0)), "class-mean", views="auto", jobs=1)
    assert result.views is not None
    assert result.views.rule == "first"
    assert result.views.validated["first"] > result.views.validated["mean"] + 0.2
    (effect,) = result.views.effects
    assert effect.view == "hflip"
    assert effect.difference < 0
    assert effect.p_holm is not None
    assert effect.p_holm < 0.01


def test_auto_takes_the_mean_if_it_has_less_noise_and_the_test_says_that_it_helps() -> None:
    table = noisy_views(make_table((150, 150), apart=3.0, dim=10), noise=2.0)
    head, result = train_head(table, "class-mean", views="auto", jobs=1)
    assert result.views is not None
    assert result.views.rule != "first"
    assert head.sources[0].views == VIEWS
    assert result.views.difference is not None
    assert result.views.difference > 0
    assert [effect.view for effect in result.views.effects] == list(VIEWS)


@pytest.mark.parametrize("rule", ["mean", "rows"])
def test_the_worth_of_both_views_is_told_if_there_are_two(rule: ViewRule) -> None:
    table = make_table(apart=3.0)
    two = with_views(table, np.repeat(table.features[:, None], 2, axis=1), ("center", "hflip"))
    _, result = train_head(two, "class-mean", views=rule, jobs=1)
    assert result.views is not None
    assert [effect.difference for effect in result.views.effects] == [0, 0]


def test_a_tie_goes_to_view_0() -> None:
    _, result = train_head(identical_views(), "class-mean", views="auto", jobs=1)
    assert result.views is not None
    assert result.views.rule == "first"


def test_a_result_with_views_is_read_as_it_was_written_and_others_do_not_mention_them() -> None:
    table = noisy_views(make_table(), noise=1.0)
    _, result = train_head(table, "class-mean", views="mean", jobs=1)
    assert Result.from_dict(result.to_dict()) == result
    _, plain = train_head(table, "class-mean", jobs=1)
    assert "views" not in plain.to_dict()


@pytest.mark.parametrize("rule", ["mean", "rows"])
def test_a_loaded_head_reads_its_own_views_of_a_cache_that_has_them(rule: ViewRule, tmp_path: Path) -> None:
    table = noisy_views(make_table(), noise=1.0)
    head, result = train_head(table, "ridge", views=rule, jobs=1)
    save_head(head, tmp_path / "h.featx")
    loaded = load_head(tmp_path / "h.featx")
    assert np.array_equal(loaded.predict_proba(table), head.predict_proba(use_views(table, rule)))
    rows = split_table(table).test
    assert evaluate_head(loaded, table, rows=rows).accuracy == result.metrics.accuracy


def test_a_head_refuses_views_that_it_was_not_fitted_on() -> None:
    plain = make_table()
    table = noisy_views(plain, noise=1.0)
    mean, _ = train_head(table, "class-mean", views="mean", jobs=1)
    first, _ = train_head(table, "class-mean", jobs=1)
    with pytest.raises(HeadError, match=r"was given view 0; extract the images with `featx extract --views hflip,vfli"):
        mean.predict_proba(plain)
    with pytest.raises(HeadError, match=r"was trained on view 0 .* given the mean of"):
        first.predict_proba(use_views(table, "mean"))
    with pytest.raises(HeadError, match="given each of the views"):
        mean.predict_proba(use_views(table, "rows"))
    assert np.array_equal(first.predict_proba(table), first.predict_proba(plain_of(table)))


def plain_of(table: FeatureTable) -> FeatureTable:
    """View 0 of the table, as a cache without views has it."""
    return replace(table, parts=(replace(table.parts[0], values=table.features, known_views=("center",)),))


def test_several_labels_soft_labels_and_weights_are_those_of_the_image_in_every_view() -> None:
    table = noisy_views(make_table((30, 30)), noise=0.5)
    shares = np.eye(2, dtype=np.float32)[table.labels]
    weights = np.linspace(0.5, 2, 60).astype(np.float32)
    several = replace(table, shares=shares, multilabel=True, labels=np.full(60, -1, np.int32))
    soft = replace(table, shares=0.8 * shares + 0.1, weights=weights)
    for labelled in (several, soft):
        head, result = train_head(labelled, "class-mean", views="rows", tuning="validation", jobs=1)
        assert head.predict_proba(labelled).shape == (60, 2)
        assert result.views is not None


@pytest.mark.parametrize("fusion", ["concat", "standardised", "pca", "kernel", "stacked"])
@pytest.mark.parametrize("rule", ["mean", "rows"])
def test_fusions_work_with_views(fusion: str, rule: ViewRule) -> None:
    one = noisy_views(make_table(), noise=0.5)
    other = noisy_views(make_table(name="other"), noise=0.5, seed=1)
    table = fuse_tables([use_views(one, rule), use_views(other, rule)])
    head, result = train_head(table, "class-mean", fusion=fusion, tuning="validation", jobs=1)
    assert result.metrics.accuracy > 0.6
    assert head.predict_proba([one, other]).shape == (80, 2)


def test_rows_need_the_same_views_of_every_backbone() -> None:
    one = use_views(noisy_views(make_table(), noise=0.5), "rows")
    other = use_views(noisy_views(make_table(name="other"), noise=0.5), "rows", names=("center", "hflip"))
    with pytest.raises(HeadError, match="every backbone needs the same views"):
        train_head(fuse_tables([one, other]), "class-mean", jobs=1)


def test_few_shot_splits_work_with_views() -> None:
    table = noisy_views(make_table(), noise=0.5)
    split = make_splits(table, "few-shot", shots=[4], repeats=1)[0]
    for rule in ("mean", "rows", "auto"):
        _, result = train_head(table, "class-mean", views=rule, split=split, jobs=1)
        assert result.shots == 4


def test_what_is_impossible_is_refused_by_name() -> None:
    table = noisy_views(make_table(), noise=0.5)
    with pytest.raises(HeadError, match="'mlp' holds out some of its rows"):
        train_head(table, "mlp", views="rows", jobs=1)
    with pytest.raises(HeadError, match=r"views 'all' is not known; choose from first, mean, rows and auto"):
        train_head(table, "ridge", views="all", jobs=1)  # type: ignore[arg-type]
    with pytest.raises(TableError, match="has one view of each image"):
        train_head(make_table(), "ridge", views="mean", jobs=1)


def test_auto_says_that_there_is_nothing_to_choose_without_views() -> None:
    _, result = train_head(make_table(), "class-mean", views="auto", jobs=1)
    assert result.views is not None
    assert "do not all have several views" in result.views.chosen


@pytest.mark.parametrize("views", ["mean", "rows", "auto"])
def test_a_table_that_was_read_with_some_views_keeps_to_them(views: ViewChoice) -> None:
    table = use_views(noisy_views(make_table(apart=3.0), noise=1.0), "mean", names=VIEWS[:2])
    _, result = train_head(table, "class-mean", views=views, jobs=1)
    assert result.views is not None
    assert result.views.rule == "first" or result.views.names == VIEWS[:2]


def test_fitting_again_uses_the_views_that_the_head_reads() -> None:
    table = noisy_views(make_table(apart=2.0), noise=1.0)
    head, _ = train_head(table, "class-mean", views="mean", jobs=1)
    again, wanted = refit_head(head, table), refit_head(head, use_views(table, "mean"))
    assert np.array_equal(again.predict_proba(table), wanted.predict_proba(table))
    with pytest.raises(HeadError, match="was trained on the mean of the views"):
        refit_head(head, use_views(table, "mean", names=VIEWS[:2]))


def test_a_rule_that_does_not_converge_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = training._fit

    def failing(name: str, rule: ViewRule, **about: Any) -> ViewFit:
        if rule in failed:
            raise ConvergenceError(name, iterations=1, reached="loss 1", step="more")
        return fit(name, rule, **about)

    monkeypatch.setattr(training, "_fit", failing)
    table = noisy_views(make_table(apart=3.0), noise=1.0)
    failed: tuple[str, ...] = ("rows",)
    _, result = train_head(table, "class-mean", views="auto", jobs=1)
    assert result.views is not None
    assert "rows did not converge" in result.views.chosen
    failed = ("first",)
    _, result = train_head(table, "class-mean", views="mean", jobs=1)
    assert result.views is not None
    assert result.views.test == "view 0 alone was not trained beside it, because its fit did not converge"
    failed = ("mean",)
    with pytest.raises(ConvergenceError):
        train_head(table, "class-mean", views="mean", jobs=1)
    failed = ("first", "mean", "rows")
    with pytest.raises(ConvergenceError):
        train_head(table, "class-mean", views="auto", jobs=1)


@pytest.mark.parametrize("rule", ["mean", "rows"])
def test_of_two_views_each_is_left_out_in_turn(rule: ViewRule) -> None:
    table = make_table()
    two = with_views(table, np.repeat(table.features[:, None], 2, axis=1), ("center", "hflip"))
    _, result = train_head(two, "class-mean", views=rule, jobs=1)
    assert result.views is not None


def test_the_columns_of_a_head_of_rows_are_those_of_all_views() -> None:
    table = use_views(noisy_views(make_table(), noise=0.5), "rows")
    head, _ = train_head(table, "class-mean", jobs=1)
    assert isinstance(head, Head)
    assert head.predict_proba(table.features).shape == (80, 2)
    with pytest.raises(HeadError, match=r"reads floats \(images, 18\)"):
        head.predict_probabilities(table.features[:, :6])


@pytest.mark.exhaustive
def test_views_that_change_nothing_are_rarely_said_to_help() -> None:
    """Of 60 tables whose other views are noise, p of the difference and of every view is below 0.05 at its rate."""
    below, single = 0, 0
    for seed in range(60):
        table = make_table((60, 60), apart=2.0, seed=seed)
        rng = np.random.default_rng(seed)
        jitter = 0.3 * rng.normal(size=(len(table), 3, table.dim))
        _, result = train_head(
            with_views(table, table.features[:, None] + jitter), "class-mean", views="mean", seed=seed, jobs=1
        )
        assert result.views is not None
        below += bool(result.views.p is not None and result.views.p < 0.05 and (result.views.difference or 0) > 0)
        single += any(one.p_holm is not None and one.p_holm < 0.05 for one in result.views.effects)
    assert below <= 5
    assert single <= 7
