"""A small network of dense layers between features and classes: the adaptation layers of transfer learning."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from featx.estimators.classifier import MarginClassifier
from featx.estimators.convergence import converging
from featx.estimators.scores import both_sides
from featx.estimators.targets import ClassWeight, Targets, expand_shares

BATCH = 200
"""Largest number of rows in a step; MLPClassifier's own default."""
EPOCHS = 200
STEPS = 400
"""Limits of training, in epochs and in steps; the longer one holds, because few rows make few steps in an epoch."""
PATIENCE = 10
PATIENT_STEPS = 20
"""Epochs and steps without a gain after which training ends; the longer of the two holds."""
LEAST_HELD_OUT = 200
"""Number of rows in the validation part below which its accuracy is too coarse to say when to stop."""


class MLP(MarginClassifier):
    """Dense ReLU layers and a softmax, fitted by scikit-learn's MLPClassifier with Adam and early stopping.

    A part of the training rows, `validation_share`, decides when to stop: training ends after `patience` epochs without
    a gain in accuracy on it, and the best epoch is kept. If that part has fewer than 200 rows or not every class, the
    training loss decides instead, and the fitted `early_stopping_` is False. `max_iter` is the largest number of
    epochs. By default it is 200 epochs or as many as make 400 steps, and `patience` 10 epochs or as many as make 20
    steps: few rows make few steps in an epoch. Where the loss decides, the last epoch is kept whatever its number;
    where early stopping does and has not stopped the fit, it raises ConvergenceError. `alpha` is the L2 penalty, in
    place of dropout. A row counts for each class that it has a share of. The same seed gives the same network on the
    same machine. (Oquab et al., CVPR 2014.)

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
        max_iter: int | None = None,
        patience: int | None = None,
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
        network = self._network(len(labels))
        with self._tolerating(network.max_iter):
            network.fit(X, labels, sample_weight=weights)
        # the optimiser, three times as large as the network, is not kept
        self.coefs_ = network.coefs_
        self.intercepts_ = network.intercepts_
        self.n_iter_ = network.n_iter_

    def _network(self, rows: int) -> MLPClassifier:
        """The unfitted network for this number of rows."""
        fitted = rows * (1 - self.validation_share) if self.early_stopping_ else rows
        steps = math.ceil(fitted / BATCH)
        epochs = max(EPOCHS, math.ceil(STEPS / steps))
        patience = max(PATIENCE, math.ceil(PATIENT_STEPS / steps))
        return MLPClassifier(
            hidden_layer_sizes=tuple(self.hidden),
            alpha=self.alpha,
            learning_rate_init=self.learning_rate,
            max_iter=epochs if self.max_iter is None else self.max_iter,
            early_stopping=self.early_stopping_,
            validation_fraction=self.validation_share,
            n_iter_no_change=patience if self.patience is None else self.patience,
            random_state=self.seed,
        )

    @contextmanager
    def _tolerating(self, epochs: int) -> Iterator[None]:
        """Accept the last epoch where the loss decides; raise ConvergenceError where early stopping has not stopped."""
        if self.early_stopping_:
            with converging("the MLP", iterations=epochs, step="raise max_iter or learning_rate"):
                yield
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                yield

    def _can_stop_early(self, labels: NDArray[np.int64]) -> bool:
        counts = np.bincount(labels)
        held_out = self.validation_share * len(labels)
        return bool(counts.min() >= 2 and held_out >= max(LEAST_HELD_OUT, len(counts)))

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        for coefficients, intercepts in zip(self.coefs_[:-1], self.intercepts_[:-1], strict=True):
            X = X @ coefficients
            X += intercepts
            np.maximum(X, 0, out=X)
        return both_sides(X @ self.coefs_[-1] + self.intercepts_[-1])
