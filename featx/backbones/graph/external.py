"""Finds, checks, reads and copies the weights that a model stores outside its file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from onnx import GraphProto, ModelProto, TensorProto, helper
from onnx.external_data_helper import uses_external_data

from featx.backbones.graph.view import subgraphs
from featx.errors import BackboneError

SMALL = 2**16
"""External weights of up to this many bytes are read at once: shapes and axes, which surgery needs, are small."""
STAYS_INSIDE = 990
"""Weights of up to this many bytes stay in the model file, even if others are external, as where onnx saves a model."""
_CHUNK = 2**24
"""Number of bytes that are copied at once."""


@dataclass(frozen=True)
class _Place:
    """Where the values of a tensor are stored."""

    file: Path
    """The file itself, without symbolic links."""
    start: int
    length: int

    def read(self) -> bytes:
        """The bytes of the values."""
        with self.file.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)

    def copy(self, into: BinaryIO) -> None:
        """Append the bytes of the values to this file, some megabytes at a time."""
        with self.file.open("rb") as file:
            file.seek(self.start)
            chunks = range(0, self.length, _CHUNK)
            into.writelines(file.read(min(_CHUNK, self.length - done)) for done in chunks)


def tensors_in(graph: GraphProto) -> Iterator[TensorProto]:
    """Every stored tensor of the graph, also of its nodes and of the graphs inside them."""
    yield from _initializers(graph)
    yield from _in_nodes(graph)


def _initializers(graph: GraphProto) -> Iterator[TensorProto]:
    """The weights of the graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _initializers(inner)


def _in_nodes(graph: GraphProto) -> Iterator[TensorProto]:
    """The tensors that are stored in another way: in nodes, or as the parts of sparse weights."""
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for inner in subgraphs(node):
            yield from _in_nodes(inner)


def tensor_bytes(tensor: TensorProto) -> int:
    """Number of bytes of the tensor's values, according to its shape and type."""
    elements = math.prod(tensor.dims)
    if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4):
        return int(elements + 1) // 2
    return int(elements) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def external_bytes(model: ModelProto) -> int:
    """Number of bytes of the weights that are stored outside the model file."""
    return sum(tensor_bytes(tensor) for tensor in tensors_in(model.graph) if uses_external_data(tensor))


def check_external(model: ModelProto, path: Path) -> None:
    """Check where the external weights of this model lie, and read the small ones.

    They may lie in files that the model names by a path below its folder. A link may lead elsewhere within that folder,
    or to the folder of the file that the model is itself a link to: the download cache of Hugging Face has a link for
    every file of a model. Raises BackboneError if weights are elsewhere, missing or cut short.
    """
    for tensor in tensors_in(model.graph):
        if uses_external_data(tensor):
            place = _locate(tensor, path)
            if place.length <= SMALL:
                _store(tensor, place.read())


def read_external(model: ModelProto, path: Path) -> None:
    """Read all external weights into the model. Raises BackboneError as check_external does."""
    for tensor in tensors_in(model.graph):
        if uses_external_data(tensor):
            _store(tensor, _locate(tensor, path).read())


def _store(tensor: TensorProto, values: bytes) -> None:
    tensor.raw_data = values
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _locate(tensor: TensorProto, path: Path) -> _Place:
    """Where the values of this external tensor are stored, after a check that a model there may name that place."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    file = _find_file(said.get("location", ""), path, tensor.name)
    start = int(said.get("offset", 0))
    expected = tensor_bytes(tensor)
    length = int(said.get("length", 0)) or expected
    size = file.stat().st_size
    if length != expected or min(start, length) < 0 or start + length > size:
        raise BackboneError(
            f"{_named(tensor.name, said.get('location'), path)} should have {length} bytes from {start} on, but the "
            f"file has {size}; export it again"
        )
    return _Place(file, start, length)


def _named(tensor: str, location: str | None, path: Path) -> str:
    return f"{path}: the external data of {tensor!r}, {location!r},"


def _find_file(location: str, path: Path, tensor: str) -> Path:
    """The file, without symbolic links, that this location stands for in the model at `path`."""
    named = _named(tensor, location, path)
    place = Path(location)
    if place.is_absolute() or ".." in place.parts or "\\" in location or not place.parts:
        raise BackboneError(f"{named} is outside the model's folder, which featx refuses; put it next to the model")
    folders = dict.fromkeys((path.parent.resolve(), path.resolve().parent))
    found = next((folder / place for folder in folders if (folder / place).exists()), None)
    if found is None or not found.is_file():
        raise BackboneError(f"{named} is missing; put it next to the model under this name")
    file = found.resolve()
    if not any(file.is_relative_to(folder) for folder in folders):
        raise BackboneError(
            f"{named} is a symbolic link to another folder, which featx refuses; put the file itself next to the model"
        )
    return file


def copy_external(model: ModelProto, path: Path, weights: Path) -> None:
    """Copy the larger weights of the model to the new file `weights`, and let the model name that file.

    Weights in nodes, and those that need at most STAYS_INSIDE bytes, are read into the model. No file is read as a
    whole, so models larger than the memory can be copied.
    """
    for tensor in _in_nodes(model.graph):
        if uses_external_data(tensor):
            _store(tensor, _locate(tensor, path).read())
    with weights.open("xb") as into:
        for tensor in _initializers(model.graph):
            if uses_external_data(tensor) or len(tensor.raw_data) > STAYS_INSIDE:
                _move(tensor, path, into, name=weights.name)


def _move(tensor: TensorProto, path: Path, into: BinaryIO, *, name: str) -> None:
    """Append the values of a tensor to the open file of this name, and let the tensor name it."""
    start = into.tell()
    if uses_external_data(tensor):
        _locate(tensor, path).copy(into)
    else:
        into.write(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": name, "offset": start, "length": into.tell() - start}.items():
        tensor.external_data.add(key=key, value=str(value))
