"""Class scores for images among which classes have other shares than among those that a classifier has learnt."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from featx.estimators.scores import class_scores


class PriorShift(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose class scores get the logarithm of (share in the target / share that it has learnt).

    Their softmax is then the probability of each class in the target, if images of each class look as they did
    (Saerens, Latinne & Decaestecker, Neural Computation 14, 2002). `log_ratio` (C,) is in the units of the scores: if
    scores are divided by a temperature before the softmax, as a head does, multiply it by that temperature. `fit`
    leaves the classifier as it is.

    >>> import numpy as np
    >>> from featx.estimators import PriorShift, SoftmaxRegression
    >>> rows, labels = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> even = SoftmaxRegression().fit(rows, labels)
    >>> PriorShift(even, np.log([0.9 / 0.5, 0.1 / 0.5])).predict_proba([[1.5]]).round(2)
    array([[0.9, 0.1]])
    """

    def __init__(self, classifier: Any, log_ratio: ArrayLike) -> None:
        self.classifier = classifier
        self.log_ratio = log_ratio

    @property
    def classes_(self) -> NDArray[Any]:
        """(C,): the classes of the classifier."""
        return np.asarray(self.classifier.classes_)

    @property
    def n_features_in_(self) -> int:
        """The number of columns that it reads."""
        return int(self.classifier.n_features_in_)

    def fit(self, X: NDArray[Any], y: ArrayLike | None = None) -> Self:
        """The classifier as it is. Raises scikit-learn's NotFittedError if it has not been fitted."""
        check_is_fitted(self.classifier)
        return self

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The scores (m, C) of the classes; for two classes (m,), the score of the second minus that of the first."""
        scores = class_scores(self.classifier, X) + np.asarray(self.log_ratio, np.float64)
        return np.asarray(scores[:, 1] - scores[:, 0]) if scores.shape[1] == 2 else scores

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The probabilities (m, C) of the classes in the target."""
        scores = class_scores(self, X)
        probabilities: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The class (m,) with the highest score; of equal scores the first."""
        best: NDArray[np.intp] = class_scores(self, X).argmax(axis=1)
        return np.take(self.classes_, best)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether the classifier has been fitted."""
        check_is_fitted(self.classifier)
        return True

    def __sklearn_clone__(self) -> Self:
        """This object, since its classifier stays fitted."""
        return self
