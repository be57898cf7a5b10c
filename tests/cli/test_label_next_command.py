"""`featx label-next` as a user runs it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran, Tiny

FeatX = Callable[..., Ran]


@pytest.fixture
def cache(featx: FeatX, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path) -> Path:
    """Features of a folder of two classes."""
    into = tmp_path / "c.h5"
    ran = featx("extract", make_folder((12, 12)), "--backbone", "tiny", "--models", models, "--into", into)
    assert ran.code == 0, ran.err
    return into


@pytest.fixture
def labels(cache: Path, tmp_path: Path) -> Path:
    """Labels of two images of each class."""
    path = tmp_path / "labels.csv"
    folder = tmp_path / "images"
    images = sorted(folder.rglob("*.png"))
    chosen = [*images[:2], *images[-2:]]
    lines = [f"{image.relative_to(folder).as_posix()},{image.parent.name}" for image in chosen]
    path.write_text("\n".join(["name,label", *lines]) + "\n")
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_list_can_be_filled_in_and_given_back(featx: FeatX, cache: Path, labels: Path, tmp_path: Path) -> None:
    into = tmp_path / "next.csv"
    ran = featx("label-next", cache, "--annotations", labels, "--count", 4, "--into", into)
    assert ran.code == 0, ran.err
    rows = read_rows(into)
    assert [(row["rank"], row["label"]) for row in rows] == [(str(rank), "") for rank in (1, 2, 3, 4)]
    assert all(row["name"] in ran.out and row["why"] for row in rows)
    with labels.open("a") as file:
        file.writelines(f"{row['name']},{row['name'].partition('/')[0]}\n" for row in rows)
    again = featx("label-next", cache, "--annotations", labels, "--count", 4, "--json").json
    assert (again["labelled"], again["unlabelled"]) == (8, 16)
    assert not {row["name"] for row in again["rows"]} & {row["name"] for row in rows}


def test_json_has_one_row_an_image(featx: FeatX, cache: Path, labels: Path) -> None:
    found = featx("label-next", cache, "--annotations", labels, "--count", 50, "--strategy", "uncertain", "--json").json
    assert [row["rank"] for row in found["rows"]] == list(range(1, len(found["rows"]) + 1))
    assert list(found["rows"][0]) == ["name", "rank", "why"]
    assert (found["strategy"], found["labelled"], found["into"]) == ("uncertain", 4, None)
    assert found["notes"][0].startswith("50 images were asked for, but only")


def test_a_head_says_where_it_is_unsure(featx: FeatX, cache: Path, labels: Path, tmp_path: Path) -> None:
    head = tmp_path / "h.featx"
    assert featx("train", cache, "--head", "class-mean", "--into", head, "--jobs", 1).code == 0
    ran = featx("label-next", cache, "--annotations", labels, "--head", head, "--count", 2)
    assert ran.code == 0, ran.err
    assert "the head says of it" in ran.out


def test_what_cannot_be_done_is_told_in_a_line(featx: FeatX, cache: Path, labels: Path, tmp_path: Path) -> None:
    into = tmp_path / "next.csv"
    into.write_text("name,label\nmine.png,cat\n")
    head = tmp_path / "h.featx"
    assert featx("train", cache, "--head", "class-mean", "--into", head, "--jobs", 1).code == 0
    given = ("--annotations", labels)
    for arguments, code, message in (
        ((), 1, "all 24 images have a label already"),
        ((*given, "--into", into), 1, "next.csv: "),
        ((*given, "--strategy", "cover", "--head", head), 1, "strategy 'cover' looks at no head"),
        ((*given, "--count", 0), 2, "0 is not in the range x>=1"),
        ((*given, "--strategy", "best"), 2, "'best' is not one of 'mixed', 'typical'"),
        ((*given, "--head", head, "--output", "x"), 2, "--head reads the outputs that it was trained on"),
    ):
        ran = featx("label-next", cache, *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert message in ran.err
    assert into.read_text() == "name,label\nmine.png,cat\n"
    assert featx("label-next", cache, *given, "--into", into, "--overwrite").code == 1  # not a list of featx


def test_a_list_is_replaced_only_if_that_is_asked_for(featx: FeatX, cache: Path, labels: Path, tmp_path: Path) -> None:
    into = tmp_path / "next.csv"
    arguments = ("label-next", cache, "--annotations", labels, "--into", into)
    assert featx(*arguments, "--count", 3).code == 0
    filled = into.read_text().replace(",,", ",cat,")
    into.write_text(filled)
    assert featx(*arguments).code == 1
    assert into.read_text() == filled
    assert featx(*arguments, "--count", 2, "--overwrite").code == 0
    assert len(read_rows(into)) == 2
