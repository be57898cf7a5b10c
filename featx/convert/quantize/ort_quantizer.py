"""Calls ONNX Runtime's quantiser: folds graphs, measures the ranges of tensors, and converts to int8 and float16."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, version_converter

from featx.backbones import RESERVED, assign, opset
from featx.errors import BackboneError, DeviceError, FeatxError, one_line

Ranges = Mapping[str, tuple[float, float]]
"""Tensor -> its lowest and highest value."""
_LEAST_OPSET = 13
"""The first opset in which weights can have a scale for each channel."""
_BINS = 2048
"""Number of bins in a histogram."""
_HISTOGRAM_IMAGES = 32
"""Largest number of images for histograms, which are slow."""
_IMAGES_IN_MEMORY = 4
"""Number of images whose tensors are all in memory at once while histograms are computed."""
_PERCENTILES = (99.999, 99.99)
LAYER_OPERATORS = ("Conv", "Gemm", "MatMul")
"""Operators with weights, in which most of the computation happens."""
_KEPT_IN_FLOAT32 = {"Softmax", "LayerNormalization", "InstanceNormalization"}
"""Operators that could be quantised, but that would lose much accuracy and save little time."""


@contextmanager
def quantiser_errors_reported(what: str) -> Iterator[None]:
    """Turns errors of the quantiser into a BackboneError about `what`, and hides what it prints and logs."""
    silencer = logging.NullHandler()
    logging.root.addHandler(silencer)  # without any handler, its logging.warning() would install one for good
    logging.root.addFilter(_reject)
    try:
        with redirect_stdout(None):
            yield
    except ImportError as error:
        raise DeviceError(
            f"onnxruntime.quantization cannot be imported ({error}); install what it lacks, such as ml_dtypes or sympy"
        ) from error
    except FeatxError:
        raise
    except Exception as error:  # the quantiser has no exceptions of its own
        reason = one_line(error)[:200]
        raise BackboneError(f"{what}: ONNX Runtime cannot quantise it ({reason}); export it again") from error
    finally:
        logging.root.removeFilter(_reject)
        logging.root.removeHandler(silencer)


def _reject(record: logging.LogRecord) -> bool:
    """Reject every record of the root logger, to which the quantiser logs."""
    return False


def fold(model: ModelProto, into: Path) -> ModelProto:
    """The model with constants computed and normalisations folded into convolutions; every node has a name."""
    import onnxruntime

    if opset(model) < _LEAST_OPSET:
        model = version_converter.convert_version(model, _LEAST_OPSET)
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
    """The name without featx's prefix: nodes that featx added belong to the model from now on."""
    return f"of_{tensor}" if tensor.startswith(RESERVED) else tensor


def run_model(model: ModelProto, images: NDArray[Any]) -> list[NDArray[Any]]:
    """All outputs of the model for the images."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: images}))


def spread(images: NDArray[Any], count: int) -> NDArray[Any]:
    """At most `count` of the images, evenly spaced, because neighbours may be of one class."""
    return np.asarray(images[np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))])


def measure_ranges(path: Path, images: NDArray[Any]) -> Iterator[tuple[str, Ranges]]:
    """Yields each method, and the ranges that it finds for all tensors of the model in this file."""
    yield "MinMax", find_extremes(path, images)
    calibrator = _calibrator(path, "Percentile", num_bins=_BINS, symmetric=False, percentile=_PERCENTILES[0])
    few = spread(images, _HISTOGRAM_IMAGES)
    for start in range(0, len(few), _IMAGES_IN_MEMORY):
        calibrator.collect_data(_Reader(path, few[start : start + _IMAGES_IN_MEMORY]))
    for percentile in _PERCENTILES:
        calibrator.collector.percentile = percentile  # the histograms are the same
        yield f"Percentile {percentile}", _plain(calibrator.compute_data())


def find_extremes(path: Path, images: NDArray[Any]) -> Ranges:
    """The lowest and highest value of every tensor of the model in this file over the images."""
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
    """Gives images to a calibrator one by one."""

    def __init__(self, path: Path, images: NDArray[Any]) -> None:
        model = onnx.load(str(path), load_external_data=False)
        self.name = model.graph.input[0].name
        self.images = iter(images)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next image as a batch of one; None after the last."""
        image = next(self.images, None)
        return None if image is None else {self.name: image[None]}


def to_integers(model: ModelProto, ranges: Ranges, *, without: Sequence[str], layers_alone: bool) -> ModelProto:
    """The model with uint8 tensors, and int8 weights with a scale per channel, except in the nodes `without`."""
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    copy = onnx.shape_inference.infer_shapes(model)
    operators = LAYER_OPERATORS if layers_alone else sorted({*QDQRegistry, *QLinearOpsRegistry} - _KEPT_IN_FLOAT32)
    arrays = {name: tuple(np.array([end], np.float32) for end in ends) for name, ends in ranges.items()}
    data = TensorsData(CalibrationMethod.MinMax, arrays)
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=data,
        nodes_to_quantize=[],
        nodes_to_exclude=list(without),
        op_types_to_quantize=operators,
        extra_options={"MatMulConstBOnly": True},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantised: ModelProto = quantizer.model.model
    return quantised


def to_halves(model: ModelProto) -> ModelProto:
    """The model in float16, except for its input and outputs, which stay float32."""
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = ONNXModel(convert_float_to_float16(model, keep_io_types=True))
    converted.topological_sort()
    halves: ModelProto = converted.model
    return halves
