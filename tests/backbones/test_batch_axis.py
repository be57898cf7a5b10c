"""batch: an axis that an exporter fixed is freed where features stay the same, and never where they would not."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper

from featx.backbones import FeatureSession
from featx.backbones.graph.surgery import prepare_graph
from featx.cache import read_features
from featx.errors import BackboneError
from tests.conftest import Ran
from tests.support.graphs import (
    FLOAT,
    ZOO,
    Graph,
    assert_same,
    classifier,
    describe,
    normalised,
    open_model,
    random_pixels,
    rewrite,
    run,
)

COUNTS = (1, 3, 4, 9)
PLACES, WIDTH, HEADS = 4, 8, 2
"""Tokens of a graph, numbers in each, and attention heads: as many tokens as images, where four are fixed."""


def tokens(graph: Graph, batch: int, *, shape: tuple[int, ...] | None = None) -> str:
    """Tokens (batch, PLACES, WIDTH) of the image, by a shape that fixes the batch."""
    patches = graph.conv("image", 3, WIDTH, kernel=8, stride=8)
    flat = graph.add("Reshape", patches, graph.integers(*(shape or (batch, WIDTH, PLACES))))
    return graph.add("Transpose", flat, perm=[0, 2, 1])


def head(graph: Graph, data: str) -> str:
    """The mean of the tokens, and a dense layer."""
    return graph.dense(graph.add("ReduceMean", data, axes=[1], keepdims=0, into="read"), WIDTH, 5, into="logits")


def first_token(graph: Graph, data: str) -> str:
    """The first of the tokens, and a dense layer."""
    one = graph.add("Gather", data, graph.store(np.int64(0)), axis=1, into="read")
    return graph.dense(one, WIDTH, 5, into="logits")


def a_flattened_map(graph: Graph, batch: int) -> str:
    flat = graph.add("Reshape", graph.maps(), graph.integers(batch, 8 * 64), into="read")
    return graph.dense(flat, 8 * 64, 5, into="logits")


def a_map_flattened_but_for_its_length(graph: Graph, batch: int) -> str:
    flat = graph.add("Reshape", graph.maps(), graph.integers(batch, -1), into="read")
    return graph.dense(flat, 8 * 64, 5, into="logits")


def nothing_fixed_but_the_input(graph: Graph, batch: int) -> str:
    return graph.dense(graph.pooled(into="read"), 8, 5, into="logits")


def tokens_by_a_fixed_shape(graph: Graph, batch: int) -> str:
    return head(graph, tokens(graph, batch))


def a_class_token_stored_for_every_image(graph: Graph, batch: int) -> str:
    token = graph.store(np.tile(graph.rng.normal(size=(1, 1, WIDTH)), (batch, 1, 1)).astype(np.float32))
    mixed = graph.add("Concat", token, tokens(graph, batch), axis=1)
    return head(graph, graph.add("Softmax", mixed, axis=1))


def a_class_token_expanded_to_a_fixed_shape(graph: Graph, batch: int) -> str:
    token = graph.add("Expand", graph.draw(1, 1, WIDTH), graph.integers(batch, 1, WIDTH))
    mixed = graph.add("Concat", token, tokens(graph, batch), axis=1)
    return first_token(graph, graph.add("Softmax", mixed, axis=1))


def a_class_token_tiled(graph: Graph, batch: int) -> str:
    token = graph.add("Tile", graph.draw(1, 1, WIDTH), graph.integers(batch, 1, 1))
    mixed = graph.add("Concat", token, tokens(graph, batch), axis=1)
    return first_token(graph, graph.add("Softmax", mixed, axis=1))


def places_stored_for_every_image(graph: Graph, batch: int) -> str:
    places = graph.store(np.tile(graph.rng.normal(size=(1, PLACES, WIDTH)), (batch, 1, 1)).astype(np.float32))
    return head(graph, graph.add("Relu", graph.add("Add", tokens(graph, batch), places)))


def attention_as_torch_has_it(graph: Graph, batch: int) -> str:
    """As nn.MultiheadAttention: time first, and the batch merged with the heads."""
    size = WIDTH // HEADS
    time_first = graph.add("Transpose", tokens(graph, batch), perm=[1, 0, 2])
    flat = graph.add("Reshape", time_first, graph.integers(PLACES * batch, WIDTH))
    parts = []
    for _ in range(3):
        part = graph.add("Reshape", graph.dense(flat, WIDTH, WIDTH), graph.integers(PLACES, batch * HEADS, size))
        parts.append(graph.add("Transpose", part, perm=[1, 0, 2]))
    query, key, value = parts
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 2, 1]))
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    back = graph.add("Reshape", graph.add("Transpose", mixed, perm=[1, 0, 2]), graph.integers(PLACES * batch, WIDTH))
    whole = graph.add("Reshape", graph.dense(back, WIDTH, WIDTH), graph.integers(PLACES, batch, WIDTH))
    return head(graph, graph.add("Transpose", whole, perm=[1, 0, 2]))


def attention_as_timm_has_it(graph: Graph, batch: int) -> str:
    """Query, key and value as one matrix, cut apart behind a reshape to five axes."""
    size, data = WIDTH // HEADS, tokens(graph, batch)
    mixed = graph.add("MatMul", data, graph.draw(WIDTH, 3 * WIDTH))
    five = graph.add("Reshape", mixed, graph.integers(batch, PLACES, 3, HEADS, size))
    turned = graph.add("Transpose", five, perm=[2, 0, 3, 1, 4])
    query, key, value = (graph.add("Gather", turned, graph.store(np.int64(place)), axis=0) for place in range(3))
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
    back = graph.add("Transpose", graph.add("MatMul", graph.add("Softmax", scores), value), perm=[0, 2, 1, 3])
    return head(graph, graph.add("Add", data, graph.add("Reshape", back, graph.integers(batch, PLACES, WIDTH))))


def windows_of_a_map(graph: Graph, batch: int) -> str:
    """As Swin: windows of the map beside the batch, mixed, and put back."""
    nhwc = graph.add("Transpose", graph.maps(), perm=[0, 2, 3, 1])
    six = graph.add("Reshape", nhwc, graph.integers(batch, 2, 4, 2, 4, 8))
    windows = graph.add("Transpose", six, perm=[0, 1, 3, 2, 4, 5])
    windows = graph.add("Reshape", windows, graph.integers(batch * 4, 16, 8))
    mixed = graph.add("Softmax", graph.add("MatMul", windows, graph.draw(8, 8)), axis=1)
    six = graph.add(
        "Transpose", graph.add("Reshape", mixed, graph.integers(batch, 2, 2, 4, 4, 8)), perm=[0, 1, 3, 2, 4, 5]
    )
    return head(graph, graph.add("Reshape", six, graph.integers(batch, 64, 8)))


def shuffled_channels(graph: Graph, batch: int) -> str:
    """As ShuffleNet."""
    five = graph.add("Reshape", graph.maps(), graph.integers(batch, 2, 4, 8, 8))
    back = graph.add("Reshape", graph.add("Transpose", five, perm=[0, 2, 1, 3, 4]), graph.integers(batch, 8, 8, 8))
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv(back, 8, 8)), into="read")
    return graph.dense(pooled, 8, 5, into="logits")


def group_norm(graph: Graph, batch: int) -> str:
    three = graph.add("Reshape", graph.maps(), graph.integers(batch, 2, 256))
    ones = graph.store(np.array([0.5, 2], np.float32))
    normed = graph.add("InstanceNormalization", three, ones, graph.draw(2))
    pooled = graph.add("GlobalAveragePool", graph.add("Reshape", normed, graph.integers(batch, 8, 8, 8)))
    return graph.dense(graph.add("Flatten", pooled, into="read"), 8, 5, into="logits")


def a_shape_that_is_worked_out(graph: Graph, batch: int) -> str:
    maps = graph.maps()
    length = graph.add("Gather", graph.add("Shape", maps), graph.integers(0), axis=0)
    flat = graph.add("Reshape", maps, graph.add("Concat", length, graph.integers(-1), axis=0), into="read")
    return graph.dense(flat, 8 * 64, 5, into="logits")


def zeros_of_a_fixed_shape(graph: Graph, batch: int) -> str:
    data = tokens(graph, batch)
    zeros = graph.add("ConstantOfShape", graph.integers(batch, 1, WIDTH))
    return head(graph, graph.add("Softmax", graph.add("Concat", zeros, data, axis=1), axis=1))


def a_squeezed_batch_of_one(graph: Graph, batch: int) -> str:
    """Two axes put in front of the batch, and taken out again."""
    data = graph.add("Unsqueeze", graph.pooled(), graph.integers(0, 2))
    back = graph.add("Squeeze", graph.add("Relu", data), graph.integers(0, 2), into="read")
    return graph.dense(back, 8, 5, into="logits")


FREED = [
    a_flattened_map,
    a_map_flattened_but_for_its_length,
    nothing_fixed_but_the_input,
    tokens_by_a_fixed_shape,
    a_class_token_stored_for_every_image,
    a_class_token_expanded_to_a_fixed_shape,
    a_class_token_tiled,
    places_stored_for_every_image,
    attention_as_torch_has_it,
    attention_as_timm_has_it,
    windows_of_a_map,
    shuffled_channels,
    group_norm,
    a_shape_that_is_worked_out,
    zeros_of_a_fixed_shape,
    a_squeezed_batch_of_one,
]
Build = Callable[[Graph, int], str]


def features_of(path: Path, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
    """The tensor `read` of the model alone, as many images at a time as it takes; the last are filled up with black."""
    lacking = -len(pixels) % batch
    filled = np.concatenate([pixels, np.zeros((lacking, *pixels.shape[1:]), np.uint8)])
    values: NDArray[np.float32] = run(path, normalised(filled), "read", batch=batch)[0]
    return values.reshape(len(filled), -1)[: len(pixels)]


def assert_takes_any_number(session: FeatureSession, path: Path, batch: int) -> None:
    """Fail unless the session gives every number of images the features that the model alone gives them."""
    for count in COUNTS:
        pixels = random_pixels(count, seed=count)
        assert_same(session(pixels), features_of(path, pixels, batch))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("build", FREED)
def test_a_fixed_batch_is_freed_and_features_stay_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, build: Build, batch: int
) -> None:
    graph = Graph(batch, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", build(graph, batch))
    session = open_model(path, "read")
    assert session.batch is None
    assert not caplog.records
    assert_takes_any_number(session, path, batch)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_feature_is_that_of_its_own_image_whatever_its_neighbours(tmp_path: Path, batch: int) -> None:
    graph = Graph(batch, 3, 16, 16)
    session = open_model(graph.save(tmp_path / "m.onnx", attention_as_torch_has_it(graph, batch)), "read")
    pixels = random_pixels(5)
    alone = np.concatenate([session(pixels[place : place + 1]) for place in range(5)])
    assert_same(session(pixels), alone)


def test_a_free_batch_is_left_as_it_is(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    prepared = prepare_graph(describe(path))
    assert (prepared.batch, prepared.freed) == (None, False)
    pixels = random_pixels(3)
    assert_same(open_model(path)(pixels), run(path, normalised(pixels), "pooled")[0])


def test_a_batch_that_only_the_input_fixes_is_said_to_be_freed(tmp_path: Path) -> None:
    graph = Graph(4, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", nothing_fixed_but_the_input(graph, 4))
    prepared = prepare_graph(describe(path))
    assert (prepared.batch, prepared.freed) == (4, True)
    assert not prepare_graph(describe(path), keep_batch=True).freed


def test_several_outputs_are_freed_together(tmp_path: Path) -> None:
    graph = Graph(1, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", attention_as_timm_has_it(graph, 1))
    map_ = next(node.output[0] for node in graph.nodes if node.op_type == "Conv")
    session, pixels = open_model(path, "read", f"{map_}:max"), random_pixels(3)
    read, maps = run(path, normalised(pixels), "read", map_, batch=1)
    assert session.batch is None
    assert_same(session(pixels), np.concatenate([read, maps.max(axis=(2, 3))], axis=1))


# ---- what cannot be freed


def places_across_the_batch(graph: Graph, batch: int) -> str:
    """Numbers taken out of all images laid end to end, by places that only this many images have."""
    line = graph.add("Reshape", graph.maps(), graph.integers(-1))
    places = graph.rng.permutation(8 * 64)[:6] + np.arange(batch)[:, None] * 8 * 64
    taken = graph.add("Gather", line, graph.store(places.ravel()), axis=0)
    return graph.dense(graph.add("Reshape", taken, graph.integers(batch, 6), into="read"), 6, 5, into="logits")


def a_mean_over_the_batch(graph: Graph, batch: int) -> str:
    """What runs with any number of images, but is then something else."""
    data = graph.pooled()
    mean = graph.add("ReduceMean", data, axes=[0], keepdims=1)
    graph.add("Add", graph.add("Mul", mean, graph.draw(8)), data, into="read")
    return graph.dense("read", 8, 5, into="logits")


@pytest.mark.parametrize(
    ("build", "why", "batch"),
    [
        (places_across_the_batch, "does not run at another size", 1),
        (places_across_the_batch, "does not run at another size", 4),
        (a_mean_over_the_batch, "features differ", 1),
    ],
)
def test_a_batch_that_cannot_be_freed_is_kept_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, build: Build, why: str, batch: int
) -> None:
    graph = Graph(batch, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", build(graph, batch))
    with caplog.at_level(logging.WARNING, logger="featx"):
        session = open_model(path, "read")
    assert session.batch == batch
    record = caplog.records[-1]
    for word in (str(path), f"{batch} images", why):
        assert word in record.getMessage()
    assert_takes_any_number(session, path, batch)


@pytest.mark.parametrize("operator", ["Reshape", "Einsum"])
def test_a_damaged_node_is_refused_by_the_name_of_the_model(tmp_path: Path, operator: str) -> None:
    graph = Graph(4, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 5, into="logits"))
    backbone = describe(path)

    def damage(model: ModelProto) -> None:
        node = model.graph.node[0]
        model.graph.node.insert(0, helper.make_node(operator, [node.input[0]], ["damaged"]))
        node.input[0] = "damaged"
        model.graph.value_info.append(helper.make_tensor_value_info("damaged", FLOAT, [4, 3, 16, 16]))

    rewrite(path, damage)
    with pytest.raises(BackboneError, match=r"m\.onnx: not a readable ONNX model"):
        prepare_graph(backbone)


def test_a_mean_over_a_batch_that_is_kept_is_taken_of_one_image_among_black_ones(tmp_path: Path) -> None:
    graph = Graph(4, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", a_mean_over_the_batch(graph, 4))
    session, pixels = open_model(path, "read"), random_pixels(5)
    assert (session.step, session.batch) == (1, 4)
    assert np.array_equal(session(pixels)[[3, 1]], session(pixels[[3, 1]]))


def test_no_images_are_no_features_where_the_batch_is_kept(tmp_path: Path) -> None:
    graph = Graph(4, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", places_across_the_batch(graph, 4))
    assert open_model(path, "read")(random_pixels(0)).shape == (0, 6)


def test_extracting_with_a_kept_batch_warns_and_loses_no_row(
    tmp_path: Path, make_folder: Callable[..., Path], featx: Callable[..., Ran]
) -> None:
    graph = Graph(4, 3, 16, 16)
    path = graph.save(tmp_path / "m.onnx", places_across_the_batch(graph, 4))
    flags = ["--size", 16, "--mean", 127, "--std", 64, "--output", "read"]
    added = featx("backbones", "add", path, "--name", "kept", "--models", tmp_path / "models", *flags)
    assert added.code == 0
    into, images = tmp_path / "c.h5", make_folder((5, 2))
    settings = ["--models", tmp_path / "models", "--batch-size", 3, "--device", "cpu"]
    ran = featx("extract", images, "--backbone", "kept", "--into", into, *settings)
    assert ran.code == 0
    assert "fixes the batch at 4 images" in ran.err
    found = read_features(into).features
    assert found.shape == (7, 6)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == 7


def test_an_output_of_small_numbers_is_tried_on_its_own_scale(tmp_path: Path) -> None:
    graph = Graph(1, 3, 16, 16)
    data = graph.pooled()
    mean = graph.add("ReduceMean", data, axes=[0], keepdims=1)
    graph.add("Add", graph.add("Mul", mean, graph.draw(8)), data, into="read")
    graph.add("Mul", data, graph.store(np.float32(1e6)), into="large")
    path, pixels = graph.save(tmp_path / "m.onnx", "read", "large"), random_pixels(3)
    large, read = run(path, normalised(pixels), "large", "read", batch=1)
    session = open_model(path, "large", "read")
    assert_same(session(pixels)[:, :8], large)
    assert_same(session(pixels)[:, 8:], read)


@pytest.mark.parametrize("ir", [3, 4])
def test_a_shape_that_freeing_leaves_unused_is_no_obstacle(tmp_path: Path, ir: int) -> None:
    def list_weights(model: ModelProto) -> None:
        model.graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            for tensor in model.graph.initializer
        )

    graph = Graph(1, 3, 16, 16, ir=ir, opset=8)
    flat = graph.add("Reshape", graph.maps(), graph.integers(1, 512))
    path = rewrite(graph.save(tmp_path / "m.onnx", graph.dense(flat, 512, 5, into="logits")), list_weights)
    assert open_model(path).batch is None


@pytest.mark.exhaustive
def test_shufflenet_is_freed(tmp_path: Path) -> None:
    assert open_model(ZOO / "light_shufflenet.onnx", size=224).batch is None


@pytest.mark.parametrize("batch", [1, 4])
def test_a_map_resized_to_fixed_sizes_is_freed(tmp_path: Path, batch: int) -> None:
    graph = Graph(batch, 3, 16, 16)
    larger = graph.add("Resize", graph.maps(), "", "", graph.integers(batch, 8, 16, 16), mode="nearest")
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv(larger, 8, 8)), into="read")
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5, into="logits"))
    assert open_model(path, "read").batch is None
