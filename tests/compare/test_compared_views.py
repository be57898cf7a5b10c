"""The rules by which views are used are candidates of a comparison, beside heads and fusions."""

from pathlib import Path

import pytest

from featx.cache import use_views
from featx.compare import compare_backbones, list_candidates, rank_candidates, rank_results
from featx.errors import HeadError, TableError
from featx.heads import read_results, train_head
from featx.tables import make_splits
from tests.support.tables import make_table
from tests.support.views import VIEWS, noisy_views


def test_every_head_is_tried_with_each_rule_and_its_result_names_it(tmp_path: Path) -> None:
    table = noisy_views(make_table(apart=3.0), noise=1.0)
    candidates = list_candidates(
        [table], heads=["class-mean"], splits=make_splits, views=["first", "mean", "rows"], tuning="validation"
    )
    compared = compare_backbones(candidates, into=tmp_path / "r.jsonl", jobs=1)
    assert [record["views"] for record in compared.to_records()] == ["first", "mean", "rows"]
    assert candidates[1].name == "class-mean on made-up (mean of 3 views), stratified/0"
    assert len({result.key for result in compared.results}) == 3
    assert read_results(tmp_path / "r.jsonl") == list(compared.results)
    assert len(rank_candidates(candidates, compared.results)) == 3


def test_results_on_other_views_are_other_candidates_and_their_names_say_so() -> None:
    table = noisy_views(make_table(apart=3.0), noise=1.0)
    tables = [use_views(table, "mean", names=("center", view)) for view in VIEWS[1:]]
    results = [train_head(one, "class-mean", jobs=1)[1] for one in tables]
    found = rank_results(results, [table])
    names = [one.name for one in found.rankings[0]]
    assert sorted(names) == [f"class-mean on made-up (mean of 2 views), views {view}" for view in sorted(VIEWS[1:])]
    assert not found.notes


def test_view_0_of_a_cache_with_views_is_the_candidate_that_it_was_without_rules() -> None:
    table = noisy_views(make_table(), noise=1.0)
    (plain,) = list_candidates([table], heads=["class-mean"], splits=make_splits)
    first, _ = list_candidates([table], heads=["class-mean"], splits=make_splits, views=["first", "mean"])
    assert first.key == plain.key


def test_rules_that_are_unknown_or_impossible_are_refused_and_mlp_on_rows_is_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = noisy_views(make_table(), noise=1.0)
    with pytest.raises(HeadError, match="views 'all' is not known"):
        list_candidates([table], heads=["ridge"], splits=make_splits, views=["all"])  # type: ignore[list-item]
    with pytest.raises(TableError, match="has one view of each image"):
        list_candidates([make_table()], heads=["ridge"], splits=make_splits, views=["first", "mean"])
    candidates = list_candidates([table], heads=["mlp", "ridge"], splits=make_splits, views=["rows"])
    assert [candidate.head for candidate in candidates] == ["ridge"]
    assert "mlp on views as rows" in caplog.text
