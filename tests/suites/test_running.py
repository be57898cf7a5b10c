"""A run of a suite: what it computes, what it keeps, and what it does when something fails."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.cache import describe_cache
from featx.errors import CacheLockedError, FeatxError, SuiteError
from featx.heads import read_results
from featx.suites import Protocol, SourceModel, Suite, SuiteOutcome, SuiteProgress, Target, run_suite
from featx.suites.files import locked_folder
from tests.conftest import build_tiny

Write = Callable[..., Path]


def run(suite: Path, **how: object) -> SuiteOutcome:
    """Run the suite into the folder beside it."""
    return run_suite(suite, into=suite.parent / "study", jobs=1, models=suite.parent / "models", **how)  # type: ignore[arg-type]


def lines(folder: Path, name: str) -> list[dict[str, object]]:
    """The lines of a file in the folder of a run."""
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def without_seconds(folder: Path, name: str) -> list[str]:
    """The sorted lines of a file, without how long anything took."""
    return sorted(json.dumps(line | {"seconds": 0}) for line in lines(folder, name))


def test_every_source_is_scored_and_every_head_is_trained_on_every_target(write_suite: Write) -> None:
    outcome = run(write_suite())
    assert outcome.failures == ()
    found = {(result.head, result.backbones) for result in outcome.results}
    sources = (("tiny:features",), ("tiny:logits",), ("other",))
    assert found == {(head, source) for head in ("knn", "class-mean") for source in sources}
    assert len(outcome.results) == 2 * 3 * 2
    assert {(row.target, row.backbone, row.output, row.score) for row in outcome.scores} == {
        (target, backbone, output, score)
        for target in ("first", "second")
        for backbone, output in (("tiny", "features"), ("tiny", "logits"), ("other", "features"))
        for score in ("ridge", "press", "logme", "rank")
    }
    assert {one.key for one in read_results(outcome.results_path)} == {one.key for one in outcome.results}
    assert describe_cache(outcome.folder / "caches" / "first" / "tiny.h5").outputs == {"features": 8, "logits": 5}


@pytest.mark.exhaustive
def test_a_second_run_computes_nothing(write_suite: Write) -> None:
    suite = write_suite(protocol="shots = [1, 2]\nrepeats = 2")
    first = run(suite)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    second = run(suite)
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before
    assert second.scores == first.scores
    assert {result.split_key for result in second.results} >= {"stratified/0", "few-shot-1/1", "few-shot-2/0"}


@pytest.mark.exhaustive
def test_a_source_with_random_weights_is_made_at_its_first_use_and_found_in_finished_caches(write_suite: Write) -> None:
    suite = write_suite(protocol='scores = ["ridge"]', more='[[sources]]\nbackbone = "random:tiny"')
    models = suite.parent / "models"
    shared = models.resolve()
    models.unlink()
    shutil.copytree(shared, models)
    outcome = run(suite)
    assert outcome.failures == ()
    assert ("random-tiny",) in {result.backbones for result in outcome.results}
    assert (models / "random-tiny.toml").exists()
    folder = outcome.folder / "caches" / "first"
    paths = tuple(str(folder / name) for name in ("tiny.h5", "random-tiny.h5"))
    sources = (SourceModel(backbone="tiny"), SourceModel(backbone="random:tiny"))
    finished = Suite(
        targets=(Target(name="first", caches=paths),), sources=sources, protocol=Protocol(scores=("ridge",))
    )
    assert run_suite(finished, into=suite.parent / "finished", jobs=1).failures == ()


@pytest.mark.exhaustive
def test_a_suite_that_grows_keeps_what_it_has(write_suite: Write) -> None:
    first = run(write_suite(protocol='scores = ["ridge"]'))
    before = {str(line["key"]) for line in lines(first.folder, "scores.jsonl")}
    build_tiny(first.folder.parent / "more", name="third", dim=6, seed=2)
    for path in (first.folder.parent / "models").glob("*"):
        shutil.copy(path, first.folder.parent / "more")
    suite = write_suite(protocol='scores = ["ridge"]', more='[[sources]]\nbackbone = "third"')
    second = run_suite(suite, into=first.folder, jobs=1, models=first.folder.parent / "more")
    keys = [str(line["key"]) for line in lines(first.folder, "scores.jsonl")]
    assert len(keys) == len(set(keys))
    assert before < set(keys)
    # ridge of the new source, and the new ranking of four, for each target
    assert len(set(keys) - before) == 2 * (1 + 4)
    assert len(second.results) == 2 * 4 * 2
    assert len({row.value for row in second.scores if row.score == "rank"}) == 4


@pytest.mark.exhaustive
def test_an_output_that_is_added_or_left_out_changes_no_cache_that_is_there(write_suite: Write) -> None:
    suite = write_suite()
    whole = suite.read_text()
    suite.write_text(whole.replace('outputs = ["features", "logits"]', ""))
    first = run(suite)
    caches = {path: path.read_bytes() for path in first.folder.rglob("*.h5")}
    suite.write_text(whole)
    second = run(suite)
    assert second.failures == ()
    added = {path.relative_to(first.folder).as_posix() for path in first.folder.rglob("*.h5")} - {
        path.relative_to(first.folder).as_posix() for path in caches
    }
    assert added == {"caches/first/tiny.2.h5", "caches/second/tiny.2.h5"}
    suite.write_text(whole.replace('outputs = ["features", "logits"]', 'outputs = ["logits"]'))
    third = run(suite)
    assert third.failures == ()
    assert {row.output for row in third.scores if row.backbone == "tiny"} == {"logits"}
    assert {path: path.read_bytes() for path in caches} == caches
    assert {one.key for one in first.results} | {one.key for one in third.results} <= {
        one.key for one in second.results
    }


@pytest.mark.exhaustive
def test_a_source_that_fails_on_one_target_does_not_stop_the_rest_and_is_tried_again(
    write_suite: Write, suite_home: Path
) -> None:
    suite = write_suite()
    folder = suite.parent / "study"
    (folder / "caches" / "second").mkdir(parents=True)
    blocked = folder / "caches" / "second" / "other.h5"
    blocked.write_bytes(b"not a cache")
    outcome = run(suite)
    assert [(one.target, one.source, one.stage) for one in outcome.failures] == [("second", "other", "extraction")]
    assert len(outcome.results) == 2 * 3 + 2 * 2
    blocked.unlink()
    again = run(suite)
    assert again.failures == ()
    assert len(again.results) == 12
    kept = {result.key for result in outcome.results if "first" in str(result.key)}
    assert kept <= {result.key for result in again.results}


@pytest.mark.exhaustive
def test_a_target_whose_images_are_all_damaged_fails_alone(write_suite: Write) -> None:
    suite = write_suite()
    (suite.parent / "second").unlink()
    for name in ("a", "b"):
        (suite.parent / "second" / name).mkdir(parents=True)
        (suite.parent / "second" / name / "1.png").write_bytes(b"no image")
    outcome = run(suite)
    assert {(one.target, one.source) for one in outcome.failures} == {("second", "tiny"), ("second", "other")}
    assert len(outcome.results) == 6


def test_a_target_that_cannot_be_split_fails_alone(write_suite: Write) -> None:
    outcome = run(write_suite(target='splits = "official"'))
    assert [(one.target, one.stage) for one in outcome.failures] == [("second", "tables")]
    assert "has no split of its own" in outcome.failures[0].reason
    assert len(outcome.results) == 6


def test_images_that_fail_are_named_in_the_notes(write_suite: Write, suite_home: Path) -> None:
    suite = write_suite()
    (suite.parent / "first").unlink()
    shutil.copytree(suite_home / "first", suite.parent / "first")
    (suite.parent / "first" / "class0" / "0000.png").write_bytes(b"no image")
    outcome = run(suite)
    assert outcome.failures == ()
    assert [note for note in outcome.notes if "1 of 40 images have no feature from tiny" in note]


@pytest.mark.exhaustive
def test_shots_for_which_a_class_has_too_few_images_are_left_out_and_named(write_suite: Write) -> None:
    outcome = run(write_suite(protocol="shots = [1, 1000]\nrepeats = 1"))
    assert outcome.failures == ()
    assert "first: a class has too few images for 1000 shots, which are left out" in outcome.notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": '[[sources]]\nbackbone = "tny"'}, "sources, 'tny': no backbone is called 'tny' (did you mean tiny"),
        ({"more": '[[targets]]\nname = "x"\nimages = "nowhere"'}, "targets, 'x', images: "),
        ({"more": '[[targets]]\nname = "x"\ncaches = "no.h5"'}, "targets, 'x', caches: "),
        ({"target": 'annotations = "no.csv"'}, "targets, 'second', annotations: "),
        ({"target": 'splits = "no.csv"'}, "key splits: "),
    ],
)
def test_what_is_missing_is_told_before_anything_is_computed(
    write_suite: Write, changes: dict[str, str], message: str
) -> None:
    suite = write_suite(**changes)
    with pytest.raises(SuiteError) as caught:
        run(suite)
    assert str(caught.value).startswith(f"{suite}: ")
    assert message in str(caught.value)
    assert not (suite.parent / "study" / "caches").exists()


def test_two_runs_into_one_folder_at_once_are_refused(write_suite: Write) -> None:
    suite = write_suite()
    with locked_folder(suite.parent / "study"), pytest.raises(CacheLockedError, match="another process runs a suite"):
        run(suite)
    assert run(suite).failures == ()


@pytest.mark.exhaustive
def test_finished_caches_can_stand_in_the_place_of_images(write_suite: Write) -> None:
    first = run(write_suite())
    caches = first.folder / "caches" / "first"
    text = f'[[targets]]\nname = "third"\ncaches = ["{caches}/tiny.h5", "{caches}/other.h5"]'
    second = run(write_suite(more=text))
    assert second.failures == ()
    values = {
        name: [result.value for result in second.results[start : start + 6]]
        for name, start in (("first", 0), ("third", 12))
    }
    assert values["first"] == values["third"]
    third = run(write_suite(more=f'[[targets]]\nname = "third"\ncaches = "{caches}/tiny.h5"'))
    assert [str(one) for one in third.failures] == [
        "extraction of other for third: none of the caches is of backbone 'other', only of tiny; "
        "add its cache to the target"
    ]


@pytest.mark.exhaustive
def test_foreign_files_are_left_alone(write_suite: Write) -> None:
    suite = write_suite()
    run(suite)
    scores = suite.parent / "study" / "scores.jsonl"
    scores.write_text("my notes")
    with pytest.raises(FeatxError, match="contains something else than a suite wrote"):
        run(suite)
    assert scores.read_text() == "my notes"


@pytest.mark.exhaustive
def test_a_line_that_a_killed_run_left_unfinished_is_computed_again(write_suite: Write) -> None:
    suite = write_suite()
    whole = run(suite)
    expected = without_seconds(whole.folder, "scores.jsonl")
    scores = whole.folder / "scores.jsonl"
    scores.write_bytes(scores.read_bytes()[:-30])
    assert run(suite).failures == ()
    assert without_seconds(whole.folder, "scores.jsonl") == expected


@pytest.mark.exhaustive
def test_progress_rises_to_the_end(write_suite: Write) -> None:
    seen = list[SuiteProgress]()
    run(write_suite(), report=seen.append)
    assert list(dict.fromkeys(one.stage for one in seen)) == ["extraction", "scores", "heads"]
    for stage in ("extraction", "scores", "heads"):
        last = [one for one in seen if one.stage == stage][-1]
        assert last.finished == last.total
    assert seen[-1].share == pytest.approx(1)
    assert seen[-1].seconds_left == 0
    assert np.all([one.seconds_left >= 0 for one in seen])
