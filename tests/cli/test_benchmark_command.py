"""`featx benchmark`, as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Ran, run_featx
from tests.suites.conftest import suite_home, write_suite

__all__ = ["suite_home", "write_suite"]

Write = Callable[..., Path]


def benchmark(suite: Path, *options: object) -> Ran:
    """Run the suite into the folder beside it."""
    where = ("--into", suite.parent / "study", "--models", suite.parent / "models")
    return run_featx("benchmark", suite, *where, "--jobs=1", *options)


def test_the_json_names_what_was_written(write_suite: Write) -> None:
    suite = write_suite()
    ran = benchmark(suite, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["results"] == str(suite.parent / "study" / "results.jsonl")
    assert Path(found["results"]).exists()
    assert found["failures"] == []
    assert {row["group"] for row in found["leaderboard"]["rows"]} == {"knn/all", "class-mean/all"}
    assert {"group", "score", "among", "tau", "regret", "pairs", "bias"} <= set(found["agreement"][0])
    assert {"target", "backbone", "difference", "verdict"} <= set(found["gain"][0])
    assert found["notes"] == []


def test_what_failed_is_told_at_the_end_and_the_exit_code_is_1(write_suite: Write) -> None:
    suite = write_suite(target='splits = "official"')
    ran = benchmark(suite, "--json")
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("featx: tables for second: the image set has no split of its own")
    assert [one["target"] for one in json.loads(ran.out)["failures"]] == ["second"]


def test_an_unknown_key_is_told_in_a_line(write_suite: Write) -> None:
    ran = benchmark(write_suite(more="outptus = 3"))
    assert (ran.code, ran.out) == (1, "")
    assert "sources, 'other': unknown key 'outptus' (did you mean outputs?)" in ran.err
    assert ran.err.count("\n") == 1


def test_jobs_are_not_for_a_cluster(write_suite: Write) -> None:
    ran = benchmark(write_suite(), "--scheduler", "tcp://localhost:1")
    assert ran.code == 2
    assert "give one of the two" in ran.err


def test_people_see_the_leaderboard_and_how_well_scores_predict(write_suite: Write) -> None:
    ran = benchmark(write_suite())
    assert ran.code == 0, ran.err
    assert "class-mean/all" in ran.out
    assert "is the first" in ran.out
    assert "knn/all: how well scores predict" in ran.out
    assert "default ranking" in ran.out


def test_a_quiet_run_prints_nothing(write_suite: Write) -> None:
    suite = write_suite()
    where = ("--into", suite.parent / "study", "--models", suite.parent / "models")
    ran = run_featx("-q", "benchmark", suite, *where, "--jobs=1")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
