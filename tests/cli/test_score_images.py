"""`featx score IMAGES --backbones`, as a user runs it."""

import json
from pathlib import Path

import pytest

from tests.conftest import Ran, build_tiny, run_featx, write_folder

NAMES = "sees,other,blind"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two colours, and three backbones, of which one sees nothing."""
    made = tmp_path_factory.mktemp("tried")
    write_folder(made / "images", (60, 60))
    build_tiny(made / "models", name="sees")
    build_tiny(made / "models", name="other", seed=1)
    build_tiny(made / "models", name="blind", scale=0.0)
    return made


def score(home: Path, into: Path, *arguments: str) -> Ran:
    """Try the three backbones."""
    given = ("--models", home / "models", "--device", "cpu", "--sample", "48", "--into", into)
    backbones = () if "--backbones" in arguments else ("--backbones", NAMES)
    return run_featx("score", home / "images", *backbones, *given, *arguments)


def test_the_sources_are_ranked_and_the_blind_one_is_dropped(home: Path, tmp_path: Path) -> None:
    ran = score(home, tmp_path / "tried", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert {"rows", "ranking", "notes", "dropped", "caches"} <= set(found)
    assert [one["backbone"] for one in found["dropped"]] == ["blind"]
    assert {"round", "images", "difference", "ci", "against"} <= set(found["dropped"][0])
    first = found["ranking"][0]
    assert {"accuracy", "accuracy_ci", "images", "seconds_per_image", "pareto", "seconds_for_all"} <= set(first)
    assert found["ranking"][-1]["dropped_in"] == 1
    assert found["caches"]["sees"] == str(tmp_path / "tried" / "sees.h5")


def test_people_see_the_ranking_and_that_the_work_is_kept(home: Path, tmp_path: Path) -> None:
    ran = score(home, tmp_path / "tried")
    assert ran.code == 0, ran.err
    assert "round 1" in ran.out
    assert "tried on 48 of 90 training and validation images; no test image was looked at" in ran.out
    assert f"`featx extract` with --into {tmp_path / 'tried'}/NAME.h5 computes only the others" in ran.out


def test_an_extraction_goes_on_from_what_was_tried(home: Path, tmp_path: Path) -> None:
    assert score(home, tmp_path / "tried").code == 0
    given = ("--backbone", "sees", "--models", home / "models", "--device", "cpu", "--json")
    ran = run_featx("extract", home / "images", *given, "--into", tmp_path / "tried" / "sees.h5")
    assert json.loads(ran.out)["reused"] == 48


def test_a_backbone_that_cannot_be_run_is_told_and_the_exit_code_is_1(home: Path, tmp_path: Path) -> None:
    ran = score(home, tmp_path / "tried", "--backbones", f"{NAMES},nowhere", "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert [one["backbone"] for one in found["failed"]] == ["nowhere"]
    assert len(found["ranking"]) == 3


def test_a_budget_of_nothing_ends_after_the_first_round(home: Path, tmp_path: Path) -> None:
    ran = score(home, tmp_path / "tried", "--budget", "0s", "--json")
    assert ran.code == 0, ran.err
    assert "as the time of the budget is spent" in json.loads(ran.out)["notes"][1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--check", "2"), "--check is for caches, and --backbones for images; leave one out."),
        (("--output", "features"), "--output is for caches, and --backbones for images; leave one out."),
        (("--annotations", "a.csv"), "--annotations is for caches, and --backbones for images; leave one out."),
        (("--budget", "10"), "'10' should be a number and a unit: s, m or h, as in 30s, 10m or 2h."),
        (("--budget", "-1s"), "'-1s' should be a number and a unit"),
    ],
)
def test_options_of_caches_are_wrong_usage_with_images(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ran = score(home, tmp_path, *arguments)
    assert ran.code == 2
    assert message in ran.err


@pytest.mark.parametrize("option", ["--sample", "--budget", "--into", "--device", "--models"])
def test_options_of_images_are_wrong_usage_with_caches(option: str) -> None:
    values = {"--sample": "5", "--budget": "5s", "--device": "cpu"}
    ran = run_featx("score", "photos.h5", option, values.get(option, "somewhere"))
    assert ran.code == 2
    assert f"{option} is for images and needs --backbones" in ran.err


def test_a_folder_without_backbones_is_wrong_usage(home: Path) -> None:
    ran = run_featx("score", home / "images")
    assert ran.code == 2
    assert f"{home / 'images'} is a folder and no cache; name the --backbones to try on its images." in ran.err


def test_images_without_labels_are_refused_in_a_line(home: Path, tmp_path: Path) -> None:
    flat = write_folder(tmp_path / "images", (4, 4)) / "class0"
    ran = run_featx("score", flat, "--backbones", NAMES, "--models", home / "models", "--into", tmp_path / "tried")
    assert ran.code == 1
    assert "none of the images has a label" in ran.err
    assert ran.err.count("\n") == 1
