"""`featx gain`, as a user runs it."""

import json
from pathlib import Path

import pytest

from tests.conftest import build_tiny, run_featx, write_folder

QUICK = ("--heads", "class-mean", "--shots", "2", "--repeats", "2", "--jobs", "1", "--tuning", "validation")


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same images through two backbones, and other images through the first."""
    home = tmp_path_factory.mktemp("gained")
    build_tiny(home / "models")
    build_tiny(home / "models", name="second", dim=4, seed=1)
    images = write_folder(home / "images", (24, 24))
    others = write_folder(home / "others", (16, 20))
    made = []
    for name, folder, backbone in (("tiny", images, "tiny"), ("second", images, "second"), ("other", others, "tiny")):
        path = home / f"{name}.h5"
        ran = run_featx("extract", folder, "--backbone", backbone, "--models", home / "models", "--into", path)
        assert ran.code == 0, ran.err
        made.append(path)
    return made


def test_each_source_has_a_verdict_for_each_number_of_shots(caches: list[Path], tmp_path: Path) -> None:
    into = tmp_path / "gain.jsonl"
    ran = run_featx("gain", *caches[:2], "--against", "second", *QUICK, "--into", into, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert [(row["backbone"], row["shots"]) for row in found["rows"]] == [("tiny", 2), ("tiny", None)]
    keys = "backbone baseline shots difference ci p_holm verdict per_class per_group output head n accuracy test"
    assert set(keys.split()) <= set(found["rows"][0])
    assert {row["verdict"] for row in found["rows"]} <= {"helps", "harms", "undecided"}
    assert {one["baseline"] for one in found["baselines"]} == {"second", "majority"}
    assert (found["measure"], found["failures"], found["into"]) == ("accuracy", [], str(into))
    assert len(into.read_text().splitlines()) == 6
    assert run_featx("gain", *caches[:2], "--against", "second", *QUICK, "--into", into, "--json").out == ran.out


def test_people_see_verdicts_and_how_they_came_about(caches: list[Path]) -> None:
    ran = run_featx("gain", caches[0], *QUICK)
    assert ran.code == 0, ran.err
    assert "verdict" in ran.out
    assert "majority" in ran.out
    assert "Holm's correction over all rows" in ran.out
    assert "extract raw-pixels" in ran.out


def test_a_domain_is_tested_on_another(caches: list[Path]) -> None:
    ran = run_featx("gain", caches[0], "--to", caches[2], *QUICK, "--json")
    assert ran.code == 0, ran.err
    rows = json.loads(ran.out)["rows"]
    assert [row["baseline"] for row in rows][-1] == "majority"
    assert all(row["source_log_loss"] > 0 and row["target_log_loss"] > 0 for row in rows)
    assert "E'" in run_featx("gain", caches[0], "--to", caches[2], *QUICK).out


def test_all_shots_alone_can_be_asked_for(caches: list[Path]) -> None:
    ran = run_featx("gain", caches[0], *QUICK, "--shots", "all", "--json")
    assert [row["shots"] for row in json.loads(ran.out)["rows"]] == [None]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--against", "secnd"), 1, "there is no source 'secnd' to compare with (did you mean second or second:"),
        (("--against", "tiny,second"), 1, "every source is a baseline (second, tiny)"),
        (("--heads", "logre"), 1, "did you mean logreg"),
        (("--shots", "0"), 2, "should be whole numbers above 0"),
        (("--repeats", "0"), 2, "0 is not in the range x>=1"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(
    caches: list[Path], arguments: tuple[str, ...], code: int, message: str
) -> None:
    ran = run_featx("gain", *caches[:2], *arguments)
    assert ran.code == code
    assert message in ran.err
    assert ran.code == 2 or ran.err.count("\n") == 1


def test_a_target_without_the_backbone_is_refused_by_both_names(caches: list[Path]) -> None:
    ran = run_featx("gain", caches[1], "--to", caches[2], *QUICK)
    assert ran.code == 1
    assert "the source has features of second:" in ran.err
    assert "the target of tiny:" in ran.err
