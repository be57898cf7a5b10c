"""A ranking is a tuple of candidates with ranks by validation, and gives flat rows."""

from dataclasses import replace

import numpy as np
import pytest

from featx.compare import Ranking, compare_backbones, list_candidates, rank_candidates
from featx.compare.ranking import ranks_of, validity
from featx.heads import Result, unpack_guesses
from featx.report.ranking import ranking_sections
from featx.tables import make_splits
from tests.support.tables import make_table, with_columns


def ranking_of(repeats: int = 1) -> Ranking:
    """A ranking of two heads on two backbones and on both."""
    tables = [make_table(apart=2.0, name="left", seed=1), make_table(dim=4, apart=2.0, name="right", seed=2)]
    candidates = list_candidates(
        tables,
        heads=("ridge", "class-mean"),
        splits=lambda table: make_splits(table, "stratified", repeats=repeats),
        tuning="validation",
    )
    return rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)


def test_ranks_follow_validation_and_equal_values_share_one() -> None:
    assert ranks_of([0.5, 0.9, 0.5, float("nan"), 0.2]) == [2, 1, 2, 5, 4]
    ranking = ranking_of()
    assert [one.rank for one in ranking] == ranks_of([one.validated for one in ranking])
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


def test_of_heads_with_equal_accuracy_the_likelier_one_is_the_reference() -> None:
    first, second = (one for one in ranking_of() if one.backbones == ("left",))
    equal = [
        replace(one, results=(replace(one.results[0], validated=0.5, validated_loss=loss),))
        for one, loss in ((first, 0.4), (second, 0.3))
    ]
    assert max(equal, key=validity).name == second.name
    older = [replace(one, results=(replace(one.results[0], validated_loss=None),)) for one in equal]
    assert max(older, key=validity).name == first.name


def test_the_head_chosen_anew_on_each_split_is_measured_on_that_splits_test_images() -> None:
    ranking = ranking_of(repeats=3)
    single = [one for one in ranking if len(one.backbones) == 1]
    expected = []
    for split in range(3):
        results = [one.results[split] for one in single]
        best = max(results, key=lambda result: (result.validated, -(result.validated_loss or 0)))
        expected.append(best.value)
    (reference,) = (one for one in ranking if one.reference)
    assert reference.chosen_per_split == pytest.approx(np.mean(expected))
    assert reference.to_dict()["chosen_per_split"] == reference.chosen_per_split
    assert [one.chosen_per_split for one in ranking if not one.reference] == [None] * 5
    section, _ = ranking_sections(ranking)
    assert section.notes[-1].endswith(f"the best heads on one backbone reach {reference.chosen_per_split:.3f}")
    assert all(one.chosen_per_split is None for one in ranking_of())


def test_few_shot_draws_are_compared_with_what_their_test_images_add() -> None:
    table = make_table((60, 60), apart=1.0)
    table = with_columns(table, splits=np.array([b"test", b"train", b"train"] * 40))
    candidates = list_candidates(
        [table], heads=("ridge", "class-mean"), splits=lambda one: make_splits(one, "few-shot", shots=(3,), repeats=4)
    )
    results = compare_backbones(candidates, jobs=1).results
    ranking = rank_candidates(candidates, results)
    assert [one.chosen_per_split for one in ranking] == [None, None]  # no test image chooses
    (found,) = (one.comparison for one in ranking if one.comparison)
    test = candidates[0].split.test
    right = {
        head: np.mean(
            [unpack_guesses(one.guesses or "") == table.labels[test] for one in results if one.head == head], axis=0
        )
        for head in ("ridge", "class-mean")
    }
    apart = right["ridge"] - right["class-mean"]
    assert abs(found.difference) == pytest.approx(abs(apart.mean()))
    assert found.interval is not None
    least = np.sqrt(apart.var(ddof=1) / len(test))
    assert (found.interval[1] - found.interval[0]) / 2 > 1.96 * least
    assert found.test.endswith("tested on 40 images")


def domains_ranking(count: int, *, groups: bool = False, balanced: bool = False) -> Ranking:
    """A ranking of two heads, each tested on every of these domains by heads of the others."""
    table = with_columns(make_table((80, 80)), groups=np.arange(160) // 4 if groups else None)
    table = replace(table, domains=np.array([b"domain%d" % (row % count) for row in range(160)]))
    candidates = list_candidates(
        [table],
        heads=("ridge", "class-mean"),
        splits=lambda one: make_splits(one, "leave-one-domain-out"),
        tuning="validation",
        balanced=balanced,
    )
    return rank_candidates(candidates, compare_backbones(candidates, jobs=1).results)


def test_the_measure_is_told_for_each_domain_beside_the_mean_over_them() -> None:
    ranking = domains_ranking(3)
    for one in ranking:
        assert list(one.domains) == ["domain0", "domain1", "domain2"]
        assert list(one.domains.values()) == one.values.tolist()
        assert one.to_dict()["domains"] == one.domains
        assert [result.domain for result in one.results] == list(one.domains)
        assert all(Result.from_dict(result.to_dict()) == result for result in one.results)
    section, _ = ranking_sections(ranking)
    best = min(ranking, key=lambda one: one.rank)
    assert section.columns[5:9] == ("± over splits", "in domain0", "in domain1", "in domain2")
    assert section.rows[0][6] == f"{best.values[0]:.3f}"
    assert "the mean is over domains of equal weight" in section.notes[0]


def test_of_many_domains_the_worst_is_shown() -> None:
    ranking = domains_ranking(8)
    section, _ = ranking_sections(ranking)
    best = min(ranking, key=lambda one: one.rank)
    worst = min(best.domains, key=best.domains.__getitem__)
    assert section.columns[6] == "worst domain"
    assert section.rows[0][6] == f"{best.values.min():.3f} in {worst}"


def test_splits_that_mix_domains_have_no_measure_of_one() -> None:
    first = ranking_of()[0]
    assert first.domains == {}
    assert first.results[0].domain is None
    assert "domain" not in first.results[0].to_dict()


@pytest.mark.parametrize(("groups", "noun"), [(False, "160 images"), (True, "10 whole groups")])
@pytest.mark.parametrize("balanced", [False, True])
def test_heads_are_compared_over_the_test_images_of_all_domains(groups: bool, noun: str, balanced: bool) -> None:
    ranking = domains_ranking(4, groups=groups, balanced=balanced)
    (rival,) = (one for one in ranking if not one.reference)
    assert rival.comparison is not None
    assert rival.comparison.test == f"t-test over {noun} of 4 domains, which says nothing about other domains"
    (reference,) = (one for one in ranking if one.reference)
    assert rival.comparison.difference == pytest.approx((rival.values - reference.values).mean())
