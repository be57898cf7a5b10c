"""Gain is a difference on the same test images, harm is called harm, and what has no effect is undecided."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part, Source
from featx.compare import compare_backbones, list_candidates
from featx.errors import ChoiceError, TableError
from featx.heads import train_head
from featx.measures import holm, paired_bootstrap
from featx.tables import make_splits, select_rows
from featx.transfer import Gain, SourceGain, judge_gain, measure_gain
from tests.support.sizes import as_exhaustive
from tests.support.tables import make_table, with_columns


def table_of(features: NDArray[Any], labels: NDArray[Any], *, name: str, baseline: str = "") -> FeatureTable:
    """A table of one source, with classes a, b and so on."""
    card = {"name": name, "dim": features.shape[1], "feature": "pooled", "baseline": baseline}
    source = Source(name[0] * 64, "CPUExecutionProvider", card, 0, features.shape[1])
    table = make_table((len(labels), 0), dim=features.shape[1], name=name)
    return replace(
        table,
        parts=(Part(features.astype(np.float32)),),
        sources=(source,),
        classes=tuple("abcdefgh"[: labels.max() + 1]),
        labels=labels.astype(np.int32),
    )


def signal(labels: NDArray[Any], *, strength: float, seed: int, columns: int = 4) -> NDArray[np.float64]:
    """Noise, with the labels in it as strongly as that."""
    rng = np.random.default_rng(seed)
    code = np.eye(int(labels.max()) + 1)[labels]
    noise = rng.normal(size=(len(labels), columns + code.shape[1]))
    noise[:, : code.shape[1]] += strength * code
    return noise


def labels_of(counts: Sequence[int], *, seed: int = 0) -> NDArray[np.int64]:
    """Labels in a random order, `counts` of each class."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def gain_of(*tables: FeatureTable, **given: object) -> Gain:
    """The gain with ridge regression, on all training images unless told otherwise."""
    return measure_gain(tables, **({"heads": ["ridge"], "shots": (), "tuning": "validation", "jobs": 1} | given))  # type: ignore[arg-type]


def two_sources(strength: float, of_baseline: float, counts: Sequence[int] = (120, 120)) -> list[FeatureTable]:
    """A source and a baseline, with the labels in both so strongly."""
    labels = labels_of(counts)
    source = table_of(signal(labels, strength=strength, seed=1), labels, name="source")
    return [source, table_of(signal(labels, strength=of_baseline, seed=2), labels, name="pixels", baseline="pixels")]


@pytest.mark.parametrize("shots", [(), as_exhaustive(((4, 16),))])
def test_a_source_that_knows_the_labels_helps(shots: tuple[int, ...]) -> None:
    gain = gain_of(*two_sources(50.0, 0.0), shots=shots)
    assert [row.verdict for row in gain.rows] == ["helps"] * (len(shots) + 1)
    assert [row.shots for row in gain.rows] == [*shots, None]
    assert all(row.accuracy == 1 and row.difference > 0.2 for row in gain.rows)


@pytest.mark.parametrize("shots", [(), as_exhaustive(((8, 32),))])
def test_noise_against_pixels_that_know_the_labels_harms(shots: tuple[int, ...]) -> None:
    gain = gain_of(*two_sources(0.0, 3.0), shots=shots)
    assert {row.verdict for row in gain.rows} == {"harms"}
    assert {row.baseline for row in gain.rows} == {"pixels"}
    assert {one.verdict for row in gain.rows for one in row.per_class} <= {"harms", "undecided"}


def test_the_difference_is_that_of_the_results_and_its_test_that_of_the_same_images() -> None:
    source, pixels = two_sources(1.0, 0.7)
    (row,) = gain_of(source, pixels).rows
    split = make_splits(source)[0]
    (_, own), (_, other) = (
        train_head(one, "ridge", split=split, tuning="validation", jobs=1) for one in (source, pixels)
    )
    assert row.accuracy == own.metrics.accuracy
    assert row.baseline_accuracy == other.metrics.accuracy
    assert row.difference == row.accuracy - row.baseline_accuracy
    assert row.accuracy_ci == own.metrics.accuracy_ci
    assert row.n == len(split.test)
    assert row.p == row.p_holm


