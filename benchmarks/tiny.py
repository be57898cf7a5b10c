"""A backbone so small that everything but the model can be measured: a mean over the picture, then a matrix."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from featx.backbones.card import Card
from featx.backbones.model_inputs import ImageInput
from featx.backbones.store import Backbone
from featx.hashing import hash_file
from featx.inputs import PixelSpec

SIZE = 16


def tiny_matrix(dim: int = 64) -> NDArray[np.float32]:
    """The only weights (3, dim)."""
    return np.random.default_rng(0).normal(size=(3, dim)).astype(np.float32)


def write_tiny(folder: Path, *, dim: int = 64, size: int = SIZE, resize: int = SIZE) -> Backbone:
    """The backbone, its model written into the folder, for the centre of this size of images resized so."""
    path = folder / "tiny.onnx"
    matrix = tiny_matrix(dim)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["pooled"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["pooled", "matrix"], ["features"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", dim])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    spec = PixelSpec(size=size, resize=resize, mean=(127.0,) * 3, std=(128.0,) * 3)
    card = Card(
        name="tiny",
        file=path.name,
        sha256=hash_file(path),
        input=ImageInput(name="image", pixels=spec),
        feature="features",
        dim=dim,
    )
    (folder / "tiny.toml").write_text(card.to_toml(), encoding="utf-8")
    return Backbone(card, path)
