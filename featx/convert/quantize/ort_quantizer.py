"""What ONNX Runtime's own quantiser is asked for: a folded graph, the ranges of its tensors, graphs of fewer bits."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, version_converter

from featx.backbones import (
    RESERVED,
    assign,
    opset,
)
from featx.errors import (
    BackboneError,
    DeviceError,
    FeatxError,
)

Ranges = Mapping[str, tuple[float, float]]
"""Tensor -> its lowest and highest number."""
LEAST_OPSET = 13
"""From which on weights have a scale for each channel."""
BINS, HISTOGRAM_IMAGES = 2048, 32
"""Of histograms, and over how many images they are made: they are slow."""
IMAGES_IN_MEMORY = 4
"""Images whose every tensor is held at once while histograms are made."""
PERCENTILES = (99.999, 99.99)
LAYERS = ("Conv", "Gemm", "MatMul")
"""Operators with weights: where the work is."""
KEPT_IN_FLOAT32 = {"Softmax", "LayerNormalization", "InstanceNormalization"}
"""Of what could be quantised: small work, large harm."""


@contextmanager
def quantiser_errors_reported(what: str) -> Iterator[None]:
    """Tell what the library raises as a BackboneError of `what`, and keep what it prints and logs to itself."""
    silencer = logging.NullHandler()
    logging.root.addHandler(silencer)  # without any handler, its logging.warning() would install one for good
    logging.root.addFilter(_of_others)
    try:
        with redirect_stdout(None):
            yield
    except ImportError as error:
        raise DeviceError(
            f"onnxruntime.quantization cannot be imported ({error}); install what it lacks, such as ml_dtypes or sympy"
        ) from error
    except FeatxError:
        raise
    except Exception as error:
        # whatever it stumbles over in a graph: it has no exceptions of its own
        told = " ".join(str(error).split()) or type(error).__name__
        raise BackboneError(f"{what}: ONNX Runtime cannot quantise it ({told[:200]}); export it again") from error
    finally:
        logging.root.removeFilter(_of_others)
        logging.root.removeHandler(silencer)


def _of_others(record: logging.LogRecord) -> bool:
    """Nothing of what is logged without a logger's name, as the library does."""
    return False


def fold(model: ModelProto, into: Path) -> ModelProto:
    """The model with what is constant computed and normalisations in its convolutions; every node has a name."""
    import onnxruntime

    if opset(model) < LEAST_OPSET:
        model = version_converter.convert_version(model, LEAST_OPSET)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(into)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(str(into))
    used = {node.domain for node in folded.graph.node}
    imports = [entry for entry in folded.opset_import if entry.domain in used]
    del folded.opset_import[:]
    folded.opset_import.extend(imports)
    for place, node in enumerate(folded.graph.node):
        node.name = f"node_{place}"
        assign(node.input, map(_own_name, node.input))
        assign(node.output, map(_own_name, node.output))
    for named in (*folded.graph.initializer, *folded.graph.value_info):
        named.name = _own_name(named.name)
    onnx.save(folded, str(into))
    return folded


def _own_name(tensor: str) -> str:
    """What featx has put into the graph belongs to the model from now on."""
    return f"of_{tensor}" if tensor.startswith(RESERVED) else tensor


def run(model: ModelProto, images: NDArray[Any]) -> list[NDArray[Any]]:
    """All outputs of the model for the images, as its nodes have them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: images}))


def spread(images: NDArray[Any], count: int) -> NDArray[Any]:
    """At most so many of the images, evenly spaced: neighbours may be of one class."""
    return np.asarray(images[np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))])


def measure_ranges(path: Path, images: NDArray[Any]) -> Iterator[tuple[str, Ranges]]:
    """By one method after the other, the ranges of all tensors of the model in this file over the images."""
    yield "MinMax", find_extremes(path, images)
    calibrator = _calibrator(path, "Percentile", num_bins=BINS, symmetric=False, percentile=PERCENTILES[0])
    few = spread(images, HISTOGRAM_IMAGES)
    for start in range(0, len(few), IMAGES_IN_MEMORY):
        calibrator.collect_data(_Reader(path, few[start : start + IMAGES_IN_MEMORY]))
    for percentile in PERCENTILES:
        calibrator.collector.percentile = percentile  # the histograms are the same
        yield f"Percentile {percentile}", _plain(calibrator.compute_data())


def find_extremes(path: Path, images: NDArray[Any]) -> Ranges:
    """The lowest and highest number of all tensors of the model in this file over the images."""
    calibrator = _calibrator(path, "MinMax")
    calibrator.collect_data(_Reader(path, images))
    return _plain(calibrator.compute_data())


def _calibrator(path: Path, method: str, **settings: Any) -> Any:
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    return create_calibrator(
        path,
        augmented_model_path=str(path.with_suffix(".augmented.onnx")),
        calibrate_method=CalibrationMethod[method],
        extra_options=settings,
    )


def _plain(found: Any) -> Ranges:
    return {
        name: (float(np.min(data.range_value[0])), float(np.max(data.range_value[1]))) for name, data in found.items()
    }


class _Reader:
    """Images one by one, as calibrators ask for them."""

    def __init__(self, path: Path, images: NDArray[Any]) -> None:
        model = onnx.load(str(path), load_external_data=False)
        self.name, self.images = model.graph.input[0].name, iter(images)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next image as a batch of one; None behind the last."""
        image = next(self.images, None)
        return None if image is None else {self.name: image[None]}


def to_integers(model: ModelProto, ranges: Ranges, *, without: Sequence[str], layers_alone: bool) -> ModelProto:
    """The model with quantised tensors and weights but for the nodes `without`: U8, and S8 a channel."""
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    copy = onnx.shape_inference.infer_shapes(model)
    operators = LAYERS if layers_alone else sorted({*QDQRegistry, *QLinearOpsRegistry} - KEPT_IN_FLOAT32)
    arrays = {name: tuple(np.array([end], np.float32) for end in ends) for name, ends in ranges.items()}
    data = TensorsData(CalibrationMethod.MinMax, arrays)
    settings = {"MatMulConstBOnly": True}
    types = {"weight": QuantType.QInt8, "activation": QuantType.QUInt8}
    quantizer = QDQQuantizer(
        copy, True, False, types["weight"], types["activation"], data, [], list(without), operators, settings
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    made: ModelProto = quantizer.model.model
    return made


def to_halves(model: ModelProto) -> ModelProto:
    """The model in float16 from behind its input to before its outputs, which stay float32."""
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made = ONNXModel(convert_float_to_float16(model, keep_io_types=True))
    made.topological_sort()
    halves: ModelProto = made.model
    return halves