def test_several_draws_have_the_mean_of_their_differences() -> None:
    source, pixels = two_sources(1.0, 0.7)
    (row, _) = gain_of(source, pixels, shots=(4,), repeats=3).rows
    found = []
    for split in make_splits(source, "few-shot", shots=(4,), repeats=3):
        own, other = (train_head(one, "ridge", split=split, jobs=1)[1].metrics.accuracy for one in (source, pixels))
        found.append(own - other)
    assert row.difference == pytest.approx(np.mean(found))
    assert row.test.startswith("corrected t-test over 3 draws")


def test_a_difference_that_is_the_same_on_every_image_is_tested_by_their_number() -> None:
    labels = labels_of((6, 6))
    perfect = table_of(signal(labels, strength=50.0, seed=1), labels, name="source")
    row = gain_of(perfect, heads=["class-mean"], shots=(1,), repeats=3).rows[0]
    assert (row.accuracy, row.baseline_accuracy) == (1.0, 0.5)
    assert row.p == pytest.approx(2 * 0.5**row.n)  # all are right, where each is with probability one half
    assert row.test.startswith("sign test")
    assert row.ci is not None
    assert row.accuracy_ci is not None
    assert row.ci[1] == 0.5
    assert 0 < row.ci[0] < 0.5


def test_the_majority_class_of_the_training_rows_is_a_baseline_with_its_share_of_the_test_rows() -> None:
    labels = labels_of((180, 60))
    noise = table_of(signal(labels, strength=0.0, seed=1), labels, name="source")
    gain = gain_of(noise, shots=(2,))
    (few, whole) = gain.baselines
    split = make_splits(noise)[0]
    assert whole.accuracy == pytest.approx(np.mean(labels[split.test] == 0))
    assert whole.validated == pytest.approx(np.mean(labels[split.validation] == 0))
    assert few.accuracy == pytest.approx(0.5)  # of two images of each class no class is the more frequent
    assert (few.best, whole.best) == (True, True)


def test_a_head_that_is_worse_than_naming_the_commoner_class_harms() -> None:
    labels = labels_of((200, 40))
    noise = table_of(signal(labels, strength=0.0, seed=3, columns=60), labels, name="source")
    (row,) = gain_of(noise, heads=["class-mean"]).rows
    assert (row.baseline, row.verdict) == ("majority", "harms")
    assert row.per_class == ()


def test_balanced_accuracy_of_the_majority_class_is_one_over_the_number_of_classes() -> None:
    labels = labels_of((90, 60, 30))
    gain = gain_of(table_of(signal(labels, strength=9.0, seed=1), labels, name="source"), balanced=True, shots=(4,))
    assert gain.measure == "balanced_accuracy"
    assert [one.accuracy for one in gain.baselines] == [pytest.approx(1 / 3)] * 2
    assert [row.verdict for row in gain.rows] == ["helps", "helps"]


def test_the_best_baseline_is_chosen_by_validation_images_and_not_by_test_images() -> None:
    source, good = two_sources(2.0, 3.0)
    split = make_splits(source)[0]
    spoilt = np.array(good.features)
    spoilt[split.test] = 0
    weak = table_of(signal(source.labels, strength=0.5, seed=8), source.labels, name="weak", baseline="x")
    strong = replace(good, parts=(Part(spoilt),))
    gain = gain_of(source, weak, strong)
    assert gain.rows[0].baseline == "pixels"
    assert gain.rows[0].baseline_accuracy < max(one.accuracy for one in gain.baselines)


def test_harm_to_one_class_is_found_where_the_whole_is_undecided() -> None:
    labels = labels_of((200, 200, 200))
    rng = np.random.default_rng(5)
    code = np.eye(3)[labels]
    source_code, pixels_code = 3 * code, 3 * code
    source_code[labels == 2] = 3 * np.eye(3)[rng.integers(0, 3, 200)]
    pixels_code[labels == 1] = 3 * np.eye(3)[rng.integers(0, 3, 200)]
    noise = rng.normal(size=(2, len(labels), 3))
    source = table_of(source_code + noise[0], labels, name="source")
    pixels = table_of(pixels_code + noise[1], labels, name="pixels", baseline="pixels")
    (row,) = gain_of(source, pixels).rows
    by_class = {part.name: part for part in row.per_class}
    assert by_class["c"].verdict == "harms"
    assert by_class["b"].verdict == "helps"
    assert sum(part.n for part in row.per_class) == row.n
    total = sum(part.n * part.difference for part in row.per_class)
    assert total / row.n == pytest.approx(row.difference)
    tested = [part.p for part in row.per_class if part.p is not None]
    assert [part.p_holm for part in row.per_class if part.p is not None] == pytest.approx(holm(tested))


