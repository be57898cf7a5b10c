"""Late fusion: a classifier for each block of columns, and a meta-classifier that weighs their predictions."""

import logging
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from featx.errors import HeadError
from featx.estimators.blocks import block_slices
from featx.estimators.classifier import MarginClassifier
from featx.estimators.scores import class_scores, fit_classifier
from featx.estimators.softmax import SoftmaxRegression
from featx.estimators.targets import Targets

logger = logging.getLogger(__name__)

LEAST_LOG_PROBABILITY = float(np.log(1e-6))
"""The log-probability of a block below which all values count as equal."""


class StackedBlocks(MarginClassifier):
    """A classifier for each block of columns, and a meta-classifier that learns how far to trust each of them.

    Stacking (Wolpert, Neural Networks 5, 1992) in three steps:

    1. The rows are split into `folds` parts with every class in equal shares, and whole groups if there are groups.
    2. The estimator of each block predicts the log-probabilities of each part after a fit on the other parts. The
       meta-classifier, a logistic regression with penalty `l2`, learns from these out-of-fold predictions, and so
       calibrates too.
    3. Every estimator is fitted again on all rows.

    `estimators` is one estimator or pipeline for all blocks, or a list with one per block; by default it is a
    SoftmaxRegression. There is no meta-classifier (`judge_` is None), and the log-probabilities of the blocks are
    averaged, with `judge=False` or if a class is in one part only: then no out-of-fold prediction can know the class,
    and a warning is logged. Weights and soft labels count for all estimators that accept them.

    >>> import numpy as np
    >>> from featx.estimators import NearestClassMean, StackedBlocks
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> rows = np.hstack([rng.normal(size=(60, 2)) + 5 * labels[:, None], rng.normal(size=(60, 4))])
    >>> fitted = StackedBlocks(widths=(2, 4), estimators=NearestClassMean()).fit(rows, labels)
    >>> fitted.predict_proba(rows).shape, len(fitted.estimators_)
    ((60, 3), 2)
    """

    def __init__(
        self,
        widths: Sequence[int] | None = None,
        estimators: BaseEstimator | Sequence[BaseEstimator] | None = None,
        *,
        folds: int = 5,
        judge: bool | None = None,
        l2: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.widths = widths
        self.estimators = estimators
        self.folds = folds
        self.judge = judge
        self.l2 = l2
        self.seed = seed

    def fit(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: ArrayLike | None = None,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """The classifier, fitted to rows X (n, d) with labels y (n,); rows of a group (n,) are in the same part.

        Raises HeadError for negative weights, fewer than two classes with weight, and parameters that do not fit X.
        """
        self._stack(*self._with_labels(X, y, sample_weight), groups=_groups_with_weight(groups, sample_weight))
        return self

    def fit_soft(
        self,
        X: NDArray[Any],
        shares: NDArray[Any],
        sample_weight: ArrayLike | None = None,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """The classifier, fitted to rows X (n, d) with shares (n, C) of classes. Raises HeadError as `fit` does."""
        self._stack(*self._with_shares(X, shares, sample_weight), groups=_groups_with_weight(groups, sample_weight))
        return self

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The probabilities (m, C) of the classes."""
        probabilities: NDArray[np.float64] = softmax(self._all_scores(X), axis=1)
        return probabilities

    def can_judge(self, mass: NDArray[np.float64], groups: NDArray[Any] | None = None) -> bool:
        """Whether every class of rows with this mass (n, C) is in two parts, as a meta-classifier needs."""
        heavy = mass.any(axis=1)
        seen = mass[heavy][:, mass.any(axis=0)]
        groups = None if groups is None else groups[heavy]
        return not len(_in_one_part(seen, stratified_parts(seen, folds=self.folds, seed=self.seed, groups=groups)))

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        self._stack(X, targets, groups=None)

    def _stack(self, X: NDArray[Any], targets: Targets, *, groups: NDArray[Any] | None) -> None:
        blocks = block_slices(self.widths, X.shape[1])
        unfitted = list(zip(self._one_per_block(len(blocks)), blocks, strict=True))
        parts = stratified_parts(targets.mass, folds=self.folds, seed=self.seed, groups=groups)
        self.blocks_ = [[block.start, block.stop] for block in blocks]
        self.judge_ = self._fit_judge(unfitted, X, targets, parts) if self._needs_judge(targets, parts) else None
        self.estimators_ = [_fit(one, X[:, block], targets) for one, block in unfitted]

    def _needs_judge(self, targets: Targets, parts: NDArray[np.int64]) -> bool:
        if self.judge is False:
            return False
        alone = _in_one_part(targets.mass, parts)
        if len(alone):
            message = (
                "class %s is in one of %d folds only, which no other fold can predict; log-probabilities are averaged"
            )
            logger.warning(message, targets.classes[alone[0]], self.folds)
        return not len(alone)

    def _fit_judge(
        self,
        unfitted: Sequence[tuple[BaseEstimator, slice]],
        X: NDArray[Any],
        targets: Targets,
        parts: NDArray[np.int64],
    ) -> BaseEstimator:
        """The meta-classifier, fitted to out-of-fold predictions of all blocks."""
        predictions = np.empty((len(X), len(unfitted), len(targets.classes)))
        for place, (estimator, block) in enumerate(unfitted):
            for part in np.unique(parts):
                held_out = parts == part
                fitted = _fit(estimator, X[~held_out, block], Targets(targets.classes, targets.mass[~held_out]))
                predictions[held_out, place] = _log_probabilities(class_scores(fitted, X[held_out, block]))
        return _fit(SoftmaxRegression(self.l2), predictions.reshape(len(X), -1), targets)

    def _scores(self, X: NDArray[Any]) -> NDArray[np.float64]:
        fitted = zip(self.estimators_, self.blocks_, strict=True)
        predictions = [_log_probabilities(class_scores(one, X[:, start:stop])) for one, (start, stop) in fitted]
        if self.judge_ is None:
            return np.asarray(np.mean(predictions, axis=0), np.float64)
        return class_scores(self.judge_, np.hstack(predictions))

    def _one_per_block(self, blocks: int) -> list[BaseEstimator]:
        given = SoftmaxRegression() if self.estimators is None else self.estimators
        each = list(given) if isinstance(given, list | tuple) else [given] * blocks
        if len(each) != blocks:
            raise HeadError(
                f"{len(each)} estimators were given for {blocks} blocks; give one per block, or one for all"
            )
        return each


def stratified_parts(
    mass: NDArray[np.float64], *, folds: int, seed: int, groups: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """The part (n,) of each row, 0 .. folds - 1, so that every class is spread evenly over the parts.

    Shuffled rows are sorted by class and take the parts in turn. The class of a row, or of a whole group of rows, is
    that with most of its mass (n, C). Raises HeadError for fewer than 2 folds.
    """
    if folds < 2:
        raise HeadError(f"folds is {folds}; give 2 or more")
    unit = np.arange(len(mass))
    if groups is not None:
        unit = np.unique(groups, return_inverse=True)[1]
        mass = np.stack([np.bincount(unit, of_class) for of_class in mass.T], axis=1)
    shuffled = np.random.default_rng(seed).permutation(len(mass))
    parts = np.empty(len(mass), np.int64)
    parts[shuffled[np.argsort(mass[shuffled].argmax(axis=1), kind="stable")]] = np.arange(len(mass)) % folds
    return parts[unit]


def _in_one_part(mass: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes that only rows of one part have; their mass is (n, C)."""
    others = np.array([(mass[parts != part] > 0).any(axis=0) for part in np.unique(parts)])
    return np.flatnonzero(~others.all(axis=0))


def _groups_with_weight(groups: NDArray[Any] | None, sample_weight: ArrayLike | None) -> NDArray[Any] | None:
    """The groups of the rows that have weight, because only these are learnt."""
    if groups is None or sample_weight is None:
        return groups
    return np.asarray(groups)[np.asarray(sample_weight) > 0]


def _log_probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(log_softmax(scores, axis=1), LEAST_LOG_PROBABILITY))


def _fit(estimator: BaseEstimator, X: NDArray[Any], targets: Targets) -> BaseEstimator:
    """A clone of the estimator or pipeline, fitted to the targets as classes 0 .. C - 1."""
    fitted = clone(estimator)
    hard = np.count_nonzero(targets.mass) == len(X)
    weights = targets.weights
    target = targets.mass.argmax(axis=1) if hard else targets.mass / weights[:, np.newaxis]
    given = None if (weights == 1).all() else weights
    if isinstance(fitted, Pipeline):
        for _, step in fitted.steps[:-1]:
            if hasattr(step, "fit_soft"):
                fit_classifier(step, X, target, sample_weight=given)
            else:
                step.fit(X, targets.mass.argmax(axis=1))
            X = step.transform(X)
    fit_classifier(fitted.steps[-1][1] if isinstance(fitted, Pipeline) else fitted, X, target, sample_weight=given)
    return fitted
