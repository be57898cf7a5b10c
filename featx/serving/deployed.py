"""A deployed model as a server needs it: bytes of an image become pixels, and pixels become answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import OpenedModel, open_model
from featx.errors import ServingError
from featx.inputs import PixelSpec, decode_image
from featx.settings import DEFAULTS, Decode, Device

CLASSES = "featx.classes"
PREPROCESSING = "featx.preprocessing"
HEAD = "featx.head"
OUTPUTS = ("label", "probabilities")
_STEP = "serve a model that `featx deploy HEAD.featx --into model.onnx` wrote"


@dataclass(frozen=True)
class Answers:
    """What the model says of n images."""

    labels: NDArray[Any]
    """(n,) texts."""
    probabilities: NDArray[np.float32]
    """(n, classes)."""


@dataclass(frozen=True)
class DeployedModel:
    """A deployed model, opened on its devices."""

    name: str
    opened: OpenedModel
    classes: tuple[str, ...]
    spec: PixelSpec
    """How an image becomes the pixels that the model takes."""
    decode_as: Decode
    max_pixels: int = DEFAULTS.max_pixels

    @property
    def input_name(self) -> str:
        """Name of the model's input."""
        return self.opened.inputs[0].name

    @property
    def metadata(self) -> Mapping[str, str]:
        """The texts that the file carries, by their keys."""
        return self.opened.metadata

    def decode(self, image: bytes) -> NDArray[np.uint8]:
        """Pixels (1, size, size, 3) of the bytes of an image, as `featx extract` makes them. Raises DecodeError."""
        return decode_image(image, self.spec, max_pixels=self.max_pixels, decode=self.decode_as)[np.newaxis]

    def probability(self, probabilities: NDArray[np.float32]) -> float:
        """The probability of the label of an image with these probabilities (classes,), as `featx predict` says it."""
        return float(probabilities.max())

    def run(self, pixels: NDArray[np.uint8], *, session: int = 0) -> Answers:
        """The answers for pixels (n, size, size, 3). Raises InferenceError."""
        labels, probabilities = self.opened.run([pixels], outputs=OUTPUTS, session=session)
        return Answers(labels, probabilities)


def open_deployed(path: Path | str, *, device: Device = "auto") -> DeployedModel:
    """The deployed model in this file, opened on these devices.

    Raises ServingError if the file is not one that `featx deploy` wrote for pixels, and as `open_model` does.
    """
    opened = open_model(path, device=device)
    for key in (CLASSES, PREPROCESSING):
        if key not in opened.metadata:
            raise ServingError(f"{path}: its metadata has no {key}, so it is not a deployed head; {_STEP}")
    names = [tensor.name for tensor in opened.outputs]
    if missing := [name for name in OUTPUTS if name not in names]:
        raise ServingError(f"{path}: has no output {missing[0]!r} but {', '.join(names)}; {_STEP}")
    spec, decode = _read_preprocessing(opened)
    _check_input(opened, spec)
    classes = tuple(map(str, _read_json(opened, CLASSES, list)))
    return DeployedModel(Path(path).stem, opened, classes, spec, decode)


def _read_preprocessing(opened: OpenedModel) -> tuple[PixelSpec, Decode]:
    values = _read_json(opened, PREPROCESSING, dict)
    try:
        spec = PixelSpec(
            size=values["size"],
            resize=values["resize"],
            crop_mode=values["crop"],
            filter=values["filter"],
            channels=values.get("channels", "RGB"),
            exif_orientation=values["exif"],
            mean=(0.0,) * 3,  # the model subtracts its means itself
            std=(1.0,) * 3,
        )
    except KeyError as error:
        raise ServingError(f"{opened.path}: {PREPROCESSING} in its metadata lacks {error}; {_STEP}") from error
    return spec, values.get("decode", DEFAULTS.decode)


def _read_json(opened: OpenedModel, key: str, kind: type[Any]) -> Any:
    try:
        value = json.loads(opened.metadata[key])
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise ServingError(f"{opened.path}: {key} in its metadata cannot be read; {_STEP}")
    return value


def _check_input(opened: OpenedModel, spec: PixelSpec) -> None:
    """Raise ServingError unless the model takes one tensor of pixels of this size."""
    wanted = (spec.size, spec.size, 3)
    tensor = opened.inputs[0]
    if len(opened.inputs) > 1:
        names = ", ".join(one.name for one in opened.inputs)
        raise ServingError(f"{opened.path}: takes several inputs ({names}) and can only be served if it takes one")
    if tensor.dtype != "tensor(uint8)" or tensor.shape[1:] != wanted:
        raise ServingError(
            f"{opened.path}: takes {tensor.dtype} {tensor.shape} but only pixels, tensor(uint8) {(None, *wanted)}, "
            "can be served; deploy the head without --input float"
        )
