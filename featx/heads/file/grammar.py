"""What a saved pipeline may consist of, checked on the data alone: skops loads it only if all of it is known.

A saved pipeline is a zip of `schema.json`, a tree of nodes, and one file for each array. skops would load every
estimator of scikit-learn, and functions; a head has neither, except for the types that are named here.
"""

import json
import math
from collections.abc import Iterator, Mapping
from io import BytesIO
from textwrap import shorten
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import Pipeline

from featx.errors import HeadError
from featx.estimators import (
    MLP,
    BlockPCA,
    BlockScaler,
    ColumnSelector,
    CoralAdapter,
    CosineNeighbors,
    DomainStandardiser,
    FeatureScaler,
    KernelMap,
    KernelSVM,
    LinearSVM,
    LooRidgeClassifier,
    MultilabelNeighbors,
    NearestClassMean,
    OneVsRest,
    PriorShift,
    SoftmaxRegression,
    StackedBlocks,
    TrAdaBoost,
    TransportAdapter,
)
from featx.heads.file.archive import open_archive

Node: TypeAlias = dict[str, Any]

SCHEMA = "schema.json"
SCHEMA_BYTES = 2**25
MOST_NODES = 200_000
"""Nodes of a schema; skops takes some 1.5 kB of memory for each."""
DEEPEST = 60
"""How far nodes may be inside each other."""
STEPS = (
    BlockPCA,
    BlockScaler,
    ColumnSelector,
    CoralAdapter,
    DomainStandardiser,
    FeatureScaler,
    KernelMap,
    TransportAdapter,
)
CLASSIFIERS = (
    MLP,
    CosineNeighbors,
    KernelSVM,
    LinearSVM,
    LooRidgeClassifier,
    MultilabelNeighbors,
    NearestClassMean,
    OneVsRest,
    PriorShift,
    SoftmaxRegression,
    StackedBlocks,
    TrAdaBoost,
)
TYPES = frozenset(f"{one.__module__}.{one.__qualname__}" for one in (*STEPS, *CLASSIFIERS, Nystroem, Pipeline))
"""All types of objects in a head, by the names that skops gives them."""
NUMBERS = ("float32", "float64", "int32", "int64", "bool")
"""Types of numbers in arrays."""
HEADER_BYTES = 10_000
"""The most bytes of an array's file that say what it contains."""


def check_saved_pipeline(file: BinaryIO, *, limit: int) -> None:
    """Raise HeadError unless this zip consists of nothing but what a head's pipeline does, in at most `limit` bytes."""
    with open_archive(file, limit=limit) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        if sizes.pop(SCHEMA, SCHEMA_BYTES + 1) > SCHEMA_BYTES:
            raise HeadError(f"its pipeline has no {SCHEMA} of at most {SCHEMA_BYTES} bytes")
        arrays = _check_schema(archive.read(SCHEMA))
        if arrays != sizes.keys():
            raise HeadError("its pipeline has other arrays than its schema names")
        for name, size in sizes.items():
            with archive.open(name) as array:
                _check_array(name, array.read(HEADER_BYTES), size)


def _check_schema(data: bytes) -> set[str]:
    """The names of the arrays in a schema. Raises HeadError for any type that heads do not consist of."""
    if data.count(b"[") + data.count(b"{") > 2 * MOST_NODES:
        raise HeadError("its pipeline has more parts than that of any head")
    nodes = list(_walk(json.loads(data)))
    foreign = sorted({kind for node in nodes if (kind := _foreign_type(node))})
    if foreign:
        raise HeadError(f"contains types that no head consists of ({', '.join(foreign)}); do not use this file")
    for node in nodes:
        if node["__loader__"] == "JsonNode":
            _check_value(node.get("content"))
    return {_array_name(node) for node in nodes if node["__loader__"] == "NdArrayNode"}


def _walk(root: object) -> Iterator[Node]:
    """All nodes of a schema, each before those inside it."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, dict) or depth > DEEPEST:
            raise HeadError("its pipeline is not one that featx has saved")
        yield node
        waiting += [(inner, depth + 1) for inner in _inner_nodes(node)]


def _inner_nodes(node: Node) -> list[object]:
    content = node.get("content")
    match node.get("__loader__"), content:
        case "ObjectNode", dict():
            return [content]
        case "DictNode", dict():
            return [*content.values(), node.get("key_types")]
        case (("ListNode" | "TupleNode"), list()):
            return content
    return []


def _foreign_type(node: Node) -> str:
    """The type of this node if heads do not consist of it; empty if they do."""
    kind = f"{node.get('__module__')}.{node.get('__class__')}"
    allowed = LOADERS.get(str(node.get("__loader__")), frozenset())
    return "" if kind in allowed else kind


LOADERS: Mapping[str, frozenset[str]] = {
    "ObjectNode": TYPES,
    "DictNode": frozenset(["builtins.dict"]),
    "ListNode": frozenset(["builtins.list"]),
    "TupleNode": frozenset(["builtins.tuple"]),
    "JsonNode": frozenset(["builtins.str"]),
    "TypeNode": frozenset(["builtins.int", "builtins.str"]),
    "NdArrayNode": frozenset(["numpy.ndarray", *(f"numpy.{name}" for name in NUMBERS)]),
}
"""The kinds of nodes, and the types that each may have."""


def _check_value(content: object) -> None:
    """Raise HeadError unless this is JSON of a finite number, a text, true, false or null."""
    value = json.loads(content) if isinstance(content, str) else ()
    if isinstance(value, list | tuple | dict) or (isinstance(value, float) and not math.isfinite(value)):
        raise HeadError(f"its pipeline has the value {shorten(str(content), width=40)}, which no head has")


def _array_name(node: Node) -> str:
    """The name of the file of an array. Raises HeadError for arrays of objects, which have none."""
    name = node.get("file")
    if node.get("type") != "numpy" or not isinstance(name, str):
        raise HeadError("its pipeline has an array of objects, which no head has")
    return name


def _check_array(name: str, start: bytes, size: int) -> None:
    """Raise HeadError unless this is the beginning of an array of plain numbers whose file has this size."""
    file = BytesIO(start)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(file)
    bytes_expected = math.prod(shape) * kind.itemsize
    if kind.name not in NUMBERS or min(shape, default=0) < 0 or file.tell() + bytes_expected != size:
        raise HeadError(f"its array {name} of {kind} {shape} is not one that featx has saved")
