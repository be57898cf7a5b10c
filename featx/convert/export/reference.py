"""A model of torch and pixels in; what torch makes of them, its output and what its last layer reads, out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Card
from featx.convert.export.libraries import errors_reported, import_library
from featx.convert.verify import draw_pixels
from featx.errors import BackboneError
from featx.inputs import PixelSpec

PICTURES = 4
MAP = 4
"""Axes of a map; tokens have one less."""


@dataclass(frozen=True)
class TorchRun:
    """What torch made of golden pixels."""

    source: str
    """The model, as messages name it."""
    pixels: NDArray[np.uint8]
    """(PICTURES, size, size, 3)"""
    output: Any
    """What the model returned."""
    layer: str
    """The last Linear or Conv2d that was run; empty where there was none."""
    read: Any
    """What that layer read."""
    made: Any
    """What that layer made of it."""

    @property
    def ends_in_layer(self) -> bool:
        """Whether the output is what the last layer made, and nothing else."""
        same = self.made is not None and self.made.numel() == self.output.numel()
        return bool(same and (self.made.flatten() == self.output.flatten()).all())

    def features(self, card: Card, *, own: bool) -> NDArray[np.float32]:
        """The card's feature (PICTURES, dim): the model's own output, or what its last layer reads.

        Raises BackboneError where torch has none of that dimension.
        """
        known = self.output if own else self.read
        vectors = None if known is None else _vector(known, card)
        if vectors is None or vectors.shape != (PICTURES, card.dim):
            reads = f"{self.layer!r} reads {tuple(known.shape)}" if self.layer else "there is none"
            raise BackboneError(
                f"{self.source}: its last layer in ONNX reads {card.dim} numbers, but of the Linear and Conv2d that "
                f"torch ran last {reads}; make the last layer a torch.nn.Linear"
            )
        return np.ascontiguousarray(vectors.float().numpy(), np.float32)


def _vector(tensor: Any, card: Card) -> Any:
    """A vector, a map or tokens as one vector an image, pooled as the card has it."""
    if tensor.ndim == MAP - 1 and card.pool == "cls":
        return tensor[:, 0]
    if tensor.ndim not in (MAP - 1, MAP):
        return tensor
    channels = 1 if tensor.ndim == MAP and tensor.shape[1] == card.dim else tensor.ndim - 1
    places = [axis for axis in range(1, tensor.ndim) if axis != channels]
    return tensor.amax(places) if card.pool == "max" else tensor.mean(places)


def run_torch(model: Any, pixels: PixelSpec, *, source: str) -> TorchRun:
    """What torch makes of golden pixels that are prepared so.

    Raises BackboneError where it does not run on them, or returns anything but one tensor with a row an image.
    """
    last: dict[str, Any] = {"layer": "", "read": None, "made": None}
    what = f"{source}: torch cannot run it on {PICTURES} images of {pixels.size} x {pixels.size} pixels"
    with errors_reported(what, "correct --size, or mend the model"):
        drawn = draw_pixels(pixels.size, count=PICTURES)
        images = import_library("torch").from_numpy(_normalised(drawn, pixels))
        output = _watched(model, images, last)
    if not (isinstance(output, import_library("torch").Tensor) and output.ndim > 1 and len(output) == len(images)):
        what = f"a tensor {tuple(output.shape)}" if hasattr(output, "shape") else f"a {type(output).__name__}"
        raise BackboneError(
            f"{source}: returns {what} for {len(images)} images but one tensor with a row an image is wanted; wrap it"
        )
    return TorchRun(source, drawn, output, **last)


def _watched(model: Any, images: Any, last: dict[str, Any]) -> Any:
    """The model's output; `last` then holds what the last layer read and made."""
    torch = import_library("torch")
    layers = {name: one for name, one in model.named_modules() if isinstance(one, (torch.nn.Linear, torch.nn.Conv2d))}
    hooks = [layer.register_forward_hook(_noting(name, last)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            return model(images)
    finally:
        for hook in hooks:
            hook.remove()


def _noting(name: str, last: dict[str, Any]) -> Callable[..., None]:
    def _note(_: Any, given: tuple[Any, ...], made: Any) -> None:
        if given:  # copies, for what stands behind may work in place
            last.update(layer=name, read=given[0].clone(), made=made.clone())

    return _note


def _normalised(drawn: NDArray[np.uint8], pixels: PixelSpec) -> NDArray[np.float32]:
    """Images (n, 3, size, size) as the model takes them."""
    ordered = drawn[..., ::-1] if pixels.channels == "BGR" else drawn
    images = (ordered.astype(np.float32) - np.array(pixels.mean, np.float32)) / np.array(pixels.std, np.float32)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
