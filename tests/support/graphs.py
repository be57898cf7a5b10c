"""Small ONNX graphs, put together node by node, and the means to run any tensor of one as its author left it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from featx.backbones import FeatureSession, open_session
from featx.backbones.store import Backbone
from featx.convert.adding import Description, describe_model
from featx.convert.preprocessing import Preprocessing

FIXTURES = Path(__file__).parents[1] / "fixtures"
"""Models written by real exporters; `export.py` there says how."""
ZOO = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
"""Models of the ONNX zoo, whole but for their weights, that come with the wheel of onnx."""

MEAN, STD = 127.0, 64.0
SIZE = 16
FLOAT, FLOAT16, UINT8, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT64
Side = int | str | None
Images = NDArray[Any]


class Graph:
    """A graph as it grows: every method adds nodes and gives back the name of the tensor that they make."""

    def __init__(
        self,
        *sides: Side,
        opset: int = 17,
        ir: int = 8,
        dtype: int = FLOAT,
        name: str = "image",
        seed: int = 0,
    ) -> None:
        self.opset, self.ir, self.image = opset, ir, name
        self.rng = np.random.default_rng(seed)
        self.inputs = [helper.make_tensor_value_info(name, dtype, list(sides or ("batch", 3, SIZE, SIZE)))]
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, operator: str, *inputs: str, into: str | Sequence[str] = "", **settings: Any) -> str:
        """Append a node; the name of its (first) output."""
        made = [into] if isinstance(into, str) else list(into)
        made[0] = made[0] or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, made, **settings))
        return made[0]

    def store(self, values: Any, name: str = "") -> str:
        """Keep a constant."""
        self.weights.append(numpy_helper.from_array(np.asarray(values), name or f"weight_{len(self.weights)}"))
        return self.weights[-1].name

    def integers(self, *values: int) -> str:
        """Keep a list of integers: a shape, axes, or places."""
        return self.store(np.array(values, np.int64))

    def draw(self, *shape: int, name: str = "") -> str:
        """Keep a random weight, scaled so that what it makes is neither lost nor huge."""
        fan = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        return self.store((self.rng.normal(size=shape) * (2 / fan) ** 0.5).astype(np.float32), name)

    def conv(self, data: str, read: int, made: int, *, kernel: int = 3, stride: int = 1, into: str = "") -> str:
        """A convolution; maps keep their size but for the stride, unless the kernel is even."""
        pads = [kernel // 2] * 4 if kernel % 2 else [0] * 4
        weights = (self.draw(made, read, kernel, kernel), self.draw(made))
        return self.add("Conv", data, *weights, into=into, strides=[stride] * 2, pads=pads)

    def maps(self, made: int = 8, *, into: str = "") -> str:
        """Two convolutions over the image: maps (batch, made, 8, 8)."""
        first = self.add("Relu", self.conv(self.image, 3, 6))
        return self.add("Relu", self.conv(first, 6, made, stride=2), into=into)

    def pooled(self, made: int = 8, *, into: str = "pooled") -> str:
        """What most convolutional networks make of an image: a vector (batch, made)."""
        return self.add("Flatten", self.add("GlobalAveragePool", self.maps(made)), into=into)

    def dense(self, data: str, read: int, made: int, *, into: str = "", bias: bool = True) -> str:
        """A dense layer, as Gemm."""
        weights = [self.draw(read, made), *([self.draw(made)] if bias else [])]
        return self.add("Gemm", data, *weights, into=into)

    def take(self, name: str, dtype: int, *sides: Side) -> str:
        """A further input."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, list(sides)))
        return name

    def model(self, *outputs: str | ValueInfoProto) -> ModelProto:
        """The model with these outputs, their types and shapes left to inference where a name is given."""
        ends = [ValueInfoProto(name=end) if isinstance(end, str) else end for end in outputs]
        graph = helper.make_graph(self.nodes, "made", self.inputs, [], self.weights)
        graph.output.extend(ends)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = self.ir
        inferred = onnx.shape_inference.infer_shapes(model)
        for end, known in zip(graph.output, inferred.graph.output, strict=True):
            if not end.type.tensor_type.elem_type:
                found = known.type if known.type.tensor_type.elem_type else helper.make_tensor_type_proto(FLOAT, None)
                end.type.CopyFrom(found)
        del model.graph.output[:]
        model.graph.output.extend(graph.output)
        return model

    def save(self, path: Path, *outputs: str | ValueInfoProto) -> Path:
        """Write the model; its file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.model(*outputs).SerializeToString())
        return path


def classifier(folder: Path, *, made: int = 8, classes: int = 5, name: str = "made", **settings: Any) -> Path:
    """A small convolutional classifier with the outputs `logits`, its feature called `pooled`."""
    graph = Graph(**settings)
    return graph.save(folder / f"{name}.onnx", graph.dense(graph.pooled(made), made, classes, into="logits"))


def rewrite(path: Path, change: Callable[[ModelProto], object]) -> Path:
    """Change a model in its file."""
    model = onnx.load(str(path), load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def random_pixels(count: int, size: int = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    """Noise, as the decoder would hand it over."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def normalised(pixels: NDArray[np.uint8], layout: str = "NCHW") -> NDArray[np.float32]:
    """What a model is given of these pixels where its card says MEAN and STD."""
    values = (pixels.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if layout == "NCHW" else values)


def run(path: Path, images: Images, *tensors: str, batch: int | None = None) -> list[NDArray[Any]]:
    """These tensors of the model for the images, by ONNX Runtime alone, `batch` at a time where the model fixes it."""
    import onnxruntime

    model = onnx.load(str(path))
    kept = {value.name: value for value in model.graph.output}
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    del model.graph.output[:]
    for tensor in tensors:
        plain = helper.make_tensor_value_info(tensor, types.get(tensor, FLOAT), None)
        model.graph.output.append(kept.get(tensor) or plain)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    step, name = batch or len(images), session.get_inputs()[0].name
    parts = [session.run(None, {name: images[start : start + step]}) for start in range(0, len(images), step)]
    return [np.concatenate([part[place] for part in parts]) for place in range(len(tensors))]


def describe(path: Path, *outputs: str, size: int = SIZE, **said: Any) -> Backbone:
    """The model as a backbone that normalises by MEAN and STD and takes these outputs, or its penultimate feature."""
    usual: dict[str, Any] = {"resize": size, "mean": (MEAN,) * 3, "std": (STD,) * 3}
    pixels = Preprocessing(size=size, **(usual | said))
    card, _ = describe_model(path, Description(name="made", outputs=outputs, pixels=pixels))
    return Backbone(card, path)


def open_model(path: Path, *outputs: str, **said: Any) -> FeatureSession:
    """A session on the CPU from pixels to these outputs of the model."""
    return open_session(describe(path, *outputs, **said), device="cpu")


def assert_same(found: NDArray[Any], expected: NDArray[Any], *, within: float = 1e-4) -> None:
    """Fail where features are farther apart than this share of the largest, or of another shape."""
    assert found.shape == expected.shape
    wide = expected.astype(np.float64)
    assert np.abs(found.astype(np.float64) - wide).max() <= within * max(np.abs(wide).max(), 1e-9)
