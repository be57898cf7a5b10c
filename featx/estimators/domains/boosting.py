"""Boosting over two domains: rows of the source that contradict the few labelled rows of the target lose weight."""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone

from featx.errors import HeadError
from featx.estimators.classifier import MarginClassifier
from featx.estimators.domains.adapter import is_of_source
from featx.estimators.scores import class_scores, fit_classifier
from featx.estimators.softmax import SoftmaxRegression
from featx.estimators.targets import Targets

LEAST_ERROR = 0.01
"""A smaller error on the target counts as this one, so that no round decides alone."""


class TrAdaBoost(MarginClassifier):
    """A classifier that learns from many rows of a source and few labelled rows of a target (TrAdaBoost).

    In each of `rounds` rounds a `classifier` (by default a SoftmaxRegression) is fitted to all rows with their weights.
    Rows of the source that it gets wrong are multiplied by 1 / (1 + sqrt(2 ln n / rounds)), n being their number; rows
    of the target that it gets wrong become heavier, as in boosting. The second half of the rounds votes; scores (m, C)
    are the shares of the votes. Dai et al., Boosting for transfer learning, ICML 2007.

    For several classes, target rows and votes follow SAMME (Zhu et al., Statistics and Its Interface 2, 2009): with the
    error e on the target and K classes, a vote counts ln((1 - e) / e) + ln(K - 1), which for two classes is Dai's. An
    error below 1 % counts as 1 %. A round with an error of (K - 1) / K or more is no better than chance: it has no
    vote, and the weights of the target rows that it gets wrong double; if no round of the second half is better, all of
    them vote equally. Weights sum to the same in every round, so that a penalty stays as strong as it was.

    `sample_domain` (n,) is above 0 for rows of the source and below 0 for rows of the target, whose labels are used;
    without it all rows are of the target.

    Attributes: `classes_`, `estimators_` (those that vote) and `votes_` (what the vote of each counts).

    >>> import numpy as np
    >>> from featx.estimators import TrAdaBoost
    >>> rng = np.random.default_rng(0)
    >>> rows, labels = rng.normal(size=(220, 2)), np.arange(220) % 2
    >>> domain = np.where(np.arange(220) < 200, 1, -1)
    >>> rows[:, 0] += 3 * labels * domain  # the source says the opposite of the target
    >>> fitted = TrAdaBoost(rounds=20).fit(rows, labels, sample_domain=domain)
    >>> fitted.score(rows[200:], labels[200:]) > 0.8
    True
    """

    def __init__(self, classifier: BaseEstimator | None = None, *, rounds: int = 10) -> None:
        self.classifier = classifier
        self.rounds = rounds

    def fit(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: ArrayLike | None = None,
        *,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """The classifier, fitted to rows X (n, d) of both domains with labels y (n,).

        Raises HeadError if no row of the target has weight, and what the classifier raises.
        """
        self._boost(*self._with_labels(X, y, sample_weight), sample_domain=sample_domain)
        return self

    def fit_soft(
        self,
        X: NDArray[Any],
        shares: NDArray[Any],
        sample_weight: ArrayLike | None = None,
        *,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """The classifier, fitted to rows X (n, d) of both domains with shares (n, C) of the classes 0 .. C - 1."""
        self._boost(*self._with_shares(X, shares, sample_weight), sample_domain=sample_domain)
        return self

    def _prepare(self, X: NDArray[Any], targets: Targets) -> tuple[NDArray[Any], Targets]:
        """All rows, so that each still has its domain, with the classes that have weight."""
        self.classes_ = targets.classes
        self.seen_ = np.flatnonzero(targets.seen)
        return X, Targets(targets.classes[self.seen_], targets.mass[:, self.seen_])

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        self._boost(X, targets, sample_domain=None)

    def _boost(self, X: NDArray[Any], targets: Targets, *, sample_domain: ArrayLike | None) -> None:
        of_source = np.zeros(len(X), bool) if sample_domain is None else is_of_source(sample_domain, rows=len(X))
        kept = targets.weights > 0
        if of_source[kept].all():
            raise HeadError(
                "no row of the target has a weight above 0; boosting over domains needs labels of the target"
            )
        rounds = list(self._rounds(X[kept], targets.mass[kept], of_source[kept]))[self.rounds // 2 :]
        votes = np.array([vote for _, vote in rounds])
        if not (votes > 0).any():
            votes = np.ones(len(votes))
        self.estimators_ = [fitted for (fitted, _), vote in zip(rounds, votes, strict=True) if vote > 0]
        self.votes_ = votes[votes > 0]

    def _rounds(
        self, X: NDArray[Any], mass: NDArray[np.float64], of_source: NDArray[np.bool_]
    ) -> Iterator[tuple[Any, float]]:
        """The classifier of each round, and what its vote counts, for rows that weigh `mass` (n, K) for each class."""
        if self.rounds < 1:
            raise HeadError(f"rounds is {self.rounds}; boosting needs at least 1")
        total = mass.sum()
        unlike = np.log1p(np.sqrt(2 * np.log(max(1, int(of_source.sum()))) / self.rounds))
        for _ in range(self.rounds):
            weights = mass.sum(axis=1)
            fitted = fit_classifier(clone(self._inner), X, mass / weights[:, np.newaxis], sample_weight=weights)
            wrong = np.ones(mass.shape)
            wrong[np.arange(len(X)), class_scores(fitted, X).argmax(axis=1)] = 0
            vote = _vote(wrong[~of_source], mass[~of_source])
            yield fitted, vote
            change = np.where(of_source, -unlike, vote if vote > 0 else np.log(2))
            mass = mass * np.exp(change[:, np.newaxis] * wrong)
            mass *= total / mass.sum()

    @property
    def _inner(self) -> BaseEstimator:
        return SoftmaxRegression() if self.classifier is None else self.classifier

    def _scores(self, X: NDArray[Any]) -> NDArray[np.float64]:
        scores = np.zeros((len(X), len(self.seen_)))
        for fitted, vote in zip(self.estimators_, self.votes_ / self.votes_.sum(), strict=True):
            scores[np.arange(len(X)), class_scores(fitted, X).argmax(axis=1)] += vote
        return scores


def _vote(wrong: NDArray[np.float64], mass: NDArray[np.float64]) -> float:
    """What the vote of a classifier counts that is wrong (1) or right (0) about each class of rows (m, K)."""
    error = max(float(np.average(wrong, weights=mass)), LEAST_ERROR)
    return float(np.log((1 - error) / error) + np.log(mass.shape[1] - 1)) if error < 1 else -np.inf
