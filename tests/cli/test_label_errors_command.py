"""`featx label-errors` as a user runs it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran, Tiny

FeatX = Callable[..., Ran]


@pytest.fixture
def cache(featx: FeatX, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path) -> Path:
    """Features of a folder of two classes told apart by colour, in which two images lie in the wrong folder."""
    folder, into = make_folder((20, 20)), tmp_path / "c.h5"
    for number, (one, other) in enumerate([("class0", "class1"), ("class1", "class0")]):
        (folder / one / f"000{number}.png").rename(folder / other / f"wrong{number}.png")
    assert featx("extract", folder, "--backbone", "tiny", "--models", models, "--into", into).code == 0
    return into


def read_rows(text: str) -> list[dict[str, str]]:
    """The lines of a CSV."""
    return list(csv.DictReader(text.splitlines()))


def test_images_in_the_wrong_folder_come_first(featx: FeatX, cache: Path) -> None:
    ran = featx("label-errors", cache)
    assert ran.code == 0
    rows = read_rows(ran.out)
    assert {row["name"] for row in rows} == {"class1/wrong0.png", "class0/wrong1.png"}
    assert all(row["suggested"] != row["label"] and float(row["score"]) > 0 for row in rows)
    assert "2 of 40 images look more like another class than their own" in ran.err


def test_what_is_listed_can_be_corrected_and_given_back(featx: FeatX, cache: Path, tmp_path: Path) -> None:
    listed = read_rows(featx("label-errors", cache, "--top", 100).out)
    assert len(listed) == 40
    with (tmp_path / "corrected.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "label"])
        writer.writeheader()
        writer.writerows({"name": row["name"], "label": row["suggested"]} for row in listed)
    ran = featx("label-errors", cache, "--annotations", tmp_path / "corrected.csv", "--json")
    assert ran.json == {"images": 40, "preferred_other": 0, "ranking": [], "gallery": None}


def test_json_tells_how_many_there_are_of_which_few_are_shown(featx: FeatX, cache: Path) -> None:
    found = featx("label-errors", cache, "--json", "--top", 1).json
    assert (found["images"], found["preferred_other"], len(found["ranking"])) == (40, 2, 1)
    assert list(found["ranking"][0]) == ["name", "label", "suggested", "self_confidence", "neighbour_share", "score"]


def test_too_many_folds_are_refused_in_a_line(featx: FeatX, cache: Path) -> None:
    ran = featx("label-errors", cache, "--folds", 30)
    assert (ran.code, ran.out) == (1, "")
    assert "featx: class 'class0' has 20 images, too few for 30 folds" in ran.err
