"""The adaptation layer of the transfer texts: two dense layers between features and classes."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.neural_network import MLPClassifier

from featx.estimators.classifier import MarginClassifier, expanded
from featx.estimators.converging import converging
from featx.estimators.targets import ClassWeight, Targets

logger = logging.getLogger(__name__)


class MLP(MarginClassifier):
    """Dense ReLU layers and a softmax, by Adam until a part of the training rows is no longer classified better.

    That part, `validation_share` of the rows, decides when to stop: after `patience` epochs without a gain in accuracy,
    and the best epoch is kept. Where there are too few rows for it, which is logged, the training loss
    decides instead: `early_stopping_` says which. `alpha` is the L2 penalty, in place of dropout. A fit that
    neither has ended in `max_iter` epochs raises ConvergenceError. A row counts for each class that it has a share of.
    By scikit-learn's MLPClassifier; the same seed gives the same network on the same machine. Oquab et al., CVPR 2014.
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
        X, labels, weights = expanded(X, targets)
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
        # the optimiser, thrice the size of the network, is not kept
        self.coefs_, self.intercepts_, self.n_iter_ = network.coefs_, network.intercepts_, network.n_iter_

    def _can_stop_early(self, labels: NDArray[np.int64]) -> bool:
        counts = np.bincount(labels)
        enough = bool(counts.min() >= 2 and self.validation_share * len(labels) >= len(counts))
        if not enough:
            logger.warning("%d rows are too few to set some apart; the training loss decides when to stop", len(labels))
        return enough

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        for coefficients, intercepts in zip(self.coefs_[:-1], self.intercepts_[:-1], strict=True):
            X = X @ coefficients
            X += intercepts
            np.maximum(X, 0, out=X)
        logits: NDArray[Any] = X @ self.coefs_[-1] + self.intercepts_[-1]
        return np.hstack([-logits / 2, logits / 2]) if logits.shape[1] == 1 else logits
