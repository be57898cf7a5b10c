"""Clusters are made without labels, and compared with them afterwards."""

from dataclasses import replace

import numpy as np
import pytest

from featx.cache import FeatureTable, Part
from featx.errors import TableError
from featx.measures import measure_clusters
from featx.settings import CLUSTER_METHODS
from featx.tables import select_rows
from featx.transfer import cluster_features
from featx.transfer.dividing import divide_points, merge_points
from tests.support.tables import make_table


def blobs(counts: tuple[int, ...] = (12, 9, 6), *, dim: int = 12) -> FeatureTable:
    """Classes of different sizes, far apart."""
    return make_table(counts, dim=dim, apart=40.0)


@pytest.mark.parametrize("method", CLUSTER_METHODS)
@pytest.mark.parametrize("clusters", [3, "auto", "classes"])
def test_blobs_are_found_largest_first_with_a_typical_image_of_each(method: str, clusters: int | str) -> None:
    table = blobs()
    found = cluster_features(table, clusters=clusters, method=method)  # type: ignore[arg-type]
    assert [one.images for one in found.clusters] == [12, 9, 6]
    assert [one.labels for one in found.clusters] == [{"class0": 12}, {"class1": 9}, {"class2": 6}]
    names = found.names.tolist()
    assert [found.numbers[names.index(one.representative)] for one in found.clusters] == [1, 2, 3]
    assert (found.numbers == table.labels + 1).all()
    assert found.agreement is not None
    assert found.agreement.adjusted_rand == 1
    assert found.silhouette is not None
    assert found.silhouette > 0.5


@pytest.mark.parametrize(("method", "clusters"), [("kmeans", 4), ("kmeans", "auto"), ("ward", "auto")])
def test_labels_never_influence_clusters(method: str, clusters: int | str) -> None:
    table = make_table((5, 5), dim=12)
    shuffled = replace(table, labels=np.random.default_rng(0).permutation(table.labels))
    none = replace(table, labels=np.full(10, -1, np.int32), classes=())
    own, other, without = (
        cluster_features(one, clusters=clusters, method=method)  # type: ignore[arg-type]
        for one in (table, shuffled, none)
    )
    assert own.numbers.tolist() == other.numbers.tolist() == without.numbers.tolist()
    assert own.tried == other.tried == without.tried
    assert without.agreement is None
    assert own.agreement != other.agreement


def test_the_agreement_is_that_of_the_labelled_images() -> None:
    table = make_table((40, 40), dim=12)
    partly = replace(table, labels=np.where(np.arange(80) % 3, table.labels, -1).astype(np.int32))
    found = cluster_features(partly, clusters=5)
    known = np.flatnonzero(partly.labelled)
    expected = measure_clusters(found.numbers[known], partly.labels_of(known))
    assert found.agreement is not None
    assert found.agreement.n == expected.n
    assert found.agreement.v_measure == pytest.approx(expected.v_measure)
    assert sum(sum(one.labels.values()) for one in found.clusters) == len(known)


@pytest.mark.parametrize("method", CLUSTER_METHODS)
def test_the_order_of_the_rows_changes_nothing(method: str) -> None:
    table = make_table((40, 40), dim=12)
    found = cluster_features(table, clusters=6, method=method)
    turned = cluster_features(select_rows(table, np.arange(80)[::-1]), clusters=6, method=method)
    assert turned.numbers[::-1].tolist() == found.numbers.tolist()
    assert turned.clusters == found.clusters


def test_the_number_with_the_highest_silhouette_is_taken() -> None:
    found = cluster_features(make_table((9, 9), dim=12, apart=4.0))
    assert len(found.clusters) == max(found.tried, key=found.tried.__getitem__)
    assert found.silhouette == max(found.tried.values())


@pytest.mark.parametrize("method", CLUSTER_METHODS)
@pytest.mark.parametrize(
    ("images", "columns", "constant"), [(1, 12, False), (2, 1, False), (9, 12, True), (9, 1, True)]
)
def test_what_cannot_be_divided_is_one_cluster(method: str, images: int, columns: int, *, constant: bool) -> None:
    table = make_table((images,), dim=columns)
    if constant:
        table = replace(table, parts=(Part(np.ones((images, columns), np.float32)),))
    found = cluster_features(table, method=method)
    assert len(found.clusters) == 1
    assert found.silhouette is None
    assert found.clusters[0].silhouette is None
    assert "all images are in one cluster" in found.notes


def test_fewer_different_images_than_clusters_are_told() -> None:
    table = make_table((12,), dim=12)
    features = np.repeat(table.take(np.arange(3)), 4, axis=0)
    found = cluster_features(replace(table, parts=(Part(features),)), clusters=5)
    assert [one.images for one in found.clusters] == [4, 4, 4]
    assert "5 clusters were asked for, but there are only 3 different images to begin them with" in found.notes


def test_more_points_than_fit_are_divided_in_batches_and_merged_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.transfer.dividing.ALL_AT_ONCE", 50)
    monkeypatch.setattr("featx.transfer.dividing.MOST_MERGED", 50)
    points = np.repeat(np.eye(3, dtype=np.float32), 40, axis=0)[np.random.default_rng(0).permutation(120)]
    for divide in (divide_points, merge_points):
        numbers = divide(points, 3, seed=0).numbers
        assert len(set(zip(numbers.tolist(), points.argmax(axis=1).tolist(), strict=True))) == 3


def test_images_of_weight_zero_are_in_no_cluster() -> None:
    table = replace(make_table((20, 20), dim=12), weights=np.repeat([0, 1], 20).astype(np.float32))
    found = cluster_features(table, clusters=2)
    assert len(found.names) == 20
    assert "20 images of weight 0 are left out" in found.notes


def test_images_of_several_labels_are_divided_but_not_compared() -> None:
    shares = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    table = replace(make_table((20, 20), dim=12), labels=np.full(40, -1, np.int32), shares=shares, multilabel=True)
    found = cluster_features(table, clusters=2)
    assert found.agreement is None
    assert found.clusters[0].labels == {}
    with pytest.raises(TableError, match="the number of classes is not known"):
        cluster_features(table, clusters="classes")


def test_what_cannot_be_divided_so_is_told() -> None:
    table = make_table((20, 20), dim=12)
    with pytest.raises(TableError, match="41 clusters were asked for, but there are only 40 images"):
        cluster_features(table, clusters=41)
    with pytest.raises(TableError, match="did you mean kmeans"):
        cluster_features(table, method="k-means")
    for number in (0, "many"):
        with pytest.raises(TableError, match="must be 1 or more, auto or classes"):
            cluster_features(table, clusters=number)  # type: ignore[arg-type]