def test_harm_to_one_group_is_found_and_its_images_are_its_sample() -> None:
    labels = labels_of((200, 200))
    source, pixels = (np.array(signal(labels, strength=strength, seed=seed)) for strength, seed in ((6.0, 1), (4.0, 2)))
    groups = np.arange(400) // 40
    source[groups >= 7] = np.random.default_rng(3).normal(size=source[groups >= 7].shape)
    tables = [
        with_columns(table, groups=groups)
        for table in (
            table_of(source, labels, name="source"),
            table_of(pixels, labels, name="pixels", baseline="pixels"),
        )
    ]
    (row,) = gain_of(*tables).rows
    assert "whole groups" in row.test
    tested = set(groups[make_splits(tables[0])[0].test])
    assert {int(part.name) for part in row.per_group} == tested
    assert all(part.verdict == "harms" for part in row.per_group if int(part.name) >= 7)
    assert all(part.verdict != "harms" for part in row.per_group if int(part.name) < 7)


@pytest.mark.exhaustive
def test_p_values_are_corrected_over_all_rows() -> None:
    source, pixels = two_sources(1.0, 0.7)
    other = table_of(signal(source.labels, strength=1.2, seed=7), source.labels, name="other")
    rows = gain_of(source, other, pixels, shots=(4, 8)).rows
    assert len(rows) == 6
    assert [row.p_holm for row in rows] == pytest.approx(holm([row.p for row in rows if row.p is not None]))


def test_several_labels_are_compared_by_average_precision() -> None:
    labels = labels_of((60, 60, 60))
    shares = np.eye(3)[labels]
    shares[::4, 0] = 1
    table = replace(
        table_of(signal(labels, strength=6.0, seed=1), labels, name="source"),
        shares=shares.astype(np.float32),
        multilabel=True,
        labels=np.full(180, -1, np.int32),
    )
    gain = gain_of(table, heads=["class-mean"], shots=(4,), repeats=2)
    assert gain.measure == "average_precision"
    assert [row.verdict for row in gain.rows] == ["helps", "helps"]
    split = make_splits(table)[0]
    assert gain.baselines[-1].accuracy == pytest.approx(shares[split.test].mean(), abs=1e-6)


@pytest.mark.parametrize("kind", ["groups", "weights", "soft labels", "several labels in groups", "own split"])
def test_rows_fit_together_whatever_columns_the_images_have(kind: str) -> None:
    labels = labels_of((30, 30))
    rng = np.random.default_rng(4)
    columns: dict[str, Any] = {}
    if "groups" in kind:
        columns["groups"] = np.array([f"group{row // 4}".encode() for row in range(60)])
    if kind == "weights":
        columns["weights"] = rng.choice([0, 1, 2.5], 60).astype(np.float32)
    if kind == "soft labels":
        columns["shares"] = (0.6 * np.eye(2)[labels] + 0.2).astype(np.float32)
    if kind.startswith("several"):
        shares = np.maximum(np.eye(2)[labels], rng.random((60, 2)) < 0.2).astype(np.float32)
        columns |= {"shares": shares, "multilabel": True, "labels": np.full(60, -1, np.int32)}
    if kind == "own split":
        columns["splits"] = rng.choice([b"train", b"test"], 60)
    source, pixels = (replace(table, **columns) for table in two_sources(2.0, 1.0, (30, 30)))
    rows = gain_of(source, pixels, heads=["class-mean"], shots=(2,), repeats=2).rows
    assert [row.shots for row in rows] == [2, None]
    for row in rows:
        assert row.difference == row.accuracy - row.baseline_accuracy
        assert (row.p is None) == bool(row.why)
        assert row.accuracy_ci is not None
        assert row.accuracy_ci[0] <= row.accuracy <= row.accuracy_ci[1]
        assert row.ci is None or row.ci[0] <= row.difference <= row.ci[1]
        assert bool(row.per_group) == (kind == "groups")


