"""Runs a torch model on golden pixels and records its output and the input of its last layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Card
from featx.convert.export.libraries import errors_reported, import_library
from featx.convert.verifying import draw_pixels
from featx.errors import BackboneError
from featx.inputs import PixelSpec

GOLDEN_IMAGES = 4
"""Number of images in the golden vectors of an exported backbone."""
_MAP_AXES = 4
"""Number of axes of a map; tokens have one less."""


@dataclass(frozen=True)
class TorchRun:
    """What torch computed from golden pixels."""

    source: str
    """The model, as error messages name it."""
    pixels: NDArray[np.uint8]
    """(GOLDEN_IMAGES, size, size, 3)"""
    output: Any
    """What the model returned."""
    layer: str
    """Name of the last Linear or Conv2d that ran; empty if there was none."""
    layer_input: Any
    """The input of that layer; None if there was none."""
    layer_output: Any
    """The output of that layer; None if there was none."""

    @property
    def ends_in_layer(self) -> bool:
        """Whether the output of the model is the output of its last layer."""
        same = self.layer_output is not None and self.layer_output.numel() == self.output.numel()
        return bool(same and (self.layer_output.flatten() == self.output.flatten()).all())

    def features(self, card: Card, *, from_output: bool) -> NDArray[np.float32]:
        """The card's feature (GOLDEN_IMAGES, dim): the output of the model, or the input of its last layer.

        Raises BackboneError if torch has no feature of that dimension.
        """
        tensor = self.output if from_output else self.layer_input
        vectors = None if tensor is None else _vector(tensor, card)
        if vectors is None or vectors.shape != (GOLDEN_IMAGES, card.dim):
            read = "torch ran none"
            if self.layer:
                read = f"{self.layer!r}, the last that torch ran, reads {tuple(tensor.shape)}"
            raise BackboneError(
                f"{self.source}: its last layer in ONNX reads {card.dim} values, but of its Linear and Conv2d layers "
                f"{read}; make the last layer a torch.nn.Linear"
            )
        return np.ascontiguousarray(vectors.float().numpy(), np.float32)


def _vector(tensor: Any, card: Card) -> Any:
    """The tensor as one vector per image; maps and tokens are pooled as the card says."""
    if tensor.ndim == _MAP_AXES - 1 and card.pool == "cls":
        return tensor[:, 0]
    if tensor.ndim not in (_MAP_AXES - 1, _MAP_AXES):
        return tensor
    channels = 1 if tensor.ndim == _MAP_AXES and tensor.shape[1] == card.dim else tensor.ndim - 1
    places = [axis for axis in range(1, tensor.ndim) if axis != channels]
    return tensor.amax(places) if card.pool == "max" else tensor.mean(places)


def run_torch(model: Any, pixels: PixelSpec, *, source: str) -> TorchRun:
    """Run the model on golden pixels, normalised as `pixels` says.

    Raises BackboneError if it does not run on them, or does not return one tensor with a row per image.
    """
    last: dict[str, Any] = {"layer": "", "layer_input": None, "layer_output": None}
    what = f"{source}: torch cannot run it on {GOLDEN_IMAGES} images of {pixels.size} x {pixels.size} pixels"
    with errors_reported(what, "correct --size, or fix the model"):
        drawn = draw_pixels(pixels.size, count=GOLDEN_IMAGES)
        images = import_library("torch").from_numpy(_normalised(drawn, pixels))
        output = _watched(model, images, last)
    if not (isinstance(output, import_library("torch").Tensor) and output.ndim > 1 and len(output) == len(images)):
        found = f"a tensor {tuple(output.shape)}" if hasattr(output, "shape") else f"a {type(output).__name__}"
        raise BackboneError(
            f"{source}: returns {found} for {len(images)} images but one tensor with a row per image is needed; wrap it"
        )
    return TorchRun(source, drawn, output, **last)


def _watched(model: Any, images: Any, last: dict[str, Any]) -> Any:
    """The model's output; stores name, input and output of the last layer that ran in `last`."""
    torch = import_library("torch")
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    hooks = [layer.register_forward_hook(_recorder(name, last)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            return model(images)
    finally:
        for hook in hooks:
            hook.remove()


def _recorder(name: str, last: dict[str, Any]) -> Callable[..., None]:
    """A hook that stores a layer's name, input and output in `last`, over those of the layer before it."""

    def _record(_: Any, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs:  # copies, because later layers may work in place
            last.update(layer=name, layer_input=inputs[0].clone(), layer_output=output.clone())

    return _record


def _normalised(drawn: NDArray[np.uint8], pixels: PixelSpec) -> NDArray[np.float32]:
    """Images (n, 3, size, size) as the model takes them."""
    ordered = drawn[..., ::-1] if pixels.channels == "BGR" else drawn
    images = (ordered.astype(np.float32) - np.array(pixels.mean, np.float32)) / np.array(pixels.std, np.float32)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
