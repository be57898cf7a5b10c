"""`featx compare`, and the options of `featx train` that choose what is learnt, as a user runs them."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import Ran, Tiny, build_tiny

FeatX = Callable[..., Ran]


@dataclass(frozen=True)
class Made:
    """The same images through two backbones."""

    left: Path
    right: Path


@pytest.fixture
def made(featx: FeatX, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path) -> Made:
    folder = make_folder((24, 24))
    build_tiny(models, name="second", dim=4, seed=1)
    for name in ("tiny", "second"):
        ran = featx("extract", folder, "--backbone", name, "--models", models, "--into", tmp_path / f"{name}.h5")
        assert ran.code == 0, ran.err
    return Made(tmp_path / "tiny.h5", tmp_path / "second.h5")


def annotate(made: Made, tmp_path: Path, header: str, cells: Callable[[int], str], featx: FeatX) -> Path:
    """Annotations of all images, by their number."""
    exported = tmp_path / "names.npy"
    assert featx("cache", "export", made.left, "--into", exported, "--overwrite").code == 0
    names = [row["name"] for row in csv.DictReader((tmp_path / "names.csv").read_text().splitlines())]
    lines = [f"name,{header}", *(f"{name},{cells(number)}" for number, name in enumerate(names))]
    (tmp_path / "said.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "said.csv"


def test_every_backbone_and_their_fusion_are_compared_on_the_same_images(featx: FeatX, made: Made) -> None:
    ran = featx("compare", made.left, made.right, "--heads", "ridge,class-mean", "--jobs", 1, "--json")
    assert ran.code == 0, ran.err
    assert [(row["head"], row["backbones"]) for row in ran.json["results"]] == [
        ("ridge", ["tiny"]),
        ("class-mean", ["tiny"]),
        ("ridge", ["second"]),
        ("class-mean", ["second"]),
        ("ridge", ["tiny", "second"]),
        ("class-mean", ["tiny", "second"]),
    ]
    assert len({row["test"] for row in ran.json["results"]}) == 1
    standings = ran.json["standings"]
    assert sum(row["reference"] for row in standings) == 1
    assert [bool(row["comparison"]) for row in standings] == [False] * 4 + [True] * 2


def test_the_table_names_the_best_single_backbone_and_tests_the_fusion(featx: FeatX, made: Made) -> None:
    ran = featx("compare", made.left, made.right, "--heads", "class-mean", "--splits", "stratified", "--repeats", 2)
    assert ran.code == 0, ran.err
    assert "is the best single" in ran.out
    assert "corrected resampled t-test over 2 splits" in ran.out
    assert "stratified x 2" in ran.out


def test_a_second_run_makes_nothing_anew(featx: FeatX, made: Made, tmp_path: Path) -> None:
    command = ("compare", made.left, "--heads", "class-mean,ridge", "--into", tmp_path / "r.jsonl", "--jobs", 1)
    assert featx(*command).code == 0
    written = (tmp_path / "r.jsonl").read_bytes()
    assert len(written.splitlines()) == 2
    again = featx(*command, "--json")
    assert (tmp_path / "r.jsonl").read_bytes() == written
    assert again.json["results"] == [json.loads(line) for line in written.splitlines()]


def test_few_shot_draws_are_told_by_their_shots(featx: FeatX, made: Made) -> None:
    command = ("compare", made.left, "--heads", "class-mean", "--splits", "few-shot", "--shots", "1,2", "--repeats", 3)
    found = featx(*command, "--jobs", 1, "--json").json
    assert [row["shots"] for row in found["results"]] == [1, 1, 1, 2, 2, 2]
    assert [row["rows"]["train"] for row in found["results"]] == [2, 2, 2, 4, 4, 4]
    assert len(found["standings"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--heads", "logrex"), 1, "no head is called 'logrex' (did you mean logreg"),
        (("--fusions", "sum"), 1, "no fusion is called 'sum'"),
        (("--splits", "random"), 1, "no split rule 'random'"),
        (("--heads", "ridge,,knn"), 2, "should be names between commas"),
        (("--shots", "0"), 2, "should be whole numbers above 0"),
        (("--splits", "few-shot", "--shots", "60"), 1, "class 'class0' has 24 images"),
        (("--splits", "official"), 1, "split"),
        (("--splits", "grouped"), 1, "the images have no groups"),
        (("--split", "test"), 1, "split"),
        (("--tuning-folds", "30"), 1, "class"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(
    featx: FeatX, made: Made, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = featx("compare", made.left, "--heads", "class-mean", *arguments, "--jobs", 1)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_all_heads_and_all_fusions_are_tried_where_all_are_asked_for(featx: FeatX, made: Made) -> None:
    heads = featx("compare", made.left, made.right, "--heads", "class-mean", "--fusions", "all", "--jobs", 1, "--json")
    fused = [row["fusion"] for row in heads.json["results"] if len(row["backbones"]) == 2]
    assert fused == [
        *("concat", "standardised", "weighted", "pca", "joint-pca", "kernel", "anova", "mutual-info", "l1", "stacked")
    ]


def test_annotations_take_the_place_of_labels(featx: FeatX, made: Made, tmp_path: Path) -> None:
    said = annotate(made, tmp_path, "label,group", lambda number: f"kind{number % 3 > 0},{number // 4}", featx)
    found = featx("train", made.left, "--head=ridge", "--annotations", said, "--into", tmp_path / "h.featx", "--json")
    assert found.code == 0, found.err
    assert found.json["classes"] == ["kindFalse", "kindTrue"]
    assert "groups" in found.json["split"]


def test_soft_labels_and_several_labels_reach_the_measures(featx: FeatX, made: Made, tmp_path: Path) -> None:
    soft = annotate(made, tmp_path, "share:a,share:b", lambda n: "0.75,0.25" if n < 24 else "0,1", featx)
    found = featx("train", made.left, "--head=logreg", "--annotations", soft, "--into", tmp_path / "s.featx", "--json")
    assert found.code == 0, found.err
    assert found.json["metrics"]["labels"] == "soft"
    several = annotate(made, tmp_path, "has:a,has:b,has:c", lambda n: f"{int(n < 24)},{n % 2},{int(n % 3 == 0)}", featx)
    into = tmp_path / "m.featx"
    found = featx("train", made.left, "--head=logreg", "--annotations", several, "--into", into, "--json")
    assert found.code == 0, found.err
    assert found.json["metrics"]["labels"] == "several"
    measured = featx("evaluate", into, made.left, "--annotations", several, "--json").json
    assert measured["n"] == 48
    assert measured["labels"] == "several"


def test_a_fusion_and_the_rule_that_holds_out_are_chosen(featx: FeatX, made: Made, tmp_path: Path) -> None:
    into = tmp_path / "h.featx"
    command = ("train", made.left, made.right, "--head", "ridge", "--fusion", "stacked", "--hold-out", "blocks")
    found = featx(*command, "--into", into, "--json")
    assert found.code == 0, found.err
    assert (found.json["fusion"], found.json["split_key"]) == ("stacked", "blocks/3")
    assert featx("evaluate", into, made.left, made.right, "--json").json["accuracy"] > 0.9


def test_tuning_by_folds_is_told(featx: FeatX, made: Made, tmp_path: Path) -> None:
    command = ("train", made.left, "--head", "ridge", "--tuning-folds", 3, "--into", tmp_path / "h.featx", "--json")
    assert featx(*command).json["tuned"].startswith("best accuracy on 3 folds of training images")
