"""`featx train --from`, as a user runs it."""

import json
from pathlib import Path

import pytest

from tests.conftest import build_tiny, run_featx, write_folder

QUICK = ("--head", "ridge", "--tuning", "validation", "--jobs", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The caches of two domains, and a head of the first."""
    home = tmp_path_factory.mktemp("drawn")
    build_tiny(home / "models")
    for name, counts in (("source", (24, 24)), ("target", (16, 20))):
        images = write_folder(home / name, counts)
        ran = run_featx(
            "extract", images, "--backbone", "tiny", "--models", home / "models", "--into", home / f"{name}.h5"
        )
        assert ran.code == 0, ran.err
    ran = run_featx("train", home / "source.h5", *QUICK, "--into", home / "source.featx")
    assert ran.code == 0, ran.err
    return home


def test_the_json_says_what_came_from_the_source(home: Path, tmp_path: Path) -> None:
    sources = ("--from", home / "source.featx", "--pool", home / "source.h5")
    ran = run_featx("train", home / "target.h5", *sources, *QUICK, "--into", tmp_path / "h.featx", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["transferred"]
    keys = "way gamma classes new_classes sources losses images weight pool"
    assert set(found) == set(keys.split())
    assert set(found["losses"]) == {"target", "drawn", "pooled"}
    assert found["sources"][0]["head"] == "ridge"


def test_the_text_says_what_came_from_the_source(home: Path, tmp_path: Path) -> None:
    source = ("--from", home / "source.featx")
    ran = run_featx("train", home / "target.h5", *source, *QUICK, "--into", tmp_path / "h.featx")
    assert ran.code == 0, ran.err
    told = " ".join(ran.out.split())
    assert "came from the source" in told or "drawn towards coefficients of the source" in told
    assert "source ridge on tiny:" in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pool", "source.h5"), "name the head with --from too"),
        (("--from", "source.featx", "--fusion", "pca"), "leave --fusion out"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    home: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    given = [home / one if (home / one).exists() else one for one in options]
    ran = run_featx("train", home / "target.h5", *given, *QUICK, "--into", tmp_path / "h.featx")
    assert ran.code == 2
    assert said in " ".join(ran.err.split())


def test_a_missing_source_is_told_in_one_line(home: Path, tmp_path: Path) -> None:
    ran = run_featx("train", home / "target.h5", "--from", "no.featx", *QUICK, "--into", tmp_path / "h.featx")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "no such head" in ran.err
