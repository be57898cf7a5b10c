"""Scores of tables: which images they look at, how sources are ranked, and what a person is told."""

from dataclasses import replace

import numpy as np
import pytest

from featx.cache import FeatureTable, Part
from featx.errors import ChoiceError, TableError
from featx.labels import Labels
from featx.tables import split_table
from featx.transfer import SCORES, rank_sources, score_transferability, tables_of
from featx.transfer.scores.left_out import LeftOut
from featx.transfer.scores.scorers import OF_CLASS_SCORES
from tests.support.tables import make_table, with_columns

ALL = tuple(SCORES)


def value_of(table: FeatureTable, score: str) -> float:
    """One score of one table."""
    found = score_transferability(table, scores=[score]).rows[0].value
    assert found is not None
    return found


def noise_like(table: FeatureTable, *, name: str = "noise", columns: int = 6, seed: int = 1) -> FeatureTable:
    """A table of the same images, whose features know nothing of the classes."""
    rows = np.random.default_rng(seed).normal(size=(len(table), columns)).astype(np.float32)
    card = {"name": name, "dim": columns, "feature": "pooled"}
    return replace(
        table,
        parts=(Part(rows),),
        sources=(replace(table.sources[0], card=card, stop=columns),),
        digest=f"{name}{seed}",
    )


@pytest.mark.parametrize("score", [score for score in ALL if score not in OF_CLASS_SCORES])
def test_features_of_the_classes_score_higher_than_noise(score: str) -> None:
    table = make_table((60, 50, 40), apart=2.0)
    found = score_transferability([noise_like(table), table], scores=[score])
    values = {row.backbone: row.value for row in found.rows}
    assert values["made-up"] is not None
    assert values["noise"] is not None
    assert values["made-up"] > values["noise"]
    assert [one.backbone for one in found.ranking] == ["made-up", "noise"]


