"""LEEP reads the class scores of a source as what its card says they are."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part
from featx.transfer import leep, score_transferability
from featx.transfer.scores.source_classes import to_distributions
from tests.support.tables import make_table

ROWS = np.random.default_rng(4).normal(size=(100, 6))
LIKELY = np.exp(ROWS) / np.exp(ROWS).sum(axis=1, keepdims=True)
OWN = 1 / (1 + np.exp(-ROWS))
DIVIDED = OWN / OWN.sum(axis=1, keepdims=True)


def table_of(scores: NDArray[np.float64], **card: str) -> FeatureTable:
    """A table whose features are these class scores (100, 6)."""
    table = make_table((50, 50))
    known = {"name": "made", "dim": 6, "feature": "scores", "classifier": "scores"} | card
    source = replace(table.sources[0], card=known, stop=6)
    return replace(table, parts=(Part(scores.astype(np.float32)),), sources=(source,))


@pytest.mark.parametrize(
    ("scores", "kind", "expected"),
    [
        (ROWS, "logits", LIKELY),
        (np.log(LIKELY), "logits", LIKELY),
        (LIKELY, "softmax", LIKELY),
        (OWN, "sigmoid", DIVIDED),
        (ROWS, "sigmoid logits", DIVIDED),
        (ROWS, "", LIKELY),
        (LIKELY, "", LIKELY),
    ],
    ids=["logits", "log-probabilities", "softmax", "sigmoid", "before a sigmoid", "unknown logits", "unknown softmax"],
)
def test_leep_is_that_of_the_distribution_which_the_scores_stand_for(
    scores: NDArray[np.float64], kind: str, expected: NDArray[np.float64]
) -> None:
    np.testing.assert_allclose(to_distributions(scores, kind), expected)
    table = table_of(scores, classifier_kind=kind)
    (found,) = score_transferability(table, scores=["leep"], rows=np.arange(100)).rows
    assert found.value == pytest.approx(leep(expected, table.labels), abs=1e-5)


def test_logits_that_look_like_probabilities_are_logits_where_the_card_says_so() -> None:
    np.testing.assert_allclose(to_distributions(np.eye(3), "logits")[0, 1:], 1 / (np.e + 2))
    np.testing.assert_array_equal(to_distributions(np.eye(3), ""), np.eye(3))


def test_an_image_without_any_class_of_the_source_has_each_alike() -> None:
    np.testing.assert_array_equal(to_distributions(np.zeros((1, 4)), "sigmoid"), [[0.25] * 4])


def test_a_cache_of_an_older_version_is_read_without_a_kind() -> None:
    table = table_of(LIKELY)
    assert "classifier_kind" not in table.sources[0].card
    (found,) = score_transferability(table, scores=["leep"], rows=np.arange(100)).rows
    assert found.value == pytest.approx(leep(LIKELY, table.labels), abs=1e-5)
