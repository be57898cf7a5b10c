"""`featx predict` into files and pages: formats, columns, failed images and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from featx.heads import load_head
from tests.conftest import Ran, build_tiny, run_featx, write_folder

Featx = Callable[..., Ran]
CLASSES = ("class0", "class1", "class2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head, the cache it learnt from, and a folder `new` in which one image is damaged; tests only read them."""
    here = tmp_path_factory.mktemp("made")
    build_tiny(here / "models")
    write_folder(here / "photos", (8, 8, 8))
    write_folder(here / "new", (2, 2, 2), seed=5)
    (here / "new" / "class1" / "0000.png").write_bytes(b"damaged")
    run = ("extract", here / "photos", "--backbone", "tiny", "--models", here / "models", "--into", here / "c.h5")
    assert run_featx(*run, cwd=here).code == 0
    quick = ("--head", "class-mean", "--tuning", "validation", "--jobs", "1")
    assert run_featx("train", here / "c.h5", *quick, "--into", here / "h.featx", cwd=here).code == 0
    return here


def predict(featx: Featx, made: Path, *options: object, **how: Any) -> Ran:
    """Predict the new images."""
    run = ("predict", made / "h.featx", made / "new", "--models", made / "models", "--max-failed", "1", *options)
    return featx(*run, **how)


def read_list(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of predictions; empty cells of CSV are None, and its numbers numbers."""
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                key: None if value == "" else float(value) if key.startswith("probability") else value
                for key, value in row.items()
            }
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json", ".parquet"])
def test_a_file_has_what_is_printed_otherwise(featx: Featx, made: Path, tmp_path: Path, ending: str) -> None:
    into = tmp_path / f"p{ending}"
    ran = predict(featx, made, "--into", into)
    assert (ran.code, ran.out) == (0, f"{into}: 6 images, 1 failed\n")
    rows = read_list(into)
    assert rows == json.loads(predict(featx, made, "--json").out)
    assert [row["failed"] is None for row in rows] == [True, True, False, True, True, True]
    assert list(rows[0]) == ["name", "label", "probability", "failed"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_columns_of_the_best_and_of_all_classes_are_those_of_the_head(
    featx: Featx, made: Path, tmp_path: Path, ending: str
) -> None:
    into = tmp_path / f"p{ending}"
    assert predict(featx, made, "--into", into, "--top-k", "2", "--all-probabilities").code == 0
    rows = read_list(into)
    best = ["label_1", "probability_1", "label_2", "probability_2"]
    every = [f"probability:{name}" for name in CLASSES]
    assert list(rows[0]) == ["name", "label", "probability", "failed", *best, *every]
    for row in rows:
        if row["failed"]:
            assert {row[name] for name in ("label", "probability", *best, *every)} == {None}
            continue
        probabilities = sorted((row[name] for name in every), reverse=True)
        assert sum(probabilities) == pytest.approx(1)
        assert [row["probability_1"], row["probability_2"]] == probabilities[:2]
        assert (row["label"], row["probability"]) == (row["label_1"], row["probability_1"])
        assert row[f"probability:{row['label_2']}"] == row["probability_2"]


def test_in_json_the_best_classes_are_a_list_and_all_are_by_name(featx: Featx, made: Path) -> None:
    ran = predict(featx, made, "--top-k", "1", "--all-probabilities", "--json")
    first, _, failed, *_ = json.loads(ran.out)
    assert first["top"] == [{"label": first["label"], "probability": first["probability"]}]
    assert first["probabilities"][first["label"]] == first["probability"]
    assert list(first["probabilities"]) == list(CLASSES)
    assert (failed["top"], failed["probabilities"]) == ([], None)


def test_a_cache_gives_the_probabilities_of_its_head(featx: Featx, made: Path, tmp_path: Path) -> None:
    into = tmp_path / "p.jsonl"
    assert featx("predict", made / "h.featx", made / "c.h5", "--into", into, "--all-probabilities").code == 0
    expected = load_head(made / "h.featx").predict_proba(made / "c.h5")
    found = [list(row["probabilities"].values()) for row in read_list(into)]
    assert found == [pytest.approx(row) for row in expected.tolist()]


def test_two_files_and_json_tell_what_was_written(featx: Featx, made: Path, tmp_path: Path) -> None:
    ran = predict(featx, made, "--into", tmp_path / "p.csv", "--parquet", tmp_path / "p.parquet", "--json")
    assert (ran.json["images"], ran.json["failed"]) == (6, 1)
    assert sum(ran.json["labels"].values()) == 5
    assert (ran.json["into"], ran.json["gallery"]) == (str(tmp_path / "p.csv"), None)
    assert read_list(tmp_path / "p.csv") == read_list(tmp_path / "p.parquet")


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json", ".parquet"])
def test_only_predictions_are_replaced_and_only_if_asked(featx: Featx, made: Path, tmp_path: Path, ending: str) -> None:
    into = tmp_path / f"p{ending}"
    assert predict(featx, made, "--into", into, "--top-k", "1").code == 0
    before = into.read_bytes()
    ran = predict(featx, made, "--into", into)
    assert (ran.code, ran.out, into.read_bytes()) == (1, "", before)
    assert "already exists; choose another --into, or replace it with --overwrite" in ran.err
    assert predict(featx, made, "--into", into, "--overwrite").code == 0
    assert into.read_bytes() != before
    into.write_text('[{"name": "mine"}]\n')
    ran = predict(featx, made, "--into", into, "--overwrite")
    assert (ran.code, into.read_text()) == (1, '[{"name": "mine"}]\n')
    assert "is not predictions of featx" in ran.err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--top-k", "4"), 1, "--top-k 4 is more than the 3 classes of the head; give 3 or less"),
        (("--top-k", "0"), 2, "0 is not in the range x>=1"),
        (("--into", "p.txt"), 1, "its ending is not that of predictions; end it in .csv, .jsonl, .json, .parquet"),
        (("--parquet", "p.csv"), 2, "--parquet p.csv should end in .parquet"),
        (("--into", "p.parquet", "--parquet", "p.parquet"), 2, "name the same file"),
        (("--images", "new"), 2, "here the images are given already"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_predicted(
    featx: Featx, made: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    ran = predict(featx, made, *options)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_nothing_is_left_of_a_file_if_predicting_fails(featx: Featx, made: Path, tmp_path: Path) -> None:
    ran = featx("predict", made / "h.featx", made / "new", "--models", tmp_path, "--into", tmp_path / "p.csv")
    assert ran.code == 1
    assert "tiny" in ran.err
    assert not list(tmp_path.glob("p.csv*"))


def test_the_gallery_shows_the_images_by_class(featx: Featx, made: Path, tmp_path: Path) -> None:
    page = tmp_path / "new.html"
    ran = predict(featx, made, "--gallery", page)
    assert (ran.code, len(ran.out.splitlines())) == (0, 7)
    assert f"{page}: 6 images, 1 failed" in ran.err
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 5
    assert "5 images are predicted, and 1 failed." in text
    caches = ("predict", made / "h.featx", made / "c.h5", "--gallery", page, "--overwrite")
    assert "--gallery needs --images ROOT" in featx(*caches).err
    assert featx(*caches, "--images", made / "photos").code == 0
    assert page.read_text(encoding="utf-8").count("data:image/jpeg;base64,") == 24
