"""Late fusion: a classifier of its own for each block of columns, and one that learns how far to trust each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from featx.errors import HeadError
from featx.estimators.blocks import block_slices
from featx.estimators.classifier import MarginClassifier
from featx.estimators.scores import class_scores, fit_classifier, spread_scores
from featx.estimators.softmax import SoftmaxRegression
from featx.estimators.targets import Targets

LEAST = float(np.log(1e-6))
"""The log-probability below which a block's doubt of a class is not told apart."""


class StackedBlocks(MarginClassifier):
    """A classifier of each block, and a logistic regression over the log-probabilities that they give to rows unseen.

    Every block's estimator (one for all, or one a block; a SoftmaxRegression where none is given; pipelines too) is
    fitted on each of `folds` parts of the rows less that part, which it then scores; the regression, with penalty `l2`,
    learns from these scores, and so to calibrate; then every estimator is fitted on all rows. Parts have rows of every
    class alike; a class that is in one part only has no chance there. Weights and soft labels count wherever an
    estimator takes them. Wolpert, Neural Networks 5 (1992).
    """

    def __init__(
        self,
        widths: Sequence[int] | None = None,
        estimators: BaseEstimator | Sequence[BaseEstimator] | None = None,
        *,
        folds: int = 5,
        l2: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.widths = widths
        self.estimators = estimators
        self.folds = folds
        self.l2 = l2
        self.seed = seed

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The probabilities (m, C) of the classes."""
        probabilities: NDArray[np.float64] = softmax(self._all_scores(X), axis=1)
        return probabilities

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        blocks = block_slices(self.widths, X.shape[1])
        unfitted = self._one_a_block(len(blocks))
        parts = deal_rows(targets.mass.argmax(axis=1), folds=self.folds, seed=self.seed)
        opinions = np.empty((len(X), len(blocks), len(targets.classes)))
        for place, (block, estimator) in enumerate(zip(blocks, unfitted, strict=True)):
            for part in np.unique(parts):
                held_out = parts == part
                learnt = Targets(targets.classes, targets.mass[~held_out])
                opinions[held_out, place] = _opinion(estimator, X[~held_out, block], learnt, X[held_out, block])
        self.blocks_ = [[block.start, block.stop] for block in blocks]
        self.judge_ = _fit(SoftmaxRegression(self.l2), opinions.reshape(len(X), -1), targets)
        self.estimators_ = [_fit(one, X[:, block], targets) for block, one in zip(blocks, unfitted, strict=True)]

    def _scores(self, X: NDArray[Any]) -> NDArray[np.float64]:
        fitted = zip(self.estimators_, self.blocks_, strict=True)
        opinions = [_log_probabilities(class_scores(one, X[:, start:stop])) for one, (start, stop) in fitted]
        return class_scores(self.judge_, np.hstack(opinions))

    def _one_a_block(self, blocks: int) -> list[BaseEstimator]:
        given = SoftmaxRegression() if self.estimators is None else self.estimators
        each = list(given) if isinstance(given, list | tuple) else [given] * blocks
        if len(each) != blocks:
            raise HeadError(f"{len(each)} estimators were given for {blocks} blocks; give one a block, or one for all")
        return each


def deal_rows(labels: NDArray[np.integer[Any]], *, folds: int, seed: int) -> NDArray[np.int64]:
    """The part (n,) of each row, 0 .. folds - 1: rows of a class are dealt in turn, and the next class goes on.

    Raises HeadError for fewer than 2 folds.
    """
    if folds < 2:
        raise HeadError(f"{folds} folds were asked for; give 2 or more")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    parts = np.empty(len(labels), np.int64)
    parts[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % folds
    return parts


def _opinion(
    estimator: BaseEstimator, X: NDArray[Any], targets: Targets, held_out: NDArray[Any]
) -> NDArray[np.float64]:
    """Log-probabilities (m, C) of held-out rows by an estimator fitted to these rows, which may lack a class."""
    present = np.flatnonzero(targets.seen)
    fitted = _fit(estimator, X, Targets(targets.classes[present], targets.mass[:, present]))
    return _log_probabilities(spread_scores(class_scores(fitted, held_out), present, len(targets.classes)))


def _log_probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(log_softmax(scores, axis=1), LEAST))


def _fit(estimator: BaseEstimator, X: NDArray[Any], targets: Targets) -> BaseEstimator:
    """A copy of the estimator, or of every step of a pipeline, fitted to the targets as classes 0 .. C - 1."""
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
