"""A deployed model as a server needs it: bytes of an image become the values of its inputs, these become answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.backbones import OpenedModel, Tensor, open_model
from featx.errors import BackboneError, ServingError
from featx.file_kinds import START_BYTES, name_given
from featx.measures import THRESHOLD
from featx.serving.preparing import ModelInput, read_input
from featx.settings import DEFAULTS, Device
from featx.tables import SEPARATOR

CLASSES = "featx.classes"
PREPROCESSING = "featx.preprocessing"
HEAD = "featx.head"
LABEL, LABELS, PROBABILITIES = "label", "labels", "probabilities"
AT_ONCE = 2
"""Runs at the same time on each device, so that it has work while one begins or ends."""
STEP = "name a model that `featx deploy HEAD.featx --into model.onnx` wrote"

Values: TypeAlias = tuple[NDArray[Any], ...]
"""A value (n, ...) for each input of the model, of the same n images."""


@dataclass(frozen=True)
class Answers:
    """What the model says of n images."""

    labels: NDArray[Any]
    """(n,) texts; (n, classes) of whether each class is there if images may have several labels."""
    probabilities: NDArray[np.float32]
    """(n, classes)."""


@dataclass(frozen=True)
class DeployedModel:
    """A deployed model, opened on its devices."""

    name: str
    opened: OpenedModel
    classes: tuple[str, ...]
    inputs: tuple[ModelInput, ...]
    multilabel: bool
    """Whether an image may have several labels, or none."""
    max_pixels: int = DEFAULTS.max_pixels

    @property
    def label_output(self) -> str:
        """Name of the output with the labels."""
        return LABELS if self.multilabel else LABEL

    @property
    def metadata(self) -> Mapping[str, str]:
        """The texts that the file carries, by their keys."""
        return self.opened.metadata

    def decode(self, image: bytes) -> Values:
        """The values for the bytes of one image, decoded as `featx extract` does. Raises DecodeError."""
        return tuple(one.decode(image, max_pixels=self.max_pixels) for one in self.inputs)

    def run(self, values: Values, *, session: int = 0) -> Answers:
        """The answers for these images. Raises InferenceError."""
        fixed = self.opened.inputs[0].shape[0]
        if fixed is None:
            return self._run(values, session)
        starts = range(0, len(values[0]), fixed)
        parts = [self._run(_filled(values, start, fixed), session) for start in starts]
        count = len(values[0])
        labels = np.concatenate([part.labels for part in parts])[:count]
        return Answers(labels, np.concatenate([part.probabilities for part in parts])[:count])

    def _run(self, values: Values, session: int) -> Answers:
        labels, probabilities = self.opened.run(values, outputs=(self.label_output, PROBABILITIES), session=session)
        return Answers(labels, probabilities)

    def to_document(self, answers: Answers) -> dict[str, Any]:
        """The answer for one image as `featx predict` gives it, and the probabilities of all classes."""
        probabilities = answers.probabilities[0]
        chosen = probabilities > THRESHOLD if self.multilabel else probabilities == probabilities.max()
        probability = probabilities[chosen].min() if chosen.any() else 1 - probabilities.max()
        names = [name for name, there in zip(self.classes, chosen, strict=True) if there]
        return {
            "label": SEPARATOR.join(names) if self.multilabel else str(answers.labels[0]),
            "probability": float(probability),
            "probabilities": dict(zip(self.classes, probabilities.tolist(), strict=True)),
        }


def _filled(values: Values, start: int, count: int) -> Values:
    """This many images from `start` on, the last of them repeated if there are fewer."""
    rows = np.minimum(np.arange(start, start + count), len(values[0]) - 1)
    return tuple(value[rows] for value in values)


def open_deployed(path: Path | str, *, device: Device = "auto") -> DeployedModel:
    """The deployed model in this file, opened on these devices.

    Raises ServingError if the file is not one that `featx deploy` wrote, and what `open_model` raises.
    """
    opened = _open(Path(path), device)
    for key in (CLASSES, PREPROCESSING, HEAD):
        if key not in opened.metadata:
            raise ServingError(f"{path}: its metadata has no {key}, so it is not a deployed head; {STEP}")
    classes = tuple(map(str, _read(opened, CLASSES, list)))
    multilabel = bool(_read(opened, HEAD, dict).get("multilabel"))
    model = DeployedModel(Path(path).stem, opened, classes, _read_inputs(opened), multilabel)
    names = [tensor.name for tensor in opened.outputs]
    for name in (model.label_output, PROBABILITIES):
        if name not in names:
            raise ServingError(f"{path}: has no output {name!r} but {', '.join(names)}; {STEP}")
    return model


def _open(path: Path, device: Device) -> OpenedModel:
    """The model in this file. Raises ServingError if it is a file of another kind, and what `open_model` raises."""
    try:
        return open_model(path, device=device, at_once=AT_ONCE)
    except BackboneError as error:
        if not path.is_file():
            raise
        with path.open("rb") as file:
            start = file.read(START_BYTES)
        kind = name_given(start) if start else ", but an empty file"
        if not kind:
            raise
        head = f"`featx deploy {path} --into {path.stem}.onnx` makes one of it"
        step = head if kind.endswith("a featx head") else STEP
        raise ServingError(f"{path}: not a model that featx deployed{kind}; {step}") from error


def _read_inputs(opened: OpenedModel) -> tuple[ModelInput, ...]:
    """How an image becomes each input of the model. Raises ServingError."""
    described = _read(opened, PREPROCESSING, dict)
    several = described.get("inputs")
    given = several if isinstance(several, dict) else {opened.inputs[0].name: described}
    return tuple(_read_one(opened, tensor, given) for tensor in opened.inputs)


def _read_one(opened: OpenedModel, tensor: Tensor, described: Mapping[str, Any]) -> ModelInput:
    try:
        found = read_input(tensor.name, described[tensor.name])
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError(
            f"{opened.path}: {PREPROCESSING} in its metadata does not say how an image becomes the input {tensor.name} "
            f"({type(error).__name__}: {error}); {STEP}"
        ) from error
    if tensor.shape[1:] != found.sides or tensor.dtype != found.tensor_type:
        wanted = f"{found.tensor_type} {_show(found.sides)}"
        raise ServingError(
            f"{opened.path}: input {tensor.name} is {tensor.dtype} {_show(tensor.shape[1:])} but {PREPROCESSING} in "
            f"its metadata says {wanted}; {STEP}"
        )
    return found


def _show(sides: Sequence[int | None]) -> str:
    return f"(n, {', '.join(map(str, sides))})"


def _read(opened: OpenedModel, key: str, kind: type[Any]) -> Any:
    """The value of this key of the metadata. Raises ServingError if it is not of this kind."""
    try:
        value = json.loads(opened.metadata[key])
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise ServingError(f"{opened.path}: {key} in its metadata cannot be read; {STEP}")
    return value
