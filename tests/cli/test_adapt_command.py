"""`featx adapt`, as a user runs it."""

import json
from pathlib import Path

import pytest

from tests.conftest import build_tiny, run_featx, write_folder

QUICK = ("--head", "class-mean", "--tuning", "validation", "--jobs", "1")


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two domains through one backbone."""
    home = tmp_path_factory.mktemp("adapted")
    build_tiny(home / "models")
    made = []
    for name, counts in (("source", (24, 24)), ("target", (16, 20))):
        images = write_folder(home / name, counts)
        path = home / f"{name}.h5"
        ran = run_featx("extract", images, "--backbone", "tiny", "--models", home / "models", "--into", path)
        assert ran.code == 0, ran.err
        made.append(path)
    return made


def test_a_head_is_written_that_evaluate_measures_as_adapt_did(caches: list[Path], tmp_path: Path) -> None:
    source, target = caches
    into = tmp_path / "h.featx"
    ran = run_featx("adapt", source, "--to", target, "--methods", "standardise", *QUICK, "--into", into, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert {"auroc", "ci", "mmd", "p", "verdict", "adapts"} <= set(found["gap"])
    assert [(row["method"], row["chosen"]) for row in found["rows"]] == [("none", False), ("standardise", True)]
    keys = "accuracy ci difference p_holm verdict unsupervised chosen target_labels transductive"
    assert set(keys.split()) <= set(found["rows"][1])
    assert found["into"] == str(into)
    measured = run_featx("evaluate", into, target, "--json")
    assert json.loads(measured.out)["accuracy"] == found["rows"][1]["accuracy"]
    assert "test images that the head did not see" in measured.err
    assert "was adapted to another domain than that of these images" in run_featx("evaluate", into, source).err


def test_people_see_methods_verdicts_and_which_images_measure(caches: list[Path]) -> None:
    ran = run_featx("adapt", caches[0], "--to", caches[1], *QUICK, "--target-shares", "class0=.4,class1=.6")
    assert ran.code == 0, ran.err
    for said in ("verdict", "inductive", "auto", "none", "Holm", "no head is written; --into H.featx writes one"):
        assert said in ran.out, said


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--methods", "coral,none", "--into", "x.featx"), 2, "say with --save which"),
        (("--methods", "corall"), 1, "did you mean coral"),
        (("--target-shares", "class0"), 2, "should be a share for each class"),
        (("--target-shares", "class0=.5,class0=.5"), 2, "should be a share for each class"),
        (("--target-shares", "dog=1"), 1, "the source has no class 'dog'"),
        (("--methods", "pooled"), 1, "say with shots how many a class"),
        (("--head", "logre"), 1, "did you mean logreg"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    caches: list[Path], arguments: tuple[str, ...], code: int, message: str
) -> None:
    ran = run_featx("adapt", caches[0], "--to", caches[1], *QUICK, *arguments)
    assert ran.code == code
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_shares_come_from_a_file_where_names_have_commas(caches: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "shares.csv"
    how = ("adapt", caches[0], "--to", caches[1], "--methods", "none", *QUICK, "--target-shares", file, "--json")
    file.write_text('class,share\n"class0",.4\nclass1,.6\n')
    assert run_featx(*how).code == 0
    file.write_text('class,share\n"a, or b",.4\nclass1,.6\n')
    assert "the source has no class 'a, or b'" in run_featx(*how).err
    for text, said in (
        ("name,part\nclass0,1\n", "name two columns class and share"),
        ("class,share\nclass0,much\n", "line 2 is no share of another class (class0, much)"),
        ("class,share\nclass0,.5\nclass0,.5\n", "line 3 is no share of another class"),
    ):
        file.write_text(text)
        ran = run_featx(*how)
        assert (ran.code, ran.out) == (1, "")
        assert said in ran.err
    file.unlink()
    assert "not a readable CSV file" in run_featx(*how).err