@pytest.mark.parametrize("grouped", [False, True])
def test_a_source_that_is_the_same_for_all_images_scores_last_by_every_score(grouped: bool) -> None:
    table = make_table((60, 50), apart=2.0)
    if grouped:
        table = with_columns(table, groups=np.arange(110) // 3)
    noise = noise_like(table, name="blind")
    blind = replace(noise, parts=(Part(np.ones_like(noise.features)),))
    found = score_transferability([blind, table], scores=[score for score in ALL if score not in OF_CLASS_SCORES])
    assert [one.backbone for one in found.ranking] == ["made-up", "blind"]
    for name in {row.score for row in found.rows}:
        blinds, made_up = sorted((row for row in found.rows if row.score == name), key=lambda row: row.backbone)
        assert blinds.value is not None
        assert made_up.value is not None
        assert made_up.value > blinds.value, name


def test_test_images_are_not_looked_at() -> None:
    table = make_table((60, 60), apart=1.0)
    test = split_table(table, seed=3).test
    changed = np.array(table.features)
    changed[test] = np.nan
    other = replace(table, parts=(Part(changed),))
    assert [row.value for row in score_transferability(other, scores=ALL, seed=3).rows] == [
        row.value for row in score_transferability(table, scores=ALL, seed=3).rows
    ]
    with pytest.raises(TableError, match=r"the features of image\d+\.png are"):
        score_transferability(other, seed=4)


def test_the_image_sets_own_split_says_which_images_are_scored() -> None:
    splits = np.array([b"train", b"train", b"validation", b"test"] * 20)
    found = score_transferability(with_columns(make_table(), splits=splits))
    assert found.notes[0] == "scored on 60 training and validation images; no test image was looked at"


@pytest.mark.parametrize("score", ["ridge", "knn", "class-mean"])
def test_labels_that_were_permuted_are_predicted_as_by_chance(score: str) -> None:
    table = make_table((100, 100), apart=3.0)
    permuted = replace(table, labels=np.random.default_rng(0).permutation(table.labels))
    assert 0.35 < value_of(permuted, score) < 0.68


def test_groups_are_left_out_as_wholes() -> None:
    """Copies of an image in one group would give its class away."""
    table = make_table((40, 40), apart=0.0, dim=30)
    copies = np.repeat(np.arange(0, 80, 4), 4)
    copied = replace(table, parts=(Part(table.take(copies)),), labels=table.labels[copies])
    grouped = with_columns(copied, groups=copies)
    for score in ("ridge", "knn", "class-mean"):
        assert value_of(copied, score) > value_of(grouped, score) + 0.1
    found = score_transferability(grouped)
    assert "groups, left out as wholes" in found.notes[0]


def test_weights_count_and_an_image_of_weight_0_does_not() -> None:
    table = make_table((40, 40), apart=1.0)
    weights = np.ones(80, np.float32)
    weights[::3] = 0
    kept = np.flatnonzero(weights)
    light = replace(table, weights=weights)
    alone = replace(table, parts=(table.parts[0].take(kept),), names=table.names[kept], labels=table.labels[kept])
    every, some = np.arange(80), np.arange(len(kept))
    for score in ("ridge", "press", "logme", "class-mean"):
        found = score_transferability(light, scores=[score], rows=every).rows[0]
        expected = score_transferability(alone, scores=[score], rows=some).rows[0]
        assert found.value == pytest.approx(expected.value)


def test_float16_scores_as_its_float32_copy() -> None:
    table = make_table((50, 50), apart=1.0)
    half = table.features.astype(np.float16)
    tables = [replace(table, parts=(Part(values),)) for values in (half, half.astype(np.float32))]
    found = [[row.value for row in score_transferability(one, scores=ALL).rows] for one in tables]
    assert found[0] == found[1]


def test_soft_labels_are_scored_by_what_is_defined_for_them() -> None:
    table = make_table((50, 50), apart=2.0)
    shares = np.eye(2, dtype=np.float32)[table.labels] * 0.8 + 0.1
    found = score_transferability(replace(table, shares=shares), scores=ALL)
    values = {row.score: row.value for row in found.rows}
    undefined = {name for name, value in values.items() if value is None}
    assert undefined == {"leep", "nce", "nleep", "transrate", "h-score"}
    assert "not defined for such labels: nleep, transrate, h-score" in found.notes


def test_several_labels_are_ranked_by_press() -> None:
    table = make_table((50, 50), apart=2.0)
    has = np.stack([table.labels == 0, table.features[:, 0] > 0], axis=1).astype(np.float32)
    several = replace(table, shares=has, labels=np.full(100, -1, np.int32), multilabel=True)
    found = score_transferability([noise_like(several), several], scores=ALL)
    assert [one.backbone for one in found.ranking] == ["made-up", "noise"]
    assert {row.score for row in found.rows if row.value is None} == set(ALL) - {"ridge", "press", "logme"}
    assert found.ranking[0].first_in is None


def test_class_scores_of_the_source_are_read_where_a_cache_has_them() -> None:
    table = make_table((50, 50), apart=2.0)
    card = dict(table.sources[0].card) | {"classifier": table.sources[0].output}
    with_classes = replace(table, sources=(replace(table.sources[0], card=card),))
    found = score_transferability([noise_like(table), with_classes], scores=["leep", "nce"])
    assert [row.value is None for row in found.rows] == [True, True, False, False]
    assert not any("extract them beside the features" in note for note in found.notes)
    without = score_transferability(table, scores=["leep"])
    assert any(note.startswith("leep read the class scores of the source model") for note in without.notes)


def test_few_images_a_class_are_called_weak() -> None:
    weak = score_transferability(make_table((12, 12))).notes
    assert any(note.startswith("weak: 9 images a class are few") for note in weak)
    assert not any(note.startswith("weak") for note in score_transferability(make_table((60, 60))).notes)


def left_out(correct: list[float], press: float) -> LeftOut:
    """What was left out, as these images show it."""
    return LeftOut(float(np.mean(correct)), press, np.array(correct), 1.0)


def test_press_orders_sources_that_the_images_cannot_tell_from_the_first() -> None:
    labels = Labels(("a", "b"), np.zeros(100, np.int64))
    right = [1.0] * 80 + [0.0] * 20
    sources = {
        "first": left_out(right, 0.3),
        "tied": left_out([0.0, *right[1:]], 0.5),
        "worse": left_out([0.0] * 30 + right[30:], 0.9),
    }
    ranking = rank_sources([(name, "pooled") for name in sources], list(sources.values()), labels)
    assert [(one.backbone, one.rank, one.tied) for one in ranking] == [
        ("tied", 1, True),
        ("first", 2, True),
        ("worse", 3, False),
    ]
    assert sum(one.first_in or 0 for one in ranking) == pytest.approx(1)
    worse = ranking[2]
    assert worse.difference == pytest.approx(-0.3)
    assert worse.ci is not None
    assert worse.ci[1] < -0.2


def test_equal_sources_share_the_first_place() -> None:
    labels = Labels(("a", "b"), np.zeros(50, np.int64))
    same = left_out([1.0] * 30 + [0.0] * 20, 0.2)
    ranking = rank_sources([("left", "pooled"), ("right", "pooled")], [same, same], labels)
    assert [(one.tied, one.first_in) for one in ranking] == [(True, 0.5), (True, 0.5)]


def test_a_single_group_gives_no_interval() -> None:
    labels = Labels(("a", "b"), np.zeros(4, np.int64), groups=np.array([b"g"] * 4))
    sources = [left_out([1, 1, 1, 0], 0.5), left_out([0, 0, 1, 0], 0.1)]
    ranking = rank_sources([("one", "pooled"), ("two", "pooled")], sources, labels)
    assert all(one.tied for one in ranking)
    assert [one.ci for one in ranking] == [None, None]


def test_tables_of_the_ranking_have_its_sources_in_its_order() -> None:
    table = make_table((60, 60), apart=2.0)
    tables = [noise_like(table), table]
    ranking = score_transferability(tables).ranking
    assert [one.sources[0].name for one in tables_of(tables, ranking)] == ["made-up", "noise"]


def test_one_backbone_from_two_caches_is_two_sources() -> None:
    table = make_table((60, 60), apart=2.0)
    other = replace(noise_like(table, name="made-up"), digest="other")
    found = score_transferability([table, other])
    assert [(one.backbone, one.output) for one in found.ranking] == [
        ("made-up:pooled #1", "pooled"),
        ("made-up:pooled #2", "pooled"),
    ]


def test_an_unknown_score_is_refused_with_near_ones() -> None:
    with pytest.raises(ChoiceError, match=r"there is no score 'logm' \(did you mean logme\?\); choose ridge, press"):
        score_transferability(make_table(), scores=["logm"])


def test_tables_of_different_images_are_refused() -> None:
    with pytest.raises(TableError, match="lacks"):
        score_transferability([make_table((40, 40)), make_table((40, 41))])
