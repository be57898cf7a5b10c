"""Class scores move with the shares of the classes, and by nothing else."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from featx.estimators.class_mean import NearestClassMean
from featx.estimators.domains.priors import PriorShift
from featx.estimators.scores import class_scores
from featx.estimators.softmax import SoftmaxRegression
from tests.support.learning import blobs


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_multiplied_by_the_ratio_of_shares(classes: int) -> None:
    X, y, new = blobs(classes=classes)
    model = SoftmaxRegression().fit(X, y)
    ratio = np.arange(1, classes + 1) / 3
    expected = model.predict_proba(new) * ratio
    shifted = PriorShift(model, np.log(ratio))
    assert np.allclose(shifted.predict_proba(new), expected / expected.sum(axis=1, keepdims=True))
    assert np.array_equal(shifted.predict(new), expected.argmax(axis=1))


def test_a_classifier_of_even_classes_becomes_that_of_the_target_by_the_law_of_bayes() -> None:
    rng = np.random.default_rng(0)
    even, few = np.repeat([0, 1], 4000), np.repeat([0, 1], [7600, 400])
    rows, new = (rng.normal(size=(len(y), 1)) + 2 * y[:, np.newaxis] for y in (even, few))
    model = SoftmaxRegression(1e-3).fit(rows, even)
    shifted = PriorShift(model, np.log([0.95 / 0.5, 0.05 / 0.5]))
    trained_there = SoftmaxRegression(1e-3).fit(new, few)
    assert np.abs(shifted.predict_proba(new) - trained_there.predict_proba(new)).max() < 0.05
    assert shifted.score(new, few) > model.score(new, few) + 0.05


def test_equal_shares_change_nothing_and_words_stay_classes() -> None:
    X, y, new = blobs()
    model = NearestClassMean().fit(X, np.array(["cat", "dog", "eel"])[y])
    shifted = PriorShift(model, np.zeros(3))
    assert np.array_equal(class_scores(shifted, new), class_scores(model, new))
    assert shifted.predict(new).tolist() == model.predict(new).tolist()
    assert (shifted.n_features_in_, list(shifted.classes_)) == (X.shape[1], ["cat", "dog", "eel"])


def test_the_classifier_stays_fitted_whatever_is_done_to_what_wraps_it() -> None:
    X, y, new = blobs()
    shifted = PriorShift(SoftmaxRegression().fit(X, y), np.zeros(3))
    before = shifted.predict_proba(new)
    assert np.array_equal(clone(shifted).fit(new, y[: len(new)][::-1]).predict_proba(new), before)
    with pytest.raises(NotFittedError):
        PriorShift(SoftmaxRegression(), np.zeros(3)).fit(X, y)
