"""Graphs as exporters write them around their layers: the feature is found, and is what the model computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from featx.backbones import inspect_model
from featx.convert.verifying import verify_here
from featx.errors import BackboneError
from tests.support.graphs import (
    FLOAT,
    Graph,
    assert_same,
    describe,
    normalised,
    open_model,
    random_pixels,
    rewrite,
    run,
)

CLASSES = 5
WIDTH = 8


def squeeze_if(graph: Graph, data: str, axis: int, *, into: str = "") -> str:
    """What torch writes for `x.squeeze(axis)` if it does not know the side: a branch for each case."""
    side = graph.add("Gather", graph.add("Shape", data), graph.integers(axis), axis=0)
    is_one = graph.add("Equal", side, graph.integers(1))
    place = len(graph.nodes)
    axes = numpy_helper.from_array(np.array([axis], np.int64), f"axes_{place}")
    squeezing = [
        helper.make_node("Constant", [], [f"axes_{place}"], value=axes),
        helper.make_node("Squeeze", [data, f"axes_{place}"], [f"squeezed_{place}"]),
    ]
    keeping = [helper.make_node("Identity", [data], [f"kept_{place}"])]
    return graph.add(
        "If",
        is_one,
        into=into,
        then_branch=branch(squeezing, f"squeezed_{place}"),
        else_branch=branch(keeping, f"kept_{place}"),
    )


def branch(nodes: list[onnx.NodeProto], end: str) -> onnx.GraphProto:
    """A branch that ends in this tensor."""
    return helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info(end, FLOAT, None)])


def pool(graph: Graph, *, into: str = "") -> str:
    """Maps of 1 x 1."""
    return graph.add("GlobalAveragePool", graph.maps(WIDTH), into=into)


def if_before(graph: Graph) -> str:
    """Branches between the pool and the dense layer."""
    pooled = squeeze_if(graph, squeeze_if(graph, pool(graph), 3), 2, into="feature")
    return graph.dense(pooled, WIDTH, CLASSES, into="logits")


def if_behind(graph: Graph) -> str:
    """Branches behind a last layer that is a convolution."""
    scores = graph.conv(pool(graph, into="feature"), WIDTH, CLASSES, kernel=1)
    return squeeze_if(graph, squeeze_if(graph, scores, 3), 2, into="logits")


def if_known(graph: Graph) -> str:
    """A condition that is stored, as of a flag that the exporter did not resolve."""
    pooled = graph.add("Flatten", pool(graph))
    twice = branch([helper.make_node("Add", [pooled, pooled], ["twice"])], "twice")
    other = branch([helper.make_node("Relu", ["twice_too"], ["relu"])], "relu")
    other.node.insert(0, helper.make_node("Neg", [pooled], ["twice_too"]))
    chosen = graph.add("If", graph.store(np.array(True)), into="feature", then_branch=twice, else_branch=other)
    return graph.dense(chosen, WIDTH, CLASSES, into="logits")


def plain_squeeze(graph: Graph) -> str:
    """`x.squeeze()`, which drops the batch axis if there is one image."""
    return graph.dense(graph.add("Squeeze", pool(graph), into="feature"), WIDTH, CLASSES, into="logits")


def sequences(graph: Graph) -> str:
    """Channels that go through a sequence: one half gates the other."""
    maps = graph.conv(graph.image, 3, WIDTH)
    halves = graph.add("SplitToSequence", maps, graph.store(np.int64(WIDTH // 2)), axis=1)
    first, second = (graph.add("SequenceAt", halves, graph.store(np.int64(place))) for place in (0, 1))
    joined = graph.add("SequenceConstruct", first, graph.add("Sigmoid", second))
    gated = graph.add("ConcatFromSequence", joined, axis=1)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", gated), into="feature")
    return graph.dense(pooled, WIDTH, CLASSES, into="logits")


FORMS: list[Callable[[Graph], str]] = [if_before, if_behind, if_known, plain_squeeze, sequences]


@pytest.mark.parametrize("form", FORMS)
def test_the_feature_is_found_and_computed_whatever_stands_around_the_layers(
    tmp_path: Path, form: Callable[[Graph], str]
) -> None:
    graph = Graph(opset=13)
    path = graph.save(tmp_path / "m.onnx", form(graph))
    found = inspect_model(path)
    assert (found.feature_output, found.feature_dim, found.certain) == ("feature", WIDTH, True)
    assert found.classifier_output == "logits"
    pixels = random_pixels(3)
    (expected,) = run(path, normalised(pixels), "feature")
    assert_same(open_model(path)(pixels), expected.reshape(3, WIDTH))
    assert_same(open_model(path)(pixels[:1]), expected[:1].reshape(1, WIDTH))


def squeezed(graph: Graph, maps: str) -> str:
    """`x.squeeze()`."""
    return graph.add("Squeeze", maps, into="feature")


def flattened(graph: Graph, maps: str) -> str:
    """`x.view(-1)`."""
    return graph.add("Reshape", maps, graph.integers(-1), into="feature")


def first(graph: Graph, maps: str) -> str:
    """`x[0]`."""
    return graph.add("Gather", graph.add("Flatten", maps), graph.store(np.int64(0)), axis=0, into="feature")


@pytest.mark.parametrize(("drop", "opset"), [(squeezed, 11), (squeezed, 17), (flattened, 17), (first, 17)])
def test_a_batch_axis_of_one_image_is_kept_where_the_graph_drops_it(
    tmp_path: Path, drop: Callable[[Graph, str], str], opset: int
) -> None:
    graph = Graph(1, 3, 16, 16, opset=opset)
    feature = drop(graph, pool(graph))
    path = graph.save(tmp_path / "m.onnx", graph.add("MatMul", feature, graph.draw(WIDTH, CLASSES), into="logits"))
    found = inspect_model(path)
    assert (found.feature_dim, found.classifier_output, found.certain) == (WIDTH, "logits", True)
    pixels = random_pixels(3)
    expected = np.stack([run(path, normalised(pixels[place : place + 1]), "feature")[0] for place in range(3)])
    assert_same(open_model(path)(pixels), expected)


def test_a_backbone_with_branches_and_squeezes_is_verified(tmp_path: Path) -> None:
    for form in (if_before, plain_squeeze):
        graph = Graph(opset=13)
        path = graph.save(tmp_path / f"{form.__name__}.onnx", form(graph))
        assert all(check.ok for check in verify_here(describe(path), device="cpu"))


# ---- outputs that are no tensors of numbers


def name_classes(model: ModelProto) -> None:
    """End as Azure Custom Vision does: a map from classes to scores, and the name of the best class."""
    names = [f"class {place}" for place in range(CLASSES)]
    graph = model.graph
    graph.node.extend(
        [
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
            helper.make_node("ZipMap", ["scores"], ["loss"], domain="ai.onnx.ml", classlabels_strings=names),
            helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
            helper.make_node(
                "LabelEncoder",
                ["best"],
                ["classLabel"],
                domain="ai.onnx.ml",
                keys_int64s=list(range(CLASSES)),
                values_strings=names,
            ),
        ]
    )
    of_one = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("classLabel", TensorProto.STRING, [None]))
    graph.output.append(onnx.ValueInfoProto(name="loss", type=helper.make_sequence_type_proto(of_one)))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))


def test_scores_that_become_a_map_and_a_name_are_still_scores(tmp_path: Path) -> None:
    graph = Graph(opset=12)
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(WIDTH), WIDTH, CLASSES, into="logits"))
    rewrite(path, name_classes)
    found = inspect_model(path)
    assert (found.feature_output, found.classifier_output, found.certain) == ("pooled", "loss", True)
    assert_same(open_model(path)(random_pixels(2)), run(path, normalised(random_pixels(2)), "pooled")[0])


def in_a_sequence(model: ModelProto) -> None:
    """Give the outputs as a list."""
    graph = model.graph
    graph.node.append(helper.make_node("SequenceConstruct", [value.name for value in graph.output], ["all"]))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    del graph.output[:]
    graph.output.append(onnx.ValueInfoProto(name="all", type=kind))


def test_outputs_in_a_sequence_are_found(tmp_path: Path) -> None:
    graph = Graph()
    scores = graph.save(tmp_path / "scores.onnx", graph.dense(graph.pooled(WIDTH), WIDTH, CLASSES, into="logits"))
    graph = Graph()
    embedding = graph.save(tmp_path / "embedding.onnx", graph.pooled(WIDTH))
    for path in (scores, embedding):
        assert inspect_model(rewrite(path, in_a_sequence)).feature_output == "pooled"
        assert open_model(path, "pooled")(random_pixels(2)).shape == (2, WIDTH)


# ---- inputs of other types

TYPES: dict[str, int] = {
    "float64": TensorProto.DOUBLE,
    "bfloat16": TensorProto.BFLOAT16,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint16": TensorProto.UINT16,
}


def pixels_of(dtype: str) -> dict[str, Any]:
    """What the card says about pixels for a model that takes this type."""
    return {} if "float" in dtype else {"mean": None, "std": None}


@pytest.mark.parametrize("dtype", TYPES)
def test_a_model_takes_any_type_of_number(tmp_path: Path, dtype: str) -> None:
    graph = Graph(dtype=TYPES[dtype])
    graph.image = graph.add("Cast", graph.image, to=FLOAT)
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), WIDTH, CLASSES, into="logits"))
    assert inspect_model(path).input.dtype == dtype
    backbone = describe(path, **pixels_of(dtype))
    pixels = random_pixels(3)
    values = normalised(pixels) if "float" in dtype else pixels.transpose(0, 3, 1, 2).astype(np.float32)
    values = values - 128 if dtype == "int8" else values
    plain = Graph()
    plain.pooled()
    plain_path = plain.save(tmp_path / "plain.onnx", "pooled")
    (expected,) = run(plain_path, values, "pooled")
    within = 1e-2 if dtype == "bfloat16" else 1e-4
    assert_same(open_model(path, **pixels_of(dtype))(pixels), expected, within=within)
    assert all(check.ok for check in verify_here(backbone, device="cpu"))


@pytest.mark.parametrize(
    ("dtype", "sides", "told"),
    [
        (FLOAT, (16, 16, 3), "without a batch axis"),
        (TensorProto.STRING, ("n",), "featx decodes images itself"),
        (FLOAT, ("n", 4, 3, 16, 16), "several images at once"),
        (TensorProto.COMPLEX64, ("n", 3, 16, 16), "COMPLEX64"),
    ],
)
def test_an_input_that_is_no_image_is_named_with_what_to_do(
    tmp_path: Path, dtype: int, sides: tuple[Any, ...], told: str
) -> None:
    graph = Graph(*sides, dtype=dtype)
    path = tmp_path / "m.onnx"
    end = helper.make_tensor_value_info(graph.add("Identity", graph.image), dtype, list(sides))
    made = helper.make_graph(graph.nodes, "made", graph.inputs, [end])
    path.write_bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    with pytest.raises(BackboneError, match=told) as caught:
        inspect_model(path)
    assert "\n" not in str(caught.value)