def test_candidates_on_several_sources_alone_are_refused() -> None:
    candidates = list_candidates(two_sources(1.0, 1.0), heads=["ridge"], splits=make_splits)
    with pytest.raises(TableError, match="no candidate is on a single source"):
        judge_gain([one for one in candidates if len(one.backbones) > 1], [])


def test_named_baselines_take_the_place_of_those_of_cards() -> None:
    source, pixels = two_sources(2.0, 1.0)
    gain = gain_of(source, pixels, against=["source"])
    assert [row.backbone for row in gain.rows] == ["pixels"]
    gain = gain_of(source, pixels, against=["majority"])
    assert [row.backbone for row in gain.rows] == ["source", "pixels"]
    assert {one.baseline for one in gain.baselines} == {"majority"}
    assert [row.backbone for row in gain_of(source, pixels, against=["pixels:pooled"]).rows] == ["source"]


def test_a_baseline_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(ChoiceError, match=r"no source 'pixel' .*mean pixels.*choose pixels, source, majority"):
        gain_of(*two_sources(1.0, 1.0), against=["pixel"])


def test_sources_that_are_all_baselines_are_refused() -> None:
    with pytest.raises(TableError, match="every source is a baseline"):
        gain_of(two_sources(1.0, 1.0)[1])


def test_without_any_baseline_backbone_a_note_says_how_to_get_one() -> None:
    assert any("extract raw-pixels" in note for note in gain_of(two_sources(1.0, 1.0)[0]).notes)


@pytest.mark.exhaustive
def test_shots_that_the_images_are_too_few_for_are_left_out_and_told() -> None:
    gain = gain_of(*two_sources(2.0, 1.0, (12, 40)), shots=(2, 4, 16))
    assert [row.shots for row in gain.rows] == [2, 4, None]
    assert any("not measured at 16 shots" in note for note in gain.notes)


def test_a_table_of_test_rows_only_is_refused_with_the_step() -> None:
    table = two_sources(1.0, 1.0)[0]
    with pytest.raises(TableError, match="split has no training rows; assign some images to that part"):
        gain_of(with_columns(table, splits=np.full(len(table), b"test")), shots=(2,))


def test_a_candidate_without_a_result_is_told_and_left_out() -> None:
    tables = two_sources(2.0, 1.0)
    candidates = list_candidates(tables, heads=["ridge"], fusions=(), splits=make_splits, tuning="validation")
    results = compare_backbones(candidates, jobs=1).results
    gain = judge_gain(candidates, [result for result in results if result.backbones != ("source",)])
    assert gain.rows == ()
    assert any(note.startswith("ridge on source: not judged on stratified") for note in gain.notes)


def test_a_source_that_cannot_be_trained_is_a_failure_and_the_others_are_judged() -> None:
    source, pixels = two_sources(2.0, 1.0)
    broken = np.array(source.features)
    broken[:, 0] = np.nan
    bad = table_of(broken, source.labels, name="broken")
    gain = gain_of(source, bad, pixels)
    assert [row.backbone for row in gain.rows] == ["source"]
    assert [failure.candidate for failure in gain.failures] == ["ridge on broken, stratified/0"]
    assert any(note.startswith("ridge on broken: not judged") for note in gain.notes)


def test_judging_results_is_what_measuring_gives() -> None:
    tables = two_sources(1.5, 1.0)
    candidates = list_candidates(tables, heads=["ridge"], fusions=(), splits=make_splits, tuning="validation")
    assert judge_gain(candidates, compare_backbones(candidates, jobs=1).results).rows == gain_of(*tables).rows


def test_results_are_taken_from_a_file(tmp_path: Path) -> None:
    tables = two_sources(1.5, 1.0)
    into = tmp_path / "r.jsonl"
    first = gain_of(*tables, into=into)
    made = []
    again = gain_of(*tables, into=into, report=lambda done: made.append(done.finished))
    assert made == [2]
    assert again.rows == first.rows


