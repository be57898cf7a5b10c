"""Heads that are drawn towards the scores of sources: fitted on each fold, with all penalties along one path."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from featx.errors import ConvergenceError
from featx.estimators import FeatureScaler, LinearClassifier, LinearScores
from featx.heads import DevelopmentSet, find_recipe
from featx.tables import RowIndices

logger = logging.getLogger(__name__)

GAMMAS = (0.25, 0.5, 1.0)
"""Factors of the coefficients of a source; 0 is the head of the target alone."""
STRENGTHS = tuple(float(l2) for l2 in np.logspace(-3, 6, 10))
"""Penalties on the difference, as l2 on the sum of losses: the strongest keeps the source as it is."""
USUAL = 0.1
"""The usual penalty, as l2 for each column, all of which have the variance 1 on average. One image then moves its own
score by ten times its error at most, whatever the number of columns."""


@dataclass(frozen=True)
class Term:
    """What is taken of one source."""

    gamma: float
    """The factor of its scores; 0 if it is not used."""
    variant: int
    """Which of the variants of its scores."""


@dataclass(frozen=True)
class Draw:
    """What a head is drawn towards, and how."""

    terms: tuple[Term, ...]
    """Of each source."""
    keeps_intercept: bool
    """Whether the change of the intercepts is penalised too, or they are free to fit the target."""
    value: float
    """The penalty of the classifier: its l2, or its C."""


@dataclass(frozen=True)
class _Fit:
    """Features and shares to fit to, and the features to predict."""

    scaler: FeatureScaler
    features: NDArray[Any]
    shares: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    held_out: NDArray[Any]


class Drawing:
    """Fits of one kind of head to the folds of a development set, drawn towards any weighted sum of sources."""

    def __init__(self, name: str, development: DevelopmentSet, *, normalises: bool) -> None:
        self.classifier: LinearClassifier = find_recipe(name).classifier(0)
        self.development = development
        self._normalises = normalises
        self._folds = [self._fit(fit, held_out) for fit, held_out in development.folds]

    @property
    def values(self) -> tuple[float, ...]:
        """The penalties to try, by the parameter of the classifier."""
        return tuple(1 / l2 for l2 in STRENGTHS) if self.classifier.path == "C" else STRENGTHS

    @property
    def usual(self) -> float:
        """The usual penalty, by the parameter of the classifier."""
        l2 = USUAL * int(self._folds[0].features.shape[1])
        return 1 / l2 if self.classifier.path == "C" else l2

    def sweep(
        self, towards: LinearScores, *, keeps_intercept: bool, values: Sequence[float] | None = None
    ) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """Each penalty with the class scores (n, C) of all validation rows, by fits to other rows."""
        values = values or self.values
        paths = [self._follow(fold, towards, values, keeps_intercept=keeps_intercept) for fold in self._folds]
        try:
            for found in zip(*paths, strict=True):
                scores = [drawn.of(fold.held_out) for fold, (_, drawn) in zip(self._folds, found, strict=True)]
                yield found[0][0], np.concatenate(scores)
        except ConvergenceError as error:
            logger.warning("penalties weaker than those tried so far are left out: %s", error)

    def pipeline(self, towards: LinearScores, draw: Draw) -> Pipeline:
        """The head with these parameters, fitted to the final rows."""
        final = self._fit(self.development.final_rows, np.empty(0, np.int64))
        ((_, drawn),) = self._follow(final, towards, [draw.value], keeps_intercept=draw.keeps_intercept)
        classifier = self.classifier.set_params(**{self.classifier.path: draw.value})
        steps = [("scaler", final.scaler), ("classifier", classifier.hold(drawn, dtype=final.features.dtype))]
        first = self._normaliser(final.features.shape[1])
        return Pipeline([("normaliser", first), *steps] if first else steps)

    def params(self, draw: Draw) -> Mapping[str, Any]:
        """The parameters as a head lists them."""
        return {
            "scaler__how": "overall",
            f"classifier__{self.classifier.path}": draw.value,
            "gamma": sum(term.gamma for term in draw.terms),
            "keeps_intercept": draw.keeps_intercept,
        }

    def _follow(
        self, fold: _Fit, towards: LinearScores, values: Sequence[float], *, keeps_intercept: bool
    ) -> Iterator[tuple[float, LinearScores]]:
        return self.classifier.draw(
            fold.features,
            fold.shares,
            towards=towards.of_scaled(fold.scaler.mean_, fold.scaler.factor_),
            values=values,
            keep_intercept=keeps_intercept,
            sample_weight=fold.weights,
        )

    def _fit(self, rows: RowIndices, held_out: RowIndices) -> _Fit:
        labels = self.development.labels_of(rows)
        features = self._features(rows)
        scaler = FeatureScaler("overall").fit(features)
        others = scaler.transform(self._features(held_out)) if len(held_out) else np.empty((0, features.shape[1]))
        return _Fit(scaler, scaler.transform(features), labels.shares, labels.given_weights, others)

    def _features(self, rows: RowIndices) -> NDArray[Any]:
        """The features of these rows, brought to length 1 if the sources do that."""
        features = self.development.features(rows)
        first = self._normaliser(features.shape[1])
        return features if first is None else np.asarray(first.transform(features))

    def _normaliser(self, columns: int) -> FeatureScaler | None:
        """The fitted step that brings rows to length 1; None if the sources do not."""
        return FeatureScaler("l2").fit(np.ones((1, columns), np.float32)) if self._normalises else None
