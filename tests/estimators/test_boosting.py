"""TrAdaBoost is Dai's algorithm for two classes, follows SAMME for more, and always gives an answer."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.naive_bayes import GaussianNB

from featx.errors import HeadError
from featx.estimators.class_mean import NearestClassMean
from featx.estimators.domains.boosting import TrAdaBoost
from featx.estimators.scores import class_scores
from featx.estimators.softmax import SoftmaxRegression

MODEL = SoftmaxRegression(0.1)


def two_domains(
    *, source: int = 200, target: int = 20, classes: int = 2, contrary: bool = False, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rows, labels and domains; the target is shifted, or says the opposite of the source."""
    rng = np.random.default_rng(seed)
    labels = np.arange(source + target) % classes
    domain = np.where(np.arange(source + target) < source, 1, -1)
    rows = rng.normal(size=(source + target, 3)) + 2 * np.eye(max(classes, 3))[labels][:, :3]
    rows[domain < 0] = rows[domain < 0] * (-1 if contrary else 1) + (0 if contrary else 1)
    return rows, labels, domain


def dai(
    rows: NDArray[Any], labels: NDArray[Any], domain: NDArray[Any], *, rounds: int, new: NDArray[Any]
) -> NDArray[Any]:
    """Which class (m,) of 0 and 1 new rows have by algorithm 1 of the paper, row by row."""
    source = [row for row, one in enumerate(domain) if one > 0]
    target = [row for row, one in enumerate(domain) if one < 0]
    weight = np.ones(len(rows))
    beta = 1 / (1 + np.sqrt(2 * np.log(len(source)) / rounds))
    says, betas = [], []
    for _ in range(rounds):
        weight *= len(rows) / weight.sum()
        hypothesis = SoftmaxRegression(0.1).fit(rows, labels, weight)
        found = hypothesis.predict(rows)
        error = sum(weight[row] for row in target if found[row] != labels[row]) / sum(weight[row] for row in target)
        assert 0.01 < error < 0.5, "the data are such that no special case arises"
        for row in source:
            weight[row] *= beta ** (found[row] != labels[row])
        for row in target:
            weight[row] *= (error / (1 - error)) ** -float(found[row] != labels[row])
        says.append(hypothesis.predict(new))
        betas.append(error / (1 - error))
    half = range(rounds // 2, rounds)
    yes = np.prod([betas[t] ** -says[t].astype(float) for t in half], axis=0)
    return np.asarray(yes >= np.prod([betas[t] ** -0.5 for t in half]))


@pytest.mark.parametrize(("seed", "rounds"), [(4, 4), (7, 6), (16, 6)])
def test_for_two_classes_it_is_the_algorithm_of_the_paper(seed: int, rounds: int) -> None:
    rows, labels, domain = two_domains(target=60, seed=seed)
    new = np.random.default_rng(9).normal(size=(300, 3)) + 1
    fitted = TrAdaBoost(MODEL, rounds=rounds).fit(rows, labels, sample_domain=domain)
    assert np.array_equal(fitted.predict(new), dai(rows, labels, domain, rounds=rounds, new=new))


def test_a_source_that_says_the_opposite_is_unlearnt() -> None:
    rows, labels, domain = two_domains(target=30, contrary=True)
    new, truth, _ = two_domains(source=0, target=200, contrary=True, seed=1)
    plain = SoftmaxRegression().fit(rows, labels)
    boosted = TrAdaBoost(rounds=20).fit(rows, labels, sample_domain=domain)
    assert plain.score(new, truth) < 0.3
    assert boosted.score(new, truth) > 0.7


@pytest.mark.parametrize("classifier", [None, NearestClassMean(), GaussianNB()], ids=str)
@pytest.mark.parametrize("classes", [2, 4])
def test_any_classifier_that_takes_weights_is_boosted(classifier: Any, classes: int) -> None:
    rows, labels, domain = two_domains(classes=classes, target=40)
    fitted = TrAdaBoost(classifier).fit(rows, labels, sample_domain=domain)
    assert fitted.score(rows[domain < 0], labels[domain < 0]) > 1.3 / classes
    scores = class_scores(fitted, rows)
    assert scores.shape == (len(rows), classes)
    assert np.isfinite(scores).all()


def test_a_target_that_is_told_without_error_gives_even_votes() -> None:
    rows, labels, domain = two_domains()
    rows[:, 0] += 20 * labels
    fitted = TrAdaBoost(rounds=6).fit(rows, labels, sample_domain=domain)
    assert np.allclose(fitted.votes_, np.log(99))
    assert len(fitted.votes_) == 3


def test_without_a_round_better_than_chance_all_rounds_vote_equally() -> None:
    rows, labels, domain = two_domains(target=10, contrary=True)
    fitted = TrAdaBoost(NearestClassMean(), rounds=1).fit(rows, labels, sample_domain=domain)
    assert fitted.votes_.tolist() == [1.0]
    assert fitted.score(rows[domain < 0], labels[domain < 0]) < 0.5


def test_classes_that_one_domain_lacks_are_learnt_too() -> None:
    rows, labels, domain = two_domains(classes=3, target=30)
    labels[(domain < 0) & (labels == 0)] = 1
    fitted = TrAdaBoost().fit(rows, labels, sample_domain=domain)
    assert fitted.classes_.tolist() == [0, 1, 2]
    labels[(domain > 0) & (labels == 2)] = 1
    assert TrAdaBoost().fit(rows, labels, sample_domain=domain).classes_.tolist() == [0, 1, 2]


def test_rows_without_weight_and_classes_without_share_keep_their_place() -> None:
    rows, labels, domain = two_domains(target=30)
    weights = (np.arange(len(rows)) % 5 > 0).astype(float)
    kept = weights > 0
    weighted = TrAdaBoost(MODEL).fit_soft(rows, np.eye(4)[labels + 1], weights, sample_domain=domain)
    without = TrAdaBoost(MODEL).fit(rows[kept], labels[kept], sample_domain=domain[kept])
    assert np.array_equal(weighted.predict(rows), without.predict(rows) + 1)
    assert weighted.classes_.tolist() == [0, 1, 2, 3]


def test_a_target_without_weight_and_no_rounds_are_errors() -> None:
    rows, labels, domain = two_domains()
    with pytest.raises(HeadError, match="no row of the target has a weight above 0"):
        TrAdaBoost().fit(rows, labels, (domain > 0).astype(float), sample_domain=domain)
    with pytest.raises(HeadError, match="rounds is 0; boosting needs at least 1"):
        TrAdaBoost(rounds=0).fit(rows, labels, sample_domain=domain)
    with pytest.raises(HeadError, match="above 0 for the source and below 0 for the target"):
        TrAdaBoost().fit(rows, labels, sample_domain=domain[1:])
