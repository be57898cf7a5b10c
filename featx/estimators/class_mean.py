"""The class whose mean is nearest: no parameter to tune, and the least that few-shot heads have to beat."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from featx.errors import HeadError
from featx.estimators.classifier import MarginClassifier
from featx.estimators.targets import Targets

Metric = Literal["euclidean", "cosine"]


class NearestClassMean(MarginClassifier):
    """Scores rows by minus the squared distance to each class mean, or by the cosine of the angle to it.

    Means count weights and soft labels. For "cosine" rows are brought to length 1 before the mean is taken, and the
    mean after it. Snell et al., arXiv 1703.05175; Wang et al., arXiv 1911.04623.
    """

    def __init__(self, metric: Metric = "euclidean") -> None:
        self.metric = metric

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        if self.metric not in ("euclidean", "cosine"):
            raise HeadError(f"no metric is called {self.metric!r}; choose euclidean or cosine")
        parts = (targets.mass / targets.mass.sum(axis=0)).T.astype(X.dtype)
        means = parts @ (normalize(X) if self.metric == "cosine" else X)
        self.means_ = normalize(means) if self.metric == "cosine" else means

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        if self.metric == "cosine":
            cosines: NDArray[Any] = normalize(X) @ self.means_.T
            return cosines
        # distances around the middle of the means, where little is lost to rounding
        middle = self.means_.mean(axis=0)
        X, means = X - middle, self.means_ - middle
        squares = np.square(X).sum(axis=1, keepdims=True) + np.square(means).sum(axis=1)
        scores: NDArray[Any] = 2 * X @ means.T - squares
        return scores
