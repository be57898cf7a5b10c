"""Cost beside accuracy: which sources are worth it, and when costs are not compared."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from featx.cache import Cost, FeatureTable
from featx.transfer import RankedSource, score_transferability
from featx.transfer.scores.pareto import with_costs
from tests.support.tables import make_table
from tests.transfer.test_scoring import noise_like

HERE = Cost(0.01, 100, 2, "CPUExecutionProvider", "a processor")


def costing(table: FeatureTable, cost: Cost | None) -> FeatureTable:
    """The table from a cache that tells this cost."""
    return replace(table, sources=tuple(replace(source, cost=cost) for source in table.sources))


def fronts(sources: Sequence[tuple[float, bool, float | None]]) -> list[bool | None]:
    """Which sources are on the front: of each its difference to the first, whether it is tied, and its cost."""
    ranking = [
        RankedSource(f"b{rank}", "features", rank, tied, None, difference, None)
        for rank, (difference, tied, _) in enumerate(sources, start=1)
    ]
    costs = [None if cost is None else replace(HERE, seconds_per_image=cost) for _, _, cost in sources]
    return [one.pareto for one in with_costs(ranking, costs)]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([(0.0, True, 3.0), (-0.1, False, 2.0), (-0.2, False, 1.0)], [True, True, True]),
        ([(0.0, True, 1.0), (-0.1, False, 2.0), (-0.2, False, 1.0)], [True, False, False]),
        ([(0.0, True, 3.0), (-0.01, True, 2.0), (-0.2, False, 2.5)], [False, True, False]),
        ([(0.0, True, 2.0), (-0.01, True, 2.0)], [True, True]),
        ([(0.0, True, 2.0), (-0.1, False, None), (-0.2, False, 3.0)], [True, None, False]),
        ([(0.0, True, None)], [None]),
    ],
)
def test_the_front_is_what_no_other_source_beats_in_both(
    sources: list[tuple[float, bool, float | None]], expected: list[bool | None]
) -> None:
    assert fronts(sources) == expected


def test_the_ranking_tells_the_cost_of_each_source() -> None:
    table = make_table((60, 60), apart=2.0)
    noise = costing(noise_like(table), replace(HERE, seconds_per_image=0.02))
    found = score_transferability([noise, costing(table, HERE)])
    assert [(one.backbone, one.seconds_per_image, one.pareto) for one in found.ranking] == [
        ("made-up", 0.01, True),
        ("noise", 0.02, False),
    ]


def test_costs_on_different_devices_are_told_and_not_compared() -> None:
    table = make_table((60, 60), apart=2.0)
    found = score_transferability([costing(noise_like(table), replace(HERE, cores=8)), costing(table, HERE)])
    assert [one.pareto for one in found.ranking] == [None, None]
    assert found.ranking[0].seconds_per_image == 0.01
    assert found.notes[-1] == (
        "costs are not compared: they were measured on a processor with 2 cores (CPUExecutionProvider); "
        "a processor with 8 cores (CPUExecutionProvider)"
    )


def test_a_cache_without_a_cost_is_named_if_others_have_one() -> None:
    table = make_table((60, 60), apart=2.0)
    found = score_transferability([noise_like(table), costing(table, HERE)])
    assert found.notes[-1] == ("the caches of noise do not say what an image has cost: extract anew for that")
    assert "cost" not in " ".join(score_transferability([noise_like(table), table]).notes)
