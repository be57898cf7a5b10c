"""The fitted head, and the check that features come from the backbones that it was trained on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from featx.cache import Source, label_sources
from featx.errors import HeadError, TableError
from featx.estimators import class_scores
from featx.heads.views import ViewColumns, view_columns
from featx.measures import MEASURE_TITLES, THRESHOLD, format_measure, to_probabilities
from featx.settings import CENTER
from featx.showing import Overview, Shown, shorten, show_views
from featx.tables import GivenTables, as_table, check_range

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 4096
"""Number of rows whose features are in memory at a time."""


@dataclass(frozen=True, repr=False)
class Head(Shown):
    """A fitted classifier with everything that is needed to use it correctly.

    >>> import featx
    >>> head = featx.load_head("photos.featx")
    >>> head
    Head: ridge on efficientnet-lite0, 5 classes
      classes: circle, cross, square, star, triangle
      accuracy: ... on 15 test images
    >>> head.predict_probabilities(featx.read_features("photos.h5").features).shape
    (60, 5)
    """

    name: str
    """Name of its kind, such as `logreg`."""
    classes: tuple[str, ...]
    """In the order of the columns of its probabilities."""
    params: Mapping[str, Any]
    """The tuned parameters."""
    sources: tuple[Source, ...]
    """The backbones whose features it reads, in the order of its columns."""
    training: Mapping[str, Any]
    """The result on its test rows, as plain JSON values."""
    pipeline: Pipeline
    """Features -> class scores, as a fitted scikit-learn pipeline."""
    temperature: float = 1.0
    """What class scores are divided by before the softmax; fitted on validation rows (arXiv 1706.04599)."""
    multilabel: bool = False
    """Whether an image can have several classes, each with an independent probability."""

    def predict_probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The probabilities (n, classes) for features (n, d); the most probable class is the label.

        Of a head that was trained with `rows` these are the mean over views, and d are the columns of all views, side
        by side. Raises HeadError if a feature is NaN, infinite or beyond 1e15.
        """
        try:
            check_range(features, lambda row: f"row {row} of the features is")
        except TableError as error:
            raise HeadError(str(error)) from error
        if self.view_columns.count > 1:
            _checked_columns(self, features)
        scores = class_scores(self.pipeline, self.view_columns.spread(features))
        scores = self.view_columns.join(scores, multilabel=self.multilabel)
        return to_probabilities(scores, temperature=self.temperature, multilabel=self.multilabel)

    @cached_property
    def view_columns(self) -> ViewColumns:
        """How the views of an image stand in a row of features."""
        return view_columns(self.sources)

    @property
    def classes_(self) -> NDArray[np.str_]:
        """(classes,): the classes as scikit-learn names them, in the order of the columns of `predict_proba`."""
        return np.array(self.classes)

    def predict_proba(self, features: NDArray[np.floating[Any]] | GivenTables) -> NDArray[np.float64]:
        """The probabilities (n, classes) of features (n, d), of a table, or of the cache at a path.

        Raises HeadError if the features are of another backbone, NaN, infinite or beyond 1e15; CacheError for a path
        that is no complete cache.

        >>> import featx
        >>> featx.load_head("photos.featx").predict_proba("photos.h5").shape
        (60, 5)
        """
        if isinstance(features, np.ndarray):
            return self.predict_probabilities(_checked_columns(self, features))
        table = as_table(features, sources=self.sources)
        self.check(table.sources)
        starts = range(0, len(table), ROWS_AT_ONCE)
        rows = (np.arange(start, min(start + ROWS_AT_ONCE, len(table))) for start in starts)
        parts = [self.predict_probabilities(table.take(some)) for some in rows]
        return np.vstack([np.empty((0, len(self.classes))), *parts])

    def predict(self, features: NDArray[np.floating[Any]] | GivenTables) -> NDArray[Any]:
        """The most probable class (n,) of each row of features, as text, from what `predict_proba` takes.

        Of images with several labels it is the indicator (n, classes) of probabilities above 0.5, as scikit-learn
        gives it. Raises what `predict_proba` raises.

        >>> import featx
        >>> featx.load_head("photos.featx").predict("photos.h5")[:2].tolist()
        ['circle', 'circle']
        """
        probabilities = self.predict_proba(features)
        if self.multilabel:
            return (probabilities > THRESHOLD).astype(np.int64)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def check(self, sources: Sequence[Source]) -> None:
        """Raise HeadError unless features from these sources are what the head was trained on.

        If only the decoding of JPEGs differs, a warning is logged, and the head can be used to measure what that costs.
        """
        trained_on = [(source.name, source.backbone) for source in self.sources]
        if trained_on != [(source.name, source.backbone) for source in sources]:
            raise HeadError(
                f"head {self.name!r} was trained on features of {_identify(self.sources)} but was given "
                f"{_identify(sources)}; give the caches of its own backbones, in that order"
            )
        self._check_views(sources)
        for own, other in zip(self.sources, sources, strict=True):
            if own.decode != other.decode:
                logger.warning(
                    "head %r was trained on features of %s with %s decoding but was given features with %s decoding; "
                    "`featx backbones verify %s --decode fast` reports how far they differ",
                    self.name,
                    own.name,
                    own.decode,
                    other.decode,
                    own.name,
                )

    def _check_views(self, sources: Sequence[Source]) -> None:
        """Raise HeadError unless the views of these sources are those that the head was trained on."""
        for own, other in zip(self.sources, sources, strict=True):
            if (own.view_rule, own.views) == (other.view_rule, other.views):
                continue
            if other.view_rule != "first":
                step = "read the cache at view 0, as read_features does by default, and it takes its own views"
            else:
                others = ",".join(view for view in own.views if view != CENTER)
                step = f"extract the images with `featx extract --views {others}`"
            raise HeadError(
                f"head {self.name!r} was trained on {_describe_views(own)} of each image from {own.name} but was given "
                f"{_describe_views(other)}; {step}"
            )

    def overview(self) -> Overview:
        """The kind of head, its backbones and classes, and the measure on its test rows."""
        backbones = " + ".join(label_sources(self.sources))
        return Overview(
            f"Head: {self.name} on {backbones}, {len(self.classes)} classes",
            (("classes", shorten(self.classes)), self._measured()),
        )

    def _measured(self) -> tuple[str, str]:
        """Name and text of the measure on its test rows; an empty text if there is no result."""
        name = "average_precision" if self.multilabel else "accuracy"
        metrics = self.training.get("metrics")
        if not metrics:
            return MEASURE_TITLES[name], ""
        measured = format_measure(metrics[name], metrics[f"{name}_ci"])
        return MEASURE_TITLES[name], f"{measured} on {metrics['n']} test images"


def _checked_columns(head: Head, features: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The features as they are. Raises HeadError unless they have the columns that the head reads."""
    columns = head.sources[-1].stop
    if features.ndim != 2 or features.shape[1] != columns or features.dtype.kind != "f":
        raise HeadError(
            f"features of {features.dtype} and shape {features.shape} were given, but head {head.name!r} reads "
            f"floats (images, {columns}); give the features of {' + '.join(label_sources(head.sources))}"
        )
    return features


def _describe_views(source: Source) -> str:
    """Which views the columns of a source are made of, in words."""
    if source.view_rule == "first":
        return "view 0"
    how = "the mean of" if source.view_rule == "mean" else "each of"
    return f"{how} the views {show_views(source.views)}"


def _identify(sources: Sequence[Source]) -> str:
    return " + ".join(f"{source.name} ({source.backbone[:12]})" for source in sources)
