"""`featx compare`, and the options of `featx train` that choose what is learnt, as a user runs them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from featx.cache import read_features
from featx.heads import (
    FUSIONS,
    HEADS,
    STACKED,
    load_head,
)
from featx.settings import FUSION_NAMES, HEAD_NAMES, SPLIT_RULES
from featx.tables.splits.rules import RULES
from tests.conftest import Ran, build_tiny, run_featx, write_folder
from tests.extract.test_shards import INTERRUPTED, wait_until, workers_of
from tests.support.sizes import shortened

FeatX = Callable[..., Ran]

QUICKLY = ("--tuning=validation", "--jobs=1")
"""For heads whose tuning does not matter."""


@dataclass(frozen=True)
class Made:
    """The same images through two backbones."""

    left: Path
    right: Path


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The caches of which every test has a copy."""
    home = tmp_path_factory.mktemp("extracted")
    folder = write_folder(home / "images", (24, 24))
    build_tiny(home / "models")
    build_tiny(home / "models", name="second", dim=4, seed=1)
    for name in ("tiny", "second"):
        into = home / f"{name}.h5"
        ran = run_featx("extract", folder, "--backbone", name, "--models", home / "models", "--into", into)
        assert ran.code == 0, ran.err
    return Made(home / "tiny.h5", home / "second.h5")


@pytest.fixture
def made(extracted: Made, tmp_path: Path) -> Made:
    return Made(*(Path(shutil.copy(cache, tmp_path)) for cache in (extracted.left, extracted.right)))


