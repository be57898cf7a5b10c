"""Which images to label first: of every blob one, none twice, none that has a label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part
from featx.errors import HeadError, TableError
from featx.heads import train_head
from featx.tables import hash_names, select_rows, shuffle_keys
from featx.transfer import LabelPlan, suggest_labels
from featx.transfer.dividing import mean_distances
from featx.transfer.labelling.coverage import suggest_covering
from featx.transfer.labelling.pool import Turns, make_pool
from featx.transfer.labelling.uncertainty import Doubts
from featx.transfer.space import place_images
from tests.support.tables import make_table, with_columns

WITHOUT_LABELS = ("mixed", "typical", "cover", "random")


def unlabelled(table: FeatureTable, *, but: NDArray[np.int64] | None = None) -> FeatureTable:
    """The table without its labels, except those of some rows."""
    labels = np.full(len(table), -1, np.int32)
    if but is not None:
        labels[but] = table.labels[but]
    return replace(table, labels=labels)


def blobs(counts: tuple[int, ...] = (60, 30, 20, 12), *, dim: int = 12) -> FeatureTable:
    """Classes of different sizes, far apart."""
    return make_table(counts, dim=dim, apart=40.0)


def rows_of(plan: LabelPlan, table: FeatureTable) -> NDArray[np.int64]:
    """Rows of the suggested images, in their order."""
    place = {table.name(row): row for row in range(len(table))}
    return np.array([place[one.name] for one in plan.suggestions])


def with_features(table: FeatureTable, features: NDArray[np.float32]) -> FeatureTable:
    """The table with other features."""
    return replace(table, parts=(Part(np.ascontiguousarray(features)),))


@pytest.mark.parametrize("strategy", ["mixed", "typical", "cover"])
@pytest.mark.parametrize("dim", [3, 40])
def test_of_each_blob_one_image_is_suggested_before_any_second(strategy: str, dim: int) -> None:
    table = blobs(dim=dim)
    plan = suggest_labels(unlabelled(table), count=4, strategy=strategy)
    assert sorted(table.labels[rows_of(plan, table)]) == [0, 1, 2, 3]
    assert [one.rank for one in plan.suggestions] == [1, 2, 3, 4]


def test_the_largest_cluster_comes_first_and_its_size_is_told() -> None:
    table = blobs()
    plan = suggest_labels(unlabelled(table), count=4, strategy="typical")
    assert table.labels[rows_of(plan, table)].tolist() == [0, 1, 2, 3]
    assert plan.suggestions[0].why == "centre of the largest cluster without a label (60 images)"


@pytest.mark.parametrize("strategy", ["typical", "cover"])
def test_blobs_with_a_label_are_left_for_those_without(strategy: str) -> None:
    table = blobs()
    plan = suggest_labels(unlabelled(table, but=np.array([0, 61])), count=2, strategy=strategy)
    assert sorted(table.labels[rows_of(plan, table)]) == [2, 3]


@pytest.mark.parametrize("strategy", [*WITHOUT_LABELS, "uncertain"])
def test_no_image_is_suggested_twice_or_has_a_label(strategy: str) -> None:
    table = make_table((40, 40, 40), dim=12)
    known = np.arange(0, 120, 4)
    plan = suggest_labels(unlabelled(table, but=known), count=90, strategy=strategy)
    rows = rows_of(plan, table)
    assert len(set(rows.tolist())) == 90
    assert not set(rows.tolist()) & set(known.tolist())
    assert (plan.labelled, plan.unlabelled, plan.notes) == (30, 90, plan.notes)


@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
def test_of_equal_images_one_is_suggested_and_none_if_one_has_a_label(strategy: str) -> None:
    table = make_table((10, 10), dim=12)
    copies = table.take(np.arange(20))
    copies[10:] = copies[:10]
    doubled = with_features(unlabelled(table, but=np.array([0])), copies)
    plan = suggest_labels(doubled, count=20, strategy=strategy)
    rows = rows_of(plan, table) % 10
    assert sorted(rows) == list(range(1, 10))
    assert any("only 9 different ones" in note for note in plan.notes)
    assert any("10 images without a label are left out" in note for note in plan.notes)


@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
def test_every_group_has_an_image_before_any_has_two(strategy: str) -> None:
    groups = np.repeat(np.arange(12), 5)
    table = with_columns(unlabelled(make_table((60,), dim=12), but=np.array([0])), groups=groups)
    plan = suggest_labels(table, count=22, strategy=strategy)
    found = groups[rows_of(plan, table)]
    assert sorted(found[:11]) == list(range(1, 12))
    assert len(set(found[11:])) == 11


@pytest.mark.parametrize("strategy", [*WITHOUT_LABELS, "uncertain"])
def test_the_order_of_the_rows_changes_nothing(strategy: str) -> None:
    table = unlabelled(make_table((30, 30), dim=12), but=np.array([0, 1, 31, 32]))
    plan = suggest_labels(table, count=10, strategy=strategy)
    turned = suggest_labels(select_rows(table, np.arange(60)[::-1]), count=10, strategy=strategy)
    assert [one.name for one in turned.suggestions] == [one.name for one in plan.suggestions]


def test_random_images_are_those_of_the_smallest_keys_of_the_seed() -> None:
    table = unlabelled(make_table((30,), dim=6))
    drawn = [rows_of(suggest_labels(table, count=8, strategy="random", seed=seed), table) for seed in (0, 3)]
    assert drawn[1].tolist() == np.argsort(shuffle_keys(hash_names(table.names), 3))[:8].tolist()
    assert drawn[0].tolist() != drawn[1].tolist()


def test_uncertain_images_have_the_smallest_margin_of_the_head_that_is_given() -> None:
    table = make_table((60, 60), dim=12, apart=0.8)
    head, _ = train_head(table, "logreg", jobs=1, tuning="validation")
    known = np.arange(0, 120, 3)
    partly = unlabelled(table, but=known)
    plan = suggest_labels(partly, count=5, strategy="uncertain", head=head)
    margins = np.abs(np.diff(head.predict_proba(table), axis=1))[:, 0]
    margins[known] = 2
    assert rows_of(plan, table).tolist() == np.argsort(margins, kind="stable")[:5].tolist()
    assert plan.suggestions[0].why.startswith("the head is unsure: 'class")


def test_mixed_is_coverage_weighted_by_doubt_once_there_are_labels_enough() -> None:
    table = make_table((60, 60), dim=12, apart=0.8)
    few, enough = (suggest_labels(unlabelled(table, but=np.arange(50, 50 + n)), count=5) for n in (19, 20))
    assert (few.strategy, enough.strategy) == ("typical", "mixed")
    assert few.notes[0].startswith("chosen by typical: mixed needs a head, or 20 images with one label each")
    assert "the head says of it: 'class" in enough.suggestions[0].why
    head, _ = train_head(table, "class-mean", jobs=1, tuning="validation")
    assert suggest_labels(unlabelled(table), count=5, head=head).strategy == "mixed"


def test_a_head_learns_from_few_labels_of_many_classes() -> None:
    table = make_table((3,) * 25, dim=40, apart=20.0)
    plan = suggest_labels(unlabelled(table, but=np.arange(0, 66, 3)), count=3)
    assert plan.strategy == "mixed"
    assert sorted(table.labels[rows_of(plan, table)]) == [22, 23, 24]


def test_covering_images_are_the_greedy_choice_by_brute_force() -> None:
    table = unlabelled(make_table((25, 25), dim=12, apart=3.0), but=np.array([3, 40]))
    pool = make_pool(table, place_images(table, seed=0, report=lambda progress: None))
    weights = np.random.default_rng(0).uniform(size=len(pool))
    found = [place for place, _ in suggest_covering(pool, Turns(pool), count=6, weights=weights)]
    distances = np.linalg.norm(pool.points[:, None].astype(float) - pool.points[None], axis=2)
    chosen = pool.known.tolist()
    for _ in range(6):
        cost = {
            place: weights[pool.free] @ distances[pool.free][:, [*chosen, place]].min(axis=1)
            for place in pool.free.tolist()
            if place not in chosen
        }
        chosen.append(min(cost, key=cost.__getitem__))
    assert found == chosen[2:]


def test_a_large_pool_is_covered_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.transfer.labelling.coverage.AT_A_TIME", 16)
    table = unlabelled(make_table((50,), dim=12))
    for count in (3, 20, 49, 50):
        plan = suggest_labels(table, count=count, strategy="cover")
        assert len({one.name for one in plan.suggestions}) == count


def test_the_mean_distance_from_neighbours_is_that_of_all_pairs() -> None:
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    distances = np.sort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)
    assert np.allclose(mean_distances(points), distances[:, 1:21].mean(axis=1), atol=1e-3)
    assert mean_distances(points[:1]).tolist() == [0.0]


def test_doubt_is_one_minus_the_margin_and_of_several_labels_that_of_the_least_sure_class() -> None:
    probabilities = np.array([[0.5, 0.4, 0.1], [1.0, 0.0, 0.0]])
    single = Doubts(("a", "b", "c"), probabilities, multilabel=False)
    assert np.allclose(single.degrees, [0.9, 0.0])
    assert (single.text(0), single.text(1)) == ("a .50, b .40", "a 1, b .00")
    numbers = Doubts(("1", "2", "3"), probabilities, multilabel=False)
    assert numbers.text(0) == "'1' .50, '2' .40"
    several = Doubts(("a", "b", "c"), probabilities, multilabel=True)
    assert np.allclose(several.degrees, [1.0, 0.0])


def test_images_of_several_labels_are_suggested_by_typicality() -> None:
    table = make_table((30, 30), dim=12)
    shares = np.full((60, 2), np.nan, np.float32)
    shares[:25] = np.eye(2)[np.arange(25) % 2]
    several = replace(unlabelled(table), shares=shares, multilabel=True)
    assert suggest_labels(several, count=5).strategy == "typical"
    with pytest.raises(TableError, match="label the images that strategy typical suggests"):
        suggest_labels(several, strategy="uncertain")


@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
@pytest.mark.parametrize("columns", [1, 12])
def test_images_that_do_not_differ_at_all_are_one_image(strategy: str, columns: int) -> None:
    table = with_features(unlabelled(make_table((9,), dim=columns)), np.ones((9, columns), np.float32))
    plan = suggest_labels(table, count=3, strategy=strategy)
    assert len(plan.suggestions) == 1


@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
@pytest.mark.parametrize(("images", "columns"), [(1, 12), (2, 12), (7, 1), (30, 2)])
def test_few_images_and_few_columns_are_suggested_all_the_same(strategy: str, images: int, columns: int) -> None:
    table = unlabelled(make_table((images,), dim=columns))
    assert len(suggest_labels(table, count=images, strategy=strategy).suggestions) == images


def test_images_of_weight_zero_are_never_suggested() -> None:
    table = unlabelled(make_table((20,), dim=12))
    weighted = replace(table, weights=np.repeat([0, 1], 10).astype(np.float32))
    plan = suggest_labels(weighted, count=20)
    assert set(rows_of(plan, table).tolist()) == set(range(10, 20))
    with pytest.raises(TableError, match="all 20 images have weight 0"):
        suggest_labels(replace(table, weights=np.zeros(20, np.float32)))


def test_what_cannot_be_suggested_is_told(tmp_path: Path) -> None:
    table = make_table((20, 20), dim=12)
    head, _ = train_head(make_table((20, 20), dim=12, name="other"), "class-mean", jobs=1, tuning="validation")
    none = unlabelled(table)
    for error, message, given in (
        (TableError, "all 40 images have a label already", {"table": table}),
        (TableError, "did you mean typical", {"strategy": "tipical"}),
        (TableError, "must be 1 or more, not 0", {"count": 0}),
        (TableError, "looks at no head", {"strategy": "typical", "head": head}),
        (TableError, "labels of two classes or more", {"strategy": "uncertain"}),
        (HeadError, "was trained on features of other", {"head": head}),
    ):
        with pytest.raises(error, match=message):
            suggest_labels(**({"table": none} | given))


def test_features_that_cannot_be_computed_with_are_named() -> None:
    table = make_table((20,), dim=12)
    features = table.take(np.arange(20))
    features[7, 3] = np.nan
    with pytest.raises(TableError, match=r"the features of image00007\.png are NaN or infinite"):
        suggest_labels(with_features(unlabelled(table), features))
