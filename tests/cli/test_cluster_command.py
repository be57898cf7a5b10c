"""`featx cluster` as a user runs it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran, Tiny

FeatX = Callable[..., Ran]


@pytest.fixture
def cache(featx: FeatX, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path) -> Path:
    """Features of a folder of two classes told apart by colour."""
    into = tmp_path / "c.h5"
    ran = featx("extract", make_folder((12, 8)), "--backbone", "tiny", "--models", models, "--into", into)
    assert ran.code == 0, ran.err
    return into


def test_every_image_is_listed_with_its_cluster(featx: FeatX, cache: Path, tmp_path: Path) -> None:
    into = tmp_path / "clusters.csv"
    found = featx("cluster", cache, "--clusters", "classes", "--into", into, "--json").json
    with into.open(newline="") as file:
        rows = list(csv.DictReader(file))
    sizes = [one["images"] for one in found["clusters"]]
    assert [sum(row["cluster"] == str(number) for row in rows) for number in (1, 2)] == sizes
    assert sum(sizes) == len(rows) == found["images"] == 20
    assert list(found["clusters"][0]) == ["number", "images", "representative", "silhouette", "labels"]
    assert {one["representative"] for one in found["clusters"]} <= {row["name"] for row in rows}
    assert (found["method"], found["agreement"]["n"], found["into"]) == ("kmeans", 20, str(into))


def test_people_see_clusters_and_their_agreement_with_labels(featx: FeatX, cache: Path) -> None:
    ran = featx("cluster", cache, "--method", "ward")
    assert ran.code == 0, ran.err
    for text in ("clusters by ward", "typical image", "class0", "adjusted Rand index", "accuracy after matching"):
        assert text in ran.out
    assert "numbers of clusters that were tried" in ran.out


def test_what_cannot_be_done_is_told_in_a_line(featx: FeatX, cache: Path, tmp_path: Path) -> None:
    into = tmp_path / "clusters.csv"
    into.write_text("name,label\nmine.png,cat\n")
    for arguments, code, message in (
        (("--clusters", 21), 1, "21 clusters were asked for, but there are only 20 images"),
        (("--clusters", 0), 2, "'0' should be a whole number above 0, auto or classes"),
        (("--clusters", "many"), 2, "'many' should be a whole number above 0, auto or classes"),
        (("--method", "best"), 2, "'best' is not one of 'kmeans', 'ward'"),
        (("--into", into), 1, "clusters.csv: "),
    ):
        ran = featx("cluster", cache, *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert message in ran.err
    assert into.read_text() == "name,label\nmine.png,cat\n"
