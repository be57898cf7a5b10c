"""Estimators of our own: scikit-learn citizens that learn from class shares and try many parameters at once."""

from featx.estimators.scores import NO_CHANCE, Grid, class_scores, expand_shares, fit_classifier, spread_scores, sweep
from featx.estimators.softmax import SoftmaxRegression

__all__ = [
    "NO_CHANCE",
    "Grid",
    "SoftmaxRegression",
    "class_scores",
    "expand_shares",
    "fit_classifier",
    "spread_scores",
    "sweep",
]
