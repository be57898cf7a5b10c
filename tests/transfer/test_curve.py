"""Learning curves: what each point is, how many labels a target needs, and what a source saves against a baseline."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.cache import FeatureTable, Part
from featx.compare import Candidate, ComparisonProgress, compare_backbones, list_candidates
from featx.errors import ChoiceError, HeadError, TableError
from featx.tables import make_splits
from featx.transfer import LearningCurve, draw_curve, trace_curve
from tests.support.tables import make_table, with_columns

trace = partial(trace_curve, heads=("class-mean",), repeats=4, jobs=1)


def blurred(table: FeatureTable, *, noise: float, name: str, baseline: str = "", seed: int = 1) -> FeatureTable:
    """The same images through a source that sees them less clearly."""
    rng = np.random.default_rng(seed)
    features = (table.features + noise * rng.normal(size=table.features.shape)).astype(np.float32)
    card = {"name": name, "dim": table.dim, "feature": "pooled", "baseline": baseline}
    return replace(
        table,
        parts=(Part(features),),
        sources=(replace(table.sources[0], card=card),),
        digest=f"{name}{seed}",
    )


def few_shot(tables: Sequence[FeatureTable], *, shots: Sequence[int] = (1, 2, 4), **options: Any) -> list[Candidate]:
    """Candidates on few-shot draws."""
    draw = partial(make_splits, rule="few-shot", shots=shots, repeats=4)
    return list_candidates(tables, heads=options.pop("heads", ["class-mean"]), fusions=(), splits=draw, **options)


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    return make_table((40, 40, 40), apart=2.5)


@pytest.fixture(scope="module")
def curve(table: FeatureTable) -> LearningCurve:
    pixels = blurred(table, noise=3.0, name="pixels", baseline="pixels")
    return trace([table, pixels], shots=(1, 2, 4, 8), target=0.9)


def test_each_point_is_the_mean_over_the_draws(table: FeatureTable, curve: LearningCurve) -> None:
    compared = compare_backbones(few_shot([table]), jobs=1).results
    for row in curve.rows:
        if row.backbone == "made-up" and row.shots <= 4:
            values = [result.metrics.accuracy for result in compared if result.shots == row.shots]
            assert row.value == pytest.approx(np.mean(values))
            assert row.draws == len(values) == 4
            assert row.ci[0] < row.value < row.ci[1]
            assert row.n <= len(table)


@pytest.mark.exhaustive
def test_more_test_images_make_the_interval_narrower_and_more_draws_too(table: FeatureTable) -> None:
    few = trace([make_table((12, 12, 12), apart=2.5)], shots=(2,)).rows[0]
    many = trace([make_table((200, 200, 200), apart=2.5)], shots=(2,)).rows[0]
    more = trace([make_table((200, 200, 200), apart=2.5)], shots=(2,), repeats=12).rows[0]
    assert np.ptp(few.ci) > np.ptp(many.ci) > np.ptp(more.ci)


@pytest.mark.exhaustive
def test_every_output_stands_alone_even_for_heads_that_join_blocks_themselves(table: FeatureTable) -> None:
    found = trace([table, blurred(table, noise=1, name="other")], heads=("ridge", "class-mean"), shots=(2,))
    assert [(row.backbone, row.head) for row in found.rows] == [
        ("made-up", "ridge"),
        ("made-up", "class-mean"),
        ("other", "ridge"),
        ("other", "class-mean"),
    ]


def test_shots_that_a_class_is_too_small_for_are_left_out_and_told() -> None:
    found = trace([make_table((40, 9))], shots=(2, 4, 8, 16))
    assert [row.shots for row in found.rows] == [2, 4]
    assert found.notes[0] == "left out: 8, 16 shots, for which a class has too few images"
    with pytest.raises(TableError, match="class 'class1' has 9 images"):
        trace([make_table((40, 9))], shots=(16, 8))


def test_a_curve_goes_on_from_its_file_of_results(table: FeatureTable, tmp_path: Path) -> None:
    into = tmp_path / "results.jsonl"
    first = trace([table], shots=(1, 2), into=into)
    progress: list[ComparisonProgress] = []
    again = trace([table], shots=(1, 2, 4), into=into, report=progress.append)
    assert progress[0].finished == 8
    assert progress[0].total == 12
    assert again.rows[:2] == first.rows


def test_a_target_that_is_reached_names_its_labels(curve: LearningCurve) -> None:
    needed = next(one for one in curve.labels_needed if one.backbone == "made-up")
    values = {row.shots: row.value for row in curve.rows if row.backbone == "made-up"}
    assert needed.shots is not None
    assert values[1] < 0.9 < values[8]
    assert needed.labels == 3 * needed.shots
    assert needed.ci[0] <= needed.shots <= (needed.ci[1] or np.inf)


def test_a_target_out_of_reach_has_no_number_and_an_open_end(curve: LearningCurve) -> None:
    needed = next(one for one in curve.labels_needed if one.backbone == "pixels")
    assert (needed.shots, needed.labels, needed.ci) == (None, None, (8, None))


def test_a_target_that_one_image_of_each_class_reaches_needs_one(table: FeatureTable) -> None:
    needed = trace([make_table((60, 60), apart=30.0)], shots=(1, 2), target=0.7).labels_needed[0]
    assert (needed.shots, needed.ci, needed.labels) == (1, (1, 1), 2)


def test_a_better_source_saves_labels_against_the_baseline(curve: LearningCurve) -> None:
    assert {one.backbone for one in curve.labels_saved} == {"made-up"}
    assert {one.against for one in curve.labels_saved} == {"pixels"}
    at_eight = curve.labels_saved[-1]
    assert (at_eight.shots, at_eight.against_shots, at_eight.ratio) == (8, None, None)
    assert at_eight.ratio_ci == (1.0, None)
    assert any("labels saved: against class-mean on pixels" in note for note in curve.notes)


def test_a_source_like_the_baseline_saves_nothing(table: FeatureTable) -> None:
    twin = blurred(table, noise=0.0, name="twin")
    found = trace([table, twin], shots=(1, 2, 4), against="made-up")
    assert len(found.labels_saved) == 3
    for one in found.labels_saved:
        assert one.ratio_ci[0] <= 1 <= (one.ratio_ci[1] or np.inf)
    assert found.labels_saved[1].ratio == pytest.approx(1.0)


@pytest.mark.exhaustive
def test_of_several_baselines_the_best_on_validation_images_counts(table: FeatureTable) -> None:
    tables = [
        blurred(table, noise=8.0, name="bad", baseline="pixels"),
        blurred(table, noise=2.0, name="good", baseline="random"),
        table,
    ]
    assert {one.against for one in trace(tables, shots=(2, 8)).labels_saved} == {"good"}
    assert {one.against for one in trace(tables, shots=(2, 8), against="bad").labels_saved} == {"bad"}


def test_without_a_baseline_nothing_is_said_to_be_saved(table: FeatureTable) -> None:
    found = trace([table], shots=(2,))
    assert found.labels_saved == ()
    assert not any("saved" in note for note in found.notes)


def test_wrong_names_and_targets_are_refused_before_anything_is_trained(table: FeatureTable) -> None:
    progress: list[ComparisonProgress] = []
    with pytest.raises(ChoiceError, match=r"no source is called 'mad-up' \(did you mean made-up\?\)"):
        trace([table], against="mad-up", report=progress.append)
    with pytest.raises(TableError, match="the target 90 is not a share"):
        trace([table], target=90, report=progress.append)
    with pytest.raises(HeadError):
        trace([table], heads=("logregg",), report=progress.append)
    assert not progress


def test_balanced_classes_are_measured_by_balanced_accuracy() -> None:
    found = trace([make_table((90, 30), apart=1.5)], shots=(2, 4), balanced=True)
    assert {row.measure for row in found.rows} == {"balanced_accuracy"}
    assert set(found.rows[0].to_dict()) >= {"backbone", "output", "head", "shots", "balanced_accuracy", "ci"}
    results = compare_backbones(few_shot([make_table((90, 30), apart=1.5)], balanced=True), jobs=1).results
    values = [result.metrics.balanced_accuracy for result in results if result.shots == 2]
    assert found.rows[0].value == pytest.approx(np.mean([value for value in values if value is not None]))


def test_images_with_several_labels_are_measured_by_average_precision() -> None:
    single = make_table((40, 40, 40), apart=2.0)
    shares = np.eye(3, dtype=np.float32)[single.labels]
    shares[::7, 0] = 1
    several = replace(single, shares=shares, multilabel=True, labels=np.full(len(single), -1, np.int32))
    pixels = blurred(several, noise=3.0, name="pixels", baseline="pixels")
    found = trace([several, pixels], shots=(2, 8), repeats=2, target=0.7)
    assert {row.measure for row in found.rows} == {"average_precision"}
    assert all(row.ci[0] < row.value < row.ci[1] for row in found.rows)
    assert len(found.labels_saved) == 2
    needed = found.labels_needed[0]
    assert needed.labels is None or needed.shots is None or needed.labels <= 3 * needed.shots


def test_one_draw_has_an_interval_for_its_training_images_only(table: FeatureTable) -> None:
    found = trace([table], shots=(2,), repeats=1)
    result = compare_backbones(few_shot([table], shots=(2,)), jobs=1).results[0]
    assert found.rows[0].ci == pytest.approx(result.metrics.accuracy_ci, abs=0.03)
    assert "at 2 shots the interval is for these training images only: there is one draw" in found.notes


def test_draws_that_all_train_on_the_same_images_say_so() -> None:
    table = make_table((40, 40), apart=1.0)
    splits = np.array([b"test"] * 80, "S10")
    splits[[0, 1, 40, 41]] = b"train"
    splits[[2, 3, 42, 43]] = b"validation"
    found = trace([with_columns(table, splits=splits)], shots=(2,))
    assert any("all draws have the same training images" in note for note in found.notes)


def test_whole_groups_make_the_interval_wider() -> None:
    table = make_table((80, 80), apart=1.5)
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 4)
    shifts = rng.normal(size=(40, 6))[groups]
    shifted = replace(table, parts=(Part((table.features + shifts).astype(np.float32)),))
    alone = trace([shifted], shots=(2,)).rows[0]
    grouped = trace([with_columns(shifted, groups=groups)], shots=(2,)).rows[0]
    assert np.ptp(grouped.ci) > np.ptp(alone.ci)


def test_a_point_that_misses_a_draw_is_left_out_and_told(table: FeatureTable) -> None:
    candidates = few_shot([table])
    results = compare_backbones(candidates, jobs=1).results
    found = draw_curve(candidates, results[1:])
    assert [row.shots for row in found.rows] == [2, 4]
    assert any("left out: class-mean on made-up at 1 shots" in note for note in found.notes)
    nothing = draw_curve(candidates, [], target=0.9)
    assert (nothing.rows, nothing.labels_needed) == ((), ())
    assert "0 curves" in repr(nothing)


def test_the_order_of_results_does_not_matter(table: FeatureTable) -> None:
    candidates = few_shot([table])
    results = compare_backbones(candidates, jobs=1).results
    assert draw_curve(candidates, results[::-1]) == draw_curve(candidates, results)


def test_other_candidates_have_no_curve_and_are_counted(table: FeatureTable) -> None:
    tables = [table, blurred(table, noise=1.0, name="other")]
    draw = partial(make_splits, rule="few-shot", shots=(1, 2), repeats=2)
    candidates = list_candidates(tables, heads=["class-mean"], splits=draw)
    candidates += list_candidates([table], heads=["class-mean"], splits=make_splits)
    found = draw_curve(candidates, compare_backbones(candidates, jobs=1).results)
    assert {(row.backbone, row.shots) for row in found.rows} == {
        (name, n) for name in ("made-up", "other") for n in (1, 2)
    }
    assert found.notes[0] == "left out: 5 candidates that are not on one source alone and few-shot draws"


def test_curves_of_different_images_or_measures_do_not_mix(table: FeatureTable) -> None:
    smaller = few_shot([replace(make_table((30, 30)), digest="other")], shots=(1,))
    with pytest.raises(TableError, match="different images"):
        draw_curve([*few_shot([table]), *smaller], [])
    with pytest.raises(TableError, match="some candidates are balanced"):
        draw_curve([*few_shot([table]), *few_shot([table], balanced=True)], [])


def test_curves_are_plain_json(curve: LearningCurve) -> None:
    found = json.loads(json.dumps(curve.to_dict(), allow_nan=False))
    assert set(found) == {"rows", "labels_needed", "labels_saved", "failures", "notes"}
    assert {"backbone", "head", "shots", "accuracy", "ci", "n", "draws"} <= set(found["rows"][0])
