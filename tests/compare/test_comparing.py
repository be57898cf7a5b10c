"""Comparisons give every head the same images, continue where they stopped, and test each against the best one."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import pytest

from featx.cache import (
    FeatureTable,
    Part,
)
from featx.compare import (
    Candidate,
    compare_backbones,
    list_candidates,
    rank_candidates,
)
from featx.errors import (
    CacheLockedError,
    HeadError,
    TableError,
)
from featx.heads import FUSIONS, STACKED, Result, read_results, train_head, unpack_guesses
from featx.heads.evaluate import predict_rows
from featx.locking import hold_lock
from featx.measures import (
    Comparison,
    holm,
    paired_measures,
)
from featx.report.measures import show_p
from featx.report.ranking import ranking_sections
from featx.tables import Split, fuse_tables, make_splits, select_rows
from tests.support.sizes import shortened
from tests.support.tables import make_table


def two_tables(apart: float = 2.0) -> list[FeatureTable]:
    """The same images from two backbones that err independently."""
    return [make_table(apart=apart, name="left", seed=1), make_table(dim=4, apart=apart, name="right", seed=2)]


def one_split(table: FeatureTable) -> Sequence[Split]:
    return make_splits(table, "stratified")


def three_splits(table: FeatureTable) -> Sequence[Split]:
    return make_splits(table, "stratified", repeats=3)


def candidates_of(
    tables: Sequence[FeatureTable], heads: Sequence[str] = ("logreg",), **given: object
) -> list[Candidate]:
    """Candidates that are tuned on validation images, which is quicker than folds, unless told otherwise."""
    return list_candidates(tables, heads=heads, **({"splits": one_split, "tuning": "validation"} | given))  # type: ignore[arg-type]


def without_seconds(results: Sequence[Result]) -> list[dict[str, object]]:
    return [{key: value for key, value in one.to_dict().items() if key != "seconds"} for one in results]


def test_every_head_meets_every_backbone_alone_and_all_of_them_joined() -> None:
    candidates = candidates_of(two_tables(), ("logreg", "pca-logreg"), fusions=("concat", "standardised"))
    entries = [(one.head, one.fusion, tuple(source.name for source in one.table.sources)) for one in candidates]
    assert entries == [
        ("logreg", "", ("left",)),
        ("pca-logreg", "", ("left",)),
        ("logreg", "", ("right",)),
        ("pca-logreg", "", ("right",)),
        ("logreg", "concat", ("left", "right")),
        ("logreg", "standardised", ("left", "right")),
        ("pca-logreg", "", ("left", "right")),
    ]


def test_all_heads_are_tested_on_the_same_images() -> None:
    left, right = two_tables()
    shuffled = np.random.default_rng(0).permutation(len(right))
    results = compare_backbones(candidates_of([left, select_rows(right, shuffled)]), jobs=1).results
    assert len({result.test for result in results}) == 1
    assert len(results) == 3


def test_a_result_is_what_train_head_gives_on_the_same_split() -> None:
    left = make_table(apart=2.0, name="left")
    (result,) = compare_backbones(candidates_of([left], ("ridge",), fusions=(), tuning="auto"), jobs=1).results
    _, other = train_head(left, "ridge", split=make_splits(left, "stratified")[0], jobs=1)
    assert result.metrics == other.metrics
    assert result.params == other.params


@pytest.mark.exhaustive
def test_processes_give_what_one_process_gives() -> None:
    candidates = candidates_of(two_tables(), ("ridge", "class-mean"))
    one, two = (compare_backbones(candidates, jobs=jobs).results for jobs in (1, 2))
    assert without_seconds(one) == without_seconds(two)


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["dask", "multiprocessing"])
def test_the_workers_of_another_backend_give_what_one_process_gives(backend: str) -> None:
    candidates = candidates_of(two_tables(), ("ridge", "class-mean"))
    with ExitStack() as held:
        if backend == "dask":
            distributed = pytest.importorskip("distributed")
            held.enter_context(distributed.Client(processes=False, threads_per_worker=1, dashboard_address=None))
        held.enter_context(joblib.parallel_config(backend=backend))
        results = compare_backbones(candidates, jobs=2).results
    assert without_seconds(results) == without_seconds(compare_backbones(candidates, jobs=1).results)


def test_results_name_the_backbones_of_their_features() -> None:
    left, right = two_tables()
    results = compare_backbones(candidates_of([left, right], ("class-mean",)), jobs=1).results
    own = [table.sources[0].backbone for table in (left, right)]
    assert [list(result.identities) for result in results] == [[own[0]], [own[1]], own]


def test_a_comparison_continues_from_the_results_in_its_file(tmp_path: Path) -> None:
    candidates, into = candidates_of(two_tables(), ("ridge", "class-mean")), tmp_path / "r.jsonl"
    whole = compare_backbones(candidates, into=tmp_path / "whole.jsonl", jobs=1).results
    compare_backbones(candidates[:2], into=into, jobs=1)
    first = into.read_bytes()
    into.write_bytes(first + b'{"head": "ridge", "fus')  # what a kill leaves
    made: list[int] = []
    named = str(into)
    resumed = compare_backbones(candidates, into=named, jobs=1, report=lambda done: made.append(done.finished)).results
    assert made == list(range(2, len(candidates) + 1))
    assert into.read_bytes().startswith(first)
    assert without_seconds(resumed) == without_seconds(whole)
    assert without_seconds(read_results(into)) == without_seconds(whole)


def test_results_of_other_data_are_never_reused(tmp_path: Path) -> None:
    into = tmp_path / "r.jsonl"
    for seed in (1, 2):
        compare_backbones(candidates_of([make_table(seed=seed)], ("class-mean",)), into=into, jobs=1)
    assert len({result.table for result in read_results(into)}) == 2


@pytest.mark.parametrize("content", [b"not results", b"a,b\n1,2\n", b'{"head": 1}\n', b"\x89PNG", b"[]\n"])
def test_a_file_of_anything_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    into = tmp_path / "r.jsonl"
    into.write_bytes(content)
    with pytest.raises(TableError, match=r"r\.jsonl: .*choose another --into"):
        compare_backbones(candidates_of([make_table()], ("class-mean",)), into=into, jobs=1)
    assert into.read_bytes() == content


def test_two_comparisons_do_not_write_one_file(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "r.jsonl.lock"), pytest.raises(CacheLockedError, match="adding to these results"):
        compare_backbones(candidates_of([make_table()], ("class-mean",)), into=tmp_path / "r.jsonl", jobs=1)


@pytest.mark.parametrize("fusion", shortened([*FUSIONS, STACKED], most=3))
def test_every_fusion_learns_what_two_backbones_know(fusion: str) -> None:
    table = fuse_tables(two_tables(apart=5.0))
    _, result = train_head(table, "logreg", fusion=fusion, tuning="validation", jobs=1)
    assert result.metrics.accuracy > 0.9
    assert result.fusion == fusion


@pytest.mark.exhaustive
def test_a_fusion_of_complementary_backbones_earns_its_place_and_one_with_noise_does_not() -> None:
    left, right = (
        make_table((300, 300), apart=2.0, name="left", seed=1),
        make_table((300, 300), apart=2.0, name="right", seed=2),
    )
    noise = make_table((300, 300), apart=0.0, name="noise", seed=3)
    for other, helps in ((right, True), (noise, False)):
        candidates = candidates_of([left, other], ("ridge",), splits=three_splits)
        ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
        (fused,) = [ranked for ranked in ranking if len(ranked.backbones) == 2]
        (reference,) = [ranked for ranked in ranking if ranked.reference]
        assert reference.backbones != ("noise",)
        assert fused.comparison is not None
        assert fused.comparison.p_holm is not None
        assert (fused.comparison.p_holm < 0.05 and fused.comparison.difference > 0) == helps


def test_the_reference_is_chosen_by_validation_images_alone() -> None:
    candidates = candidates_of(two_tables(), ("ridge", "class-mean", "knn"))
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    single = [ranked for ranked in ranking if len(ranked.backbones) == 1]
    assert max(one.validated for one in single) == next(one.validated for one in single if one.reference)
    assert sum(ranked.reference for ranked in ranking) == 1


def two_outputs() -> FeatureTable:
    """One backbone with two outputs, of different use."""
    left, right = two_tables()
    joined = fuse_tables([left, right])
    first, second = joined.sources
    second = replace(second, backbone=first.backbone, card={**first.card, "feature": "other", "dim": 4})
    return replace(joined, sources=(first, second))


@pytest.mark.parametrize("splits", [one_split, three_splits])
def test_two_outputs_of_one_backbone_are_two_candidates(splits: Callable[[FeatureTable], Sequence[Split]]) -> None:
    candidates = candidates_of([two_outputs()], ("ridge",), splits=splits)
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    assert [one.backbones for one in ranking] == [
        ("left:pooled",),
        ("left:other",),
        ("left:pooled", "left:other"),
    ]
    assert all(len(one.results) == len(splits(two_tables()[0])) for one in ranking)


def with_a_hole(table: FeatureTable) -> FeatureTable:
    """The table with a feature that is NaN in a row that every split of the tests trains on."""
    features = table.take(np.arange(len(table))).copy()
    features[make_splits(table, "stratified")[0].train[0]] = np.nan
    return replace(table, parts=(Part(features),))


def test_candidates_that_fail_are_listed_at_the_end_and_run_again_and_the_others_have_results(tmp_path: Path) -> None:
    left, right = two_tables()
    broken = candidates_of([left, with_a_hole(right)], ("ridge", "class-mean"))
    made = compare_backbones(broken, into=tmp_path / "r.jsonl", jobs=2)
    assert [result.backbones for result in made.results] == [("left",), ("left",)]
    assert [failure.candidate for failure in made.failures] == [
        "ridge on right, stratified/0",
        "class-mean on right, stratified/0",
        "ridge (concat) on left + right, stratified/0",
        "class-mean (concat) on left + right, stratified/0",
    ]
    assert all("are NaN or infinite" in failure.reason for failure in made.failures)
    ranking = rank_candidates(broken, made.results)
    assert [one.backbones for one in ranking] == [("left",), ("left",)]
    again = compare_backbones(broken, into=tmp_path / "r.jsonl", jobs=1)
    assert again.failures == made.failures


@pytest.mark.parametrize("package", ["numpy", "scikit-learn"])
def test_results_of_other_versions_are_computed_again(tmp_path: Path, package: str) -> None:
    candidates, into = candidates_of([make_table()], ("class-mean",)), tmp_path / "r.jsonl"
    compare_backbones(candidates, into=into, jobs=1)
    number = version(package)
    into.write_text(into.read_text().replace(f'"{package}": "{number}"', f'"{package}": "0.1"'))
    compare_backbones(candidates, into=into, jobs=1)
    assert [result.versions[package] for result in read_results(into)] == ["0.1", number]


def test_results_with_the_fields_of_another_featx_stay_in_the_file_and_are_computed_again(tmp_path: Path) -> None:
    candidates, into = candidates_of([make_table()], ("class-mean",)), tmp_path / "r.jsonl"
    compare_backbones(candidates, into=into, jobs=1)
    old = json.loads(into.read_text())
    del old["edge"]
    old["versions"]["featx"] = "0.0.1"
    into.write_text(json.dumps(old) + "\n")
    assert len(compare_backbones(candidates, into=into, jobs=1).results) == 1
    first, second = into.read_text().splitlines()
    assert json.loads(first) == old
    assert "edge" in json.loads(second)


def test_draws_of_the_same_images_are_compared_without_a_test() -> None:
    table = make_table((24, 24))
    sides = np.array([b"test"] * 2 + [b"validation"] * 3 + [b"train"] * 3)
    table = replace(table, splits=np.tile(sides, 6))
    candidates = candidates_of(
        [table], ("class-mean", "ridge"), splits=lambda one: make_splits(one, "few-shot", shots=(9,), repeats=2)
    )
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    (compared,) = (one.comparison for one in ranking if one.comparison)
    assert compared.p_holm is None
    assert compared.test == "none, for 2 draws are all of the same training images"


def test_impossible_combinations_are_skipped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    def shots(table: FeatureTable) -> Sequence[Split]:
        return make_splits(table, "few-shot", shots=(1, 2), repeats=1)

    candidates = candidates_of([make_table()], fusions=("anova", "pca"), splits=shots)
    assert [(one.fusion, one.split.shots) for one in candidates] == [
        ("", 1),
        ("pca", 1),
        ("", 2),
        ("anova", 2),
        ("pca", 2),
    ]
    several = [with_several_labels(table) for table in two_tables()]
    assert {one.fusion for one in candidates_of(several, fusions=("concat", STACKED))} == {"", "concat"}
    candidates_of([make_table()], ("pca-logreg",), fusions=("anova",))
    assert [
        record.getMessage().removeprefix("skipped combinations that are not possible: ") for record in caplog.records
    ] == [
        "anova at 1 shot",
        "stacked heads of images with several labels",
        "other fusions of pca-logreg, which have their own",
    ]
    with pytest.raises(TableError, match="class balancing does not support"):
        candidates_of(several, balanced=True)


def test_one_output_stored_in_two_ways_is_compared_as_two() -> None:
    left, other = make_table(apart=2.0, name="left", seed=1), make_table(apart=4.0, name="left", seed=2)
    candidates = candidates_of([left, other], ("ridge",))
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    assert [one.backbones for one in ranking] == [
        ("left:pooled #1",),
        ("left:pooled #2",),
        ("left:pooled #1", "left:pooled #2"),
    ]
    assert [one.reference for one in ranking] == [one.comparison is None for one in ranking]


def test_warnings_of_other_processes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def one_shot(table: FeatureTable) -> Sequence[Split]:
        return make_splits(table, "few-shot", shots=(1,), repeats=3)

    candidates = candidates_of(two_tables(), ("ridge",), fusions=(STACKED,), splits=one_shot)
    compare_backbones(candidates, jobs=2)
    told = [
        record.getMessage()
        for record in caplog.records
        if "predictions of the heads are averaged" in record.getMessage()
    ]
    assert len(told) == 1
    assert told[0].startswith("ridge (stacked) on left + right, few-shot-1/")


def test_a_worker_with_other_versions_has_no_result_in_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Candidate.run
    monkeypatch.setattr(Candidate, "run", lambda one: replace(run(one), key=one.key.replace("featx ", "featx 9.")))
    made = compare_backbones(candidates_of([make_table()], ("class-mean",)), jobs=1)
    assert made.results == ()
    (failure,) = made.failures
    assert failure.candidate == "class-mean on made-up, stratified/0"
    assert failure.reason.startswith("a worker with other package versions computed it (9.")


def with_several_labels(table: FeatureTable) -> FeatureTable:
    """The table with one label per image, and both labels for every fifth."""
    shares = np.eye(2, dtype=np.float32)[table.labels]
    shares[::5] = 1
    return replace(table, shares=shares, multilabel=True, labels=np.full(len(table), -1, np.int32))


def test_few_shot_draws_can_tell_heads_apart() -> None:
    def shots(table: FeatureTable) -> Sequence[Split]:
        return make_splits(table, "few-shot", shots=(4,), repeats=5)

    left, right = make_table((200, 200), apart=1.0, seed=1), make_table((200, 200), apart=4.0, seed=2, name="right")
    candidates = candidates_of([left, right], ("class-mean",), splits=shots)
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    (worse,) = [one for one in ranking if one.backbones == ("made-up",)]
    assert worse.comparison is not None
    assert worse.comparison.difference < 0
    assert worse.comparison.p_holm is not None
    assert worse.comparison.p_holm < 0.05


def expected_comparison(candidates: Sequence[Candidate], *, measure: str) -> Comparison:
    """The only two candidates, the second against the first, from probabilities of heads that are trained once more."""
    probabilities = {}
    for name, one in zip("ab", candidates, strict=True):
        head, _ = train_head(one.table, one.head, split=one.split, tuning="validation", balanced=one.balanced, jobs=1)
        probabilities[name], _ = predict_rows(head, one.table, one.split.test)
    labels = candidates[0].table.labels_of(candidates[0].split.test)
    (found,) = paired_measures(probabilities, [("b", "a")], labels=labels, measure=measure)
    return found


@pytest.mark.parametrize("case", ["balanced", "several"])
def test_heads_of_one_split_are_tested_by_the_measure_that_they_are_tuned_by(case: str, tmp_path: Path) -> None:
    table = make_table((90, 30), apart=1.0)
    table = with_several_labels(table) if case == "several" else table
    candidates = candidates_of([table], ("ridge", "knn"), balanced=case == "balanced")
    compare_backbones(candidates, into=tmp_path / "r.jsonl", jobs=1)
    first, second = rank_candidates(candidates, read_results(tmp_path / "r.jsonl"))
    rival, sign = (second, 1) if first.reference else (first, -1)
    measure = "balanced_accuracy" if case == "balanced" else "average_precision"
    expected = expected_comparison(candidates, measure=measure)
    assert rival.comparison is not None
    assert rival.comparison.difference == pytest.approx(sign * expected.difference, abs=1e-6)
    assert rival.comparison.interval == pytest.approx(
        tuple(sorted(sign * end for end in expected.interval or ())), abs=1e-6
    )
    assert rival.comparison.p == pytest.approx(expected.p)
    assert rival.mcnemar is None
    assert [one.to_dict()["measure"] for one in (first, second)] == [measure] * 2
    assert first.values.tolist() == [getattr(first.results[0].metrics, measure)]


def test_one_split_with_one_label_per_image_has_mcnemars_test_next_to_the_bootstrap() -> None:
    candidates = candidates_of([make_table((60, 60), apart=1.0)], ("ridge", "knn"))
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    (rival,) = (one for one in ranking if not one.reference)
    assert rival.comparison is not None
    assert rival.mcnemar is not None
    assert rival.mcnemar.difference == pytest.approx(rival.comparison.difference)
    assert "McNemar" in rival.mcnemar.test
    _, differences = ranking_sections(ranking)
    shown = dict(zip(differences.columns, differences.rows[0], strict=True))
    assert shown["McNemar's p (Holm)"] == show_p(rival.mcnemar.p_holm)
    assert shown["p (Holm)"] == show_p(rival.comparison.p_holm)
    assert rival.to_dict()["mcnemar"]["p_holm"] == rival.mcnemar.p_holm


@pytest.mark.parametrize("column", ["weights", "groups"])
def test_images_with_weights_or_groups_have_no_mcnemars_test(column: str) -> None:
    table = make_table((60, 60), apart=1.0)
    given = {"weights": np.linspace(1, 2, 120, dtype=np.float32), "groups": (np.arange(120) // 2).astype("S")}
    candidates = candidates_of(
        [replace(table, **{column: given[column]})],  # type: ignore[arg-type]
        ("ridge", "knn"),
        splits=lambda one: make_splits(one, "grouped" if column == "groups" else "stratified"),
    )
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    assert [one.mcnemar for one in ranking] == [None, None]
    assert sum(one.comparison is not None for one in ranking) == 1


def test_holms_correction_is_separate_for_fusions_and_other_heads() -> None:
    candidates = candidates_of(two_tables(), ("ridge", "class-mean"))
    ranking = rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)
    families = [[one for one in ranking if (len(one.backbones) > 1) == fused] for fused in (True, False)]
    for family in families:
        compared = [one.comparison for one in family if one.comparison is not None]
        assert len(compared) == sum(not one.reference for one in family)
        plain = [one.p for one in compared if one.p is not None]
        assert [one.p_holm for one in compared if one.p is not None] == holm(plain)


def test_unknown_heads_and_fusions_are_errors_before_anything_is_trained() -> None:
    with pytest.raises(HeadError, match="no head is called 'logrex'"):
        candidates_of([make_table()], ("logrex",))
    with pytest.raises(HeadError, match="no fusion is called 'concatt'"):
        candidates_of([make_table()], fusions=("concatt",))


def test_a_result_is_plain_json_and_back(tmp_path: Path) -> None:
    _, result = train_head(make_table(), "ridge", tuning="validation", jobs=1)
    again = Result.from_dict(json.loads(json.dumps(result.to_dict())))
    assert again == result
    assert unpack_guesses(again.guesses or "").tolist() == unpack_guesses(result.guesses or "").tolist()
