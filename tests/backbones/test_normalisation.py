"""normalisation in the graph: what a model does with pixels before its first layer is found, with their range."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from featx.backbones import inspect_model
from featx.backbones.graph.constants import Constants
from featx.backbones.graph.normalisation import Normalisation
from featx.backbones.graph.view import View
from tests.support.graphs import FLOAT, UINT8, Graph

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CAFFE = [103.939, 116.779, 123.68]


def row(values: list[float], layout: str = "NCHW") -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """One number for each channel, in the shape that is added to images of this layout."""
    shaped = np.array(values, np.float32)
    return shaped.reshape(1, 3, 1, 1) if layout == "NCHW" else shaped


def found(folder: Path, build: Callable[[Graph, str], str], **settings: object) -> Normalisation | None:
    """What is found in a classifier that does this with its image before its first convolution."""
    graph = Graph(**settings)  # type: ignore[arg-type]
    image = build(graph, graph.image)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.add("Relu", graph.conv(image, 3, 8))))
    return inspect_model(graph.save(folder / "m.onnx", graph.dense(pooled, 8, 5, into="logits"))).normalisation


def keras(graph: Graph, image: str) -> str:
    """EfficientNet of Keras: divided by 255, then the mean, then the square root of the variance."""
    scaled = graph.add("Mul", image, graph.store(np.float32(1 / 255)))
    centred = graph.add("Sub", scaled, graph.store(row(MEAN)))
    deviation = graph.add("Sqrt", graph.store(row(STD) ** 2))
    return graph.add("Div", centred, graph.add("Identity", deviation))


def mxnet(graph: Graph, image: str) -> str:
    return graph.add("Mul", graph.add("Sub", image, graph.store(np.float32(127.5))), graph.store(np.float32(0.0078125)))


def constant_nodes(graph: Graph, image: str) -> str:
    """The mean and the standard deviation in Constant nodes, as new exporters of torch write them."""
    mean = graph.add("Constant", value_floats=[123.675, 116.28, 103.53])
    std = graph.add("Constant", value_float=58.0)
    centred = graph.add("Sub", image, graph.add("Reshape", mean, graph.integers(1, 3, 1, 1)))
    return graph.add("Div", centred, std)


def batch_norm(graph: Graph, image: str) -> str:
    """The first node of mxnet's ResNet."""
    mean, variance = np.array([123, 117, 104], np.float32), np.array([3400, 3300, 3400], np.float32)
    weights = [graph.store(values) for values in (np.ones(3, np.float32), np.zeros(3, np.float32), mean, variance)]
    return graph.add("BatchNormalization", image, *weights)


def caffe_by_gather(graph: Graph, image: str) -> str:
    """The mode "caffe" of Keras: to BGR, then the mean is subtracted."""
    reverse = graph.add("Gather", image, graph.integers(2, 1, 0), axis=1)
    return graph.add("Add", reverse, graph.store(-row(CAFFE)))


def caffe_by_slice(graph: Graph, image: str) -> str:
    ends = [graph.integers(*values) for values in ([-1], [-(2**62)], [1], [-1])]
    return graph.add("Sub", graph.add("Slice", image, *ends), graph.store(row(CAFFE)))


def caffe_by_split(graph: Graph, image: str) -> str:
    names = ["one", "two", "three"]
    graph.add("Split", image, into=names, axis=1)
    centred = [graph.add("Sub", name, graph.store(np.float32(mean))) for name, mean in zip(names, CAFFE, strict=True)]
    return graph.add("Concat", *reversed(centred), axis=1)


def one_by_one(graph: Graph, image: str) -> str:
    """A convolution of 1 x 1 with a diagonal matrix."""
    matrix = np.diag(1 / (255 * np.array(STD))).astype(np.float32).reshape(3, 3, 1, 1)
    bias = -np.array(MEAN, np.float32) / np.array(STD, np.float32)
    return graph.add("Conv", image, graph.store(matrix), graph.store(bias))


def quantised(graph: Graph, image: str) -> str:
    """As ONNX Runtime quantises a model that divides by 255."""
    scale, zero = graph.store(np.float32(1)), graph.store(np.uint8(0))
    whole = graph.add("DequantizeLinear", graph.add("QuantizeLinear", image, scale, zero), scale, zero)
    return graph.add("Mul", whole, graph.store(np.float32(1 / 255)))


def imagenet(graph: Graph, image: str) -> str:
    return graph.add("Div", graph.add("Sub", image, graph.store(row(MEAN))), graph.store(row(STD)))


def halves(graph: Graph, image: str) -> str:
    return graph.add("Sub", graph.add("Mul", image, graph.store(np.float32(2))), graph.store(np.float32(1)))


def only_255(graph: Graph, image: str) -> str:
    return graph.add("Div", graph.add("Cast", image, to=TensorProto.FLOAT), graph.store(np.float32(255)))


def strange(graph: Graph, image: str) -> str:
    return graph.add("Mul", image, graph.store(np.float32(20)))


def nothing(graph: Graph, image: str) -> str:
    return image


