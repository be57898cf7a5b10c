"""inspect: the penultimate feature of classifiers, told apart from embeddings, and doubt said aloud."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from featx.backbones import Inspection, inspect_model
from featx.backbones.store import load_backbone
from featx.errors import BackboneError
from tests.conftest import Ran
from tests.support.graphs import (
    FIXTURES,
    FLOAT,
    FLOAT16,
    INT64,
    UINT8,
    ZOO,
    Graph,
    Side,
    assert_same,
    classifier,
    describe,
    normalised,
    open_model,
    random_pixels,
    rewrite,
    run,
)
from tests.support.sizes import as_exhaustive

KINDS = {"global pool", "class token", "hidden dense layer", "pooled map", "flattened map", "embedding output"}


def feature_of(path: Path, found: Inspection, images: NDArray[Any]) -> NDArray[Any]:
    """The feature that was found, by the model alone and numpy's pooling."""
    assert found.feature_output is not None
    values = run(path, images, found.feature_output, batch=found.input.shape[0])[0].astype(np.float32)
    if found.feature_pool == "mean":
        return np.asarray(values.mean(axis=(2, 3)))
    return values[:, 0] if found.feature_pool == "cls" else values.reshape(len(values), -1)


def assert_feature_is(path: Path, tensor: str, *, found: Inspection | None = None) -> Inspection:
    """Fail unless the feature has the values of this tensor, which may be in another shape."""
    found = found or inspect_model(path)
    images = normalised(random_pixels(2))
    expected = run(path, images, tensor)[0].astype(np.float32).reshape(len(images), -1)
    assert found.feature_dim == expected.shape[1]
    assert_same(feature_of(path, found, images), expected)
    return found


# ---- architectures of the ONNX zoo

NETWORKS = {
    "bvlc_alexnet": (4096, "hidden dense layer", ""),
    "densenet121": (1024, "global pool", ""),
    "inception_v1": (1024, "global pool", ""),
    "inception_v2": (1024, "global pool", ""),
    "resnet50": (2048, "global pool", ""),
    "shufflenet": (544, "global pool", ""),
    "squeezenet": (512, "pooled map", "mean"),
    "vgg19": (4096, "hidden dense layer", ""),
    "zfnet512": (1024, "hidden dense layer", ""),
}
"""Architecture -> what its publication says of its penultimate layer."""


@pytest.mark.parametrize("network", NETWORKS)
def test_the_penultimate_layer_is_the_one_of_the_architecture(network: str) -> None:
    path = ZOO / f"light_{network}.onnx"
    found = inspect_model(path)
    dim, kind, pool = NETWORKS[network]
    (output,) = (value.name for value in onnx.load(str(path)).graph.output)
    feature = next(one for one in found.candidates if one.name == found.feature_output)
    assert (found.feature_dim, found.feature_pool, found.classifier_output) == (dim, pool, output)
    assert (feature.dim, feature.kind, feature.pool) == (dim, kind, pool)
    assert found.certain
    assert (found.input.layout, found.input.dtype, found.input.shape) == ("NCHW", "float32", (1, 3, 224, 224))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_candidates_go_from_wide_maps_to_the_feature(network: str) -> None:
    found = inspect_model(ZOO / f"light_{network}.onnx")
    names = [one.name for one in found.candidates]
    heights = [one.shape[2] or 0 for one in found.candidates if one.shape and len(one.shape) == 4]
    assert len(set(names)) == len(names) >= 4
    assert names[-1] == found.feature_output
    assert heights == sorted(set(heights), reverse=True)
    assert {one.kind for one in found.candidates} <= KINDS
    assert found.classifier_output not in names


@pytest.mark.parametrize("network", ["squeezenet"])
def test_a_network_fixed_at_one_image_gives_three_the_features_of_each(network: str) -> None:
    path = ZOO / f"light_{network}.onnx"
    session, pixels, found = open_model(path, size=224), random_pixels(3, 224), inspect_model(path)
    assert session.batch is None
    expected = feature_of(path, found, normalised(pixels))
    assert_same(session(pixels), expected)
    assert_same(session(pixels[:1]), expected[:1])


# ---- models written by exporters

CLASSIFIERS = {"resnet": "logits", "vit": "logits", "vgg": "logits", "squeezenet": "scores"}
EMBEDDINGS = {"encoder": "pooler_output", "embedding": "output"}
ARCHITECTURES = sorted(CLASSIFIERS | EMBEDDINGS)
EXPORTS = [f"{exporter}-{batch}" for exporter in ("script", "dynamo") for batch in ("free", "fixed")]


