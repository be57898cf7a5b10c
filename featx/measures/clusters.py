"""How well clusters agree with labels that they were made without, with intervals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    completeness_score,
    homogeneity_score,
    normalized_mutual_info_score,
    v_measure_score,
)
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from featx.errors import TableError
from featx.labels import Labels
from featx.measures.metrics import Interval
from featx.measures.resampling import NORMAL, affordable, units_of

RESAMPLES = 200
ROUNDING = 1e-12
"""A difference below this is 0 but for rounding errors."""
LEAST = -1.0, 0.0
"""The least value of measures that are corrected for chance, and of the others; all are at most 1."""
ADJUSTED = ("adjusted_rand", "adjusted_mutual_information")
"""Measures that are corrected for chance, so that they can be below 0."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class ClusterAgreement:
    """How well clusters agree with labels: 1 for each measure if every class is one cluster.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import measure_clusters
    >>> labels = Labels(("cat", "dog"), codes=np.array([0, 0, 1, 1]))
    >>> found = measure_clusters(np.array([5, 5, 2, 2]), labels)
    >>> found.adjusted_rand, found.matched_accuracy, found.n
    (1.0, 1.0, 4)
    """

    n: int
    """Number of labelled images."""
    adjusted_rand: float
    """Share of pairs of images on which both agree, corrected for chance: 0 on average for random clusters."""
    adjusted_rand_ci: Interval | None
    adjusted_mutual_information: float
    """Mutual information over the mean of both entropies, corrected for chance."""
    adjusted_mutual_information_ci: Interval | None
    normalised_mutual_information: float
    """It is not corrected for chance, so that it grows with the number of clusters; equal to `v_measure`."""
    normalised_mutual_information_ci: Interval | None
    homogeneity: float
    """1 if each cluster has images of one class only."""
    homogeneity_ci: Interval | None
    completeness: float
    """1 if all images of each class are in one cluster."""
    completeness_ci: Interval | None
    v_measure: float
    """The harmonic mean of homogeneity and completeness."""
    v_measure_ci: Interval | None
    purity: float
    """Share of images of the most frequent class of their cluster; it grows with the number of clusters."""
    purity_ci: Interval | None
    matched_accuracy: float
    """Share of right images if each cluster stands for one class at most, and each class for one cluster."""
    matched_accuracy_ci: Interval | None


def measure_clusters(clusters: Codes, labels: Labels, *, seed: int = 0) -> ClusterAgreement:
    """The agreement of the clusters (n,), given by number, with the labels of the same images.

    Each measure is scikit-learn's, or follows from the table of clusters and classes. Weights are not used; of soft
    labels the class with the largest share counts. The 95 % intervals are t x standard deviation over resamples of the
    images, or of whole groups, with the clusters held fixed: they do not say what other clusters another sample would
    give. Raises TableError for images with several labels, for no image, and if the lengths differ.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import measure_clusters
    >>> labels = Labels(("cat", "dog"), codes=np.repeat([0, 1], 50))
    >>> found = measure_clusters(np.repeat([0, 1, 2], [50, 30, 20]), labels)
    >>> found.homogeneity, found.purity, found.matched_accuracy
    (1.0, 1.0, 0.8)
    """
    if labels.multilabel:
        raise TableError("clusters are compared with one label an image, but these images have several")
    if len(clusters) != len(labels) or not len(labels):
        raise TableError(f"{len(clusters)} images have a cluster and {len(labels)} a label; give both for each image")
    values = {name: min(1.0, measured(labels.codes, clusters)) for name, measured in _MEASURES.items()}
    spread = _deviations(clusters, labels, seed=seed)
    found: dict[str, float | Interval | None] = {}
    for name, value in values.items():
        least = LEAST[0] if name in ADJUSTED else LEAST[1]
        half = spread[name]
        found[name] = value
        found[f"{name}_ci"] = (max(least, value - half), min(1.0, value + half)) if np.isfinite(half) else None
    return ClusterAgreement(n=len(labels), **found)  # type: ignore[arg-type]


