"""A small deployed model as `featx deploy` writes them, built by hand: a mean of the pixels, then a matrix."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("red", "green", "blue")


def write_deployed(
    path: Path,
    *,
    classes: Sequence[str] = CLASSES,
    size: int = 16,
    leave_out: str = "",
    dtype: int = TensorProto.UINT8,
    each_pixel: bool = False,
    batch: int | str = "batch",
    **prepared: object,
) -> Path:
    """Write a model whose class is the strongest colour, or with `each_pixel` depends on every pixel.

    `leave_out` names a key of its metadata, and `prepared` are other values of its preprocessing.
    """
    shape = (size * size * 3, len(classes)) if each_pixel else (3, len(classes))
    matrix = np.random.default_rng(0).normal(0, 0.001, shape).astype(np.float32)
    if not each_pixel:
        np.fill_diagonal(matrix, 0.05)
    weights = {"matrix": matrix, "names": np.array(classes, object)}
    means = ("Flatten", {"axis": 1}) if each_pixel else ("ReduceMean", {"axes": [1, 2], "keepdims": 0})
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node(means[0], ["numbers"], ["means"], **means[1]),
        helper.make_node("MatMul", ["means", "matrix"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "index"], ["label"]),
    ]
    graph = helper.make_graph(
        nodes,
        "deployed",
        [helper.make_tensor_value_info("pixels", dtype, [batch, size, size, 3])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, [batch]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, len(classes)]),
        ],
        [numpy_helper.from_array(values, key) for key, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    preprocessing = {"size": size, "resize": size + 2, "filter": "bicubic", "crop": "center", "exif": False}
    preprocessing |= {"dtype": "uint8", "layout": "NHWC", "channels": "RGB", "decode": "exact"} | prepared
    metadata = {
        "featx.classes": json.dumps(list(classes)),
        "featx.preprocessing": json.dumps(preprocessing),
        "featx.head": json.dumps({"name": "logreg", "multilabel": False}),
    }
    helper.set_model_props(model, {key: text for key, text in metadata.items() if key != leave_out})
    onnx.save(model, str(path))
    return path
