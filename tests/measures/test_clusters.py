"""Agreement of clusters with labels: by counting pairs, by hand, and with intervals that hold."""

from dataclasses import asdict
from itertools import combinations, permutations

import numpy as np
import pytest

from featx.errors import TableError
from featx.labels import Labels
from featx.measures import matched_accuracy, measure_clusters, purity
from featx.measures.clusters import measures_of


def labels_of(codes: np.ndarray, groups: np.ndarray | None = None) -> Labels:
    """Labels with these codes."""
    names = None if groups is None else np.array([f"{group:03}".encode() for group in groups])
    return Labels(tuple("abcdefgh"[: codes.max() + 1]), codes, groups=names)


def drawn(n: int = 40, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codes of 3 classes, and 4 clusters that know them half of the time."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=n)
    return codes, np.where(rng.random(n) < 0.5, codes, rng.integers(4, size=n))


def test_the_adjusted_rand_index_counts_pairs() -> None:
    codes, clusters = drawn()
    pairs = list(combinations(range(len(codes)), 2))
    same_class = np.array([codes[a] == codes[b] for a, b in pairs])
    same_cluster = np.array([clusters[a] == clusters[b] for a, b in pairs])
    expected = same_class.sum() * same_cluster.sum() / len(pairs)
    most = (same_class.sum() + same_cluster.sum()) / 2
    found = measure_clusters(clusters, labels_of(codes))
    assert found.adjusted_rand == pytest.approx(((same_class & same_cluster).sum() - expected) / (most - expected))


def test_measures_of_information_follow_from_entropies() -> None:
    codes, clusters = drawn()
    joint = np.zeros((3, 4))
    np.add.at(joint, (codes, clusters), 1 / len(codes))

    def entropy(shares: np.ndarray) -> float:
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum())

    of_classes, of_clusters, both = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0)), entropy(joint.ravel())
    mutual = of_classes + of_clusters - both
    found = measure_clusters(clusters, labels_of(codes))
    assert found.homogeneity == pytest.approx(mutual / of_classes)
    assert found.completeness == pytest.approx(mutual / of_clusters)
    assert found.v_measure == pytest.approx(2 * mutual / (of_classes + of_clusters))
    assert found.normalised_mutual_information == pytest.approx(found.v_measure)


def test_matched_accuracy_is_the_best_of_all_matchings_and_purity_that_of_each_cluster() -> None:
    codes, clusters = drawn()
    best = max(np.mean(np.array(names)[clusters] == codes) for names in permutations([0, 1, 2, -1]))
    assert matched_accuracy(codes, clusters) == pytest.approx(best)
    assert purity(codes, clusters) == sum(np.bincount(codes[clusters == one]).max() for one in range(4)) / len(codes)


def test_numbers_of_clusters_and_classes_mean_nothing() -> None:
    codes, clusters = drawn()
    renamed = measure_clusters(np.array([7, 2, 9, 4])[clusters], labels_of(np.array([2, 0, 1])[codes]))
    assert renamed.adjusted_rand == pytest.approx(measure_clusters(clusters, labels_of(codes)).adjusted_rand)


def test_clusters_that_are_the_classes_agree_fully_and_one_cluster_not_at_all() -> None:
    codes = drawn()[0]
    same = measure_clusters(codes, labels_of(codes))
    assert {same.adjusted_rand, same.adjusted_mutual_information, same.purity, same.matched_accuracy} == {1.0}
    assert same.adjusted_rand_ci == (1.0, 1.0)
    one = measure_clusters(np.zeros(len(codes), np.int64), labels_of(codes))
    assert (one.adjusted_rand, one.completeness) == (0.0, 1.0)
    assert one.adjusted_mutual_information == pytest.approx(0)


def test_a_single_image_or_group_has_no_interval() -> None:
    codes, clusters = drawn()
    found = measure_clusters(clusters, labels_of(codes, np.zeros(len(codes), int)))
    assert found.purity_ci is None
    assert measure_clusters(clusters[:1], labels_of(codes[:1])).purity_ci is None


def test_images_that_are_copies_within_groups_say_no_more_than_the_groups() -> None:
    codes, clusters = drawn()
    plain = measure_clusters(clusters, labels_of(codes)).purity_ci
    copies = np.repeat(np.arange(40), 5)
    grouped = measure_clusters(clusters[copies], labels_of(codes[copies], copies)).purity_ci
    assert grouped == pytest.approx(plain)


@pytest.mark.parametrize("seed", range(4))
def test_measures_of_resamples_are_those_of_scikit_learn(seed: int) -> None:
    codes, clusters = drawn(30 if seed else 3, seed=seed)
    found = measure_clusters(clusters, labels_of(codes))
    values = [value for name, value in asdict(found).items() if name != "n" and not name.endswith("_ci")]
    counts = np.zeros((codes.max() + 1, 4), np.int64)
    np.add.at(counts, (codes, clusters), 1)
    assert measures_of(counts) == pytest.approx(values)


@pytest.mark.exhaustive
def test_intervals_hold_the_value_of_all_images() -> None:
    codes, clusters = drawn(20_000)
    whole = measure_clusters(clusters, labels_of(codes))
    names = ("adjusted_rand", "adjusted_mutual_information", "homogeneity", "purity", "matched_accuracy")
    held = dict.fromkeys(names, 0)
    rng = np.random.default_rng(1)
    for _ in range(60):
        rows = rng.integers(20_000, size=200)
        found = measure_clusters(clusters[rows], labels_of(codes[rows]))
        for name in names:
            low, high = getattr(found, f"{name}_ci")
            held[name] += low <= getattr(whole, name) <= high
    assert min(held.values()) >= 51, held


def test_what_cannot_be_compared_is_told() -> None:
    codes, clusters = drawn()
    several = Labels(("a",), codes, np.ones((40, 1)), multilabel=True)
    with pytest.raises(TableError, match="these images have several"):
        measure_clusters(clusters, several)
    with pytest.raises(TableError, match="3 images have a cluster and 40 a label"):
        measure_clusters(clusters[:3], labels_of(codes))
