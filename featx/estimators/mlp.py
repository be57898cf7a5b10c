"""A small network of dense layers between features and classes: the adaptation layers of transfer learning."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.neural_network import MLPClassifier

from featx.estimators.classifier import MarginClassifier
from featx.estimators.convergence import converging
from featx.estimators.scores import both_sides
from featx.estimators.targets import ClassWeight, Targets, expand_shares

logger = logging.getLogger(__name__)


class MLP(MarginClassifier):
    """Dense ReLU layers and a softmax, fitted by scikit-learn's MLPClassifier with Adam and early stopping.

    A part of the training rows, `validation_share`, decides when to stop: training ends after `patience` epochs without
    a gain in accuracy on it, and the best epoch is kept. If there are too few rows for such a part, the training loss
    decides instead, with a warning in the log; the fitted `early_stopping_` is then False. `alpha` is the L2 penalty,
    in place of dropout. A fit that has not stopped after `max_iter` epochs raises ConvergenceError. A row counts for
    each class that it has a share of. The same seed gives the same network on the same machine. (Oquab et al., CVPR
    2014.)

    >>> import numpy as np
    >>> from featx.estimators import MLP
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 2
    >>> rows = rng.normal(size=(60, 3)) + 4 * labels[:, None]
    >>> fitted = MLP(hidden=(8,), learning_rate=0.02).fit(rows, labels)
    >>> fitted.predict([[0, 0, 0], [4, 4, 4]])
    array([0, 1])
    >>> fitted.predict_proba(rows).shape
    (60, 2)
    """

    def __init__(
        self,
        hidden: Sequence[int] = (1024, 512),
        *,
        alpha: float = 1e-4,
        learning_rate: float = 1e-3,
        max_iter: int = 200,
        patience: int = 5,
        validation_share: float = 0.1,
        class_weight: ClassWeight = None,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.patience = patience
        self.validation_share = validation_share
        self.class_weight = class_weight
        self.seed = seed

    def predict_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        """The probabilities (m, C) of the classes."""
        probabilities: NDArray[Any] = softmax(self._all_scores(X), axis=1)
        return probabilities

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        X, labels, weights = expand_shares(X, targets.mass)
        self.early_stopping_ = self._can_stop_early(labels)
        network = MLPClassifier(
            hidden_layer_sizes=tuple(self.hidden),
            alpha=self.alpha,
            learning_rate_init=self.learning_rate,
            max_iter=self.max_iter,
            early_stopping=self.early_stopping_,
            validation_fraction=self.validation_share,
            n_iter_no_change=self.patience,
            random_state=self.seed,
        )
        with converging("the MLP", iterations=self.max_iter, step="raise max_iter or learning_rate"):
            network.fit(X, labels, sample_weight=weights)
        # the optimiser, three times as large as the network, is not kept
        self.coefs_ = network.coefs_
        self.intercepts_ = network.intercepts_
        self.n_iter_ = network.n_iter_

    def _can_stop_early(self, labels: NDArray[np.int64]) -> bool:
        counts = np.bincount(labels)
        enough = bool(counts.min() >= 2 and self.validation_share * len(labels) >= len(counts))
        if not enough:
            logger.warning(
                "%d rows are too few for a validation part; the training loss decides when to stop", len(labels)
            )
        return enough

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        for coefficients, intercepts in zip(self.coefs_[:-1], self.intercepts_[:-1], strict=True):
            X = X @ coefficients
            X += intercepts
            np.maximum(X, 0, out=X)
        return both_sides(X @ self.coefs_[-1] + self.intercepts_[-1])
