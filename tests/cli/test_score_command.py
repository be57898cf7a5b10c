"""`featx score`, as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from featx.settings import SCORE_NAMES
from featx.transfer import DEFAULT_SCORES, SCORES
from tests.conftest import Ran, build_tiny, run_featx, write_folder

FeatX = Callable[..., Ran]


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same images through two backbones."""
    home = tmp_path_factory.mktemp("scored")
    folder = write_folder(home / "images", (24, 24))
    build_tiny(home / "models")
    build_tiny(home / "models", name="second", dim=4, seed=1)
    made = [home / f"{name}.h5" for name in ("tiny", "second")]
    for path in made:
        ran = run_featx("extract", folder, "--backbone", path.stem, "--models", home / "models", "--into", path)
        assert ran.code == 0, ran.err
    return made


def test_help_lists_the_scores_that_there_are() -> None:
    assert tuple(SCORES) == SCORE_NAMES
    assert set(DEFAULT_SCORES) <= set(SCORES)


def test_each_source_has_each_score_and_a_rank(caches: list[Path]) -> None:
    ran = run_featx("score", *caches, "--scores", "all", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert {(row["backbone"], row["score"]) for row in found["rows"]} == {
        (backbone, score) for backbone in ("tiny", "second") for score in SCORES
    }
    assert set(found["rows"][0]) == {"backbone", "output", "score", "value", "ci", "seconds"}
    assert [one["rank"] for one in found["ranking"]] == [1, 2]
    assert {"backbone", "output", "rank", "tied", "first_in"} <= set(found["ranking"][0])
    assert found["notes"][0].startswith("scored on ")
    assert "checked" not in found


def test_people_see_the_ranking_and_what_to_train(caches: list[Path]) -> None:
    ran = run_featx("score", *caches)
    assert ran.code == 0, ran.err
    assert "1 =" in ran.out
    assert "no test image was looked at" in ran.out


@pytest.mark.exhaustive
def test_the_first_sources_are_trained_and_tested_if_that_is_asked_for(caches: list[Path]) -> None:
    ran = run_featx("score", *caches, "--check", "1", "--jobs=1", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert [one["backbones"] for one in found["checked"]] == [[found["ranking"][0]["backbone"]]]
    assert found["checked"][0]["head"] == "logreg"
    assert "is the best single" in run_featx("score", *caches, "--check", "2", "--jobs=1").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--scores", "logm"), 1, r"there is no score 'logm' (did you mean logme?); choose ridge, press"),
        (("--check", "0"), 2, "0 is not in the range x>=1"),
        (("--output", "nowhere"), 1, "nowhere"),
    ],
)
def test_what_cannot_be_scored_is_told_in_a_line(
    caches: list[Path], arguments: tuple[str, ...], code: int, message: str
) -> None:
    ran = run_featx("score", *caches, *arguments)
    assert ran.code == code
    assert message in ran.err
    assert ran.code == 2 or ran.err.count("\n") == 1