def test_draws_of_the_same_training_images_decide_nothing_and_say_why() -> None:
    source, pixels = two_sources(5.0, 1.0, (40, 40))
    train = np.r_[np.flatnonzero(source.labels == 0)[:1], np.flatnonzero(source.labels == 1)[:1]]
    splits = np.full(80, b"test", dtype="S10")
    splits[train] = b"train"
    splits[np.r_[np.flatnonzero(source.labels == 0)[1:5], np.flatnonzero(source.labels == 1)[1:5]]] = b"validation"
    row = gain_of(*(with_columns(table, splits=splits) for table in (source, pixels)), shots=(1,)).rows[0]
    assert (row.p, row.verdict) == (None, "undecided")
    assert "the same training images" in row.why


def test_rows_are_flat_records_and_plain_values() -> None:
    gain = gain_of(*two_sources(2.0, 1.0))
    (record,) = gain.to_records()
    assert {"backbone", "baseline", "shots", "difference", "ci_low", "p_holm", "verdict"} <= set(record)
    assert isinstance(gain.to_dict()["rows"][0]["per_class"][0]["verdict"], str)
    assert "helps" in repr(gain)


def no_effect(seed: int, shots: tuple[int, ...]) -> SourceGain:
    """A row of a source and of pixels that both are noise."""
    labels = labels_of((60, 60), seed=seed)
    source = table_of(signal(labels, strength=0.0, seed=2 * seed), labels, name="source")
    pixels = table_of(signal(labels, strength=0.0, seed=2 * seed + 1), labels, name="pixels", baseline="pixels")
    return gain_of(source, pixels, heads=["class-mean"], shots=shots, repeats=3, seed=seed).rows[0]


@pytest.mark.exhaustive
@pytest.mark.parametrize("shots", [(), (4,)])
def test_a_source_without_effect_is_rarely_said_to_harm_or_help(shots: tuple[int, ...]) -> None:
    verdicts = [no_effect(seed, shots).verdict for seed in range(30)]
    assert verdicts.count("harms") <= 4  # of 30 at 2.5 %, 5 or more happen once in 1,000
    assert verdicts.count("helps") <= 4


# across domains


def two_domains(*, permuted: bool, target: float = 3.0) -> tuple[FeatureTable, FeatureTable]:
    """The same backbone on two domains; if permuted, what meant one class means another in the target."""
    ours, theirs = labels_of((100, 100)), labels_of((150, 50), seed=1)
    source = table_of(signal(ours, strength=3.0, seed=1), ours, name="backbone")
    features = signal(1 - theirs if permuted else theirs, strength=target, seed=2)
    there = table_of(features, theirs, name="backbone")
    names = np.array([f"target/{row:05}".encode() for row in range(len(theirs))])
    return source, replace(there, names=names, digest="target")


def test_a_source_whose_classes_mean_others_in_the_target_harms_and_the_same_ones_help() -> None:
    for permuted, verdict in ((True, "harms"), (False, "helps")):
        source, target = two_domains(permuted=permuted)
        gain = gain_of(source, to=[target])
        (row,) = gain.rows
        assert (row.baseline, row.shots, row.verdict) == ("majority", None, verdict)
        split = make_splits(target)[0]
        assert row.n == len(split.test)
        assert row.baseline_accuracy == pytest.approx(np.mean(target.labels[split.test] == 0))


def test_accuracy_and_losses_across_domains_are_those_of_the_head_of_the_source() -> None:
    source, target = two_domains(permuted=False)
    (row,) = gain_of(source, to=[target]).rows
    head, own = train_head(source, "ridge", tuning="validation", jobs=1)
    test = make_splits(target)[0].test
    probabilities = head.predict_probabilities(np.asarray(target.features)[test])
    assert row.accuracy == pytest.approx(np.mean(probabilities.argmax(axis=1) == target.labels[test]))
    losses = -np.log(probabilities[np.arange(len(test)), target.labels[test]])
    assert row.target_log_loss == pytest.approx(losses.mean())
    assert row.source_log_loss == own.metrics.log_loss
    assert row.source_accuracy == own.metrics.accuracy