def annotate(made: Made, tmp_path: Path, header: str, cells: Callable[[int], str], featx: FeatX) -> Path:
    """Annotations of all images, by their number."""
    exported = tmp_path / "names.npy"
    assert featx("cache", "export", made.left, "--into", exported, "--overwrite").code == 0
    names = [row["name"] for row in csv.DictReader((tmp_path / "names.csv").read_text().splitlines())]
    lines = [f"name,{header}", *(f"{name},{cells(number)}" for number, name in enumerate(names))]
    (tmp_path / "said.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "said.csv"


def test_every_backbone_and_their_fusion_are_compared_on_the_same_images(featx: FeatX, made: Made) -> None:
    ran = featx("compare", made.left, made.right, "--heads", "ridge,class-mean", *QUICKLY, "--json")
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
    assert all(bool(row["comparison"]) != row["reference"] for row in standings)
    assert set(ran.json["duplicates"]) == {"stratified/0"}


def test_the_table_names_the_best_single_backbone_and_tests_the_fusion(featx: FeatX, made: Made) -> None:
    ran = featx(
        "compare", made.left, made.right, "--heads", "class-mean", "--splits", "stratified", "--repeats", 2, "--jobs", 1
    )
    assert ran.code == 0, ran.err
    assert "is the best single" in ran.out
    assert "corrected resampled t-test over 2 splits" in ran.out
    assert "stratified x 2" in ran.out


def test_a_second_run_makes_nothing_anew(featx: FeatX, made: Made, tmp_path: Path) -> None:
    command = (
        "compare",
        made.left,
        "--heads",
        "class-mean,ridge",
        "--tuning=validation",
        "--into",
        tmp_path / "r.jsonl",
        "--jobs",
        1,
    )
    assert featx(*command).code == 0
    written = (tmp_path / "r.jsonl").read_bytes()
    assert len(written.splitlines()) == 2
    again = featx(*command, "--json")
    assert (tmp_path / "r.jsonl").read_bytes() == written
    assert again.json["results"] == [json.loads(line) for line in written.splitlines()]


@pytest.mark.exhaustive
@pytest.mark.parametrize("seconds", shortened([0.0, 0.2]))
def test_an_interrupt_while_workers_start_is_told_in_one_line_and_gone_on_from(
    featx: FeatX, made: Made, tmp_path: Path, seconds: float
) -> None:
    command = ("compare", made.left, made.right, "--heads", "ridge", "--jobs", 2, "--into", tmp_path / "r.jsonl")
    line = [sys.executable, "-m", "featx", *map(str, command)]
    running = subprocess.Popen(line, stdout=-3, stderr=-1, text=True, start_new_session=True)
    wait_until(lambda: len(workers_of(psutil.Process(running.pid))) == 2)
    time.sleep(seconds)
    os.killpg(running.pid, signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert (running.returncode, told) == (130, INTERRUPTED)
    again = featx(*command, "--json")
    assert again.code == 0, again.err
    assert len(again.json["results"]) == 3


def test_few_shot_draws_are_told_by_their_shots(featx: FeatX, made: Made) -> None:
    command = ("compare", made.left, "--heads", "class-mean", "--splits", "few-shot", "--shots", "1,2", "--repeats", 3)
    found = featx(*command, "--jobs", 1, "--json").json
    assert [row["shots"] for row in found["results"]] == [1, 1, 1, 2, 2, 2]
    assert [row["rows"]["train"] for row in found["results"]] == [2, 2, 2, 4, 4, 4]
    assert len(found["standings"]) == 2


def test_the_help_names_every_head_fusion_and_split_rule() -> None:
    assert list(HEAD_NAMES) == list(HEADS)
    assert [*FUSION_NAMES] == [*FUSIONS, STACKED]
    assert list(SPLIT_RULES) == list(RULES)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--heads", "logrex"), 1, "no head is called 'logrex' (did you mean logreg"),
        (("--fusions", "sum"), 1, "no fusion is called 'sum'"),
        (("--splits", "random"), 1, "no split rule 'random'"),
        (("--heads", "ridge,,knn"), 2, "should be names separated by commas"),
        (("--shots", "0"), 2, "should be whole numbers above 0"),
        (("--shots", "4"), 2, "--shots is for few-shot splits, but --splits is auto; add few-shot"),
        (("--folds", "4", "--splits", "blocks"), 2, "but --splits is blocks; add k-fold, or --tuning folds:4"),
        (
            ("--splits", "stratified,blocks", "--repeats", "5"),
            1,
            "5 repeats were asked for, but blocks have only 4 quarters",
        ),
        (("--splits", "few-shot", "--shots", "60"), 1, "class 'class0' has 24 images"),
        (("--splits", "official"), 1, "the image set has no split of its own"),
        (("--splits", "grouped"), 1, "the images have no groups"),
        (("--splits", "leave-one-domain-out"), 1, "the images have no domains; give a manifest or --annotations a"),
        (
            ("--to-domain", "lab"),
            2,
            "--to-domain is for source-target splits, but --splits is auto; ask for source-",
        ),
        (("--from-domain", "lab"), 2, "--from-domain is for source-target splits, but --splits is auto"),
        (("--split", "test"), 1, "no split 'test', as there are no splits; leave it out"),
        (("--tuning-folds", "30"), 1, "has 18 images, too few for 30 folds"),
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
    heads = featx("compare", made.left, made.right, "--heads", "class-mean", "--fusions", "all", *QUICKLY, "--json")
    fused = [row["fusion"] for row in heads.json["results"] if len(row["backbones"]) == 2]
    assert fused == [
        *("concat", "standardised", "weighted", "pca", "joint-pca", "kernel", "anova", "mutual-info", "l1", "stacked")
    ]


def test_annotations_take_the_place_of_labels(featx: FeatX, made: Made, tmp_path: Path) -> None:
    said = annotate(made, tmp_path, "label,group", lambda number: f"kind{number % 3 > 0},{number // 4}", featx)
    found = featx(
        "train", made.left, "--head=ridge", *QUICKLY, "--annotations", said, "--into", tmp_path / "h.featx", "--json"
    )
    assert found.code == 0, found.err
    assert found.json["classes"] == ["kindFalse", "kindTrue"]
    assert "groups" in found.json["split"]


@pytest.mark.parametrize("head", ["logreg", "knn"])
def test_soft_labels_and_several_labels_reach_the_measures(featx: FeatX, made: Made, tmp_path: Path, head: str) -> None:
    soft = annotate(made, tmp_path, "share:a,share:b", lambda n: "0.75,0.25" if n < 24 else "0,1", featx)
    found = featx(
        "train", made.left, f"--head={head}", *QUICKLY, "--annotations", soft, "--into", tmp_path / "s.featx", "--json"
    )
    assert found.code == 0, found.err
    assert found.json["metrics"]["labels"] == "soft"
    several = annotate(made, tmp_path, "has:a,has:b,has:c", lambda n: f"{int(n < 24)},{n % 2},{int(n % 3 == 0)}", featx)
    into = tmp_path / "m.featx"
    found = featx("train", made.left, f"--head={head}", *QUICKLY, "--annotations", several, "--into", into, "--json")
    assert found.code == 0, found.err
    assert found.json["metrics"]["labels"] == "several"
    measured = featx("evaluate", into, made.left, "--annotations", several, "--rows", "all", "--json").json
    assert measured["n"] == 48
    assert measured["labels"] == "several"


def test_a_fusion_and_the_rule_that_holds_out_are_chosen(featx: FeatX, made: Made, tmp_path: Path) -> None:
    into = tmp_path / "h.featx"
    command = ("train", made.left, made.right, "--head", "ridge", "--fusion", "stacked", "--hold-out", "blocks")
    found = featx(*command, *QUICKLY, "--into", into, "--json")
    assert found.code == 0, found.err
    assert (found.json["fusion"], found.json["split_key"]) == ("stacked", "blocks/3")
    assert featx("evaluate", into, made.left, made.right, "--rows", "all", "--json").json["accuracy"] > 0.9


def test_tuning_by_folds_is_told(featx: FeatX, made: Made, tmp_path: Path) -> None:
    command = (
        "train",
        made.left,
        "--head=ridge",
        "--tuning-folds=3",
        "--jobs=1",
        "--into",
        tmp_path / "h.featx",
        "--json",
    )
    assert featx(*command).json["tuned"].startswith("best accuracy on 3 folds of all but the test images")


def test_what_failed_is_told_at_the_end_and_the_rest_is_shown(featx: FeatX, made: Made, tmp_path: Path) -> None:
    with h5py.File(made.right, "r+") as file:
        file["features/features"][:] = np.nan
    command = (
        "compare",
        made.left,
        made.right,
        "--heads=ridge",
        "--tuning=validation",
        "--into",
        tmp_path / "r.jsonl",
        "--jobs",
        1,
    )
    ran = featx(*command)
    assert ran.code == 1
    assert "near-duplicate among the training images" in ran.out
    assert ran.err.count("featx: no result of ridge") == 2
    assert "on second, stratified/0: the features of" in ran.err
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 1
    assert [row["contest"] for row in featx(*command, "--json").json["failures"]] == [
        "ridge on second, stratified/0",
        "ridge (concat) on tiny + second, stratified/0",
    ]


def test_the_image_set_s_own_split_is_there_once_beside_splits_that_are_drawn_often(
    featx: FeatX, made: Made, tmp_path: Path
) -> None:
    said = annotate(made, tmp_path, "label,split", lambda n: f"{n % 2},{('train', 'test')[n % 3 == 0]}", featx)
    command = ("compare", made.left, "--heads=class-mean", "--annotations", said, "--jobs", 1, "--json")
    found = featx(*command, "--splits=official,stratified", "--repeats", 3).json["results"]
    assert [row["split_key"] for row in found] == ["official", "stratified/0", "stratified/1", "stratified/2"]


def test_balanced_classes_are_told_by_train_and_compare(featx: FeatX, made: Made, tmp_path: Path) -> None:
    for command in (
        ("train", "--head=ridge", "--into", tmp_path / "h.featx"),
        ("compare", "--heads=ridge"),
    ):
        found = featx(*command, *QUICKLY, made.left, "--balanced", "--json").json
        (result,) = found.get("results", [found])
        assert result["balanced"]
        assert result["tuned"].startswith("best balanced accuracy")


def test_evaluate_warns_unless_it_measures_just_the_images_that_were_held_out(
    featx: FeatX, made: Made, tmp_path: Path
) -> None:
    said = annotate(made, tmp_path, "label,split", lambda n: f"{n % 2},{('train', 'test')[n % 3 == 0]}", featx)
    warned = {}
    for hold_out in ("official", "stratified"):
        into = tmp_path / f"{hold_out}.featx"
        options = ("--head=class-mean", "--hold-out", hold_out, "--annotations", said, "--into", into)
        assert featx("train", made.left, *QUICKLY, *options).code == 0
        ran = featx("evaluate", into, made.left, "--annotations", said, "--split", "test")
        warned[hold_out] = "so these measures are too high" in ran.err
    assert warned == {"official": False, "stratified": True}


def test_a_head_is_trained_without_the_domain_that_it_is_tested_on(featx: FeatX, made: Made, tmp_path: Path) -> None:
    said = annotate(made, tmp_path, "domain", lambda n: ("lab", "field", "outside")[n % 3], featx)
    command = ("train", made.left, "--head=class-mean", *QUICKLY, "--annotations", said, "--into", tmp_path / "m.featx")
    result = featx(*command, "--hold-out", "source-target", "--to-domain", "lab", "--json").json
    assert (result["domain"], result["split_key"]) == ("lab", "source-target/0.field+outside>lab")
    for options, said_of in (
        (("--hold-out", "source-target"), "--hold-out source-target tests one domain; name it with --to-domain"),
        (("--to-domain", "lab"), "--to-domain is for source-target splits, but --hold-out is auto"),
    ):
        ran = featx(*command, *options)
        assert ran.code == 2
        assert said_of in ran.err


def test_predict_names_all_labels_that_are_likelier_than_not(featx: FeatX, made: Made, tmp_path: Path) -> None:
    said = annotate(made, tmp_path, "has:a,has:b", lambda n: f"{int(n < 36)},{int(n >= 24)}", featx)
    into = tmp_path / "m.featx"
    assert featx("train", made.left, "--head=logreg", *QUICKLY, "--annotations", said, "--into", into).code == 0
    rows = json.loads(featx("predict", into, made.left, "--json").out)
    head, table = load_head(into), read_features(made.left)
    probabilities = head.predict_probabilities(table.features)
    for row, given in zip(rows, probabilities, strict=True):
        named = [name for name, probability in zip(head.classes, given, strict=True) if probability > 0.5]
        assert row["label"] == "|".join(named)
        sure = given[given > 0.5].min() if named else 1 - given.max()
        assert row["probability"] == pytest.approx(sure)
    assert {"a|b"} < {row["label"] for row in rows}
