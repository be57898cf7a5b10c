"""The linear layer that training begins at: logistic regression on the frozen features, the scaling folded into it."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from featx.estimators import (
    PENALTIES,
    FeatureScaler,
    LinearScores,
    SoftmaxRegression,
    fit_classifier,
    fold_steps,
    sweep,
)
from featx.labels import Labels
from featx.measures import row_values, to_probabilities

LEAST_PENALTY = 0.01
"""Below it, a fit to rows that can be told apart hardly ends, and gives coefficients that training must first undo."""
Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def fit_start(features: NDArray[np.float32], labels: Labels, *, folds: Folds) -> LinearScores:
    """Class scores of raw features, by a logistic regression of the features (n, V, d) of V views of n images.

    Every view is a row of weight 1 / V: the tail will be given single views, which differ more than their mean does.
    Columns are standardised, so that the scores are a linear function of the features. The penalty is the one with the
    lowest log loss at one view of each image, in these folds: pairs of positions to fit on and to hold out.
    """
    losses = defaultdict[float, float](float)
    for fit, held_out in folds:
        _add_losses(losses, features[:, 0], labels=labels, fit=fit, held_out=held_out)
    best = min(losses, key=lambda l2: losses[l2])
    count = features.shape[1]
    rows = features.reshape(-1, features.shape[2])
    scaler = FeatureScaler("standardise").fit(rows)
    shares = np.repeat(labels.shares, count, axis=0)
    weights = np.repeat(labels.weights / count, count)
    classifier = SoftmaxRegression(l2=best)
    fit_classifier(classifier, scaler.transform(rows), shares, sample_weight=weights)
    return fold_steps([scaler], classifier.held())


def _add_losses(
    losses: dict[float, float],
    features: NDArray[np.float32],
    *,
    labels: Labels,
    fit: NDArray[np.int64],
    held_out: NDArray[np.int64],
) -> None:
    """Add the log loss of the held-out rows with each penalty, in nats times weight."""
    scaler = FeatureScaler("standardise").fit(features[fit])
    known = labels.take(held_out)
    swept = sweep(
        SoftmaxRegression(),
        scaler.transform(features[fit]),
        labels.shares[fit],
        scaler.transform(features[held_out]),
        grid={"l2": [l2 for l2 in PENALTIES if l2 >= LEAST_PENALTY]},
        sample_weight=labels.weights[fit],
    )
    for params, scores in swept:
        values = row_values(to_probabilities(scores), known, measure="log_loss")
        losses[params["l2"]] += float(values @ known.weights)
