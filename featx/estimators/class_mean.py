"""The nearest class mean: a baseline that few-shot heads have to beat."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from featx.errors import HeadError
from featx.estimators.classifier import MarginClassifier
from featx.estimators.rows import centred_blocks
from featx.estimators.targets import Targets

Metric = Literal["euclidean", "cosine"]


class NearestClassMean(MarginClassifier):
    """Scores each row by minus its squared distance to each class mean, or by its cosine similarity to it.

    Means count weights and soft labels. For "cosine" the rows get length 1 before the mean is taken, and the mean gets
    length 1 after it. A class without weight scores less than the farthest mean. Snell et al.,
    arXiv 1703.05175; Wang et al., arXiv 1911.04623.

    >>> from featx.estimators import NearestClassMean
    >>> fitted = NearestClassMean("euclidean").fit([[0.0, 0.0], [0.0, 2.0], [5.0, 5.0]], ["cat", "cat", "dog"])
    >>> fitted.means_
    array([[0., 1.],
           [5., 5.]])
    >>> fitted.predict([[1.0, 1.0]])
    array(['cat'], dtype='<U3')
    """

    def __init__(self, metric: Metric = "euclidean") -> None:
        self.metric = metric

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        if self.metric not in ("euclidean", "cosine"):
            raise HeadError(f"there is no metric {self.metric!r}; choose euclidean or cosine")
        self.exact_ = True
        parts = (targets.mass / targets.mass.sum(axis=0)).T.astype(X.dtype)
        means = parts @ (normalize(X) if self.metric == "cosine" else X)
        self.means_ = normalize(means) if self.metric == "cosine" else means

    def _spread(self, scores: NDArray[Any]) -> NDArray[Any]:
        spread = super()._spread(scores)
        if self.metric == "euclidean" and hasattr(self, "exact_") and len(self.seen_) < len(self.classes_):
            # squared distances have no limit, so a class without weight must score less than the farthest mean
            unseen = np.setdiff1d(np.arange(len(self.classes_)), self.seen_)
            spread[:, unseen] = np.minimum(self.no_chance, 2 * scores.min(axis=1, keepdims=True))
        return spread

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        if self.metric == "cosine":
            cosines: NDArray[Any] = normalize(X) @ self.means_.T
            return cosines
        # coordinates around the middle of the means are small, so that their squares lose little to rounding
        middle = self.means_.mean(axis=0)
        kind = np.float64 if hasattr(self, "exact_") else X.dtype  # 0.1.0 lost the last digits of float32
        means = (self.means_ - middle).astype(kind)
        scores: NDArray[Any] = np.empty((len(X), len(means)), kind)
        for rows, block in centred_blocks(X, middle, dtype=kind):
            squares = np.square(block).sum(axis=1, keepdims=True) + np.square(means).sum(axis=1)
            scores[rows] = 2 * block @ means.T - squares
        return scores
