"""What people see of measures: tables that hold for one label and for several, and a reason for every gap."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from featx.heads import Result, read_results, write_results
from featx.heads.results import Penalty, pack
from featx.labels import Labels
from featx.measures import HeadMetrics, measure
from featx.report.markdown import render_markdown, render_results
from featx.report.metrics import metrics_sections
from featx.report.results import results_sections
from featx.report.section import Section
from featx.report.terminal import print_sections
from tests.measures.test_measures import KINDS, make_case


def make_result(metrics: HeadMetrics) -> Result:
    """A result with these metrics."""
    rows = {"train": 80, "validation": 20, "test": metrics.n, "unlabelled": 0, "failed": 0}
    classes = tuple(row.name for row in metrics.per_class)
    return Result(
        head="logreg",
        fusion="",
        table="0" * 64,
        images="0" * 64,
        backbones=("lite0",),
        identities=("0" * 64,),
        params={"classifier__l2": 1.0, "scaler__how": "l2"},
        penalty=Penalty(1.0, 1 / 80, 1.0),
        edge=False,
        folds=None,
        balanced=False,
        tuned="by hand",
        validated=0.5,
        temperature=1.0,
        metrics=metrics,
        rows=rows,
        split="by hand",
        split_key="by-hand/0",
        shots=None,
        test="0" * 64,
        guesses=None if metrics.labels == "several" else pack(np.zeros(metrics.n, np.int64)),
        drawn=pack(np.zeros(3)) if metrics.labels == "several" else None,
        classes=classes,
        seed=0,
        seconds=1.0,
        versions={"featx": "0"},
    )


def test_heads_that_were_tuned_in_different_ways_each_say_how() -> None:
    one = make_result(measure(*make_case()))
    same = render_results([one, replace(one, head="ridge")])
    assert "- tuned: by hand" in same.splitlines()
    mixed = render_results([one, replace(one, head="ridge"), replace(one, head="pca-svm", folds=5, tuned="in folds")])
    assert {"- tuned, logreg, ridge: by hand", "- tuned, pca-svm: in folds"} < set(mixed.splitlines())


def printed(metrics: HeadMetrics) -> str:
    """One evaluation as it is shown."""
    to = Console(file=StringIO(), width=200)
    print_sections(metrics_sections(metrics), to=to)
    assert isinstance(to.file, StringIO)
    return to.file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_has_a_cell_for_every_column(kind: str) -> None:
    metrics = measure(*make_case(kind))
    answer, _, *lines = render_results([make_result(metrics)]).splitlines()
    assert answer.startswith("logreg reaches ")
    assert [line.count("|") for line in lines[:3]] == [len(results_sections([make_result(metrics)])[0].columns) + 1] * 3
    assert ("mAP" in lines[0]) == ("several" in kind)
    assert f"- interval: {metrics.interval}" in lines


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_read_back_as_they_were_written(kind: str, tmp_path: Path) -> None:
    results = [make_result(measure(*make_case(kind, seed=seed))) for seed in range(2)]
    write_results(results, tmp_path / "results.jsonl")
    assert read_results(tmp_path / "results.jsonl") == results


def test_an_evaluation_shows_every_measure_with_its_interval_and_every_class() -> None:
    metrics = measure(*make_case())
    shown = printed(metrics)
    for title in ("accuracy", "balanced", "mAP", "AUROC", "macro F1", "log loss", "Brier", "ECE", "most frequent"):
        assert title in shown
    assert metrics.auroc_ci is not None
    assert f"{metrics.auroc_ci[0]:.3f} – {metrics.auroc_ci[1]:.3f}" in shown
    assert all(row.name in shown for row in metrics.per_class)


def test_what_is_not_defined_is_shown_with_the_reason() -> None:
    shown = printed(measure(np.tile([0.9, 0.1], (50, 1)), Labels(("ok", "crack"), np.zeros(50, np.int64))))
    assert "no AUROC: all test images are of class 'ok', so there are no others to rank them against" in shown
    assert "no interval of log loss: fewer than 5 images' worth are wrong" in shown
    assert "no interval of ECE: the same on all resamples of 50 images" in shown


def test_the_groups_that_fare_worst_are_shown_first() -> None:
    probabilities, labels = make_case()
    metrics = measure(probabilities, replace(labels, groups=(np.arange(120) // 5).astype("S")))
    shown = printed(metrics)
    assert metrics.per_group is not None
    worst = min(metrics.per_group, key=lambda group: group.accuracy or 0)
    first = shown[shown.index("group  ") :].splitlines()[2]
    assert first.split()[:3] == [worst.name, "5", f"{worst.accuracy:.3f}"]
    assert "the 10 worst of 24 groups; --json lists all" in shown


def test_a_note_says_why_there_is_no_table_of_too_many_groups() -> None:
    probabilities, labels = make_case(n=400)
    shown = printed(measure(probabilities, replace(labels, groups=np.arange(400).astype("S"))))
    assert "no table of groups: 400 groups are too many to list (more than 200)" in shown
    assert "no table of groups" not in printed(measure(probabilities, labels))


def test_several_results_are_one_table() -> None:
    to = Console(file=StringIO(), width=200)
    print_sections(results_sections([make_result(measure(*make_case(seed=seed))) for seed in range(2)]), to=to)
    assert isinstance(to.file, StringIO)
    assert to.file.getvalue().count("logreg") == 2


def test_the_terminal_and_markdown_show_every_cell_and_note_of_a_section() -> None:
    section = Section(
        title="kind",
        columns=("head", "tuned"),
        rows=(("logreg", "l2=1, how=a|b"), ("knn", "k=3")),
        notes=("a note", "another note"),
        wrapped="tuned",
    )
    to = Console(file=StringIO(), width=80)
    print_sections([section], to=to)
    assert isinstance(to.file, StringIO)
    lines = [line.split() for line in to.file.getvalue().splitlines()]
    assert [line for line in lines if line and "─" not in line[0]] == [
        ["kind"],
        ["head", "tuned"],
        ["logreg", "l2=1"],
        ["how=a|b"],
        ["knn", "k=3"],
        ["-", "a", "note"],
        ["-", "another", "note"],
    ]
    assert render_markdown(section) == (
        "## kind\n\n| head | tuned |\n| --- | --- |\n| logreg | l2=1, how=a\\|b |\n| knn | k=3 |\n\n"
        "- a note\n- another note\n"
    )


def test_a_section_without_columns_is_a_list_of_facts() -> None:
    section = Section(title="photos.h5", rows=(("file", "3 kB"), ("", "and more")), notes=("a note",))
    to = Console(file=StringIO(), width=80)
    print_sections([section], to=to)
    assert isinstance(to.file, StringIO)
    assert to.file.getvalue().splitlines() == ["photos.h5", "file      3 kB", "          and more", "a note"]
    assert render_markdown(section) == "## photos.h5\n\n- file: 3 kB\n- and more\n\n- a note\n"
