"""Makes raw-pixels.onnx, the backbone that transfers nothing: its features are the pixels of a picture of 16 x 16.

    python models/make_raw_pixels.py

The sha256 on the card must be that of the file; the script prints it.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from featx.hashing import hash_file

SIDE = 16
INTO = Path(__file__).with_name("raw-pixels.onnx")


def make_model() -> onnx.ModelProto:
    """A model that makes one row of numbers of the pixels."""
    taken = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    given = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3 * SIDE * SIDE])
    node = helper.make_node("Flatten", ["image"], ["pixels"], axis=1)
    graph = helper.make_graph([node], "raw-pixels", [taken], [given])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


if __name__ == "__main__":
    INTO.write_bytes(make_model().SerializeToString())
    print(f"{INTO.name}: sha256 {hash_file(INTO)}")
