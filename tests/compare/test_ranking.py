"""A ranking is a tuple of candidates with ranks by validation, and gives flat rows."""

from dataclasses import replace

import numpy as np

from featx.compare import Ranking, compare_backbones, list_candidates, rank_candidates
from featx.compare.ranking import _ranks
from featx.tables import make_splits
from tests.support.tables import make_table


def ranking_of(repeats: int = 1) -> Ranking:
    """A ranking of two heads on two backbones and on both."""
    tables = [make_table(apart=2.0, name="left", seed=1), make_table(dim=4, apart=2.0, name="right", seed=2)]
    candidates = list_candidates(
        tables,
        heads=("ridge", "class-mean"),
        splits=lambda table: make_splits(table, "stratified", repeats=repeats),
    )
    return rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)


def test_ranks_follow_validation_and_equal_values_share_one() -> None:
    assert _ranks([0.5, 0.9, 0.5, float("nan"), 0.2]) == [2, 1, 2, 5, 4]
    ranking = ranking_of()
    assert [one.rank for one in ranking] == _ranks([one.validated for one in ranking])
    assert [one.to_dict()["rank"] for one in ranking] == [one.rank for one in ranking]


def test_records_are_flat_and_have_the_same_keys() -> None:
    for ranking in (ranking_of(), ranking_of(repeats=2)):
        records = ranking.to_records()
        assert len(records) == len(ranking) == 6
        assert len({tuple(record) for record in records}) == 1
        assert {type(value) for record in records for value in record.values()} <= {str, int, float, bool, type(None)}
        assert [record["mean"] for record in records] == [float(np.mean(one.values)) for one in ranking]
        (reference,) = (record for record in records if record["reference"])
        assert reference["p"] is None
        fused = next(one for one in ranking if len(one.backbones) == 2)
        record = records[ranking.index(fused)]
        assert record["backbones"] == "left + right"
        assert fused.comparison is not None
        assert (record["difference"], record["p_holm"]) == (fused.comparison.difference, fused.comparison.p_holm)
        assert (record["difference_low"], record["difference_high"]) == (fused.comparison.interval or (None, None))


def test_a_measure_that_is_not_defined_is_none_in_records() -> None:
    first = ranking_of()[0]
    metrics = replace(first.results[0].metrics, accuracy=float("nan"))
    undefined = replace(first, results=(replace(first.results[0], metrics=metrics),))
    assert undefined.to_record()["mean"] is None


def test_a_comparison_gives_one_flat_row_for_each_result() -> None:
    candidates = list_candidates([make_table()], heads=("class-mean",), splits=make_splits)
    compared = compare_backbones(candidates, jobs=1)
    (record,) = compared.to_records()
    assert (record["head"], record["backbones"], record["key"]) == ("class-mean", "made-up", candidates[0].key)
