"""outputs: any tensor as a vector, pooled as numpy would; several in one pass; a wrong name finds its like."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.backbones import resolve_outputs
from featx.backbones.card import POOLINGS
from featx.errors import BackboneError
from tests.support.graphs import (
    FLOAT16,
    SIZE,
    Graph,
    assert_same,
    classifier,
    describe,
    normalised,
    open_model,
    random_pixels,
    run,
)

Tensor = NDArray[np.float32]
Pool = Callable[[Tensor, tuple[int, ...]], Tensor]


def mean(values: Tensor, places: tuple[int, ...]) -> Tensor:
    return np.asarray(values.mean(axis=places))


def largest(values: Tensor, places: tuple[int, ...]) -> Tensor:
    return np.asarray(values.max(axis=places))


def generalised(values: Tensor, places: tuple[int, ...]) -> Tensor:
    """The mean of Radenović, Tolias and Chum, 2018, with p = 3; what is below 0 counts as 0."""
    return np.asarray((np.maximum(values, 0).astype(np.float64) ** 3).mean(axis=places) ** (1 / 3), np.float32)


REFERENCE: dict[str, Pool] = {"mean": mean, "max": largest, "gem": generalised}


def nchw(graph: Graph) -> tuple[str, tuple[int, ...]]:
    """Maps of both signs (batch, 6, 8, 8), and the axes of their places."""
    return graph.conv(graph.maps(), 8, 6, into="tensor"), (2, 3)


def nhwc(graph: Graph) -> tuple[str, tuple[int, ...]]:
    """The same with the channels last."""
    return graph.add("Transpose", graph.conv(graph.maps(), 8, 6), perm=[0, 2, 3, 1], into="tensor"), (1, 2)


def cubic_nchw(graph: Graph) -> tuple[str, tuple[int, ...]]:
    """As many channels as rows and columns."""
    return graph.conv(graph.maps(), 8, 8, into="tensor"), (2, 3)


def cubic_nhwc(graph: Graph) -> tuple[str, tuple[int, ...]]:
    """The same with the channels last."""
    return graph.add("Transpose", graph.conv(graph.maps(), 8, 8), perm=[0, 2, 3, 1], into="tensor"), (1, 2)


def tokens(graph: Graph) -> tuple[str, tuple[int, ...]]:
    """Tokens (batch, 64, 6)."""
    flat = graph.add("Reshape", graph.conv(graph.maps(), 8, 6), graph.integers(0, 6, -1))
    return graph.add("Transpose", flat, perm=[0, 2, 1], into="tensor"), (1,)


def square_tokens(graph: Graph) -> tuple[str, tuple[int, ...]]:
    """As many tokens as numbers in each."""
    flat = graph.add("Reshape", graph.conv(graph.maps(), 8, 4, kernel=4, stride=4), graph.integers(0, 4, -1))
    return graph.add("Transpose", flat, perm=[0, 2, 1], into="tensor"), (1,)


def classified(graph: Graph, folder: Path) -> Path:
    """The model with a classifier beside the tensor."""
    pool = graph.add("Flatten", graph.add("GlobalAveragePool", "image"))
    return graph.save(folder / "m.onnx", graph.dense(pool, 3, 5, into="logits"), "tensor")


@pytest.mark.parametrize("pool", REFERENCE)
@pytest.mark.parametrize("build", [nchw, nhwc, cubic_nchw, cubic_nhwc, tokens, square_tokens])
def test_a_pooled_tensor_is_what_numpy_makes_of_it(
    tmp_path: Path, build: Callable[[Graph], tuple[str, tuple[int, ...]]], pool: str
) -> None:
    graph = Graph()
    _, places = build(graph)
    path, pixels = classified(graph, tmp_path), random_pixels(3)
    expected = REFERENCE[pool](run(path, normalised(pixels), "tensor")[0], places)
    assert_same(open_model(path, f"tensor:{pool}")(pixels), expected)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 19, 21])
@pytest.mark.parametrize("pool", REFERENCE)
def test_pooling_works_in_every_opset(tmp_path: Path, opset: int, pool: str) -> None:
    graph = Graph(opset=opset, ir=10 if opset > 19 else 8)
    _, places = nchw(graph)
    path, pixels = classified(graph, tmp_path), random_pixels(2)
    expected = REFERENCE[pool](run(path, normalised(pixels), "tensor")[0], places)
    assert_same(open_model(path, f"tensor:{pool}")(pixels), expected)


def test_the_class_token_is_the_first(tmp_path: Path) -> None:
    graph = Graph()
    tokens(graph)
    path, pixels = classified(graph, tmp_path), random_pixels(3)
    assert_same(open_model(path, "tensor:cls")(pixels), run(path, normalised(pixels), "tensor")[0][:, 0])


@pytest.mark.parametrize("build", [nchw, tokens])
def test_what_is_not_said_to_be_pooled_is_averaged(
    tmp_path: Path, build: Callable[[Graph], tuple[str, tuple[int, ...]]]
) -> None:
    graph = Graph()
    _, places = build(graph)
    path, pixels = classified(graph, tmp_path), random_pixels(3)
    card = describe(path, "tensor").card
    assert (card.feature, card.pool, card.dim) == ("tensor", "mean", 6)
    assert_same(open_model(path, "tensor")(pixels), run(path, normalised(pixels), "tensor")[0].mean(axis=places))


def test_of_tokens_with_a_class_token_that_one_is_taken_if_nothing_is_said(tmp_path: Path) -> None:
    graph = Graph()
    flat = graph.add("Reshape", graph.maps(), graph.integers(0, 8, 64))
    one = graph.add("Shape", "image")
    count = graph.add("Gather", one, graph.integers(0), axis=0)
    sides = graph.add("Concat", count, graph.integers(1, 8), axis=0)
    token = graph.add("Expand", graph.draw(1, 1, 8), sides)
    mixed = graph.add("Concat", token, graph.add("Transpose", flat, perm=[0, 2, 1]), axis=1)
    graph.add("Softmax", mixed, into="tensor", axis=1)
    path, pixels = classified(graph, tmp_path), random_pixels(3)
    assert describe(path, "tensor").card.pool == "cls"
    assert_same(open_model(path, "tensor")(pixels), run(path, normalised(pixels), "tensor")[0][:, 0])


def test_a_map_of_half_precision_is_pooled_in_single(tmp_path: Path) -> None:
    graph = Graph()
    maps = graph.add("Mul", graph.maps(), graph.store(np.float32(2000)))
    graph.add("Cast", maps, into="tensor", to=FLOAT16)
    path, pixels = classified(graph, tmp_path), random_pixels(3)
    values = run(path, normalised(pixels), "tensor")[0]
    assert values.dtype == np.float16
    found = open_model(path, "tensor:gem")(pixels)
    assert found.dtype == np.float32
    assert_same(found, generalised(values.astype(np.float32), (2, 3)))


def test_a_quantised_map_is_pooled_on_its_scale(tmp_path: Path) -> None:
    graph = Graph()
    scale, zero = graph.store(np.float32(0.05)), graph.store(np.uint8(7))
    graph.add("QuantizeLinear", graph.maps(into="exact"), scale, zero, into="packed")
    graph.add("DequantizeLinear", "packed", scale, zero, into="tensor")
    path, pixels = classified(graph, tmp_path), random_pixels(3)
    expected = run(path, normalised(pixels), "tensor")[0].max(axis=(2, 3))
    assert_same(open_model(path, "packed:max")(pixels), expected)


def test_a_map_of_one_place_is_a_vector(tmp_path: Path) -> None:
    graph = Graph()
    graph.add("GlobalMaxPool", graph.maps(), into="tensor")
    path, pixels = classified(graph, tmp_path), random_pixels(3)
    card = describe(path, "tensor").card
    assert (card.pool, card.dim) == ("", 8)
    assert_same(open_model(path, "tensor")(pixels), run(path, normalised(pixels), "tensor")[0][:, :, 0, 0])


def test_a_vector_cannot_be_pooled(tmp_path: Path) -> None:
    with pytest.raises(
        BackboneError, match=r"'pooled' has 2 axes, but pooling 'mean' needs 3 or 4; leave the pooling out"
    ):
        describe(classifier(tmp_path), "pooled:mean")


# ---- several outputs


def test_outputs_stand_side_by_side_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    path, pixels = classifier(tmp_path), random_pixels(3)
    maps, pooled, logits = run(path, normalised(pixels), "relu_3", "pooled", "logits")
    session = open_model(path, "logits", "relu_3:max", "pooled", "relu_3:gem")
    parts = [logits, maps.max(axis=(2, 3)), pooled, generalised(maps, (2, 3))]
    assert [output.name for output in session.outputs] == ["logits", "relu_3:max", "pooled", "relu_3:gem"]
    assert [output.dim for output in session.outputs] == [5, 8, 8, 8]
    found = np.split(session(pixels), np.cumsum([part.shape[1] for part in parts])[:-1], axis=1)
    for one, expected in zip(found, parts, strict=True):
        assert_same(one, expected)


def test_the_first_output_is_the_feature_and_the_others_stand_beside_it(tmp_path: Path) -> None:
    card = describe(classifier(tmp_path), "relu_3:max", "pooled").card
    assert (card.feature, card.pool, card.dim, card.width) == ("relu_3:max", "max", 8, 16)
    assert [(output.name, output.dim, output.pool) for output in card.outputs] == [("pooled", 8, "")]


def test_an_output_that_another_output_is_made_of_can_be_taken_too(tmp_path: Path) -> None:
    path, pixels = classifier(tmp_path), random_pixels(2)
    both = open_model(path, "pooled", "logits")(pixels)
    assert_same(both[:, :8], open_model(path, "pooled")(pixels))
    assert_same(both[:, 8:], open_model(path, "logits")(pixels))


# ---- names


def test_a_name_with_a_colon_is_a_name(tmp_path: Path) -> None:
    graph = Graph()
    graph.maps(into="model/relu:0")
    graph.add("Identity", "model/relu:0", into="tensor")
    path, pixels = classified(graph, tmp_path), random_pixels(2)
    maps = run(path, normalised(pixels), "model/relu:0")[0]
    assert_same(open_model(path, "model/relu:0")(pixels), maps.mean(axis=(2, 3)))
    assert_same(open_model(path, "model/relu:0:max")(pixels), maps.max(axis=(2, 3)))


def test_a_tensor_that_is_called_like_a_pooling_is_itself(tmp_path: Path) -> None:
    graph = Graph()
    maps = graph.maps(into="maps")
    graph.add("Flatten", graph.add("GlobalMaxPool", maps), into="maps:mean")
    graph.add("Identity", "maps:mean", into="tensor")
    path, pixels = classified(graph, tmp_path), random_pixels(2)
    assert_same(open_model(path, "maps:mean")(pixels), run(path, normalised(pixels), "maps:mean")[0])


@pytest.mark.parametrize("name", ["poolde", "poolde:max"])
def test_an_unknown_tensor_is_refused_with_near_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackboneError, match=rf"made\.onnx: no tensor '{name}' \(did you mean pooled.*featx inspect"):
        resolve_outputs(classifier(tmp_path), [name], size=SIZE)


@pytest.mark.parametrize("name", ["relu_3:median", "relu_3:", ":mean", "", "relu_3:mean:max"])
def test_an_unknown_pooling_is_refused_with_those_that_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackboneError) as caught:
        resolve_outputs(classifier(tmp_path), [name], size=SIZE)
    assert repr(name) in str(caught.value)
    assert ", ".join(POOLINGS) in str(caught.value)


@pytest.mark.parametrize("name", ["image", "weight_0", "image:mean"])
def test_an_input_or_a_weight_is_no_output(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackboneError, match=f"no tensor '{name}'"):
        resolve_outputs(classifier(tmp_path), [name], size=SIZE)


def test_an_output_that_needs_another_input_is_refused_with_that(tmp_path: Path) -> None:
    graph = Graph()
    other = graph.take("mask", 1, "batch", 8)
    masked: dict[str, Any] = {"into": "tensor"}
    graph.add("Mul", graph.pooled(), other, **masked)
    with pytest.raises(BackboneError, match=r"\['mask'\].*'tensor'"):
        describe(classified(graph, tmp_path), "tensor")


def test_a_map_has_no_class_token(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="cls"):
        describe(classifier(tmp_path), "relu_3:cls")
