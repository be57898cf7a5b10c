"""Divides images into clusters by their features, and measures afterwards how well these agree with labels."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError, did_you_mean
from featx.measures import ClusterAgreement, measure_clusters
from featx.settings import CLUSTER_METHODS
from featx.showing import Overview, Shown, shorten
from featx.tables import GivenTables, as_table
from featx.transfer.clustering.number import silhouettes, try_numbers
from featx.transfer.dividing import Division, divide_points, mean_distances, merge_points
from featx.transfer.space import PlacedImages, PlacingProgress, Points, Report, place_images

Number: TypeAlias = int | Literal["auto", "classes"]
METHODS: Mapping[str, Callable[..., Division]] = {"kmeans": divide_points, "ward": merge_points}
WEAK = 0.1
"""Below this mean silhouette a note says that clusters hardly stand apart."""


@dataclass(frozen=True)
class Cluster:
    """Images that are near to each other.

    >>> import featx
    >>> cluster = featx.cluster_features("photos.h5", clusters=5).clusters[0]
    >>> cluster.number, cluster.images >= 12
    (1, True)
    """

    number: int
    """1 for the largest."""
    images: int
    representative: str
    """Name of the most typical image: that with the smallest mean distance from its nearest neighbours."""
    silhouette: float | None
    """Mean over its images of a sample: 1 if they are far from other clusters, 0 if as near to the next; None for one
    cluster, or if none of its images is in the sample."""
    labels: Mapping[str, int]
    """Number of its images of each class, the most frequent first; only after the clusters are made are labels read."""


@dataclass(frozen=True, repr=False)
class Clustering(Shown):
    """Images in clusters, which no label has influenced.

    >>> import featx
    >>> featx.cluster_features("photos.h5", clusters=5)
    Clustering: 60 images in 5 clusters by kmeans
      sizes: ...
      agreement with labels: adjusted Rand index ...
    """

    clusters: tuple[Cluster, ...]
    names: NDArray[np.str_]
    """(n,): of the images, in the order of the table; those of weight 0 are left out."""
    numbers: NDArray[np.int64]
    """(n,): the number of the cluster of each image."""
    method: str
    silhouette: float | None
    """The mean silhouette of a sample of images; None for one cluster."""
    tried: Mapping[int, float]
    """Numbers of clusters that were tried by `auto`, and their mean silhouettes."""
    agreement: ClusterAgreement | None
    """The agreement with the labels; None if there are none, or several for an image."""
    notes: tuple[str, ...]

    def overview(self) -> Overview:
        """How many images each cluster has, and how well they agree with labels."""
        agreed = "" if self.agreement is None else f"adjusted Rand index {self.agreement.adjusted_rand:.3f}"
        return Overview(
            f"Clustering: {len(self.names)} images in {len(self.clusters)} clusters by {self.method}",
            (
                ("sizes", shorten(str(one.images) for one in self.clusters)),
                ("silhouette", "" if self.silhouette is None else f"{self.silhouette:.3f}"),
                ("agreement with labels", agreed),
            ),
        )

    def to_records(self) -> list[dict[str, Any]]:
        """One row for each image, with its cluster. `pandas.DataFrame` and `polars.DataFrame` take them."""
        pairs = zip(self.names.tolist(), self.numbers.tolist(), strict=True)
        return [{"name": name, "cluster": number} for name, number in pairs]

    def to_dict(self) -> dict[str, Any]:
        """The clusters as plain JSON values, without the list of images."""
        return {
            "clusters": [asdict(one) for one in self.clusters],
            "images": len(self.names),
            "method": self.method,
            "silhouette": self.silhouette,
            "tried": [{"clusters": number, "silhouette": score} for number, score in self.tried.items()],
            "agreement": None if self.agreement is None else asdict(self.agreement),
            "notes": list(self.notes),
        }


def cluster_features(
    table: GivenTables,
    *,
    clusters: Number = "auto",
    method: str = "kmeans",
    seed: int = 0,
    report: Report = lambda progress: None,
) -> Clustering:
    """The images in clusters by their features alone, with the most typical image of each cluster.

    Features are standardised, and their first 50 principal components divided by their length. Methods are:

    - `kmeans`: each image is in the cluster with the nearest centre. It assumes round clusters of about equal width,
      and cuts long ones into pieces.
    - `ward`: clusters are merged so that squared distances grow the least (Ward 1963), of at most 5,000 images; others
      join the nearest centre. It assumes round clusters too, but of different sizes.

    `clusters` is their number; `auto` tries up to 50 and takes that of the highest mean silhouette, which need not be
    the number of classes, or one cluster if none is above 0; `classes` takes the number of classes that the images
    have. Labels influence nothing else. Where there are labels, `agreement` has the usual measures with intervals.

    Raises TableError for an unknown method, if there are more clusters than images, or if `classes` is asked for and
    no image has a label.

    >>> import featx
    >>> found = featx.cluster_features("photos.h5", clusters="classes")
    >>> len(found.clusters), len(found.numbers)
    (5, 60)
    """
    table = as_table(table)
    if method not in CLUSTER_METHODS:
        hint = did_you_mean(method, CLUSTER_METHODS)
        raise TableError(
            f"no method of clustering is called {method!r}{hint}; choose from {', '.join(CLUSTER_METHODS)}"
        )
    placed = place_images(table, seed=seed, report=report)
    divide = partial(METHODS[method], placed.points, seed=seed)
    found, tried = _divide(placed.points, divide, number=_number_of(clusters, table, placed), report=report)
    numbers = _by_size(found.numbers)
    order = np.argsort(placed.rows)
    scores = silhouettes(placed.points, numbers)
    single = len(np.unique(numbers)) == 1
    return Clustering(
        clusters=tuple(_describe(table, placed, numbers=numbers, scores=scores)),
        names=table.image_names[placed.rows[order]],
        numbers=numbers[order],
        method=method,
        silhouette=None if np.isnan(scores).any() else float(scores.mean()),
        tried=tried,
        agreement=_agreement(table, placed, numbers, seed=seed),
        notes=tuple(_notes(table, placed, clusters=clusters, numbers=numbers, score=None if single else scores.mean())),
    )


def _number_of(clusters: Number, table: FeatureTable, placed: PlacedImages) -> int | None:
    """The number of clusters that is asked for; None to choose it. Raises TableError."""
    if clusters == "auto":
        return None
    if clusters == "classes":
        known = placed.rows[table.labelled[placed.rows]]
        if not len(known) or table.multilabel:
            raise TableError(
                "the number of classes is not known, since no image has a single label; give the number of clusters, "
                "or auto"
            )
        return len(np.unique(table.labels_of(known).codes))
    if isinstance(clusters, str) or clusters < 1:
        raise TableError(f"the number of clusters must be 1 or more, auto or classes, not {clusters!r}")
    if clusters > len(placed.rows):
        raise TableError(
            f"{clusters} clusters were asked for, but there are only {len(placed.rows)} images; ask for fewer"
        )
    return clusters


def _divide(
    points: Points, divide: Callable[[int], Division], *, number: int | None, report: Report
) -> tuple[Division, dict[int, float]]:
    """The clusters, and the mean silhouettes of the numbers that were tried."""
    if number is not None:
        return divide(number), {}
    tried = list(
        try_numbers(
            points, divide, lambda done, total: report(PlacingProgress("trying numbers of clusters", done, total))
        )
    )
    scores = {tested: score for tested, score, _ in tried}
    best = max(tried, key=lambda one: one[1], default=None)
    if best is None or best[1] <= 0:
        return divide(1), scores
    return best[2], scores


def _by_size(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,): clusters numbered from 1, the largest first, without empty ones."""
    _, first, compact, sizes = np.unique(numbers, return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(sizes), np.int64)
    ranks[np.lexsort((first, -sizes))] = np.arange(1, len(sizes) + 1)
    return np.asarray(ranks[compact])


