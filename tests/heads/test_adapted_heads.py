"""Heads behind an adapter, and with other shares of the classes, are saved and loaded like any other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx import load_head, save_head, train_head
from featx.errors import HeadError
from featx.estimators import CoralAdapter, DomainStandardiser, PriorShift, TrAdaBoost, TransportAdapter
from featx.estimators.domains.adapter import DomainAdapter
from featx.heads import Head
from tests.support.tables import make_table

SOURCE, TARGET = make_table((20, 20, 20), apart=4.0), make_table((12, 12, 12), apart=4.0, seed=1)
ADAPTERS = [DomainStandardiser(), DomainStandardiser(target_shares={0: 0.2, 1: 0.3, 2: 0.5}), CoralAdapter()]


@pytest.fixture(scope="module")
def head() -> Head:
    return train_head(SOURCE, "class-mean", jobs=1)[0]


def behind(head: Head, adapter: DomainAdapter) -> Head:
    """The head behind the adapter, fitted to source and target."""
    adapter = clone(adapter).fit_domains(SOURCE.features, TARGET.features, labels=SOURCE.labels)
    return replace(head, pipeline=Pipeline([("adapter", adapter), *head.pipeline.steps]))


def shifted(head: Head, ratio: NDArray[Any]) -> Head:
    *steps, (name, classifier) = head.pipeline.steps
    return replace(head, pipeline=Pipeline([*steps, (name, PriorShift(classifier, ratio * head.temperature))]))


@pytest.mark.parametrize("adapter", [*ADAPTERS, TransportAdapter()], ids=repr)
def test_a_saved_head_adapts_new_images_of_the_target(head: Head, adapter: DomainAdapter, tmp_path: Path) -> None:
    adapted = behind(head, adapter)
    save_head(adapted, tmp_path / "h.featx")
    loaded = load_head(tmp_path / "h.featx")
    expected = head.predict_probabilities(adapted.pipeline[0].transform(TARGET.features))
    assert np.array_equal(loaded.predict_probabilities(TARGET.features), expected)


def test_probabilities_follow_the_ratio_of_shares_whatever_the_temperature(head: Head, tmp_path: Path) -> None:
    cool = replace(head, temperature=3.0)
    ratio = np.array([0.2, 1.0, 5.0])
    save_head(shifted(cool, np.log(ratio)), tmp_path / "h.featx")
    found = load_head(tmp_path / "h.featx").predict_probabilities(TARGET.features)
    expected = cool.predict_probabilities(TARGET.features) * ratio
    assert np.allclose(found, expected / expected.sum(axis=1, keepdims=True))


def drop_a_mean(head: Head) -> None:
    head.pipeline[0].source_mean_ = head.pipeline[0].source_mean_[1:]


def add_a_number(head: Head) -> None:
    head.pipeline[0].offset_ = 1.0


def make_it_infinite(head: Head) -> None:
    head.pipeline[0].target_mean_ = np.full_like(head.pipeline[0].target_mean_, np.inf)


def flatten_the_map(head: Head) -> None:
    head.pipeline[0].map_ = head.pipeline[0].map_[:1]


@pytest.mark.parametrize(
    ("adapter", "change"),
    [
        *((one, change) for one in ADAPTERS[1:] for change in (drop_a_mean, add_a_number, make_it_infinite)),
        (TransportAdapter(), flatten_the_map),
    ],
)
def test_an_adapter_that_does_not_fit_the_columns_is_refused(
    head: Head, adapter: DomainAdapter, change: Callable[[Head], None], tmp_path: Path
) -> None:
    adapted = behind(head, adapter)
    change(adapted)
    save_head(adapted, tmp_path / "h.featx")
    with pytest.raises(HeadError, match="do not use this file"):
        load_head(tmp_path / "h.featx")


@pytest.mark.parametrize("ratio", [np.zeros(2), np.zeros(4), np.full(3, np.nan), np.zeros((1, 3))], ids=str)
def test_a_ratio_that_does_not_fit_the_classes_is_refused(head: Head, ratio: NDArray[Any], tmp_path: Path) -> None:
    save_head(shifted(head, ratio), tmp_path / "h.featx")
    with pytest.raises(HeadError, match="do not use this file"):
        load_head(tmp_path / "h.featx")


def test_a_head_of_another_kind_inside_is_refused(head: Head, tmp_path: Path) -> None:
    save_head(replace(shifted(head, np.zeros(3)), name="ridge"), tmp_path / "h.featx")
    with pytest.raises(HeadError, match="has a NearestClassMean, which this kind of head does not have"):
        load_head(tmp_path / "h.featx")


def boosted(head: Head) -> Head:
    *steps, (name, classifier) = head.pipeline.steps
    rows = Pipeline(steps).transform(np.vstack([SOURCE.features, TARGET.features]))
    domain = np.repeat([1, -1], [len(SOURCE), len(TARGET)])
    fitted = TrAdaBoost(classifier, rounds=4).fit(
        rows, np.concatenate([SOURCE.labels, TARGET.labels]), sample_domain=domain
    )
    return replace(head, pipeline=Pipeline([*steps, (name, fitted)]))


def test_a_boosted_head_is_saved_and_loaded(head: Head, tmp_path: Path) -> None:
    adapted = boosted(head)
    save_head(adapted, tmp_path / "h.featx")
    found = load_head(tmp_path / "h.featx").predict_probabilities(TARGET.features)
    assert np.array_equal(found, adapted.predict_probabilities(TARGET.features))


def test_a_boosted_head_with_too_few_votes_is_refused(head: Head, tmp_path: Path) -> None:
    adapted = boosted(head)
    adapted.pipeline[-1].votes_ = adapted.pipeline[-1].votes_[1:]
    save_head(adapted, tmp_path / "h.featx")
    with pytest.raises(HeadError, match="do not use this file"):
        load_head(tmp_path / "h.featx")
