"""The leaderboard: its numbers against those of other code, and what stands together in it."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from featx.measures import holm
from featx.report.suites import suite_sections
from featx.suites import LeaderboardRow, SuiteOutcome, read_splits
from featx.suites.groups import group_fields
from featx.suites.leaderboard import rank_sources_over_targets
from featx.suites.standing import Field, Lane
from featx.suites.suite import Protocol
from tests.suites.fields import fields_of
from tests.suites.test_running import run

GROUPS = ("class-mean/all", "class-mean/few-shot-2")
WEIGHTS = np.array([1, 2, 1])


@pytest.fixture(scope="module")
def fields(three_targets: SuiteOutcome) -> list[Field]:
    """What every source reached on every target."""
    return fields_of(three_targets)


def rows_of(outcome: SuiteOutcome, group: str) -> list[LeaderboardRow]:
    """The rows of a group, in their order."""
    return [row for row in outcome.leaderboard.rows if row.group == group]


def values_of(outcome: SuiteOutcome, group: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The values (targets, sources) from the results themselves, in the order of the rows."""
    few_shot = "few-shot" in group
    by_backbone: dict[tuple[str, str], list[float]] = {}
    for result in outcome.results:
        if ("few-shot" in result.split_key) == few_shot:
            by_backbone.setdefault((result.backbones[0], result.images), []).append(result.value)
    images = list(dict.fromkeys(result.images for result in outcome.results))
    names = [row.source if row.backbone == "tiny" else row.backbone for row in rows_of(outcome, group)]
    return np.array([[np.mean(by_backbone[name, one]) for name in names] for one in images])


@pytest.mark.parametrize("group", GROUPS)
def test_means_and_ranks_are_those_of_the_results(three_targets: SuiteOutcome, group: str) -> None:
    rows = rows_of(three_targets, group)
    values = values_of(three_targets, group)
    assert [row.place for row in rows] == [1, 2, 3, 4, 5]
    assert [row.mean for row in rows] == pytest.approx((WEIGHTS @ values) / 4)
    ranks = stats.rankdata(-values.round(12), axis=1).mean(axis=0)
    assert [row.mean_rank for row in rows] == pytest.approx(ranks)
    assert ranks.tolist() == sorted(ranks)
    for place, row in enumerate(rows):
        assert [one.value for one in row.targets] == pytest.approx(values[:, place])
        assert row.difference == pytest.approx((WEIGHTS @ (values[:, place] - values[:, 0])) / 4)
        if np.ptp(values[:, place]) > 0:
            assert row.ci is not None
            assert 0 <= row.ci[0] <= (row.mean or 0) <= row.ci[1] <= 1


@pytest.mark.parametrize("group", GROUPS)
def test_p_values_are_corrected_over_all_sources_and_targets_of_the_group(
    three_targets: SuiteOutcome, group: str
) -> None:
    rows = rows_of(three_targets, group)
    tested = [one for row in rows[1:] for one in row.targets if one.p is not None]
    assert [one.p_holm for one in tested] == pytest.approx(holm([one.p or 0 for one in tested]))
    for row in rows[1:]:
        assert (row.wins or 0) + (row.ties or 0) + (row.losses or 0) == 3
        lost = [one for one in row.targets if (one.p_holm or 1) < 0.05 and one.difference < 0]
        assert row.losses == len(lost)
    assert (rows[0].wins, rows[0].ties, rows[0].losses) == (0, 3, 0)


def test_the_groups_say_what_their_numbers_mean(three_targets: SuiteOutcome) -> None:
    groups = three_targets.leaderboard.groups
    assert [group.name for group in groups] == list(GROUPS)
    assert len({group.digest for group in groups}) == 2
    assert [target.label_rule for target in groups[0].targets] == ["by colour", "", ""]
    assert groups[1].shots == 2
    assert groups[0].provider == "CPUExecutionProvider"
    assert "2 shots" in groups[1].text
    changed = replace(groups[0], targets=(replace(groups[0].targets[0], label_rule="by form"), *groups[0].targets[1:]))
    assert changed.digest != groups[0].digest
    assert replace(groups[0], name="another").digest == groups[0].digest


def test_sources_whose_features_were_computed_otherwise_never_stand_together(fields: list[Field]) -> None:
    other = Lane("fast", "float32", "float32", "CPUExecutionProvider")
    turned = [
        replace(
            field,
            standings=tuple(replace(one, lane=other) if one.source[0] == "other" else one for one in field.standings),
        )
        for field in fields
    ]
    board = rank_sources_over_targets(turned, Protocol())
    assert [group.name for group in board.groups] == [f"{name}/{lane}" for name in GROUPS for lane in (1, 2)]
    for group in board.groups:
        backbones = {row.backbone for row in board.rows if row.group == group.name}
        assert backbones == ({"other"} if group.decode == "fast" else {"tiny", "known", "pixels"})