def _describe(
    table: FeatureTable, placed: PlacedImages, *, numbers: NDArray[np.int64], scores: NDArray[np.float64]
) -> Iterator[Cluster]:
    labelled = table.labelled[placed.rows] & (not table.multilabel)
    for number in range(1, int(numbers.max()) + 1):
        own = np.flatnonzero(numbers == number)
        typical = own[mean_distances(placed.points[own]).argmin()]
        score = scores[own[own < len(scores)]]
        rows = placed.rows[own[labelled[own]]]
        counted = Counter(table.classes[code] for code in table.labels_of(rows).codes.tolist()) if len(rows) else {}
        yield Cluster(
            number=number,
            images=len(own),
            representative=table.name(int(placed.rows[typical])),
            silhouette=float(score.mean()) if len(score) and np.isfinite(score).all() else None,
            labels=dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))),
        )


def _agreement(
    table: FeatureTable, placed: PlacedImages, numbers: NDArray[np.int64], *, seed: int
) -> ClusterAgreement | None:
    known = np.flatnonzero(table.labelled[placed.rows])
    if table.multilabel or not len(known):
        return None
    return measure_clusters(numbers[known], table.labels_of(placed.rows[known]), seed=seed)


def _notes(
    table: FeatureTable, placed: PlacedImages, *, clusters: Number, numbers: NDArray[np.int64], score: float | None
) -> Iterator[str]:
    """What was not done as asked, and how far clusters can be trusted."""
    count = int(numbers.max())
    if isinstance(clusters, int) and count < clusters:
        yield f"{clusters} clusters were asked for, but there are only {count} different images to begin them with"
    if score is None:
        yield "all images are in one cluster"
    elif score < WEAK:
        yield f"the mean silhouette is {score:.2f}: clusters hardly stand apart, and another seed may give other ones"
    left = len(table) - len(placed.rows)
    if left:
        yield f"{left:,} images of weight 0 are left out"
    if table.failed:
        yield f"{len(table.failed):,} images failed and have no features, so they are in no cluster"
    if table.multilabel:
        yield "images have several labels, with which clusters are not compared"