@pytest.mark.exhaustive
def test_own_few_labels_of_the_target_are_a_baseline_for_each_number_of_shots() -> None:
    source, target = two_domains(permuted=True, target=9.0)
    gain = gain_of(source, to=[target], shots=(4, 16))
    assert [row.shots for row in gain.rows] == [4, 16, None]
    assert [row.baseline for row in gain.rows] == ["own labels on backbone"] * 2 + ["majority"]
    assert {row.verdict for row in gain.rows} == {"harms"}
    every = gain_of(source, to=[target], shots=(4,), against=["target"])
    assert [row.baseline for row in every.rows] == ["own labels on backbone"] * 2
    alone = gain_of(source, to=[target], shots=(4,), against=["majority"])
    assert [(row.shots, row.baseline) for row in alone.rows] == [(None, "majority")]


def test_classes_are_matched_by_name_and_those_of_one_domain_are_told() -> None:
    source, target = two_domains(permuted=True)
    swapped = replace(source, classes=("b", "a"))
    (row,) = gain_of(swapped, to=[target]).rows
    assert row.verdict == "helps"
    other = replace(source, classes=("a", "z"))
    gain = gain_of(other, to=[target])
    assert any("of the source only" in note and "z" in note for note in gain.notes)
    assert any("of the target only" in note and "b" in note for note in gain.notes)
    guesses = train_head(other, "ridge", tuning="validation", jobs=1)[0].predict(target)
    test = make_splits(target)[0].test
    truth = np.array(target.classes)[target.labels[test]]
    assert gain.rows[0].accuracy == pytest.approx(np.mean(guesses[test] == truth))


def test_domains_without_a_common_class_or_backbone_are_refused() -> None:
    source, target = two_domains(permuted=False)
    with pytest.raises(TableError, match=r"classes of the source are x, y, those of the target a, b"):
        gain_of(replace(source, classes=("x", "y")), to=[target])
    foreign = replace(target, sources=(replace(target.sources[0], backbone="f" * 64),))
    with pytest.raises(TableError, match=r"backbone:pooled \(bbb.*backbone:pooled \(fff.*the same backbone and output"):
        gain_of(source, to=[foreign])
    with pytest.raises(ChoiceError, match="across domains there is no baseline 'pixels'; choose target or majority"):
        gain_of(source, to=[target], against=["pixels"])


def test_images_of_one_name_in_both_domains_are_told() -> None:
    source, _ = two_domains(permuted=False)
    half = select_rows(source, np.arange(0, 200, 2))
    assert any("the same name in source and target" in note for note in gain_of(source, to=[half]).notes)


@pytest.mark.exhaustive
def test_several_labels_and_balanced_classes_work_across_domains() -> None:
    source, target = two_domains(permuted=False)
    balanced = gain_of(source, to=[target], balanced=True, shots=(4,))
    assert balanced.rows[-1].baseline_accuracy == pytest.approx(0.5)
    assert balanced.rows[-1].verdict == "helps"
    several = [
        replace(one, shares=np.eye(2, dtype=np.float32)[one.labels], multilabel=True)
        for one in two_domains(permuted=False, target=1.0)
    ]
    (row,) = gain_of(several[0], to=[several[1]]).rows
    assert row.verdict == "helps"
    with pytest.raises(TableError, match="the target have several labels, those of the source have one"):
        gain_of(source, to=[several[1]])


def test_a_p_value_on_one_split_is_that_of_the_paired_bootstrap() -> None:
    source, pixels = two_sources(1.0, 0.7)
    (row,) = gain_of(source, pixels).rows
    split = make_splits(source)[0]
    labels = source.labels_of(split.test)
    right = {}
    for table in (source, pixels):
        head, _ = train_head(table, "ridge", split=split, tuning="validation", jobs=1)
        found = head.predict_probabilities(np.asarray(table.features)[split.test]).argmax(axis=1)
        right[table.sources[0].name] = (found == labels.codes).astype(np.float64)
    (compared,) = paired_bootstrap(right, [("source", "pixels")], labels=labels)
    assert (row.p, row.ci) == (compared.p, compared.interval)
