"""What notebooks show: the tables and figures of a report below the overview, with every text escaped."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.compare import compare_backbones, list_candidates, rank_candidates
from featx.heads import Head, load_head, train_head
from featx.report.notebooks import _SECTIONS
from featx.showing import Shown
from featx.tables import make_splits
from featx.transfer import score_transferability
from tests.support.tables import make_table

OLD = Path(__file__).parents[1] / "fixtures" / "written-by-0.1.0" / "heads"


def shown_in_notebook(one: Shown) -> str:
    """The HTML of an object."""
    return one._repr_html_()


@pytest.fixture(scope="module")
def trained() -> tuple[Head, Any]:
    """A head and its result."""
    return train_head(make_table(), "class-mean", jobs=1)


@pytest.mark.parametrize("choose", [lambda head, result: head, lambda head, result: result.metrics])
def test_heads_and_metrics_show_their_measures_and_figures(
    trained: tuple[Head, Any], choose: Callable[..., Shown]
) -> None:
    html = shown_in_notebook(choose(*trained))
    assert html.startswith("<div><strong>")
    assert f"{trained[1].metrics.accuracy:.3f}" in html
    assert "<svg" in html
    assert "<script" not in html


def test_a_table_shows_its_classes_as_bars_and_without_labels_only_its_overview() -> None:
    table = make_table((3, 4))
    assert "<svg" in shown_in_notebook(table)
    unlabelled = replace(table, labels=np.full(7, -1, np.int32))
    assert shown_in_notebook(unlabelled) == unlabelled.overview().to_html()


def test_hostile_names_are_escaped_in_every_part() -> None:
    table = replace(make_table((30, 30)), classes=("<script>alert(1)</script>", "a\u202eb\x1b"))
    head, result = train_head(table, "class-mean", jobs=1)
    for one in (table, head, result):
        html = shown_in_notebook(one)
        assert "<script" not in html
        assert not {"\u202e", "\x1b"} & set(html[len(one.overview().to_html()) :])
        assert "&lt;script&gt;" in html


def test_ids_of_different_objects_in_one_notebook_are_different() -> None:
    tables = [make_table((3, 4)), make_table((4, 4))]
    first, second = ({*re.findall(r' id="([^"]+)"', shown_in_notebook(table))} for table in tables)
    assert first
    assert not first & second


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("name", ["logreg", "knn-several", "logreg-stacked"])
def test_heads_of_the_first_version_show_their_measures(name: str) -> None:
    assert "accuracy" in shown_in_notebook(load_head(OLD / f"{name}.featx"))


def test_a_head_with_a_damaged_record_of_its_training_shows_its_overview(trained: tuple[Head, Any]) -> None:
    head = replace(trained[0], training={})
    assert shown_in_notebook(head) == head.overview().to_html()


def test_classes_with_sections_exist_and_show_themselves() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in Path(featx.__file__).parent.rglob("*.py"))
    shown = set(re.findall(r"^class (\w+)\(Shown\b", sources, re.MULTILINE))
    assert _SECTIONS.keys() <= shown


def test_importing_featx_and_tables_does_not_import_reports() -> None:
    code = "import sys, featx, featx.tables; print([name for name in sys.modules if name.startswith('featx.report')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_what_is_compared_and_scored_shows_its_tables_and_figures() -> None:
    tables = [make_table((20, 20)), make_table((20, 20), name="other", seed=4)]
    candidates = list_candidates(tables, heads=["class-mean"], splits=make_splits, tuning="validation")
    compared = compare_backbones(candidates, jobs=1)
    for one in (
        compared,
        rank_candidates(candidates, compared.results),
        score_transferability(tables),
    ):
        html = shown_in_notebook(one)
        assert f"<strong>{type(one).__name__}: " in html
        assert "<table" in html[len(one.overview().to_html()) :]
        assert "<svg" in html
