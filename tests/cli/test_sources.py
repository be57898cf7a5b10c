"""The sources that commands take: several at once, image files, folders of splits; and what is said of them."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.conftest import Tiny, draw_image, write_folder

Featx = Callable[..., Any]


@pytest.fixture
def to_tiny(tiny: Tiny, models: Path) -> list[object]:
    """The options that name the tiny backbone."""
    return ["--backbone=tiny", "--models", models]


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """A folder with train, val and test above two classes."""
    for number, (split, count) in enumerate((("train", 8), ("val", 4), ("test", 4))):
        write_folder(tmp_path / "data" / split, (count, count), seed=100 * number)
    return tmp_path / "data"


def test_train_uses_the_splits_that_folders_are_named_for(
    featx: Featx, to_tiny: list[object], models: Path, splits: Path, tmp_path: Path
) -> None:
    extracted = featx("extract", splits, *to_tiny, "--into", tmp_path / "c.h5")
    assert "the folders test (8), train (16), val (8) are splits, not classes" in extracted.err
    trained = featx("train", tmp_path / "c.h5", "--head", "ridge", "--into", tmp_path / "h.featx", "--jobs", 1)
    assert "the image set's own split" in trained.out


def test_a_cache_from_before_folders_were_splits_is_updated_without_computing_a_feature(
    featx: Featx, to_tiny: list[object], splits: Path, tmp_path: Path
) -> None:
    paths = [path.relative_to(splits) for path in sorted(splits.rglob("*.png"))]
    rows = ["path,label", *(f"{path},{path.parts[0]}" for path in paths)]
    (splits / "old.csv").write_text("\n".join(rows))
    into = tmp_path / "c.h5"
    assert featx("extract", splits / "old.csv", *to_tiny, "--into", into).code == 0
    (splits / "old.csv").unlink()
    again = featx("extract", splits, *to_tiny, "--into", into, "--json").json
    assert (again["reused"], again["done"]) == (32, 32)
    assert "class0" in featx("cache", "info", into).out


def test_several_sources_are_one_cache_and_their_images_are_predicted_alike(
    featx: Featx, to_tiny: list[object], models: Path, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "a", (6, 6))
    draw_image(99, colour=1).save(tmp_path / "c.png")
    shutil.make_archive(str(tmp_path / "b"), "tar", write_folder(tmp_path / "packed", (6, 6), seed=50))
    sources = [folder, tmp_path / "b.tar", tmp_path / "c.png"]
    into = tmp_path / "c.h5"
    assert featx("extract", *sources, *to_tiny, "--into", into, "--json").json["done"] == 25
    head = tmp_path / "h.featx"
    assert featx("train", into, "--head", "ridge", "--into", head, "--jobs", 1).code == 0
    of_cache = featx("predict", head, into)
    of_images = featx("predict", head, *sources, "--models", models)
    assert (of_images.code, of_images.out) == (0, of_cache.out)
    names = [row["name"] for row in csv.DictReader(io.StringIO(of_images.out))]
    assert (names[0], names[12].split("/")[0], names[-1]) == ("a/class0/0000.png", "b.tar", "c.png")


def test_an_array_of_images_at_an_address_is_predicted_and_is_no_cache(
    featx: Featx, to_tiny: list[object], models: Path, tmp_path: Path
) -> None:
    into, head = tmp_path / "c.h5", tmp_path / "h.featx"
    assert featx("extract", write_folder(tmp_path / "a", (6, 6)), *to_tiny, "--into", into).code == 0
    assert featx("train", into, "--head", "ridge", "--into", head, "--jobs", 1).code == 0
    with h5py.File(tmp_path / "new.h5", "w") as file:
        file["images"] = np.zeros((2, 40, 40, 3), np.uint8)
    ran = featx("predict", head, f"file://{tmp_path / 'new.h5'}", "--models", models)
    assert [row["name"] for row in csv.DictReader(io.StringIO(ran.out))] == ["new.h5/images/0", "new.h5/images/1"]


def test_the_column_of_labels_is_an_option(featx: Featx, to_tiny: list[object], tmp_path: Path) -> None:
    write_folder(tmp_path / "a", (2, 2))
    lines = "".join(f"class{number}/0000.png,{breed}\n" for number, breed in enumerate(("pug", "beagle")))
    (tmp_path / "list.csv").write_text(f"file_name,breed\n{lines}")
    given = ["extract", tmp_path / "list.csv", "--root", tmp_path / "a", *to_tiny, "--into", tmp_path / "c.h5"]
    ran = featx(*given, "--label-column", "breed")
    assert ran.code == 0
    assert "column 'file_name' is read as 'path'" in ran.err
    assert "beagle 1, pug 1" in featx("cache", "info", tmp_path / "c.h5").out
    refused = featx(*given, "--label-column", "bread")
    assert refused.code == 1
    assert "no column 'bread' of labels (did you mean breed" in refused.err


def test_files_without_an_ending_are_told_with_the_step(featx: Featx, to_tiny: list[object], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", (1, 1))
    shutil.copy(folder / "class0" / "0000.png", folder / "class0" / "n000")
    ran = featx("extract", folder, *to_tiny, "--into", tmp_path / "c.h5")
    assert "ignored 1 files without the ending of an image, such as class0/n000; to take files without" in ran.err
    (tmp_path / "b").mkdir()
    shutil.copy(folder / "class0" / "0000.png", tmp_path / "b" / "n000")
    alone = featx("extract", tmp_path / "b", *to_tiny, "--into", tmp_path / "d.h5")
    assert "list images without an ending in the column 'path' of a manifest" in alone.err


def test_every_name_that_is_exported_is_read_again(to_tiny: list[object], featx: Featx, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for seed, name in enumerate(
        ("-a.png", " lead.png", "a\nb.png", 'q",".png', "e\u0301.png", "\u00e9.png", "r\rr.png")
    ):
        draw_image(seed).save(folder / name)
    assert featx("extract", folder, *to_tiny, "--into", tmp_path / "c.h5").code == 0
    assert featx("cache", "export", tmp_path / "c.h5", "--into", tmp_path / "e.npy").code == 0
    again = featx("extract", tmp_path / "e.csv", "--root", folder, *to_tiny, "--into", tmp_path / "d.h5", "--json")
    assert (again.json["done"], again.json["failed"]) == (7, 0)
