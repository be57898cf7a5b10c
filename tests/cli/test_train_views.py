"""`featx train --views`, and what evaluate and predict do with its heads, as a user runs them."""

import json
from pathlib import Path

import pytest

import featx
from featx.cache import use_views
from tests.conftest import build_tiny, run_featx, write_folder

QUICK = ("--head", "ridge", "--tuning", "validation", "--jobs", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with views and one without, of the same images, and a head of the mean."""
    home = tmp_path_factory.mktemp("views")
    build_tiny(home / "models")
    images = write_folder(home / "images", (16, 20))
    how = ("extract", images, "--backbone", "tiny", "--models", home / "models", "--device", "cpu")
    assert run_featx(*how, "--views", "hflip,rot90", "--into", home / "views.h5").code == 0
    assert run_featx(*how, "--into", home / "plain.h5").code == 0
    ran = run_featx("train", home / "views.h5", *QUICK, "--views", "mean", "--into", home / "mean.featx")
    assert ran.code == 0, ran.err
    assert "uses the mean of 3 views" in ran.out
    return home


def test_the_json_tells_the_rule_the_test_and_each_view(home: Path, tmp_path: Path) -> None:
    ran = run_featx("train", home / "views.h5", *QUICK, "--views", "rows", "--into", tmp_path / "h.featx", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["views"]
    assert (found["rule"], found["names"]) == ("rows", ["center", "hflip", "rot90"])
    assert set(found["validated"]) == {"first", "rows"}
    assert {"difference", "difference_ci", "p", "test"} <= set(found)
    assert [effect["view"] for effect in found["effects"]] == ["center", "hflip", "rot90"]
    about = json.loads(run_featx("head", "info", tmp_path / "h.featx", "--json").out)
    assert about["sources"][0]["view_rule"] == "rows"
    assert about["views"]["chosen"] == "as asked for"


def test_views_that_are_not_used_are_told(home: Path, tmp_path: Path) -> None:
    ran = run_featx("train", home / "views.h5", *QUICK, "--into", tmp_path / "h.featx")
    assert "the caches also have hflip, rot90, which --views auto tries" in ran.out
    ran = run_featx("train", home / "plain.h5", *QUICK, "--into", tmp_path / "plain.featx")
    assert "--views" not in ran.out


def test_predict_makes_the_views_that_are_in_the_cache(home: Path) -> None:
    head = home / "mean.featx"
    of_images = run_featx("predict", head, home / "images", "--models", home / "models", "--json")
    of_cache = run_featx("predict", head, home / "views.h5", "--json")
    assert of_images.code == of_cache.code == 0
    for one, other in zip(json.loads(of_images.out), json.loads(of_cache.out), strict=True):
        assert one["name"] == other["name"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_cache_without_the_views_is_refused_with_the_command_that_extracts_them(home: Path, command: str) -> None:
    ran = run_featx(command, home / "mean.featx", home / "plain.h5")
    assert ran.code == 1
    assert "`featx extract --views hflip,rot90`" in ran.err


def test_evaluate_finds_the_test_images_in_a_cache_with_views(home: Path) -> None:
    ran = run_featx("evaluate", home / "mean.featx", home / "views.h5")
    assert ran.code == 0
    assert "on the 9 test images that the head did not see, of 36" in ran.err


def test_views_of_a_cache_that_has_none_are_refused(home: Path, tmp_path: Path) -> None:
    ran = run_featx("train", home / "plain.h5", *QUICK, "--views", "mean", "--into", tmp_path / "h.featx")
    assert ran.code == 1
    assert "--views" in ran.err


def test_backbones_with_different_views_predict_what_their_caches_do(home: Path) -> None:
    """The batches of the two passes have different numbers of images."""
    table = featx.read_features(home / "views.h5")
    fused = featx.fuse_tables([use_views(table, "mean"), table])
    head, _ = featx.train_head(fused, "class-mean", jobs=1)
    settings = featx.Settings(device="cpu", batch_size=4, streams=1)
    images = featx.list_images(home / "images")
    found = featx.predict_images(head, images, models=home / "models", settings=settings, all_probabilities=True)
    expected = head.predict_proba([table, table])
    assert [one.probabilities.tolist() for one in found if one.probabilities is not None] == [
        pytest.approx(row, abs=1e-6) for row in expected.tolist()
    ]
