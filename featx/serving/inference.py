"""The Open Inference Protocol, version 2: what its requests say, and how its answers look."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.errors import DecodeError
from featx.serving.bodies import Refusal
from featx.serving.deployed import PROBABILITIES, Answers, DeployedModel, Values
from featx.serving.preparing import ModelInput

IMAGE = "image"
"""Name of the input whose elements are the bytes of image files in base64, which every served model has."""


@dataclass(frozen=True)
class Inference:
    """A request of the protocol."""

    values: Values
    outputs: tuple[str, ...]
    """The outputs that are asked for."""
    id: str | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.values[0])


def describe_model(model: DeployedModel) -> dict[str, Any]:
    """What the protocol says of a model: its inputs and outputs."""
    classes = len(model.classes)
    label = {"datatype": "BOOL", "shape": [-1, classes]} if model.multilabel else {"datatype": "BYTES", "shape": [-1]}
    return {
        "name": model.name,
        "versions": [],
        "platform": "onnxruntime_onnx",
        "inputs": [
            *({"name": one.name, "datatype": one.datatype, "shape": [-1, *one.sides]} for one in model.inputs),
            {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": model.label_output, **label},
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, classes]},
        ],
        "parameters": {"classes": list(model.classes)},
    }


def parse_inference(body: bytes, model: DeployedModel, *, most: int) -> Inference:
    """The request in this body, for at most this number of images. Raises Refusal."""
    document = _parse_json(body)
    values = _read_values(document.get("inputs"), model, most)
    own = document.get("id")
    return Inference(values, _read_outputs(document.get("outputs"), model), None if own is None else str(own))


def format_answers(inference: Inference, answers: Answers, model: DeployedModel) -> dict[str, Any]:
    """The answer to this request."""
    found = {model.label_output: answers.labels, PROBABILITIES: answers.probabilities}
    types = {"O": "BYTES", "b": "BOOL", "f": "FP32"}
    named = {} if inference.id is None else {"id": inference.id}
    outputs = [
        {
            "name": name,
            "datatype": types[found[name].dtype.kind],
            "shape": list(found[name].shape),
            "data": found[name].ravel().tolist(),
        }
        for name in inference.outputs
    ]
    return {"model_name": model.name, **named, "outputs": outputs}


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise Refusal(400, "the body should be a JSON object")
    return document


def _read_outputs(asked: Any, model: DeployedModel) -> tuple[str, ...]:
    known = (model.label_output, PROBABILITIES)
    if asked is None:
        return known
    names = [one.get("name") if isinstance(one, dict) else None for one in asked] if isinstance(asked, list) else [None]
    if unknown := [name for name in names if name not in known]:
        raise Refusal(400, f"there is no output {unknown[0]!r}; the outputs are {' and '.join(known)}")
    return tuple(dict.fromkeys(map(str, names))) or known


def _read_values(tensors: Any, model: DeployedModel, most: int) -> Values:
    """A value of each input: of these tensors, or decoded from the files in the one that is called `image`."""
    names = [one.name for one in model.inputs]
    wanted = f"{' and '.join(names)}, or {IMAGE} alone"
    if not isinstance(tensors, list) or not all(isinstance(tensor, dict) for tensor in tensors):
        raise Refusal(400, f'"inputs" should be a list of tensors: {wanted}')
    given = {str(tensor.get("name")): tensor for tensor in tensors}
    if set(given) == {IMAGE} and len(tensors) == 1:
        return _from_files(given[IMAGE], model, most)
    if len(given) < len(tensors) or sorted(given) != sorted(names):
        found = ", ".join(str(tensor.get("name")) for tensor in tensors)
        raise Refusal(400, f"the inputs are {found or 'missing'} but should be {wanted}")
    values = tuple(_from_numbers(given[one.name], one, most) for one in model.inputs)
    if len({len(value) for value in values}) > 1:
        raise Refusal(400, "the inputs have different numbers of images")
    return values


def _read_count(tensor: dict[str, Any], datatype: str, sides: tuple[int, ...], most: int) -> int:
    """The number of images in this tensor, whose type and shape fit. Raises Refusal."""
    name = tensor["name"]
    if tensor.get("datatype") != datatype:
        raise Refusal(400, f"input {name} has datatype {tensor.get('datatype')!r} but takes {datatype}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not _are_sides(shape) or tuple(shape[1:]) != sides:
        raise Refusal(400, f"input {name} has shape {shape} but takes {[-1, *sides]}, at least one image")
    if shape[0] > most:
        raise Refusal(400, f"input {name} has {shape[0]} images, more than the {most} of --queue; send fewer at once")
    return int(shape[0])


def _are_sides(shape: Sequence[Any]) -> bool:
    """Whether these are whole numbers above 0, at least one."""
    return bool(shape) and all(type(side) is int and side > 0 for side in shape)


def _from_numbers(tensor: dict[str, Any], taken: ModelInput, most: int) -> NDArray[Any]:
    """The value of this input that the numbers of the tensor are, nested in lists or not."""
    shape = (_read_count(tensor, taken.datatype, taken.sides, most), *taken.sides)
    try:
        values = np.asarray(tensor.get("data"))
    except (ValueError, OverflowError) as error:  # lists of several lengths
        raise Refusal(400, f"the data of input {taken.name} are no array ({error})") from error
    whole = taken.dtype == "uint8"
    if values.size != prod(shape) or values.dtype.kind not in ("iu" if whole else "iuf"):
        kind = "whole numbers" if whole else "numbers"
        raise Refusal(400, f"the data of input {taken.name} should be {prod(shape)} {kind}, as its shape says")
    if whole and (values.min() < 0 or values.max() > 255):
        raise Refusal(400, f"input {taken.name} has numbers outside 0 to 255")
    return values.astype(taken.dtype).reshape(shape)


def _from_files(tensor: dict[str, Any], model: DeployedModel, most: int) -> Values:
    """The values of these image files."""
    count = _read_count(tensor, "BYTES", (), most)
    data = tensor.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise Refusal(400, f"input {IMAGE} should be a list of {count} texts, as its shape says")
    decoded = [_from_file(one, number, model) for number, one in enumerate(data)]
    return tuple(np.concatenate(parts) for parts in zip(*decoded, strict=True))


def _from_file(text: Any, number: int, model: DeployedModel) -> Values:
    try:
        return model.decode(base64.b64decode(text, validate=True))
    except DecodeError as error:
        raise Refusal(400, f"image {number}: {error}", failure=error.failure.name) from error
    except (ValueError, TypeError) as error:
        raise Refusal(400, f"image {number} is not the bytes of a file in base64 ({error})") from error
