"""What lies between two domains: verdicts where the truth is known, and what is told about odd tables."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part
from featx.errors import TableError
from featx.labels import Labels
from featx.tables import select_rows
from featx.transfer import Gap, measure_gap
from featx.transfer.gaps.permuting import PERMUTATIONS, compare_predictions, mean_discrepancy, permute_domains
from featx.transfer.gaps.rows import GapRows, standardise
from featx.transfer.gaps.separation import Separation, area, hanley_mcneil
from tests.support.tables import make_table, with_columns


def as_domain(table: FeatureTable, name: str = "target") -> FeatureTable:
    """The table with names of its own."""
    names = np.array([f"{name}/{row:05}".encode() for row in range(len(table))])
    return replace(table, names=names, digest=name)


def moved(table: FeatureTable, by: float) -> FeatureTable:
    """The table with every feature moved."""
    return replace(table, parts=(Part(np.asarray(table.features + np.float32(by))),))


@cache
def population() -> FeatureTable:
    """Images of one domain, from which others are drawn."""
    return make_table((300, 300), apart=3.0, seed=5)


def drawn(counts: tuple[int, int], *, seed: int) -> FeatureTable:
    """So many images of each class, with the labels in place."""
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(300)[: counts[0]], 300 + rng.permutation(300)[: counts[1]]
    return as_domain(select_rows(population(), np.sort(np.concatenate([first, second]))), f"drawn{seed}")


def gap_rows(source: NDArray[np.float64], target: NDArray[np.float64]) -> GapRows:
    """Rows without labels, each a unit of its own."""
    own, other, columns = standardise(source.astype(np.float32), target.astype(np.float32))
    units = np.arange(len(source) + len(target))
    none = np.zeros(0, np.int64)
    return GapRows(own, other, units[: len(source)], units[len(source) :], none, Labels((), none), columns)


# verdicts


def test_two_samples_of_one_domain_are_the_same() -> None:
    gap = measure_gap(drawn((80, 80), seed=1), drawn((80, 80), seed=2))
    assert (gap.verdict, gap.adapts) == ("same", False)
    assert gap.ci is not None
    assert gap.ci[0] < 0.5 < gap.ci[1]


def test_other_shares_of_classes_are_label_shift_and_estimated_by_both_methods() -> None:
    gap = measure_gap(drawn((100, 100), seed=1), drawn((20, 150), seed=2))
    assert (gap.verdict, gap.adapts) == ("label shift", False)
    assert gap.auroc is not None
    assert gap.weighted_auroc is not None
    assert gap.auroc > 0.65 > gap.weighted_auroc
    for share, truth in zip(gap.shares, (20 / 170, 150 / 170), strict=True):
        assert share.source == pytest.approx(0.5)
        assert share.em_ci[0] <= truth <= share.em_ci[1]
        assert share.bbse_ci[0] <= truth <= share.bbse_ci[1]


def test_moved_features_are_a_domain_shift_in_every_column() -> None:
    gap = measure_gap(drawn((80, 80), seed=1), moved(drawn((80, 80), seed=2), 2.0))
    assert (gap.verdict, gap.adapts) == ("domain shift", True)
    assert gap.p == 1 / (1 + PERMUTATIONS)
    assert gap.blocks[0].moved == 6
    assert all(column.difference > 0.5 for column in gap.columns)


def test_a_class_that_the_target_lacks_is_said() -> None:
    gap = measure_gap(drawn((80, 80), seed=1), drawn((0, 120), seed=2))
    assert gap.verdict != "domain shift"
    assert "classes of the source that the target may lack: class0" in gap.notes


def test_with_few_images_of_the_target_only_a_strong_shift_decides() -> None:
    few = drawn((4, 4), seed=2)
    assert measure_gap(drawn((80, 80), seed=1), moved(few, 0.6)).verdict != "domain shift"
    strong = measure_gap(drawn((80, 80), seed=1), moved(few, 30.0))
    assert strong.verdict == "domain shift"
    assert any("the target has 8 images" in note for note in strong.notes)


@pytest.mark.exhaustive
def test_no_shift_and_label_shift_alone_are_hardly_ever_taken_for_a_domain_shift() -> None:
    gaps = [measure_gap(drawn((60, 60), seed=seed), drawn((60, 60), seed=seed + 100)) for seed in range(12)]
    assert sum(gap.verdict == "same" for gap in gaps) >= 10
    shifted = [measure_gap(drawn((60, 60), seed=seed), drawn((10, 90), seed=seed + 100)) for seed in range(12)]
    assert sum(gap.adapts for gap in (*gaps, *shifted)) == 0


# labels


def test_labels_of_the_target_are_never_read() -> None:
    source, target = drawn((50, 50), seed=1), drawn((20, 60), seed=2)
    whole = measure_gap(source, target)
    shuffled = np.random.default_rng(0).permutation(target.labels)
    without = replace(target, labels=np.full(len(target), -1, np.int32), classes=())
    for other in (replace(target, labels=shuffled), without, replace(target, classes=("x", "y"))):
        assert same(measure_gap(source, other), whole)


def same(one: Gap, other: Gap) -> bool:
    """Whether all numbers and notes are equal."""
    return one.to_dict() == other.to_dict()


@pytest.mark.parametrize("kind", ["none", "one class", "several"])
def test_without_usable_labels_of_the_source_the_weighted_part_is_missing_and_said(kind: str) -> None:
    source = drawn((40, 40), seed=1)
    if kind == "none":
        source = replace(source, labels=np.full(80, -1, np.int32))
    elif kind == "one class":
        source = replace(source, labels=np.zeros(80, np.int32))
    else:
        source = replace(source, shares=np.eye(2, dtype=np.float32)[source.labels], multilabel=True)
    gap = measure_gap(source, moved(drawn((40, 40), seed=2), 2.0))
    assert (gap.verdict, gap.adapts) == ("undecided", False)
    assert (gap.weighted_auroc, gap.weighted_ci, gap.class_p, gap.shares) == (None, None, None, ())
    assert any("shares of classes are unknown" in note for note in gap.notes)


def test_classes_of_a_single_image_are_left_out_of_the_shares_and_named() -> None:
    source = drawn((40, 41), seed=1)
    labels = source.labels.copy()
    labels[-1] = 2
    gap = measure_gap(replace(source, labels=labels, classes=("a", "b", "rare")), drawn((40, 40), seed=2))
    assert [share.name for share in gap.shares] == ["a", "b"]
    assert any("too few images" in note and "rare" in note for note in gap.notes)


# odd tables


def test_the_same_images_twice_are_the_same_and_equal_names_and_features_are_said() -> None:
    table = drawn((40, 40), seed=1)
    for twin in (table, as_domain(table, "copied")):
        gap = measure_gap(table, twin)
        assert gap.verdict == "same"
        assert gap.ci is not None
        assert gap.auroc == pytest.approx(0.5)
        assert gap.ci[0] < 0.5 < gap.ci[1]
        assert any("80 images of the target have the same features" in note for note in gap.notes)
    assert any("80 images have the same name" in note for note in measure_gap(table, table).notes)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_of_the_target_give_a_gap_that_advises_nothing(count: int) -> None:
    target = select_rows(moved(drawn((40, 40), seed=2), 50.0), np.arange(count))
    gap = measure_gap(drawn((40, 40), seed=1), target)
    assert (gap.verdict, gap.adapts) == ("undecided", False)
    assert (gap.auroc is None) == (count == 1)


def test_fewer_images_than_columns_and_constant_columns_are_measured() -> None:
    table = make_table((15, 15), dim=80)
    features = table.features.copy()
    features[:, :3] = 7
    source = replace(table, parts=(Part(features),))
    other = features.copy()
    other[:, 0] = np.arange(30)
    gap = measure_gap(source, as_domain(replace(table, parts=(Part(other),))))
    assert "2 columns have the same value everywhere, and say nothing" in gap.notes
    assert "1 columns vary in the target only" in gap.notes
    assert gap.to_dict()["blocks"][0]["columns"] == 80
    assert next(column.scale_ratio for column in gap.columns if column.column == 0) is None


def test_domains_of_equal_constant_features_are_the_same() -> None:
    table = drawn((10, 10), seed=1)
    flat = replace(table, parts=(Part(np.ones((20, 6), np.float32)),))
    gap = measure_gap(flat, as_domain(flat, "flat"))
    assert (gap.verdict, gap.adapts, gap.columns) == ("same", False, ())


def test_features_that_are_not_finite_and_other_backbones_are_refused() -> None:
    table = drawn((10, 10), seed=1)
    broken = table.features.copy()
    broken[3, 2] = np.nan
    with pytest.raises(TableError, match="target/00003"):
        measure_gap(table, as_domain(replace(table, parts=(Part(broken),))))
    other = replace(table, sources=(replace(table.sources[0], backbone="f" * 64),))
    with pytest.raises(TableError, match="extract both with the same backbone and output"):
        measure_gap(table, other)


def test_columns_are_matched_by_backbone_and_counted_for_each() -> None:
    def pair(seed: int, by: float) -> list[FeatureTable]:
        rows = np.random.default_rng(seed).normal(size=(60, 4)).astype(np.float32)
        images = as_domain(make_table((30, 30), seed=seed, name="first"), f"domain{seed}")
        second = make_table((30, 30), dim=4, seed=seed, name="second")
        return [images, replace(second, names=images.names, parts=(Part(rows + np.float32(by)),))]

    gap = measure_gap(pair(0, 0.0), pair(1, 5.0)[::-1])
    assert [(block.backbone, block.columns, block.moved) for block in gap.blocks][1] == ("second", 4, 4)
    assert {(column.backbone, column.column) for column in gap.columns[:4]} == {("second", one) for one in range(4)}


def test_what_both_domains_draw_is_in_one_fold_and_exchanged_as_a_whole() -> None:
    units = np.array([0, 1, 2, 3, 0, 1, 2, 9, 9])
    of_source = np.arange(9) < 4
    swapped = permute_domains(units, of_source, seed=0)
    assert (swapped[0] == of_source).all()
    for first, second in ((0, 4), (1, 5), (2, 6)):
        assert (swapped[:, first] != swapped[:, second]).all()
    assert (swapped[:, 7] == swapped[:, 8]).all()
    rows = gap_rows(np.random.default_rng(0).normal(size=(4, 3)), np.random.default_rng(1).normal(size=(5, 3)))
    folds = replace(rows, source_units=units[:4], target_units=units[4:]).folds(seed=0)
    assert (folds[:3] == folds[4:7]).all()
    assert folds[7] == folds[8]


def test_a_small_target_of_the_groups_of_the_source_does_not_pass_for_label_shift() -> None:
    rng = np.random.default_rng(0)
    found = []
    for seed in range(25):
        units = np.concatenate([np.arange(200) % 10, rng.integers(10, size=20)])
        predicted = np.eye(4)[rng.integers(4, size=220)]
        found.append(compare_predictions(predicted, units, np.arange(220) < 200, seed=seed))
    assert np.mean(np.array(found) < 0.1) < 0.25
    assert 0.3 < np.mean(found) < 0.7


def test_groups_that_resemble_each_other_widen_the_interval() -> None:
    groups = np.arange(160) // 16
    alone = measure_gap(drawn((80, 80), seed=1), drawn((80, 80), seed=2))
    source, target = (with_columns(drawn((80, 80), seed=seed), groups=groups + 100 * seed) for seed in (1, 2))
    grouped = measure_gap(source, target)
    assert grouped.ci is not None
    assert alone.ci is not None
    assert grouped.ci[1] - grouped.ci[0] > 2 * (alone.ci[1] - alone.ci[0])


# numbers


def test_the_area_is_the_weighted_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    above, below = rng.integers(0, 6, 30).astype(float), rng.integers(0, 6, 40).astype(float)
    own, other = rng.random(30), rng.random(40)
    right = (above[:, None] > below) + (above[:, None] == below) / 2
    assert area(above, below, own, other) == pytest.approx(own @ right @ other / own.sum() / other.sum())


def test_the_standard_error_of_an_area_is_that_of_hanley_and_mcneil() -> None:
    # without a difference the variance is that of the Wilcoxon statistic, (m + n + 1) / 12 mn
    assert hanley_mcneil(0.5, 20, 30) ** 2 == pytest.approx(51 / 12 / 600)
    assert hanley_mcneil(1.0, 20, 30) == 0


def test_the_interval_of_a_perfect_area_is_wide_for_few_images() -> None:
    few, many = Separation(1.0, (300, 2)), Separation(1.0, (300, 300))
    assert few.ci[0] < 0.75 < many.ci[0]
    assert (few.ci[1], many.ci[1]) == (1.0, 1.0)


def test_the_discrepancy_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    rows = gap_rows(rng.normal(size=(12, 4)), rng.normal(size=(9, 4)) + 1)
    points = rows.directions
    distances = np.square(points[:, None] - points).sum(axis=2)
    kernel = np.exp(-distances / np.median(distances[np.triu_indices(21, 1)]))
    own, other, across = kernel[:12, :12], kernel[12:, 12:], kernel[:12, 12:]
    expected = (own.sum() - 12) / (12 * 11) + (other.sum() - 9) / (9 * 8) - 2 * across.mean()
    value, p = mean_discrepancy(rows, seed=0)
    assert value == pytest.approx(expected)
    assert p < 0.05


def test_equal_seeds_give_equal_gaps() -> None:
    source, target = drawn((60, 60), seed=1), drawn((60, 60), seed=2)
    assert same(measure_gap(source, target, seed=3), measure_gap(source, target, seed=3))