def purity(codes: Codes, clusters: Codes) -> float:
    """The share of images of the most frequent class of their cluster (Manning, Raghavan and Schütze 2008, 16.3).

    >>> import numpy as np
    >>> from featx.measures import purity
    >>> purity(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    0.75
    """
    return float(contingency_matrix(codes, clusters).max(axis=0).sum() / len(codes))


def matched_accuracy(codes: Codes, clusters: Codes) -> float:
    """The largest share of right images if each cluster stands for one class at most, and each class for one cluster.

    The best matching is found by scipy's linear_sum_assignment (Kuhn 1955). It looks at all labels, so that it is not
    what a head would reach.

    >>> import numpy as np
    >>> from featx.measures import matched_accuracy
    >>> matched_accuracy(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 2]))
    0.75
    """
    counts = contingency_matrix(codes, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(codes))


def _plain(score: Callable[..., float]) -> Callable[[Codes, Codes], float]:
    return lambda codes, clusters: float(score(codes, clusters))


_MEASURES: Mapping[str, Callable[[Codes, Codes], float]] = {
    "adjusted_rand": _plain(adjusted_rand_score),
    "adjusted_mutual_information": _plain(adjusted_mutual_info_score),
    "normalised_mutual_information": _plain(normalized_mutual_info_score),
    "homogeneity": _plain(homogeneity_score),
    "completeness": _plain(completeness_score),
    "v_measure": _plain(v_measure_score),
    "purity": purity,
    "matched_accuracy": matched_accuracy,
}


def _deviations(clusters: Codes, labels: Labels, *, seed: int) -> dict[str, float]:
    """Half of the width of the interval of each measure; infinite for a single image or group."""
    units = units_of(labels)
    if not np.isfinite(units.widening):
        return dict.fromkeys(_MEASURES, float("inf"))
    numbers, of_cluster = np.unique(clusters, return_inverse=True)
    shape = len(labels.classes), len(numbers)
    cells = np.ravel_multi_index((labels.codes, of_cluster), shape)
    found = [
        measures_of(np.bincount(cells, drawn[units.of_image], shape[0] * shape[1]).reshape(shape))
        for counts in units.draw(affordable(len(labels), RESAMPLES), seed=seed)
        for drawn in counts.T
    ]
    # the first resample is the sample itself
    widths = NORMAL * units.widening * np.std(found[1:], axis=0, ddof=1)
    return dict(zip(_MEASURES, widths.tolist(), strict=True))


def measures_of(counts: Codes) -> tuple[float, ...]:
    """All measures of a table (classes, clusters) of counts, in their order; the many resamples need them fast."""
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    n = int(counts.sum())
    classes, groups = counts.sum(axis=1), counts.sum(axis=0)
    of_classes, of_clusters = entropy(classes), entropy(groups)
    mutual = max(0.0, of_classes + of_clusters - entropy(counts))
    chance = float(expected_mutual_information(counts, n))
    mean = (of_classes + of_clusters) / 2
    normalised = mutual / mean if mean else 1.0
    return (
        _adjusted_rand(counts, classes, groups),
        (mutual - chance) / (mean - chance) if mean - chance > ROUNDING else 1.0,
        normalised,
        mutual / of_classes if of_classes else 1.0,
        mutual / of_clusters if of_clusters else 1.0,
        normalised,
        float(counts.max(axis=0).sum() / n),
        float(counts[linear_sum_assignment(counts, maximize=True)].sum() / n),
    )


def _adjusted_rand(counts: Codes, classes: Codes, groups: Codes) -> float:
    """Hubert and Arabie (1985), equation 5, from the pairs in each cell, class and cluster."""
    both, of_classes, of_clusters, pairs = (
        float((values * (values - 1)).sum() / 2) for values in (counts, classes, groups, counts.sum())
    )
    chance = of_classes * of_clusters / pairs if pairs else 0.0
    most = (of_classes + of_clusters) / 2
    return (both - chance) / (most - chance) if most - chance > ROUNDING else 1.0


def entropy(counts: Codes) -> float:
    """The entropy of shares in proportion to these counts, in nats."""
    some = counts[counts > 0]
    total = some.sum()
    return float(np.log(total) - some @ np.log(some) / total)
