"""The Open Inference Protocol, version 2: what its requests say, and how its answers look."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.errors import DecodeError
from featx.serving.bodies import Refusal
from featx.serving.deployed import OUTPUTS, Answers, DeployedModel

IMAGE = "image"
"""Name of the input whose elements are the bytes of image files in base64, which every served model has."""


@dataclass(frozen=True)
class Inference:
    """A request of the protocol."""

    pixels: NDArray[np.uint8]
    """(n, size, size, 3)."""
    outputs: tuple[str, ...]
    """The outputs that are asked for."""
    id: str | None = None


def describe_model(model: DeployedModel) -> dict[str, Any]:
    """What the protocol says of a model: its inputs and outputs."""
    size = model.spec.size
    return {
        "name": model.name,
        "versions": [],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": model.input_name, "datatype": "UINT8", "shape": [-1, size, size, 3]},
            {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(model.classes)]},
        ],
        "parameters": {"classes": list(model.classes)},
    }


def parse_inference(body: bytes, model: DeployedModel, *, most: int) -> Inference:
    """The request in this body, for at most this number of images. Raises Refusal."""
    document = _parse_json(body)
    tensors = document.get("inputs")
    if not isinstance(tensors, list) or len(tensors) != 1 or not isinstance(tensors[0], dict):
        raise Refusal(400, f'"inputs" should be a list of one tensor, {model.input_name} or {IMAGE}')
    pixels = _read_pixels(tensors[0], model, most)
    own = document.get("id")
    return Inference(pixels, _read_outputs(document.get("outputs")), None if own is None else str(own))


def format_answers(inference: Inference, answers: Answers, model: DeployedModel) -> dict[str, Any]:
    """The answer to this request."""
    found = {
        "label": {"datatype": "BYTES", "shape": [len(answers.labels)], "data": answers.labels.tolist()},
        "probabilities": {
            "datatype": "FP32",
            "shape": list(answers.probabilities.shape),
            "data": answers.probabilities.ravel().tolist(),
        },
    }
    named = {} if inference.id is None else {"id": inference.id}
    return {"model_name": model.name, **named, "outputs": [{"name": name, **found[name]} for name in inference.outputs]}


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise Refusal(400, "the body should be a JSON object")
    return document


def _read_outputs(asked: Any) -> tuple[str, ...]:
    if asked is None:
        return OUTPUTS
    names = [one.get("name") if isinstance(one, dict) else None for one in asked] if isinstance(asked, list) else [None]
    if unknown := [name for name in names if name not in OUTPUTS]:
        raise Refusal(400, f"there is no output {unknown[0]!r}; the outputs are {' and '.join(OUTPUTS)}")
    return tuple(map(str, names)) or OUTPUTS


def _read_pixels(tensor: dict[str, Any], model: DeployedModel, most: int) -> NDArray[np.uint8]:
    readers: dict[str, tuple[str, tuple[int, ...], Callable[..., NDArray[np.uint8]]]] = {
        model.input_name: ("UINT8", model.spec.shape, _from_numbers),
        IMAGE: ("BYTES", (), _from_files),
    }
    name = tensor.get("name")
    if not isinstance(name, str) or name not in readers:
        raise Refusal(400, f"there is no input {name!r}; the inputs are {' and '.join(readers)}")
    datatype, sides, read = readers[name]
    if tensor.get("datatype") != datatype:
        raise Refusal(400, f"input {name} has datatype {tensor.get('datatype')!r} but takes {datatype}")
    return read(tensor.get("data"), _read_shape(tensor, sides, most), model)


def _read_shape(tensor: dict[str, Any], sides: tuple[int, ...], most: int) -> tuple[int, ...]:
    shape = tensor.get("shape")
    name = tensor["name"]
    if not isinstance(shape, list) or not _are_sides(shape) or tuple(shape[1:]) != sides:
        raise Refusal(400, f"input {name} has shape {shape} but takes {[-1, *sides]}, at least one image")
    if shape[0] > most:
        raise Refusal(400, f"input {name} has {shape[0]} images, more than the {most} of --queue; send fewer at once")
    return tuple(shape)


def _are_sides(shape: list[Any]) -> bool:
    """Whether these are whole numbers above 0, at least one."""
    return bool(shape) and all(type(side) is int and side > 0 for side in shape)


def _from_numbers(data: Any, shape: tuple[int, ...], model: DeployedModel) -> NDArray[np.uint8]:
    """The pixels that these numbers are, nested in lists or not."""
    try:
        values = np.asarray(data)
    except ValueError as error:  # lists of several lengths
        raise Refusal(400, f"the data of input {model.input_name} are no array ({error})") from error
    if values.size != prod(shape) or values.dtype.kind not in "iu":
        raise Refusal(400, f"input {model.input_name} should be {prod(shape)} whole numbers, as its shape says")
    if values.min() < 0 or values.max() > 255:
        raise Refusal(400, f"input {model.input_name} has numbers outside 0 to 255")
    return values.astype(np.uint8).reshape(shape)


def _from_files(data: Any, shape: tuple[int, ...], model: DeployedModel) -> NDArray[np.uint8]:
    """The pixels of these image files."""
    if not isinstance(data, list) or len(data) != shape[0]:
        raise Refusal(400, f"input {IMAGE} should be a list of {shape[0]} texts, as its shape says")
    return np.concatenate([_from_file(one, number, model) for number, one in enumerate(data)])


def _from_file(text: Any, number: int, model: DeployedModel) -> NDArray[np.uint8]:
    try:
        return model.decode(base64.b64decode(text, validate=True))
    except DecodeError as error:
        raise Refusal(400, f"image {number}: {error}", failure=error.failure.name) from error
    except (ValueError, TypeError) as error:
        raise Refusal(400, f"image {number} is not the bytes of a file in base64 ({error})") from error
