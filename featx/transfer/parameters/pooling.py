"""Heads that are fitted to the images of the target and, with less weight, to those of the source."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from featx.cache import FeatureTable, identify_source
from featx.errors import TableError
from featx.estimators import FeatureScaler, Grid, fit_classifier, sweep
from featx.heads import DevelopmentSet, find_recipe
from featx.labels import Labels
from featx.showing import shorten
from featx.tables import RowIndices, check_range, eligible_rows, select_rows

logger = logging.getLogger(__name__)

WEIGHTS = (1.0, 0.1)
"""Weights of an image of the source, relative to one of the target."""
STRENGTHS = tuple(float(l2) for l2 in np.logspace(-2, 5, 8))
"""Penalties to try, as l2 on the sum of losses."""


@dataclass(frozen=True)
class Pool:
    """Labelled images of the source, whose classes are those of the target."""

    table: FeatureTable
    labels: Labels
    dropped: int
    """Number of labelled images of other classes, which are left out."""

    def rows_beside(self, groups: NDArray[Any] | None) -> RowIndices:
        """The rows that share no group with images of the target that are to be predicted."""
        if groups is None or self.table.groups is None:
            return np.arange(len(self.table))
        return np.flatnonzero(~np.isin(self.table.groups, groups))


def make_pool(table: FeatureTable, target: FeatureTable, *, classes: Sequence[str]) -> Pool:
    """The images of a source table that have classes of the target, with its weights.

    Raises TableError if the features are of other backbones, or if fewer than two classes are the same.
    """
    _warn_of_same_names(table, target)
    if [(one.name, one.kind) for one in table.sources] != [(one.name, one.kind) for one in target.sources]:
        own, other = (", ".join(map(identify_source, each.sources)) for each in (table, target))
        raise TableError(
            f"the images to pool have features of {own}, the target of {other}; extract both with the same backbones, "
            "and read both with the same views"
        )
    if table.multilabel or table.shares is not None:
        raise TableError("images to pool need one label each; give others with --annotations, or leave --pool out")
    place = np.array([classes.index(name) if name in classes else -1 for name in table.classes], np.int64)
    rows = eligible_rows(table).rows
    codes = place[table.labels[rows]]
    kept = select_rows(table, rows[codes >= 0])
    if len(np.unique(codes[codes >= 0])) < 2:
        raise TableError(
            f"the images to pool have the classes {shorten(table.classes)}, the target has {shorten(classes)}; classes "
            "are matched by name and two must be the same, so rename them with --annotations, or leave --pool out"
        )
    weights = None if kept.weights is None else kept.weights.astype(np.float64)
    labels = Labels(tuple(classes), codes[codes >= 0], given_weights=weights)
    return Pool(kept, labels, dropped=int((codes < 0).sum()))


def _warn_of_same_names(table: FeatureTable, target: FeatureTable) -> None:
    same = np.flatnonzero(np.isin(table.names, target.names))
    if len(same):
        logger.warning(
            "%d images to pool have the name of an image of the target, such as %s: if these are the same images, "
            "validation and test images are fitted to, and what is measured is too good",
            len(same),
            table.name(int(same[0])),
        )


class Pooling:
    """Fits of one kind of head to target and source together, on the folds of a development set of the target."""

    def __init__(self, name: str, development: DevelopmentSet, pool: Pool, *, tested: NDArray[Any] | None) -> None:
        self.classifier = find_recipe(name).classifier(0)
        self.development = development
        self.pool = pool
        self._tested = tested
        self._path: str = self.classifier.path

    def sweep(self, weight: float) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """Each penalty with the class scores (n, C) of all validation rows, by fits to other rows and the source."""
        values = tuple(1 / l2 for l2 in STRENGTHS) if self._path == "C" else STRENGTHS
        found: list[dict[float, NDArray[np.float64]]] = []
        for fit, held_out in self.development.folds:
            features, labels = self._rows(fit, held_out, weight)
            scaler = FeatureScaler("standardise").fit(features)
            others = scaler.transform(self.development.features(held_out))
            grid: Grid = {self._path: values}
            swept = sweep(
                self.classifier,
                scaler.transform(features),
                labels.shares,
                others,
                grid=grid,
                sample_weight=labels.weights,
            )
            found.append({params[self._path]: scores for params, scores in swept})
        for value in values:
            yield value, np.concatenate([scores[value] for scores in found])

    def pipeline(self, weight: float, value: float) -> Pipeline:
        """The head with this weight and penalty, fitted to the final rows of the target and to the source."""
        features, labels = self._rows(self.development.final_rows, np.empty(0, np.int64), weight)
        scaler = FeatureScaler("standardise").fit(features)
        classifier = self.classifier.set_params(**{self._path: value})
        fit_classifier(classifier, scaler.transform(features), labels.shares, sample_weight=labels.weights)
        return Pipeline([("scaler", scaler), ("classifier", classifier)])

    def images(self) -> int:
        """The number of images of the source that the final fit has."""
        return len(self.pool.rows_beside(self._tested))

    def params(self, weight: float, value: float) -> Mapping[str, Any]:
        """The parameters as a head lists them."""
        return {"scaler__how": "standardise", f"classifier__{self._path}": value, "pool_weight": weight}

    def _rows(self, fit: RowIndices, held_out: RowIndices, weight: float) -> tuple[NDArray[np.float32], Labels]:
        """Features and labels of these rows of the target, then of the source beside what is to be predicted."""
        own = self.development.labels_of(fit)
        beside = self.pool.rows_beside(self._predicted(held_out))
        features = self.pool.table.take(beside)
        check_range(features, lambda row: f"the features of {self.pool.table.name(int(beside[row]))} are")
        others = self.pool.labels.take(beside)
        both = replace(
            own,
            codes=np.concatenate([own.codes, others.codes]),
            given_shares=np.vstack([own.shares, others.shares]),
            given_weights=np.concatenate([own.weights, weight * others.weights]),
            groups=None,
        )
        return np.vstack([self.development.features(fit), features]), both

    def _predicted(self, held_out: RowIndices) -> NDArray[Any] | None:
        """The groups of images of the target that are predicted: those held out, and the test images."""
        groups = self.development.table.groups
        own = None if groups is None else groups[held_out]
        found = [groups for groups in (own, self._tested) if groups is not None]
        return np.concatenate(found) if found else None