def torch_features(architecture: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images, and the features that torch made of them."""
    with np.load(FIXTURES / f"{architecture}.npz") as stored:
        return stored["x"], stored["features"]


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_feature_is_what_torch_gives_in_front_of_its_classifier(architecture: str, export: str) -> None:
    path, (x, features) = FIXTURES / f"{architecture}-{export}.onnx", torch_features(architecture)
    found = inspect_model(path)
    assert_same(feature_of(path, found, x), features)
    assert found.feature_dim == features.shape[1]
    assert found.classifier_output == CLASSIFIERS.get(architecture)
    assert found.certain
    assert found.input.shape == (None if export.endswith("free") else 1, 3, 32, 32)


@pytest.mark.parametrize(
    ("architecture", "export"),
    [
        (architecture, export) if (place - number) % 4 == 0 else as_exhaustive((architecture, export))
        for number, architecture in enumerate(ARCHITECTURES)
        for place, export in enumerate(EXPORTS)
    ],
)
def test_a_session_gives_the_features_of_torch_whatever_the_batch(architecture: str, export: str) -> None:
    x, features = torch_features(architecture)
    pixels = np.tile((x * 64 + 127).astype(np.uint8).transpose(0, 2, 3, 1), (2, 1, 1, 1))[:3]
    session = open_model(FIXTURES / f"{architecture}-{export}.onnx", size=32)
    assert session.batch is None
    assert_same(session(pixels), np.tile(features, (2, 1))[:3])


def test_a_model_with_external_data_is_inspected_as_one_without() -> None:
    apart, whole = (inspect_model(FIXTURES / f"{name}.onnx") for name in ("external", "resnet-script-free"))
    assert apart.to_dict() | {"model": ""} == whole.to_dict() | {"model": ""}


def test_features_with_external_data_are_those_of_torch() -> None:
    x, features = torch_features("resnet")
    pixels = (x * 64 + 127).astype(np.uint8).transpose(0, 2, 3, 1)
    assert_same(open_model(FIXTURES / "external.onnx", size=32)(pixels), features)


def test_the_embedding_and_the_tokens_of_a_headless_transformer_are_both_named() -> None:
    found = inspect_model(FIXTURES / "encoder-script-free.onnx")
    outputs = {one.name: (one.dim, one.pool) for one in found.candidates if one.kind == "embedding output"}
    assert outputs == {"pooler_output": (14, ""), "last_hidden_state": (16, "cls")}
    assert found.outputs == ("last_hidden_state", "pooler_output")


def test_the_bundled_backbone_is_found_to_be_what_its_card_says() -> None:
    backbone = load_backbone("efficientnet-lite0")
    found = inspect_model(backbone.path)
    card = backbone.card
    assert (found.feature_output, found.feature_dim, found.feature_pool) == (card.feature, card.dim, card.pool)
    assert (found.input.name, found.input.layout, found.classifier_output) == (
        card.input.name,
        card.input.layout,
        card.classifier,
    )
    assert found.certain


def test_the_stages_of_a_residual_network_are_candidates_with_the_batch_left_open() -> None:
    found = inspect_model(FIXTURES / "resnet-dynamo-free.onnx")
    shapes = [one.shape for one in found.candidates]
    assert shapes == [(None, 6, 16, 16), (None, 4, 8, 8), (None, 6, 4, 4), (None, 12, 2, 2), (None, 12)]


# ---- last layers


def end_in_gemm(graph: Graph, data: str) -> str:
    return graph.dense(data, 8, 5, into="scores")


def end_in_gemm_transposed(graph: Graph, data: str) -> str:
    return graph.add("Gemm", data, graph.draw(5, 8), graph.draw(5), into="scores", transB=1)


def end_in_matmul(graph: Graph, data: str) -> str:
    return graph.add("MatMul", data, graph.draw(8, 5), into="scores")


def end_in_matmul_and_add(graph: Graph, data: str) -> str:
    return graph.add("Add", graph.add("MatMul", data, graph.draw(8, 5)), graph.draw(5), into="scores")


def end_in_bias_first(graph: Graph, data: str) -> str:
    return graph.add("Add", graph.draw(5), graph.add("MatMul", data, graph.draw(8, 5)), into="scores")


def end_in_a_temperature(graph: Graph, data: str) -> str:
    return graph.add("Div", graph.dense(data, 8, 5), graph.store(np.float32(0.1)), into="scores")


def end_in_a_transposed_weight(graph: Graph, data: str) -> str:
    weight = graph.add("Transpose", graph.draw(5, 8), perm=[1, 0])
    return graph.add("MatMul", data, weight, into="scores")


def end_in_a_pointwise_conv(graph: Graph, data: str) -> str:
    maps = graph.add("Reshape", data, graph.integers(0, 8, 1, 1))
    return graph.add("Flatten", graph.conv(maps, 8, 5, kernel=1), into="scores")


def end_in_a_quantised_weight(graph: Graph, data: str) -> str:
    packed = graph.store(graph.rng.integers(-100, 100, (8, 5)).astype(np.int8))
    scale, zero = graph.store(np.float32(0.01)), graph.store(np.int8(0))
    return graph.add("MatMul", data, graph.add("DequantizeLinear", packed, scale, zero), into="scores")


LAST_LAYERS = [
    end_in_gemm,
    end_in_gemm_transposed,
    end_in_matmul,
    end_in_matmul_and_add,
    end_in_bias_first,
    end_in_a_temperature,
    end_in_a_transposed_weight,
    end_in_a_pointwise_conv,
    end_in_a_quantised_weight,
]


@pytest.mark.parametrize("end", LAST_LAYERS)
def test_the_feature_is_what_the_last_layer_reads(tmp_path: Path, end: Callable[[Graph, str], str]) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", end(graph, graph.pooled()))
    found = assert_feature_is(path, "pooled")
    assert (found.classifier_output, found.certain) == ("scores", True)


@pytest.mark.parametrize("hidden", [True, False], ids=["a hidden layer", "the pool alone"])
def test_an_activation_between_layers_belongs_to_the_feature(tmp_path: Path, hidden: bool) -> None:
    graph = Graph()
    data = graph.dense(graph.pooled(), 8, 6) if hidden else graph.add("Mul", graph.pooled(), graph.draw(8))
    graph.add("Relu", data, into="active")
    path = graph.save(tmp_path / "m.onnx", graph.dense("active", 6 if hidden else 8, 5, into="scores"))
    assert_feature_is(path, "active")


def test_a_conv_as_large_as_the_map_is_a_dense_layer(tmp_path: Path) -> None:
    graph = Graph()
    scores = graph.conv(graph.maps(into="maps"), 8, 5, kernel=8)
    path = graph.save(tmp_path / "m.onnx", graph.add("Flatten", scores, into="scores"))
    found, images = inspect_model(path), normalised(random_pixels(2))
    assert (found.classifier_output, found.feature_dim, found.feature_pool) == ("scores", 8, "mean")
    assert_same(feature_of(path, found, images), run(path, images, "maps")[0].mean(axis=(2, 3)))


@pytest.mark.parametrize("before", [True, False], ids=["pool, then conv", "conv, then pool"])
@pytest.mark.parametrize("operator", ["GlobalAveragePool", "ReduceMean", "AveragePool"])
def test_a_pointwise_conv_beside_a_pool_gives_a_pooled_vector(tmp_path: Path, operator: str, before: bool) -> None:
    def pool(data: str) -> str:
        settings: dict[str, Any] = {"AveragePool": {"kernel_shape": [8, 8]}, "ReduceMean": {"axes": [2, 3]}}
        return graph.add(operator, data, **settings.get(operator, {}))

    graph = Graph()
    maps = graph.maps(into="maps")
    scores = graph.conv(pool(maps), 8, 5, kernel=1) if before else pool(graph.conv(maps, 8, 5, kernel=1))
    path = graph.save(tmp_path / "m.onnx", graph.add("Flatten", scores, into="scores"))
    found, images = inspect_model(path), normalised(random_pixels(2))
    assert (found.classifier_output, found.certain) == ("scores", True)
    assert_same(feature_of(path, found, images), run(path, images, "maps")[0].mean(axis=(2, 3)))


def test_a_maximum_behind_a_pointwise_conv_pools_by_maximum(tmp_path: Path) -> None:
    graph = Graph()
    scores = graph.add("GlobalMaxPool", graph.conv(graph.maps(into="maps"), 8, 5, kernel=1))
    found = inspect_model(graph.save(tmp_path / "m.onnx", graph.add("Flatten", scores, into="scores")))
    assert (found.feature_output, found.feature_pool, found.feature_dim) == ("maps", "max", 8)


@pytest.mark.parametrize("token", [True, False], ids=["its first token", "the mean of its tokens"])
def test_a_transformer_gives_what_its_head_reads(tmp_path: Path, token: bool) -> None:
    graph = Graph()
    tokens = graph.add("Reshape", graph.maps(), graph.integers(0, 8, 64))
    tokens = graph.add("Transpose", tokens, perm=[0, 2, 1])
    if token:
        one = graph.add("Gather", tokens, graph.store(np.int64(0)), axis=1)
    else:
        one = graph.add("ReduceMean", tokens, axes=[1], keepdims=0)
    graph.add("LayerNormalization", one, graph.draw(8), graph.draw(8), into="read")
    path = graph.save(tmp_path / "m.onnx", graph.dense("read", 8, 5, into="logits"))
    found = assert_feature_is(path, "read")
    kind = next(candidate.kind for candidate in found.candidates if candidate.name == found.feature_output)
    assert kind == ("class token" if token else "global pool")


# ---- seen through what changes no score and no feature


def as_it_is(graph: Graph, data: str) -> str:
    return data


def through(operator: str, **settings: Any) -> Callable[[Graph, str], str]:
    """A step that adds this operator."""

    def step(graph: Graph, data: str) -> str:
        return graph.add(operator, data, **settings)

    step.__name__ = operator
    return step


def through_reshape(graph: Graph, data: str) -> str:
    return graph.add("Reshape", data, graph.integers(0, -1))


def through_squeeze(graph: Graph, data: str) -> str:
    four = graph.add("Unsqueeze", data, graph.integers(2, 3))
    return graph.add("Squeeze", four, graph.integers(2, 3))


def through_casts(graph: Graph, data: str) -> str:
    return graph.add("Cast", graph.add("Cast", data, to=FLOAT16), to=FLOAT)


def through_quantisers(graph: Graph, data: str) -> str:
    scale, zero = graph.store(np.float32(0.05)), graph.store(np.uint8(128))
    return graph.add("DequantizeLinear", graph.add("QuantizeLinear", data, scale, zero), scale, zero)


SEEN_THROUGH = [
    through("Dropout"),
    through("Identity"),
    through("Flatten"),
    through_reshape,
    through_squeeze,
    through_casts,
    through_quantisers,
]
JUDGING = [through("Softmax"), through("LogSoftmax"), through("Sigmoid")]


@pytest.mark.parametrize("after", [*SEEN_THROUGH, *JUDGING])
def test_the_last_layer_is_found_through_what_stands_behind_it(
    tmp_path: Path, after: Callable[[Graph, str], str]
) -> None:
    graph = Graph()
    end = after(graph, graph.dense(graph.pooled(), 8, 5))
    path = graph.save(tmp_path / "m.onnx", graph.add("Identity", end, into="output"))
    found = assert_feature_is(path, "pooled")
    assert (found.classifier_output, found.certain) == ("output", True)


@pytest.mark.parametrize("before", SEEN_THROUGH)
def test_the_feature_is_found_through_what_stands_before_the_last_layer(
    tmp_path: Path, before: Callable[[Graph, str], str]
) -> None:
    graph = Graph()
    pool = graph.pooled()
    path = graph.save(tmp_path / "m.onnx", graph.dense(before(graph, pool), 8, 5, into="logits"))
    found, images = inspect_model(path), normalised(random_pixels(2))
    assert (found.classifier_output, found.feature_dim, found.certain) == ("logits", 8, True)
    assert_same(feature_of(path, found, images), run(path, images, "pooled")[0])


@pytest.mark.parametrize("shape", ["Flatten", "Reshape", "Squeeze"])
def test_a_pool_that_keeps_its_axes_is_found_through_what_drops_them(tmp_path: Path, shape: str) -> None:
    graph = Graph()
    pool = graph.add("GlobalAveragePool", graph.maps(), into="kept")
    inputs = {"Reshape": [graph.integers(-1, 8)], "Squeeze": [graph.integers(2, 3)]}
    vector = graph.add(shape, pool, *inputs.get(shape, []))
    path = graph.save(tmp_path / "m.onnx", graph.dense(vector, 8, 5, into="logits"))
    found = assert_feature_is(path, "kept")
    assert found.feature_pool == ""


@pytest.mark.parametrize("operator", ["ArgMax", "TopK"])
def test_a_model_that_gives_only_the_best_class_is_a_classifier(tmp_path: Path, operator: str) -> None:
    graph = Graph()
    scores = graph.dense(graph.pooled(), 8, 5)
    if operator == "ArgMax":
        outputs = [graph.add("ArgMax", scores, into="output", axis=1)]
    else:
        outputs = [graph.add("TopK", scores, graph.integers(2), into=["best", "places"], axis=1), "places"]
    found = assert_feature_is(graph.save(tmp_path / "m.onnx", *outputs), "pooled")
    assert found.classifier_output == outputs[0]


# ---- several outputs


def test_scores_and_features_side_by_side_are_told_apart(tmp_path: Path) -> None:
    graph = Graph()
    graph.pooled(into="features")
    path = graph.save(tmp_path / "m.onnx", graph.dense("features", 8, 5, into="logits"), "features")
    found = assert_feature_is(path, "features")
    assert (found.classifier_output, found.outputs) == ("logits", ("logits", "features"))


def test_the_class_and_its_scores_side_by_side_are_one_classifier(tmp_path: Path) -> None:
    graph = Graph()
    scores = graph.dense(graph.pooled(), 8, 5, into="scores")
    path = graph.save(tmp_path / "m.onnx", graph.add("ArgMax", scores, into="label", axis=1), scores)
    found = assert_feature_is(path, "pooled")
    assert found.classifier_output == "scores"


def test_of_a_classifier_and_its_auxiliary_one_the_deepest_counts_and_both_are_named(tmp_path: Path) -> None:
    graph = Graph()
    early = graph.maps(6)
    side = graph.add("Flatten", graph.add("GlobalAveragePool", early))
    aux = graph.dense(side, 6, 5, into="aux")
    late = graph.add("Relu", graph.conv(early, 6, 8))
    graph.add("Flatten", graph.add("GlobalAveragePool", late), into="deep")
    path = graph.save(tmp_path / "m.onnx", aux, graph.dense("deep", 8, 5, into="main"))
    found = assert_feature_is(path, "deep")
    assert found.classifier_output == "main"
    assert "aux" in " ".join(found.notes)


@pytest.mark.parametrize("join", ["Mean", "Add", "ReduceMean"])
def test_of_two_heads_that_are_joined_both_features_are_named_and_doubt_is_said(tmp_path: Path, join: str) -> None:
    graph = Graph()
    maps = graph.maps()
    graph.add("Flatten", graph.add("GlobalAveragePool", maps), into="first")
    graph.add("Flatten", graph.add("GlobalMaxPool", maps), into="second")
    heads = [graph.dense("first", 8, 5), graph.dense("second", 8, 5)]
    if join == "ReduceMean":
        stacked = graph.add("Concat", *(graph.add("Unsqueeze", one, graph.integers(0)) for one in heads), axis=0)
        graph.add("ReduceMean", stacked, into="logits", axes=[0], keepdims=0)
    else:
        graph.add(join, *heads, into="logits")
    found = inspect_model(graph.save(tmp_path / "m.onnx", "logits"))
    assert (found.classifier_output, found.certain) == ("logits", False)
    assert {found.feature_output, *" ".join(found.notes).replace(":", " ").split()} >= {"first", "second"}


# ---- classifier or embedding


def with_one_dense_end(folder: Path, output: str, width: int) -> Inspection:
    graph = Graph()
    return inspect_model(graph.save(folder / "m.onnx", graph.dense(graph.pooled(), 8, width, into=output)))


@pytest.mark.parametrize("width", [5, 512, 1000])
@pytest.mark.parametrize("output", ["logits", "probabilities", "class_scores", "softmax_1"])
def test_what_is_called_scores_are_scores_whatever_their_number(tmp_path: Path, output: str, width: int) -> None:
    found = with_one_dense_end(tmp_path, output, width)
    assert (found.classifier_output, found.feature_output, found.certain) == (output, "pooled", True)


@pytest.mark.parametrize("width", [5, 512, 1000])
@pytest.mark.parametrize("output", ["image_embeds", "embedding", "features", "pooler_output", "pre_logits"])
def test_what_is_called_an_embedding_is_the_feature_whatever_its_width(tmp_path: Path, output: str, width: int) -> None:
    found = with_one_dense_end(tmp_path, output, width)
    assert (found.classifier_output, found.feature_output, found.feature_dim) == (None, output, width)
    assert found.certain


@pytest.mark.parametrize("width", [2, 10, 100, 1000, 21841])
def test_as_many_numbers_as_there_are_classes_are_scores(tmp_path: Path, width: int) -> None:
    found = with_one_dense_end(tmp_path, "output", width)
    assert (found.classifier_output, found.feature_output, found.certain) == ("output", "pooled", True)


@pytest.mark.parametrize("width", [128, 512, 768, 1024])
def test_a_dense_end_of_a_width_of_embeddings_is_doubted_and_the_other_reading_named(
    tmp_path: Path, width: int
) -> None:
    found = with_one_dense_end(tmp_path, "output", width)
    assert not found.certain
    assert "pooled" in " ".join(found.notes)
    assert {"pooled", "output"} <= {one.name for one in found.candidates}


def test_a_model_without_a_head_gives_its_pool(tmp_path: Path) -> None:
    graph = Graph()
    found = assert_feature_is(graph.save(tmp_path / "m.onnx", graph.pooled(into="output")), "output")
    assert (found.classifier_output, found.certain) == (None, True)


def test_a_model_that_ends_in_a_map_is_pooled_and_says_so(tmp_path: Path) -> None:
    graph = Graph()
    found = inspect_model(graph.save(tmp_path / "m.onnx", graph.maps(into="output")))
    assert (found.feature_output, found.feature_pool, found.feature_dim) == ("output", "mean", 8)
    assert (found.classifier_output, found.certain) == (None, False)
    assert "output is not a vector" in " ".join(found.notes)


@pytest.mark.parametrize("way", ["LpNormalization", "Div"])
def test_an_end_of_unit_length_is_an_embedding_whatever_its_width(tmp_path: Path, way: str) -> None:
    graph = Graph()
    data = graph.dense(graph.pooled(), 8, 5)
    if way == "Div":
        length = graph.add("Clip", graph.add("ReduceL2", data, axes=[1], keepdims=1), graph.store(np.float32(1e-12)))
        graph.add("Div", data, length, into="output")
    else:
        graph.add("LpNormalization", data, into="output", axis=1, p=2)
    found = inspect_model(graph.save(tmp_path / "m.onnx", "output"))
    assert (found.classifier_output, found.feature_output, found.feature_dim) == (None, "output", 5)


# ---- inputs


def clip(folder: Path) -> Path:
    """Two towers: an image, a text, and how alike they are."""
    graph = Graph(name="pixel_values")
    words = graph.take("input_ids", INT64, "batch", 7)
    mask = graph.take("attention_mask", INT64, "batch", 7)
    image = graph.dense(graph.pooled(), 8, 6, into="image_embeds")
    read = graph.add("Mul", graph.add("Cast", words, to=FLOAT), graph.add("Cast", mask, to=FLOAT))
    text = graph.dense(read, 7, 6, into="text_embeds")
    graph.add("MatMul", image, graph.add("Transpose", text, perm=[1, 0]), into="logits_per_image")
    return graph.save(folder / "clip.onnx", "logits_per_image", "text_embeds", "image_embeds")


def test_of_an_image_and_a_text_the_image_is_embedded(tmp_path: Path) -> None:
    found = inspect_model(clip(tmp_path))
    assert (found.input.name, found.feature_output, found.feature_dim) == ("pixel_values", "image_embeds", 6)
    assert (found.classifier_output, found.certain) == (None, True)
    assert not {"text_embeds", "logits_per_image"} & {one.name for one in found.candidates}


def test_the_image_tower_runs_without_a_text(tmp_path: Path) -> None:
    pixels, path = random_pixels(3), clip(tmp_path)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    texts = {name: np.ones((3, 7), np.int64) for name in ("input_ids", "attention_mask")}
    (expected,) = session.run(["image_embeds"], {"pixel_values": normalised(pixels), **texts})
    assert_same(open_model(path)(pixels), expected)


@pytest.mark.parametrize(
    ("sides", "layout"),
    [
        (("batch", 3, 16, 16), "NCHW"),
        (("batch", 16, 16, 3), "NHWC"),
        (("batch", "channels", "height", "width"), "NCHW"),
        (("batch", "height", "width", "channels"), "NHWC"),
    ],
    ids=["NCHW", "NHWC", "free NCHW", "free NHWC"],
)
def test_the_layout_is_told_by_the_channels_or_the_first_conv(
    tmp_path: Path, sides: tuple[Side, ...], layout: str
) -> None:
    graph = Graph(*sides)
    first = graph.add("Transpose", "image", perm=[0, 3, 1, 2]) if layout == "NHWC" else "image"
    pooled = graph.add("GlobalAveragePool", graph.conv(first, 3, 8))
    path = graph.save(
        tmp_path / "m.onnx", graph.dense(graph.add("Flatten", pooled, into="pooled"), 8, 5, into="logits")
    )
    found = inspect_model(path, size=16)
    assert (found.input.layout, found.feature_output) == (layout, "pooled")
    pixels = random_pixels(2)
    assert_same(open_model(path)(pixels), run(path, normalised(pixels, layout), "pooled")[0])


@pytest.mark.parametrize(("dtype", "name"), [(FLOAT16, "float16"), (UINT8, "uint8")])
def test_inputs_of_other_types_are_fed_as_they_ask(tmp_path: Path, dtype: int, name: str) -> None:
    graph = Graph(dtype=dtype)
    floats = graph.add("Cast", "image", to=FLOAT)
    shifted = graph.add("Mul", floats, graph.store(np.float32(0.01))) if dtype == UINT8 else floats
    graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv(shifted, 3, 8)), into="pooled")
    path = graph.save(tmp_path / "m.onnx", graph.dense("pooled", 8, 5, into="logits"))
    assert inspect_model(path).input.dtype == name
    pixels = random_pixels(3)
    scales: dict[str, Any] = {"mean": None, "std": None} if dtype == UINT8 else {}
    given = pixels.transpose(0, 3, 1, 2) if dtype == UINT8 else normalised(pixels).astype(np.float16)
    assert_same(open_model(path, **scales)(pixels), run(path, np.ascontiguousarray(given), "pooled")[0])


def test_bgr_reverses_the_channels(tmp_path: Path) -> None:
    path, pixels = classifier(tmp_path), random_pixels(3)
    expected = run(path, normalised(np.ascontiguousarray(pixels[..., ::-1])), "pooled")[0]
    assert_same(open_model(path, channels="BGR")(pixels), expected)


def test_weights_that_are_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    def list_weights(model: ModelProto) -> None:
        model.ir_version = 3
        model.graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            for tensor in model.graph.initializer
        )

    path = rewrite(classifier(tmp_path, opset=8), list_weights)
    found, pixels = inspect_model(path), random_pixels(3)
    assert (found.input.name, found.feature_output, found.classifier_output) == ("image", "pooled", "logits")
    assert_same(open_model(path)(pixels), run(path, normalised(pixels), "pooled")[0])


def test_an_image_of_one_channel_is_fed_grey(tmp_path: Path) -> None:
    graph = Graph("batch", 1, 16, 16)
    graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv("image", 1, 8)), into="pooled")
    path = graph.save(tmp_path / "m.onnx", graph.dense("pooled", 8, 5, into="logits"))
    found = inspect_model(path)
    assert (found.input.shape, found.input.channels, found.feature_output) == ((None, 1, 16, 16), 1, "pooled")
    grey = random_pixels(3)[..., :1].repeat(3, axis=3)
    assert describe(path).card.input.pixels.channels == "L"
    assert_same(open_model(path)(grey), run(path, normalised(grey)[:, :1], "pooled")[0])


def test_a_mask_of_one_channel_beside_an_image_is_no_second_image(tmp_path: Path) -> None:
    graph = Graph()
    mask = graph.take("mask", FLOAT, "batch", 1, 16, 16)
    logits = graph.dense(graph.pooled(), 8, 5, into="logits")
    path = graph.save(tmp_path / "m.onnx", logits, graph.add("Relu", mask, into="masked"))
    assert inspect_model(path).input.name == "image"


def test_height_and_width_that_are_free_are_left_open(tmp_path: Path) -> None:
    graph = Graph("batch", 3, "height", "width")
    found = inspect_model(graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 5, into="logits")))
    assert (found.input.shape, found.input.size) == ((None, 3, None, None), (None, None))
    assert (found.feature_dim, found.classifier_output) == (8, "logits")


def test_a_quantised_feature_is_given_back_on_its_scale(tmp_path: Path) -> None:
    graph = Graph()
    scale, zero = graph.store(np.float32(0.02), "scale"), graph.store(np.uint8(3), "zero")
    graph.add("QuantizeLinear", graph.pooled(), scale, zero, into="packed")
    floats = graph.add("DequantizeLinear", "packed", scale, zero)
    path = graph.save(tmp_path / "m.onnx", graph.dense(floats, 8, 5, into="logits"))
    pixels = random_pixels(3)
    exact = run(path, normalised(pixels), "pooled")[0]
    assert np.abs(open_model(path, "packed")(pixels) - exact).max() <= 0.02
    assert_same(open_model(path)(pixels), exact)


# ---- what cannot be used


def refused(path: Path, *words: str) -> None:
    """Fail unless the model is refused in one line with its file and all of these words."""
    with pytest.raises(BackboneError) as caught:
        inspect_model(path)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert "\n" not in told
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    "content",
    [b"", b"no model\n", bytes(100), b"<html></html>", b"\x08\x08", b"PK\x03\x04"],
    ids=["empty", "text", "zeros", "HTML", "a header alone", "ZIP"],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    refused(tmp_path / "m.onnx", "ONNX model")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_model_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    path = classifier(tmp_path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    refused(path, "export it again")


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "m.onnx", "no such model", ".onnx")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    refused(tmp_path / "m.onnx", "a folder and not an ONNX model")


def test_a_model_above_what_protobuf_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = classifier(tmp_path)
    monkeypatch.setattr("featx.backbones.graph.model.MAX_MODEL_BYTES", path.stat().st_size - 1)
    refused(path, str(path.stat().st_size), "external data")


def outside(folder: Path, place: str, *, values: bytes | None = None) -> Path:
    """A classifier that says that its last weight lies in this place."""
    path = classifier(folder / "model")

    def move(model: ModelProto) -> None:
        tensor = model.graph.initializer[-2]
        content = values if values is not None else numpy_helper.to_array(tensor).tobytes()
        tensor.name, tensor.data_location = tensor.name, TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        tensor.external_data.add(key="location", value=place)
        target = folder / "model" / place
        if target.parent.is_dir() and not target.exists():
            target.write_bytes(content)

    return rewrite(path, move)


@pytest.mark.parametrize("place", ["../weights", "sub/../../weights", "./../weights", "..\\weights", ".", ""])
def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    refused(outside(tmp_path, place), "weight_", "outside the model's folder", "put it next to the model")


def test_external_data_at_an_absolute_place_is_refused(tmp_path: Path) -> None:
    refused(outside(tmp_path, str(tmp_path / "weights")), "weight_", "outside the model's folder")


def test_external_data_that_is_a_link_is_refused(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights")
    (path.parent / "weights").rename(tmp_path / "elsewhere")
    (path.parent / "weights").symlink_to(tmp_path / "elsewhere")
    refused(path, "weight_", "symbolic link", "put the file itself next to the model")


def test_external_data_in_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    refused(outside(tmp_path, "sub/weights"), "weight_", "symbolic link")


def in_hub_cache(tmp_path: Path) -> Path:
    """A classifier with an external weight, stored as huggingface_hub does: every file is a link to a blob."""
    path = outside(tmp_path, "model.onnx_data")
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "abc" / "onnx"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name, blob in ((path, "1111"), (path.with_name("model.onnx_data"), "2222")):
        name.rename(blobs / blob)
    (snapshot / "model.onnx").symlink_to("../../../blobs/1111")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/2222")
    return snapshot / "model.onnx"


def test_external_data_in_the_cache_of_hugging_face_is_read(tmp_path: Path) -> None:
    assert inspect_model(in_hub_cache(tmp_path)).feature_output == "pooled"


def test_a_link_to_other_files_than_the_blobs_of_the_model_is_refused(tmp_path: Path) -> None:
    path = in_hub_cache(tmp_path)
    (tmp_path / "hub" / "blobs" / "2222").rename(tmp_path / "hub" / "secret")
    path.with_name("model.onnx_data").unlink()
    path.with_name("model.onnx_data").symlink_to("../../../secret")
    refused(path, "weight_", "symbolic link")


def test_a_link_to_a_model_finds_the_data_beside_the_model_itself(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights")
    (tmp_path / "link.onnx").symlink_to(path)
    assert inspect_model(tmp_path / "link.onnx").feature_output == "pooled"


def test_a_link_within_the_folder_of_the_model_is_read(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights")
    path.with_name("weights").rename(path.with_name("weights.v2"))
    path.with_name("weights").symlink_to("weights.v2")
    assert inspect_model(path).feature_output == "pooled"


def test_external_data_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights")
    (path.parent / "weights").unlink()
    refused(path, "weight_", "'weights'", "missing", "put it next to the model")


def test_external_data_cut_short_is_refused(tmp_path: Path) -> None:
    refused(outside(tmp_path, "weights", values=b"short"), "weight_", "the file has 5", "export it again")


def test_external_data_in_a_folder_beside_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    path = outside(tmp_path, "sub/weights")
    assert (inspect_model(path).feature_output, inspect_model(path).classifier_output) == ("pooled", "logits")


def test_an_input_that_is_no_image_is_refused_with_its_shape(tmp_path: Path) -> None:
    graph = Graph("batch", 7, name="words")
    refused(graph.save(tmp_path / "m.onnx", graph.dense("words", 7, 5, into="logits")), "'words'", "7", "image")


def test_two_images_are_refused_with_both(tmp_path: Path) -> None:
    graph = Graph()
    other = graph.take("other", FLOAT, "batch", 3, 16, 16)
    both = graph.add("Add", "image", other)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", both))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 3, 5, into="logits"))
    refused(path, "'image'", "'other'", "export the model with one")


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    graph = Graph("batch", "one", "two", "three")
    flat = graph.add("Reshape", "image", graph.integers(0, 768))
    path = graph.save(tmp_path / "m.onnx", graph.dense(flat, 768, 5, into="logits"))
    refused(path, "'image'", "NCHW or NHWC", "export the model")


@pytest.mark.parametrize(("domain", "said"), [("my.company", "'my.company'"), ("", "opset 17")])
def test_a_custom_operator_is_refused_by_name(tmp_path: Path, domain: str, said: str) -> None:
    graph = Graph()
    graph.add("MyOperator", graph.maps(), into="odd", domain=domain)
    ends = [helper.make_tensor_value_info("odd", FLOAT, None)]
    made = helper.make_graph(graph.nodes, "made", graph.inputs, ends, graph.weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.company", 1)]
    (tmp_path / "m.onnx").write_bytes(helper.make_model(made, opset_imports=opsets).SerializeToString())
    refused(tmp_path / "m.onnx", "'odd'", "MyOperator", said, "custom operators")


def test_a_few_bytes_that_ask_for_terabytes_are_refused(tmp_path: Path) -> None:
    graph = Graph()
    large = graph.add("ConstantOfShape", graph.integers(10**4, 10**4, 10**4), into="large")
    graph.add("Add", graph.dense(graph.pooled(), 8, 5), graph.add("ReduceMean", large, keepdims=0), into="logits")
    refused(graph.save(tmp_path / "m.onnx", "logits"), "'large'", "[10000, 10000, 10000]")


def test_a_model_whose_outputs_do_not_depend_on_the_image_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", graph.add("Identity", graph.draw(2, 3), into="fixed"))
    refused(path, "'image'", "fixed")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in as few bytes as it takes."""
    graph = Graph()
    vector = graph.add("ReduceMean", "image", axes=[2, 3], keepdims=0)
    flat = graph.add("Reshape", vector, graph.integers(0, 3))
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    return graph.save(path, graph.dense(flat, 3, 2, into="logits"))


def test_a_file_cut_short_anywhere_is_refused(small: Path, tmp_path: Path) -> None:
    data = small.read_bytes()
    for kept in range(len(data)):
        (tmp_path / "cut.onnx").write_bytes(data[:kept])
        refused(tmp_path / "cut.onnx")


# ---- the command

KEYS = {
    "model",
    "input",
    "feature_output",
    "feature_pool",
    "feature_dim",
    "classifier_output",
    "classifier_kind",
    "certain",
    "notes",
    "candidates",
    "outputs",
    "normalisation",
    "cuts",
}


def test_the_command_prints_the_keys_that_scripts_rely_on(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    ran = featx("inspect", classifier(tmp_path), "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json.keys() == KEYS
    assert ran.json["input"] == {"name": "image", "shape": [None, 3, 16, 16], "layout": "NCHW", "dtype": "float32"}
    assert (ran.json["feature_output"], ran.json["feature_dim"], ran.json["feature_pool"]) == ("pooled", 8, "")
    assert (ran.json["classifier_output"], ran.json["certain"], ran.json["outputs"]) == ("logits", True, ["logits"])
    assert all(one.keys() >= {"name", "dim", "shape", "kind"} for one in ran.json["candidates"])
    assert ran.json["candidates"][-1] == {
        "name": "pooled",
        "dim": 8,
        "shape": [None, 8],
        "kind": "global pool",
        "pool": "",
    }


def test_the_command_tells_people_the_same(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    ran = featx("inspect", classifier(tmp_path))
    assert ran.code == 0
    for word in ("image", "NCHW", "pooled", "global pool", "logits"):
        assert word in ran.out


def test_the_command_refuses_what_is_no_model_in_one_line(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    (tmp_path / "m.onnx").write_text("no model")
    ran = featx("inspect", tmp_path / "m.onnx", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("featx: ")
    assert ran.err.count("\n") == 1
    assert "m.onnx" in ran.err


def test_an_uncertain_feature_is_said_to_people_too(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 512, into="output"))
    ran = featx("inspect", path)
    assert ran.code == 0
    assert "--output pooled" in " ".join((ran.out + ran.err).split())


def test_describing_takes_the_certain_feature(tmp_path: Path) -> None:
    card = describe(classifier(tmp_path)).card
    assert (card.feature, card.dim, card.pool, card.classifier) == ("pooled", 8, "", "logits")


@pytest.mark.parametrize("stored", ["value", "value_ints"])
def test_terabytes_are_refused_also_where_a_constant_node_asks_for_them(tmp_path: Path, stored: str) -> None:
    graph = Graph()
    sides = [10**4] * 3
    kept: Any = numpy_helper.from_array(np.array(sides)) if stored == "value" else sides
    large = graph.add("ConstantOfShape", graph.add("Constant", **{stored: kept}), into="large")
    graph.add("Add", graph.dense(graph.pooled(), 8, 5), graph.add("ReduceMean", large, keepdims=0), into="logits")
    with pytest.raises(BackboneError, match="'large'"):
        inspect_model(graph.save(tmp_path / "m.onnx", "logits"))


def test_a_node_without_outputs_is_refused(tmp_path: Path) -> None:
    path = rewrite(classifier(tmp_path), lambda model: model.graph.node[0].ClearField("output"))
    rewrite(path, lambda model: setattr(model.graph.node[0], "op_type", "NoSuchOperator"))
    with pytest.raises(BackboneError):
        inspect_model(path)


@pytest.mark.parametrize("what", [b"conv_0", b"logits", b"image", b"weight_0", b"Conv"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, what: bytes) -> None:
    path = classifier(tmp_path)
    path.write_bytes(path.read_bytes().replace(what, what[:-1] + b"\xff"))
    with pytest.raises(BackboneError):
        inspect_model(path)


PLACES = st.integers(0, 10**4)
FLIPS = st.lists(st.tuples(PLACES, st.integers(0, 255)), max_size=4)


GONE = st.lists(PLACES, max_size=2)
KEPT = st.one_of(st.just(1.0), st.floats(0, 1))


@settings(deadline=None, max_examples=200)
@given(flips=FLIPS, gone=GONE, kept=KEPT)
def test_a_damaged_file_is_read_or_refused_and_never_a_crash(
    small: Path, flips: list[tuple[int, int]], gone: list[int], kept: float
) -> None:
    damage_and_inspect(small, flips, gone, kept)


@pytest.mark.exhaustive
@settings(deadline=None, max_examples=1000)
@given(flips=FLIPS, gone=GONE, kept=KEPT)
def test_a_file_damaged_in_a_thousand_ways_is_read_or_refused_and_never_a_crash(
    small: Path, flips: list[tuple[int, int]], gone: list[int], kept: float
) -> None:
    damage_and_inspect(small, flips, gone, kept)


def damage_and_inspect(small: Path, flips: list[tuple[int, int]], gone: list[int], kept: float) -> None:
    """Change some bytes, take some away, cut the rest short; what is left gives a feature or a BackboneError."""
    data = bytearray(small.read_bytes())
    for place, value in flips:
        data[place % len(data)] = value
    for place in gone:
        del data[place % len(data)]
    path = small.with_name("damaged.onnx")
    path.write_bytes(data[: int(kept * len(data))])
    try:
        assert inspect_model(path).feature_output
    except BackboneError as error:
        assert str(path) in str(error)