def test_a_source_that_lacks_a_target_is_listed_apart_and_not_averaged(fields: list[Field]) -> None:
    without = [
        replace(field, standings=tuple(one for one in field.standings if one.source[0] != "other"))
        if field.target.target == "second"
        else field
        for field in fields
    ]
    board = rank_sources_over_targets(without, Protocol())
    (apart,) = (row for row in board.rows if row.backbone == "other" and row.group == GROUPS[0])
    assert (apart.place, apart.mean, apart.lacks) == (None, None, ("second",))
    assert [row.place for row in board.rows if row.group == GROUPS[0]] == [1, 2, 3, 4, None]
    (grouped, _) = group_fields(without, Protocol())
    assert all(len(field.standings) == 4 for field in grouped.fields)


def test_a_target_that_a_baseline_solves_as_well_is_uninformative(fields: list[Field]) -> None:
    """If the source reaches what the baseline reaches, image by image, the target says nothing."""
    field = next(field for field in fields if field.kind == "all")
    baseline = next(one for one in field.standings if one.baseline)
    twin = replace(baseline, baseline="", source=("twin", "features"), label="twin")
    twin = replace(twin, predictor=replace(baseline.predictor, label="twin"))
    board = rank_sources_over_targets([replace(field, standings=(twin, baseline))], Protocol())
    (found,) = board.uninformative
    assert (found.target, found.best) == (field.target.target, "twin:features")
    assert found.baseline_value <= found.best_value + 1e-12 or found.baseline == "majority"
    assert "one target says nothing about others" in board.notes[0]


def test_measures_that_order_sources_differently_are_named(fields: list[Field]) -> None:
    chosen = [field for field in fields if field.kind == "all"]
    turned = []
    for field in chosen:
        one, other = field.standings[0], field.standings[2]
        worse = tuple(replace(result, metrics=replace(result.metrics, log_loss=9.0)) for result in one.results)
        better = tuple(replace(result, metrics=replace(result.metrics, log_loss=0.1)) for result in other.results)
        raised = tuple(replace(result, metrics=replace(result.metrics, accuracy=1.0)) for result in worse)
        lowered = tuple(replace(result, metrics=replace(result.metrics, accuracy=0.2)) for result in better)
        turned.append(replace(field, standings=(replace(one, results=raised), replace(other, results=lowered))))
    notes = rank_sources_over_targets(turned, Protocol()).notes
    assert any("accuracy and log loss order differently: tiny:features and other:features" in note for note in notes)


def test_the_files_say_the_same(three_targets: SuiteOutcome) -> None:
    with (three_targets.folder / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["group"], row["backbone"], row["output"]) for row in rows] == [
        (row.group, row.backbone, row.output) for row in three_targets.leaderboard.rows
    ]
    assert [float(row["mean"]) for row in rows] == pytest.approx(
        [row.mean for row in three_targets.leaderboard.rows], abs=1e-6
    )
    assert {"first", "first_low", "first_high", "first_difference", "first_p_holm", "group_digest"} <= set(rows[0])
    board = json.loads((three_targets.folder / "leaderboard.json").read_text())
    assert [group["digest"] for group in board["groups"]] == [one.digest for one in three_targets.leaderboard.groups]
    gain = [json.loads(line) for line in (three_targets.folder / "gain.jsonl").read_text().splitlines()]
    assert {(one["target"], one["backbone"]) for one in gain} == {
        (target, backbone) for target in ("first", "second", "third") for backbone in ("tiny", "other", "known")
    }


@pytest.mark.exhaustive
def test_what_sources_reach_in_each_domain_is_told_beside_the_mean(write_suite: Callable[..., Path]) -> None:
    target = 'annotations = "domains.csv"\nsplits = "leave-one-domain-out"'
    suite = write_suite(protocol="repeats = 1", target=target)
    names = sorted(str(path.relative_to(suite.parent / "second")) for path in (suite.parent / "second").rglob("*.png"))
    lines = [f"{name},{('lab', 'field', 'outside')[place % 3]}" for place, name in enumerate(names)]
    (suite.parent / "domains.csv").write_text("\n".join(["name,domain", *lines]))
    outcome = run(suite)
    assert outcome.failures == ()
    for row in outcome.leaderboard.rows:
        first, second = row.targets
        assert first.domains == {}
        assert set(second.domains) == {"lab", "field", "outside"}
        assert np.mean(list(second.domains.values())) == pytest.approx(second.value)
    (record, *_) = csv.DictReader((outcome.folder / "leaderboard.csv").read_text().splitlines())
    found = outcome.leaderboard.rows[0].targets[1].domains
    assert {name: float(record[f"second_in_{name}"]) for name in found} == pytest.approx(found, abs=1e-6)
    (section,) = (one for one in suite_sections(outcome) if one.title == "knn/all: by domain")
    assert [row[:2] for row in section.rows] == [(row.source, "second") for row in rows_of(outcome, "knn/all")]
    again = read_splits(outcome.folder / "splits.csv").targets["second"]
    assert list(again) == [f"leave-one-domain-out/0.{name}" for name in ("field", "lab", "outside")]