def inception(graph: Graph, image: str) -> str:
    """torchvision's `transform_input`, from pixels that are normalised for ImageNet to -1 to 1."""
    parts = []
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        one = graph.add(
            "Unsqueeze", graph.add("Gather", image, graph.store(np.int64(channel)), axis=1), graph.integers(1)
        )
        scaled = graph.add("Mul", one, graph.store(np.float32(std / 0.5)))
        parts.append(graph.add("Add", scaled, graph.store(np.float32((mean - 0.5) / 0.5))))
    return graph.add("Concat", *parts, axis=1)


@pytest.mark.parametrize(
    ("build", "takes"),
    [
        (keras, "0 to 255"),
        (mxnet, "0 to 255"),
        (constant_nodes, "0 to 255"),
        (batch_norm, "0 to 255"),
        (caffe_by_gather, "0 to 255"),
        (caffe_by_slice, "0 to 255"),
        (caffe_by_split, "0 to 255"),
        (one_by_one, "0 to 255"),
        (only_255, "0 to 255"),
        (quantised, "0 to 255"),
        (imagenet, "0 to 1"),
        (halves, "0 to 1"),
        (strange, "unknown"),
    ],
)
def test_the_range_of_pixels_follows_from_what_the_graph_does_with_them(
    tmp_path: Path, build: Callable[[Graph, str], str], takes: str
) -> None:
    normalisation = found(tmp_path, build)
    assert normalisation is not None
    assert normalisation.takes == takes
    assert normalisation.operators


@pytest.mark.parametrize("build", [nothing, inception])
def test_a_graph_that_takes_normalised_pixels_has_no_normalisation_of_its_own(
    tmp_path: Path, build: Callable[[Graph, str], str]
) -> None:
    assert found(tmp_path, build) is None


def caffe_alone(graph: Graph, image: str) -> str:
    return graph.add("Sub", image, graph.store(row(CAFFE)))


@pytest.mark.parametrize(
    ("build", "channels"),
    [
        (caffe_by_gather, "RGB"),
        (caffe_by_slice, "RGB"),
        (caffe_by_split, "BGR"),
        (caffe_alone, "BGR"),
        (keras, "RGB"),
        (imagenet, "RGB"),
        (mxnet, ""),
        (only_255, ""),
    ],
)
def test_the_order_of_channels_follows_from_the_means(
    tmp_path: Path, build: Callable[[Graph, str], str], channels: str
) -> None:
    normalisation = found(tmp_path, build)
    assert normalisation is not None
    assert normalisation.channels == channels


def test_layers_that_read_different_channels_are_not_guessed_at(tmp_path: Path) -> None:
    def build(graph: Graph, image: str) -> str:
        scaled = only_255(graph, image)
        one = graph.add("Gather", scaled, graph.integers(0), axis=1)
        return graph.add("Add", graph.conv(scaled, 3, 3), graph.conv(one, 1, 3))

    assert found(tmp_path, build) is None


def test_scale_and_shift_are_those_of_all_nodes_together(tmp_path: Path) -> None:
    normalisation = found(tmp_path, keras)
    assert normalisation is not None
    assert normalisation.operators == ("Mul", "Sub", "Div")
    assert normalisation.scale == pytest.approx([1 / 255 / std for std in STD])
    assert normalisation.shift == pytest.approx([-mean / std for mean, std in zip(MEAN, STD, strict=True)])


@pytest.mark.parametrize("dtype", [FLOAT, UINT8])
def test_a_normalisation_before_the_axes_are_moved_is_found(tmp_path: Path, dtype: int) -> None:
    def build(graph: Graph, image: str) -> str:
        scaled = graph.add("Mul", graph.add("Cast", image, to=FLOAT), graph.store(np.float32(1 / 255)))
        centred = graph.add("Sub", scaled, graph.store(row(MEAN, "NHWC")))
        return graph.add("Transpose", centred, perm=[0, 3, 1, 2])

    graph = Graph("batch", 16, 16, 3, dtype=dtype)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv(build(graph, graph.image), 3, 8)))
    normalisation = inspect_model(graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5))).normalisation
    assert normalisation is not None
    assert normalisation.takes == "0 to 255"
    assert normalisation.shift == pytest.approx([-mean for mean in MEAN])


def test_an_image_that_two_layers_read_in_different_scales_is_not_guessed_at(tmp_path: Path) -> None:
    def build(graph: Graph, image: str) -> str:
        return graph.add("Add", graph.conv(image, 3, 3), graph.conv(mxnet(graph, image), 3, 3))

    assert found(tmp_path, build) is None


def test_constants_that_are_too_large_are_not_computed() -> None:
    graph = Graph()
    lines, columns = (graph.store(np.ones(shape, np.float32)) for shape in ((4000, 1), (1, 4000)))
    small, large = graph.add("Add", lines, lines), graph.add("Add", lines, columns)
    constants = Constants(View(graph.model(small).graph, {}, graph.image))
    assert np.array_equal(constants.get(small), np.full((4000, 1), 2.0))  # type: ignore[arg-type]
    assert constants.get(large) is None
