"""`featx curve`, as a user runs it."""

import json
from pathlib import Path

import pytest

from tests.conftest import build_tiny, run_featx, write_folder


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same images through a backbone and through raw pixels."""
    home = tmp_path_factory.mktemp("traced")
    folder = write_folder(home / "images", (24, 24))
    build_tiny(home / "models")
    made = [home / "tiny.h5", home / "raw-pixels.h5"]
    for path in made:
        models = ("--models", home / "models") if path.stem == "tiny" else ()
        ran = run_featx("extract", folder, "--backbone", path.stem, *models, "--into", path)
        assert ran.code == 0, ran.err
    return made


def test_every_point_has_its_interval_and_every_curve_its_labels(caches: list[Path], tmp_path: Path) -> None:
    asked = ("curve", *caches, "--heads=class-mean", "--shots=1,2,4,99", "--repeats=2", "--target=0.9", "--jobs=1")
    ran = run_featx(*asked, "--into", tmp_path / "r.jsonl", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert [(row["backbone"], row["shots"]) for row in found["rows"]] == [
        (backbone, shots) for backbone in ("tiny", "raw-pixels") for shots in (1, 2, 4)
    ]
    assert all(row["ci"][0] < row["accuracy"] <= row["ci"][1] for row in found["rows"])
    assert {(one["backbone"], one["target"]) for one in found["labels_needed"]} == {("tiny", 0.9), ("raw-pixels", 0.9)}
    assert {(one["backbone"], one["against"]) for one in found["labels_saved"]} == {("tiny", "raw-pixels")}
    assert "left out: 99 shots" in found["notes"][0]
    lines = (tmp_path / "r.jsonl").read_bytes()
    assert lines.count(b"\n") == 12
    again = run_featx(*asked, "--into", tmp_path / "r.jsonl", "--json")
    assert json.loads(again.out) == found
    assert (tmp_path / "r.jsonl").read_bytes() == lines


def test_people_see_the_points_and_the_labels_and_the_figure_is_there(caches: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'featx[report]'")
    drawn = tmp_path / "curve.svg"
    ran = run_featx(
        *("curve", *caches, "--heads=class-mean", "--shots=1,4", "--repeats=2", "--target=0.99", "--jobs=1"),
        *("--figure", drawn),
    )
    assert ran.code == 0, ran.err
    assert "the baseline needs" in ran.out
    assert "labels needed for accuracy 0.99" in ran.out
    assert ran.out.rstrip().endswith(f"{drawn}: drawn")
    assert b"<svg" in drawn.read_bytes()
    refused = run_featx("curve", *caches, "--figure", drawn)
    assert refused.code == 1
    assert "already exists; choose another --figure" in refused.err


def test_wrong_numbers_and_names_end_in_one_line(caches: list[Path]) -> None:
    assert run_featx("curve", *caches, "--target=90").code == 2
    assert run_featx("curve", *caches, "--shots=0").code == 2
    ran = run_featx("curve", *caches, "--against=tinny")
    assert ran.code == 1
    assert "no source is called 'tinny'" in ran.err
    assert len(ran.err.splitlines()) == 1
    many = run_featx("curve", *caches, "--shots=50")
    assert many.code == 1
    assert "fewer than 50 shots" in many.err


@pytest.mark.exhaustive
def test_candidates_that_fail_are_told_and_the_exit_code_is_1(caches: list[Path]) -> None:
    ran = run_featx("curve", caches[0], "--heads=class-mean", "--shots=1", "--repeats=2", "--tuning=folds:5", "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert found["rows"] == []
    assert len(found["failures"]) == ran.err.count("featx: no result of class-mean on tiny, few-shot-1/") == 2
    assert "too few for 5 folds" in found["failures"][0]["reason"]
