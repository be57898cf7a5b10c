"""Makes the models of the backbones that transfer nothing: raw-pixels, color-histogram and gradient-histogram.

    python models/make_baselines.py

The sha256 on each card must be that of its file; the script prints them. The models use few operators, all of which
ONNX Runtime has for CUDA too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from featx.hashing import hash_file

FOLDER = Path(__file__).parent
OPSET = 13
Floats = NDArray[np.float32]

PIXELS_SIDE = 16

LEVELS = 4
"""Levels of each of red, green and blue; a bin is a level of each."""
GRID = 2
"""Cells along each side of an image of colours."""
COLOR_SIDE = 64

ORIENTATIONS = 9
"""Bins of the orientation of an edge, over 180 degrees, the first centred at 0."""
CELLS = 8
"""Cells along each side of an image of gradients."""
CELL_SIDE = 8
GREY = (0.299, 0.587, 0.114)
"""Luma of red, green and blue (ITU-R BT.601)."""
STABLE = 0.01
"""The small constant in the norm of a block, where pixels go from 0 to 1; it keeps the noise of flat blocks small."""
CLIP = 0.2
NO_GRADIENT = 1e-10


def raw_pixels() -> onnx.ModelProto:
    """A model that makes one row of numbers of the pixels."""
    nodes = [helper.make_node("Flatten", ["image"], ["pixels"], axis=1)]
    return _model("raw-pixels", nodes, {}, side=PIXELS_SIDE, feature=("pixels", 3 * PIXELS_SIDE**2))


def color_histogram() -> onnx.ModelProto:
    """A model that gives the share of the pixels of each joint bin of red, green and blue, in each cell of a grid.

    It takes the pixels divided by 64, whose whole parts are the levels 0 to 3. The sum over the cells is the histogram
    of Swain and Ballard (Color indexing, 1991).
    """
    bins = LEVELS**3
    stored: dict[str, NDArray[Any]] = {
        "places": np.array([LEVELS**2, LEVELS, 1], np.float32).reshape(1, 3, 1, 1),
        "bins": np.arange(bins, dtype=np.float32).reshape(bins, 1, 1),
        "one": np.ones((), np.float32),
    }
    side = COLOR_SIDE // GRID
    nodes = [
        helper.make_node("Floor", ["image"], ["levels"]),
        helper.make_node("Conv", ["levels", "places"], ["bin"]),
        # 1 where the pixel is in the bin, else at most 0
        helper.make_node("Sub", ["bin", "bins"], ["from_bin"]),
        helper.make_node("Abs", ["from_bin"], ["distance"]),
        helper.make_node("Sub", ["one", "distance"], ["nearness"]),
        helper.make_node("Relu", ["nearness"], ["is_in"]),
        helper.make_node("AveragePool", ["is_in"], ["shares"], kernel_shape=[side, side], strides=[side, side]),
        helper.make_node("Flatten", ["shares"], ["histogram"], axis=1),
    ]
    return _model("color-histogram", nodes, stored, side=COLOR_SIDE, feature=("histogram", bins * GRID**2))


def gradient_histogram() -> onnx.ModelProto:
    """A model that gives histograms of oriented gradients (Dalal and Triggs 2005).

    A gradient is the difference of the neighbours, of luma. Its length is shared among the orientations nearer than one
    bin, in proportion to cos(2 d) - cos(2 w), where d is the distance from the centre of the bin and w its width: near
    the linear shares of the paper, but without the angle itself, whose arc tangent CUDA does not have. Each block of
    2 x 2 cells is divided by its norm, clipped at 0.2 and divided by its norm again (L2-Hys). The outermost pixels have
    no gradient: the image has one pixel more than the cells on each side.
    """
    stored: dict[str, NDArray[Any]] = {
        "differences": _differences(),
        "votes": _votes(),
        "no_gradient": np.array(NO_GRADIENT, np.float32),
        "stable": np.array(STABLE**2, np.float32),
        "clip": np.array(CLIP, np.float32),
        "channels": np.array([1], np.int64),
        **_corners(),
    }
    nodes = [*_gradients(), *_cells(), *_blocks()]
    dim = 4 * ORIENTATIONS * (CELLS - 1) ** 2
    return _model("gradient-histogram", nodes, stored, side=CELLS * CELL_SIDE + 2, feature=("histogram", dim))


def _differences() -> Floats:
    """(2, 3, 3, 3): the kernels of the differences along x and along y, of luma."""
    kernels = np.zeros((2, 3, 3, 3), np.float32)
    for channel, share in enumerate(GREY):
        kernels[0, channel, 1] = [-share, 0, share]
        kernels[1, channel, :, 1] = [-share, 0, share]
    return kernels


def _votes() -> Floats:
    """(9, 3, 1, 1): how x^2, y^2 and x y of a gradient make its squared length times cos(2 d) - cos(2 w)."""
    width = np.pi / ORIENTATIONS
    centres = 2 * width * np.arange(ORIENTATIONS)
    limit = np.cos(2 * width)
    votes = np.stack([np.cos(centres) - limit, -np.cos(centres) - limit, 2 * np.sin(centres)], axis=1)
    return votes.astype(np.float32).reshape(ORIENTATIONS, 3, 1, 1)


def _corners() -> dict[str, NDArray[np.int64]]:
    """Where each of the four cells of all blocks begin and end."""
    named = {"sides": np.array([2, 3], np.int64)}
    for name, start in zip("abcd", [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        named[f"start_{name}"] = np.array(start, np.int64)
        named[f"end_{name}"] = np.array(start, np.int64) + CELLS - 1
    return named


def _gradients() -> list[NodeProto]:
    """From the image to the length of each gradient and the share of each orientation in it."""
    return [
        helper.make_node("Conv", ["image", "differences"], ["gradient"]),
        helper.make_node("Split", ["gradient"], ["x", "y"], axis=1),
        helper.make_node("Mul", ["x", "x"], ["xx"]),
        helper.make_node("Mul", ["y", "y"], ["yy"]),
        helper.make_node("Mul", ["x", "y"], ["xy"]),
        helper.make_node("Add", ["xx", "yy"], ["squared_length"]),
        helper.make_node("Sqrt", ["squared_length"], ["length"]),
        helper.make_node("Concat", ["xx", "yy", "xy"], ["products"], axis=1),
        helper.make_node("Conv", ["products", "votes"], ["similarity"]),
        helper.make_node("Relu", ["similarity"], ["near"]),
        helper.make_node("ReduceSum", ["near", "channels"], ["sum_near"], keepdims=1),
        helper.make_node("Add", ["sum_near", "no_gradient"], ["all_near"]),
        helper.make_node("Div", ["near", "all_near"], ["share"]),
    ]


def _cells() -> list[NodeProto]:
    """From lengths and shares to the histogram of each cell."""
    return [
        helper.make_node("Mul", ["share", "length"], ["vote"]),
        helper.make_node(
            "AveragePool", ["vote"], ["cells"], kernel_shape=[CELL_SIDE, CELL_SIDE], strides=[CELL_SIDE, CELL_SIDE]
        ),
    ]


def _blocks() -> list[NodeProto]:
    """From histograms of cells to the normalised blocks, as one row."""
    corners = [
        helper.make_node("Slice", ["cells", f"start_{name}", f"end_{name}", "sides"], [f"corner_{name}"])
        for name in "abcd"
    ]
    return [
        *corners,
        helper.make_node("Concat", [f"corner_{name}" for name in "abcd"], ["blocks"], axis=1),
        *_normalise("blocks", "once"),
        helper.make_node("Min", ["once", "clip"], ["clipped"]),
        *_normalise("clipped", "twice"),
        helper.make_node("Flatten", ["twice"], ["histogram"], axis=1),
    ]


def _normalise(name: str, into: str) -> list[NodeProto]:
    """Divides each block by the root of its summed squares and the small constant."""
    return [
        helper.make_node("Mul", [name, name], [f"{name}_squared"]),
        helper.make_node("ReduceSum", [f"{name}_squared", "channels"], [f"{name}_sum"], keepdims=1),
        helper.make_node("Add", [f"{name}_sum", "stable"], [f"{name}_stable"]),
        helper.make_node("Sqrt", [f"{name}_stable"], [f"{name}_norm"]),
        helper.make_node("Div", [name, f"{name}_norm"], [into]),
    ]


def _model(
    name: str,
    nodes: Sequence[NodeProto],
    stored: Mapping[str, NDArray[Any]],
    *,
    side: int,
    feature: tuple[str, int],
) -> onnx.ModelProto:
    """The model of these nodes, which takes images of this side and gives rows of this name and length."""
    taken = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, side, side])
    given = helper.make_tensor_value_info(feature[0], TensorProto.FLOAT, ["n", feature[1]])
    tensors = [numpy_helper.from_array(values, key) for key, values in stored.items()]
    graph = helper.make_graph(nodes, name, [taken], [given], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


MODELS = {"raw-pixels": raw_pixels, "color-histogram": color_histogram, "gradient-histogram": gradient_histogram}
"""Name of each backbone -> what makes its model."""


if __name__ == "__main__":
    for backbone, make in MODELS.items():
        path = FOLDER / f"{backbone}.onnx"
        path.write_bytes(make().SerializeToString())
        print(f"{path.name}: sha256 {hash_file(path)}")
