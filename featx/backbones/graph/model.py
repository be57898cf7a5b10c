"""Reads ONNX files safely: checks size, operators and external weights."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.external_data_helper import uses_external_data
from onnx.inliner import inline_local_functions

from featx.backbones.graph.external import check_external, copy_external, tensors_in
from featx.backbones.graph.order import sort_nodes
from featx.backbones.graph.other_formats import name_unreadable, refuse_other_formats
from featx.backbones.graph.sizes import OversizedError, check_stored
from featx.backbones.graph.view import subgraphs
from featx.errors import BackboneError

MAX_MODEL_BYTES = 2**31 - 1
"""Largest file that protobuf can read; larger weights are stored next to the model as external data."""
MAX_NODES = 2**20
"""Largest number of nodes of a graph after its local functions are inlined."""
FORMAT_READ_BY_ALL = 10
"""The newest version of the ONNX format (IR) that every ONNX Runtime which featx supports reads."""
RESERVED = "featx_"
"""Prefix of the names of all tensors that featx adds to a graph."""

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}
"""Domains of the operators that ONNX or ONNX Runtime defines."""

REDUCE_AXES_ARE_INPUTS = 18
"""The opset from which on ReduceMean and ReduceMax take their axes as an input."""
INTEGER_OPERATORS = {"DequantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm"}
"""Operators that only models which compute in int8 contain."""


def load_model(path: Path) -> ModelProto:
    """The model in this file, with local functions inlined; large external weights stay in their files.

    Raises BackboneError if the file is missing, too large, cut short or not ONNX, if it uses an operator that neither
    ONNX nor ONNX Runtime defines, or if it stores weights anywhere but in files next to it.
    """
    if not (path.is_file() or path.is_dir()):
        raise BackboneError(f"{path}: no such model; name an .onnx file")
    refuse_other_formats(path)
    if (size := path.stat().st_size) > MAX_MODEL_BYTES:
        raise BackboneError(
            f"{path}: {size} bytes, but ONNX files have at most {MAX_MODEL_BYTES}; export it with external data"
        )
    with damage_reported(path):
        return _load(path)


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turns any error that a damaged model causes into a BackboneError that names the file."""
    try:
        yield
    except BackboneError:
        raise
    except OversizedError as error:
        raise BackboneError(f"{path}: {error}; export it again, and smaller") from error
    except Exception as error:  # protobuf, onnx's C++ code and numpy raise almost any type on damaged models
        raise BackboneError(name_unreadable(path, _first_line(error))) from error


def _load(path: Path) -> ModelProto:
    model = onnx.load(str(path), format="protobuf", load_external_data=False)
    if not (model.graph.node and model.graph.output and model.opset_import):
        raise BackboneError(name_unreadable(path, "no nodes, outputs or opset"))
    if not all(isinstance(name, str) for node in model.graph.node for name in (*node.input, *node.output)):
        raise ValueError("a tensor's name is not text")
    if any(name.startswith(RESERVED) for node in model.graph.node for name in node.output):
        raise BackboneError(f"{path}: names of tensors may not begin with {RESERVED!r}, as featx's own do; rename them")
    model = _inline(model, path)
    sort_nodes(model.graph)
    model.ir_version = _sufficient_format(model)
    _check_operators(model, path)
    check_external(model, path)
    check_stored(model)
    return model


def _sufficient_format(model: ModelProto) -> int:
    """The version of the ONNX format that the model needs: its own, or a lower one that more runtimes read."""
    newest = onnx.defs.onnx_opset_version()
    if any(entry.domain in ("", "ai.onnx") and entry.version > newest for entry in model.opset_import):
        return model.ir_version
    needed = helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    return min(model.ir_version, max(needed, FORMAT_READ_BY_ALL))


def describe_format(path: Path) -> str:
    """A sentence about the version of the ONNX format, if that in the file is newer than the model needs; else empty.

    Raises BackboneError as load_model does.
    """
    used = load_model(path).ir_version
    stated = onnx.load(str(path), format="protobuf", load_external_data=False).ir_version
    if stated <= max(used, FORMAT_READ_BY_ALL):
        return ""
    return f"the file has version {stated} of the ONNX format (IR), but nothing in it needs that; it is run as {used}"


def _inline(model: ModelProto, path: Path) -> ModelProto:
    if not model.functions:
        return model
    _check_expansion(model, path)
    try:
        return inline_local_functions(model)
    except Exception as error:  # errors of onnx's C++ code have no type of their own
        raise BackboneError(
            f"{path}: its local functions cannot be inlined ({_first_line(error)}); export again"
        ) from error


def _check_expansion(model: ModelProto, path: Path) -> None:
    """Refuse nested functions that expand to more nodes than any real model has."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def _size(nodes: Iterable[NodeProto], within: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            if called in within:
                raise ValueError(f"function {node.op_type} calls itself")
            if called in bodies and called not in sizes:
                sizes[called] = _size(bodies[called], (*within, called))
            total += sizes.get(called, 1)
        return total

    if (count := _size(model.graph.node, ())) > MAX_NODES:
        raise BackboneError(
            f"{path}: its functions expand to {count} nodes, too many for featx; export it without them"
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _check_operators(model: ModelProto, path: Path) -> None:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    for node in _nodes(model.graph):
        custom = node.domain not in DOMAINS
        if custom or (node.domain in ("", "ai.onnx") and not _is_defined(node, opsets)):
            domain = f"domain {node.domain!r}" if custom else f"ONNX opset {opsets.get('', opsets.get('ai.onnx'))}"
            raise BackboneError(
                f"{path}: node {node.name or next(iter(node.output), '')!r} is a {node.op_type} of {domain}, "
                "an operator unknown to ONNX Runtime; featx loads no custom operators: export the model without it"
            )


def _is_defined(node: NodeProto, opsets: Mapping[str, int]) -> bool:
    newest = onnx.defs.onnx_opset_version()
    version = opsets.get("", opsets.get("ai.onnx", newest))
    if version > newest:
        return True  # ONNX Runtime may be newer than the package onnx; it will decide
    try:
        onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return False
    return True


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from _nodes(inner)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata that the exporter stored in the model. Raises BackboneError as load_model does."""
    return {entry.key: entry.value for entry in load_model(path).metadata_props}


def find_precision(path: Path) -> str:
    """The precision in which the model computes: int8 if any node does, float16 if any weight is, else float32."""
    graph = load_model(path).graph
    if any(node.op_type in INTEGER_OPERATORS for node in _nodes(graph)):
        return "int8"
    halves = any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer)
    return "float16" if halves else "float32"


def save_model(path: Path, into: Path) -> Path | None:
    """Copy the model to `into`; returns the file next to it with its external weights, or None if it has none.

    External weights are gathered in one file, `<into>.data`; a model without any is copied byte for byte. Raises
    BackboneError as load_model does.
    """
    with damage_reported(path):
        stored = onnx.load(str(path), format="protobuf", load_external_data=False)
    if not any(map(uses_external_data, tensors_in(stored.graph))):
        shutil.copyfile(path, into)
        return None
    return write_model(load_model(path), into, path=path)


def write_model(model: ModelProto, into: Path, *, path: Path) -> Path | None:
    """Write a model that was loaded from `path` to `into`; returns the file next to it with its external weights.

    Larger weights go to one file, `<into>.data`; it is None if there are none. Raises BackboneError as load_model does.
    """
    weights = into.with_name(f"{into.name}.data")
    with damage_reported(path):
        copy_external(model, path, weights)
    into.write_bytes(model.SerializeToString())
    if weights.stat().st_size:
        return weights
    weights.unlink()
    return None
