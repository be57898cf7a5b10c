"""Late fusion: a classifier of its own for each block of columns, and one that learns how far to trust each."""

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

LEAST = float(np.log(1e-6))
"""The log-probability below which a block's doubt of a class is not told apart."""


class StackedBlocks(MarginClassifier):
    """A classifier of each block, and a logistic regression over the log-probabilities that they give to rows unseen.

    Every block's estimator (one for all, or one a block; a SoftmaxRegression where none is given; pipelines too) is
    fitted on each of `folds` parts of the rows less that part, which it then scores; the regression, with penalty `l2`,
    learns from these scores, and so to calibrate; then every estimator is fitted on all rows. Parts have rows of every
    class alike, and whole groups where groups are given. Where a class is in one part only, nobody has an opinion of it
    unseen: then, which is logged, or where `judge` is False, there is no regression, and the mean of the
    log-probabilities is taken (`judge_` is None). Weights and soft labels count wherever an estimator takes them.
    Wolpert, Neural Networks 5 (1992).
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
        """The classifier, fitted to labels (n,); rows of one of the groups (n,) are in one part.

        Raises HeadError for weights or classes that make no problem.
        """
        self._stack(*self._labelled(X, y, sample_weight), groups=_weighing(groups, sample_weight))
        return self

    def fit_soft(
        self,
        X: NDArray[Any],
        shares: NDArray[Any],
        sample_weight: ArrayLike | None = None,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """The classifier, fitted to shares (n, C) as fit does to labels. Raises HeadError as that does."""
        self._stack(*self._shared(X, shares, sample_weight), groups=_weighing(groups, sample_weight))
        return self

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The probabilities (m, C) of the classes."""
        probabilities: NDArray[np.float64] = softmax(self._all_scores(X), axis=1)
        return probabilities

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        self._stack(X, targets, groups=None)

    def _stack(self, X: NDArray[Any], targets: Targets, *, groups: NDArray[Any] | None) -> None:
        blocks = block_slices(self.widths, X.shape[1])
        unfitted = list(zip(self._one_a_block(len(blocks)), blocks, strict=True))
        parts = deal_parts(targets.mass, folds=self.folds, seed=self.seed, groups=groups)
        self.blocks_ = [[block.start, block.stop] for block in blocks]
        self.judge_ = self._judge(unfitted, X, targets, parts) if self._judges(targets, parts) else None
        self.estimators_ = [_fit(one, X[:, block], targets) for one, block in unfitted]

    def can_judge(self, mass: NDArray[np.float64], groups: NDArray[Any] | None = None) -> bool:
        """Whether every class of rows of this mass (n, C) is in two parts, so that opinions of it can be judged."""
        heavy = mass.any(axis=1)
        seen, groups = mass[heavy][:, mass.any(axis=0)], None if groups is None else groups[heavy]
        return not len(_in_one_part(seen, deal_parts(seen, folds=self.folds, seed=self.seed, groups=groups)))

    def _judges(self, targets: Targets, parts: NDArray[np.int64]) -> bool:
        if self.judge is False:
            return False
        if len(alone := _in_one_part(targets.mass, parts)):
            told = "class %s is in one of %d parts, where nobody can judge it unseen; log-probabilities are averaged"
            logger.warning(told, targets.classes[alone[0]], self.folds)
        return not len(alone)

    def _judge(
        self,
        unfitted: Sequence[tuple[BaseEstimator, slice]],
        X: NDArray[Any],
        targets: Targets,
        parts: NDArray[np.int64],
    ) -> BaseEstimator:
        """What learns from opinions of rows unseen."""
        opinions = np.empty((len(X), len(unfitted), len(targets.classes)))
        for place, (estimator, block) in enumerate(unfitted):
            for part in np.unique(parts):
                held_out = parts == part
                fitted = _fit(estimator, X[~held_out, block], Targets(targets.classes, targets.mass[~held_out]))
                opinions[held_out, place] = _log_probabilities(class_scores(fitted, X[held_out, block]))
        return _fit(SoftmaxRegression(self.l2), opinions.reshape(len(X), -1), targets)

    def _scores(self, X: NDArray[Any]) -> NDArray[np.float64]:
        fitted = zip(self.estimators_, self.blocks_, strict=True)
        opinions = [_log_probabilities(class_scores(one, X[:, start:stop])) for one, (start, stop) in fitted]
        if self.judge_ is None:
            return np.asarray(np.mean(opinions, axis=0), np.float64)
        return class_scores(self.judge_, np.hstack(opinions))

    def _one_a_block(self, blocks: int) -> list[BaseEstimator]:
        given = SoftmaxRegression() if self.estimators is None else self.estimators
        each = list(given) if isinstance(given, list | tuple) else [given] * blocks
        if len(each) != blocks:
            raise HeadError(f"{len(each)} estimators were given for {blocks} blocks; give one a block, or one for all")
        return each


def deal_parts(
    mass: NDArray[np.float64], *, folds: int, seed: int, groups: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """The part (n,) of each row, 0 .. folds - 1: rows of a class are dealt in turn, and the next class goes on.

    A row, or whole group of rows, is of the class that it has most mass (n, C) of. Raises HeadError for fewer than 2
    folds.
    """
    if folds < 2:
        raise HeadError(f"{folds} folds were asked for; give 2 or more")
    unit = np.arange(len(mass))
    if groups is not None:
        unit = np.unique(groups, return_inverse=True)[1]
        mass = np.stack([np.bincount(unit, of_class) for of_class in mass.T], axis=1)
    shuffled = np.random.default_rng(seed).permutation(len(mass))
    parts = np.empty(len(mass), np.int64)
    parts[shuffled[np.argsort(mass[shuffled].argmax(axis=1), kind="stable")]] = np.arange(len(mass)) % folds
    return parts[unit]


def _in_one_part(mass: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes of rows of this mass (n, C) that other rows than those of some part lack."""
    others = np.array([(mass[parts != part] > 0).any(axis=0) for part in np.unique(parts)])
    return np.flatnonzero(~others.all(axis=0))


def _weighing(groups: NDArray[Any] | None, sample_weight: ArrayLike | None) -> NDArray[Any] | None:
    """The groups of rows that weigh anything, which alone are learnt."""
    if groups is None or sample_weight is None:
        return groups
    return np.asarray(groups)[np.asarray(sample_weight) > 0]


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
