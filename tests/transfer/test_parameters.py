"""Parameters of a source head that a target takes over: what is moved, what is chosen, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline

import featx
from featx.cache import FeatureTable
from featx.errors import HeadError, TableError
from featx.estimators import FeatureScaler
from featx.heads import Head, Result, save_head
from featx.tables import Split, make_splits, select_rows
from featx.transfer.parameters.sources import linear_source
from tests.support.tables import make_source, make_table, with_columns

CLASSES = 3
FEW: dict[str, Any] = {"tuning": "validation", "jobs": 1}


def domain(seed: int, *, count: int = 40, classes: int = CLASSES, shift: float = 0.0) -> FeatureTable:
    """Images of a domain: the same classes at the same places, other images, all of them shifted."""
    whole = make_table((200,) * classes, dim=8, apart=1.5, seed=0)
    rng = np.random.default_rng(seed)
    rows = np.sort(np.concatenate([200 * one + rng.permutation(200)[:count] for one in range(classes)]))
    chosen = select_rows(whole, rows)
    shifted = (chosen.take(np.arange(len(rows))) + shift).astype(np.float32)
    part = replace(chosen.parts[0], values=shifted, rows=np.arange(len(rows)))
    return replace(chosen, parts=(part,), digest=f"domain{seed}")


def shuffled(table: FeatureTable) -> FeatureTable:
    return replace(table, labels=np.random.default_rng(0).permutation(table.labels))


def renamed(table: FeatureTable, *classes: str) -> FeatureTable:
    return replace(table, classes=classes)


def few(table: FeatureTable, shots: int = 2) -> Split:
    return make_splits(table, "few-shot", shots=[shots], repeats=1)[0]


@pytest.fixture(scope="module")
def source() -> Head:
    """A head of another domain."""
    return train(domain(1, count=100))


def train(table: FeatureTable, name: str = "ridge", **options: Any) -> Head:
    return featx.train_head(table, name, **FEW | options)[0]


def transfer(table: FeatureTable, *sources: Head, name: str = "ridge", **options: Any) -> tuple[Head, Result]:
    return featx.transfer_head(table, name, sources=sources, **FEW | options)


@pytest.mark.parametrize("name", ["logreg", "ridge", "linear-svm"])
def test_a_good_source_is_taken_over(name: str) -> None:
    target = domain(2)
    _, result = transfer(target, train(domain(1), name), name=name, split=few(target))
    assert result.transferred
    assert result.transferred.way == "drawn"
    assert result.transferred.gamma == result.transferred.sources[0].gamma > 0
    assert result.transferred.classes == target.classes


@pytest.mark.parametrize("name", ["ridge", "linear-svm"])
def test_a_source_whose_labels_were_shuffled_is_not_used(name: str) -> None:
    target = domain(2)
    _, result = transfer(target, train(shuffled(domain(1)), name), name=name, split=few(target, 10))
    assert result.transferred
    assert (result.transferred.way, result.transferred.gamma, result.transferred.classes) == ("target", 0, ())


def test_with_a_source_that_is_not_used_the_head_is_the_one_without_sources() -> None:
    target = domain(2)
    plain, expected = featx.train_head(target, "ridge", split=few(target, 10), **FEW)
    head, result = transfer(target, train(shuffled(domain(1))), split=few(target, 10))
    assert head.params == plain.params
    assert result.metrics == expected.metrics
    assert result.key != expected.key
    assert result.transferred
    assert "is not above chance" in result.transferred.sources[0].why


def test_a_source_that_contradicts_the_labels_is_not_used() -> None:
    target = domain(2)
    wrong = train(replace(domain(1, count=100), labels=np.array([1, 2, 0], np.int32)[domain(1, count=100).labels]))
    _, result = transfer(target, wrong, split=few(target, 10))
    assert result.transferred
    assert (result.transferred.way, result.transferred.gamma) == ("target", 0)
    assert result.transferred.sources[0].why.endswith("so it is not used")


@pytest.mark.parametrize("how", ["none", "standardise"])
def test_the_target_gets_the_mean_and_scale_that_the_source_has(how: str) -> None:
    source, target = domain(1, count=100), domain(2, count=150)
    part = replace(target.parts[0], values=5 * target.parts[0].values + 40)
    other = replace(target, parts=(part,))
    head = train(source)
    scaler = FeatureScaler(how).fit(source.features)  # type: ignore[arg-type]
    classifier = clone(head.pipeline["classifier"]).fit(scaler.transform(source.features), source.labels)
    head = replace(head, pipeline=Pipeline([("scaler", scaler), ("classifier", classifier)]))
    found = linear_source(head, other, classes=other.classes, name="ridge", seen=other.features)
    assert found.standardised is not None
    correct = [np.mean(one.of(other.features).argmax(axis=1) == other.labels) for one in found.variants]
    assert correct[0] > correct[1] + 0.05
    _, result = transfer(other, head, split=few(other, 1))
    assert result.transferred
    assert result.transferred.sources[0].standardised


@pytest.mark.exhaustive
def test_a_source_gives_the_target_more_than_its_few_labels(source: Head) -> None:
    target = domain(2, count=150)
    gains = []
    for split in make_splits(target, "few-shot", shots=[1], repeats=3):
        _, alone = featx.train_head(target, "ridge", split=split, **FEW)
        _, result = transfer(target, source, split=split)
        gains.append(result.value - alone.value)
    assert np.mean(gains) > 0.05


@pytest.mark.parametrize("name", ["logreg", "ridge", "linear-svm", "pca-logreg"])
def test_the_scores_of_the_source_are_those_of_its_head(name: str) -> None:
    table = domain(1)
    head = train(table, name)
    found = linear_source(head, table, classes=table.classes, name="logreg")
    rows = table.take(np.arange(len(table)))
    if found.normalises:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = found.scores.of(rows)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, head.predict_proba(table), atol=1e-4)


def test_classes_are_matched_by_name(source: Head) -> None:
    names = ("class2", "new", "class0")
    target = renamed(domain(2), *names)
    swapped = replace(target, labels=np.array([2, 0, 1], np.int32)[domain(2).labels])
    _, result = transfer(swapped, source, split=few(swapped))
    assert result.transferred
    (said,) = result.transferred.sources
    assert said.classes == ("class2", "class0")
    assert said.dropped == ("class1",)
    assert result.transferred.new_classes == ("new",)


def test_a_source_that_shares_one_class_is_refused(source: Head) -> None:
    target = renamed(domain(2), "class0", "x", "y")
    with pytest.raises(HeadError, match="two must be the same"):
        transfer(target, source, split=few(target))


def test_of_two_sources_the_wrong_one_is_left_out(source: Head) -> None:
    target = domain(2)
    _, result = transfer(target, train(shuffled(domain(3))), source, split=few(target))
    assert result.transferred
    assert [one.admitted for one in result.transferred.sources] == [False, True]


def test_images_of_the_source_can_be_pooled(source: Head) -> None:
    target = domain(2)
    pool = with_columns(domain(1, count=100), groups=np.arange(300))
    head, result = transfer(target, source, split=few(target), pool=pool)
    assert result.transferred
    assert set(result.transferred.losses) == {"target", "drawn", "pooled"}
    assert result.transferred.way in ("drawn", "pooled")
    assert head.predict(target).shape == (120,)


def test_pooled_images_of_a_tested_group_are_left_out(source: Head) -> None:
    target = with_columns(domain(2), groups=np.arange(120))
    pool = with_columns(domain(2), groups=np.arange(120))
    split = make_splits(target)[0]
    _, result = transfer(target, source, split=split, pool=pool)
    assert result.transferred
    assert result.transferred.images in (0, 120 - len(split.test))


@pytest.mark.parametrize("name", ["knn", "rbf-svm", "mlp", "class-mean"])
def test_a_head_that_is_not_drawn_is_refused(source: Head, name: str) -> None:
    with pytest.raises(HeadError, match="cannot be drawn towards a source; choose from logreg, ridge, linear-svm"):
        transfer(domain(2), source, name=name)


def test_a_source_without_coefficients_is_refused() -> None:
    with pytest.raises(HeadError, match="has no coefficients"):
        transfer(domain(2), train(domain(1), "class-mean"))


def test_scores_in_other_units_are_refused(source: Head) -> None:
    with pytest.raises(HeadError, match="in other units than those of 'linear-svm'"):
        transfer(domain(2), source, name="linear-svm")


def test_a_source_of_another_backbone_is_refused_with_both_named(source: Head) -> None:
    target = replace(domain(2), sources=(make_source("other", 8),))
    with pytest.raises(HeadError, match=r"made-up.*other"):
        transfer(target, source)


def test_images_to_pool_of_other_classes_or_backbones_are_refused(source: Head) -> None:
    for pool, said in (
        (renamed(domain(3), "x", "y", "z"), "two must be the same"),
        (replace(domain(3), sources=(make_source("other", 8),)), "extract both with the same backbones"),
    ):
        with pytest.raises(TableError, match=said):
            transfer(domain(2), source, pool=pool, split=few(domain(2)))


def test_a_drawn_head_is_saved_and_loaded_with_what_it_took_over(source: Head, tmp_path: Path) -> None:
    target = domain(2)
    head, result = transfer(target, source, split=few(target))
    save_head(head, tmp_path / "drawn.featx")
    loaded = featx.load_head(tmp_path / "drawn.featx")
    np.testing.assert_array_equal(loaded.predict_proba(target), head.predict_proba(target))
    assert loaded.training["transferred"]["gamma"] == result.transferred.gamma  # type: ignore[union-attr]
    assert Result.from_dict(loaded.training) == result


def test_a_source_that_brings_rows_to_length_1_does_so_on_the_target_too(source: Head) -> None:
    table, target = domain(1, count=100), domain(2)
    pipeline = featx.build_head("ridge").set_params(scaler__how="l2", classifier__l2=1.0)
    normalising = replace(source, pipeline=pipeline.fit(table.take(np.arange(len(table))), table.labels))
    fitted, result = transfer(target, normalising, split=few(target))
    assert result.transferred
    assert result.transferred.way == "drawn"
    assert fitted.pipeline[0].how == "l2"


def test_a_source_that_was_trained_on_the_same_images_is_named(source: Head, caplog: pytest.LogCaptureFixture) -> None:
    table = domain(1, count=100)
    transfer(table, source, split=few(table))
    assert "was trained on these same images" in caplog.text


def test_pooled_images_with_names_of_the_target_are_named(source: Head, caplog: pytest.LogCaptureFixture) -> None:
    target = domain(2)
    transfer(target, source, split=few(target), pool=target)
    assert "120 images to pool have the name of an image of the target" in caplog.text
