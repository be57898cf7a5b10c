"""The rival: kernel ridge regression on several layers, with scores of each row by fits without it."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge

from featx.cache import FeatureTable, Part
from featx.errors import FineTuningError
from featx.finetuning.layers import GAMMAS, PENALTIES, _Block, _fits, _left_out, _near, layer_probabilities
from featx.tables import make_splits
from tests.support.tables import make_source, make_table

RNG = np.random.default_rng(0)


def distances_of(table: FeatureTable, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return _near([_Block.of(part, rows) for part in table.parts])


def layers(counts: tuple[int, ...] = (30, 30), *, apart: float = 2.0) -> FeatureTable:
    """A table of two outputs, of which the first is wider."""
    first, second = make_table(counts, dim=9, apart=apart), make_table(counts, dim=4, apart=apart, seed=1)
    sources = (make_source(dim=9), make_source("second", dim=4, start=9))
    return replace(first, parts=(*first.parts, *second.parts), sources=sources)


def kernel_of(table: FeatureTable, rows: NDArray[np.int64], *, gamma: float) -> NDArray[np.float64]:
    """The kernel among rows as the docstring says it, by numpy alone."""
    far = []
    for part in table.parts:
        values = part.values[rows].astype(np.float64)
        values = (values - values.mean(axis=0)) / values.std(axis=0)
        far.append(((values[:, None] - values[None]) ** 2).mean(axis=2))
    return np.asarray(1 + np.exp(-gamma * np.mean(far, axis=0)))


def test_fits_are_those_of_scikit_learn() -> None:
    weights = RNG.uniform(0.5, 2, 60).astype(np.float32)
    table = replace(layers(), weights=weights)
    rows = np.arange(60)
    labels = table.labels_of(rows)
    fits = list(_fits(distances_of(table, rows), labels))
    assert len(fits) == len(GAMMAS) * len(PENALTIES)
    for place in (0, 4, len(PENALTIES), len(fits) - 1):
        gamma, l2 = GAMMAS[place // len(PENALTIES)], PENALTIES[place % len(PENALTIES)]
        kernel = kernel_of(table, rows, gamma=gamma)
        wanted = KernelRidge(alpha=l2, kernel="precomputed").fit(kernel, 2 * labels.shares - 1, sample_weight=weights)
        assert fits[place].gamma == gamma
        assert np.allclose(kernel @ fits[place].dual, wanted.predict(kernel), atol=2e-3)


@pytest.mark.parametrize("group", [1, 4], ids=["rows", "groups"])
def test_scores_of_rows_are_those_of_fits_without_them(group: int) -> None:
    table = layers((12, 12))
    rows = np.arange(24)
    weights = RNG.uniform(0.5, 2, 24)
    kernel = kernel_of(table, rows, gamma=0.3)
    targets = 2 * table.labels_of(rows).shares - 1
    units = [rows[start : start + group] for start in range(0, 24, group)]
    roots = np.sqrt(weights)[:, None]
    values, vectors = np.linalg.eigh(roots * kernel * roots.T)
    inverse = 1 / (values + 0.1)
    solved = vectors @ (inverse[:, None] * (vectors.T @ (roots * targets)))
    found = targets - _left_out(vectors, inverse, solved, units if group > 1 else []) / roots
    for unit in units:
        rest = np.setdiff1d(rows, unit)
        model = KernelRidge(alpha=0.1, kernel="precomputed")
        model.fit(kernel[np.ix_(rest, rest)], targets[rest], sample_weight=weights[rest])
        assert np.allclose(found[unit], model.predict(kernel[np.ix_(unit, rest)]), atol=1e-8)


def test_probabilities_sum_to_one_and_are_right_where_classes_are_apart() -> None:
    table = layers((40, 40, 40), apart=6.0)
    split = make_splits(table)[0]
    found = layer_probabilities(table, fit=split.development, rows=split.test)
    assert np.allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == table.labels[split.test]).mean() > 0.9


def test_an_output_has_its_say_whatever_its_width_and_scale() -> None:
    table = layers()
    split = make_splits(table)[0]
    first, second = (part.values.astype(np.float32) for part in table.parts)
    other = replace(table, parts=(Part((np.tile(first, 5) * 100 + 7).astype(np.float32)), Part(second)))
    found, expected = (layer_probabilities(one, fit=split.development, rows=split.test) for one in (other, table))
    assert np.allclose(found, expected, atol=1e-3)


def test_a_class_without_an_image_in_the_fit_has_probability_zero() -> None:
    table = layers((20, 20, 20))
    found = layer_probabilities(table, fit=np.r_[0:20, 40:60], rows=np.arange(5))
    assert (found[:, 1] == 0).all()
    assert np.allclose(found.sum(axis=1), 1)


def test_labels_of_the_rows_that_are_scored_make_no_difference() -> None:
    table = layers()
    split = make_splits(table)[0]
    changed = table.labels.copy()
    changed[split.test] = 1 - changed[split.test]
    found = layer_probabilities(replace(table, labels=changed), fit=split.development, rows=split.test)
    assert np.array_equal(found, layer_probabilities(table, fit=split.development, rows=split.test))


def test_images_of_one_class_are_refused() -> None:
    with pytest.raises(FineTuningError, match="of one class; give images of two classes"):
        layer_probabilities(layers(), fit=np.arange(20), rows=np.arange(20, 25))
