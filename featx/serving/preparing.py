"""How the bytes of an image become the value of one input of a deployed model, as its metadata says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.inputs import PixelSpec, check_views, decode_views
from featx.settings import CENTER, DEFAULTS, FILTERS, Decode

TENSOR_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "float16": "tensor(float16)"}
"""Type as the metadata names it -> as ONNX Runtime does."""
DATATYPES = {"uint8": "UINT8", "float32": "FP32", "float16": "FP16"}
"""Type as the metadata names it -> as the Open Inference Protocol does."""


@dataclass(frozen=True)
class ModelInput:
    """How an image becomes one input of a deployed model."""

    name: str
    spec: PixelSpec
    """How an image is resized and cropped, and with which mean and deviation it is normalised."""
    decode_as: Decode
    dtype: str
    """uint8, float32 or float16."""
    channels_first: bool
    views: tuple[str, ...] = (CENTER,)
    """The views of an image that the input holds; one with view 0 alone has no axis for them."""

    @property
    def sides(self) -> tuple[int, ...]:
        """The shape of the value of one image."""
        size = self.spec.size
        channels = 1 if self.spec.channels == "L" and self.dtype != "uint8" else 3
        sides = (channels, size, size) if self.channels_first else (size, size, channels)
        return sides if len(self.views) == 1 else (len(self.views), *sides)

    @property
    def tensor_type(self) -> str:
        """The type of the input as ONNX Runtime names it."""
        return TENSOR_TYPES[self.dtype]

    @property
    def datatype(self) -> str:
        """The type of the input as the Open Inference Protocol names it."""
        return DATATYPES[self.dtype]

    def decode(self, image: bytes, *, max_pixels: int) -> NDArray[Any]:
        """The value (1, ...) for the bytes of an image. Raises DecodeError."""
        pixels = decode_views(image, self.spec, self.views, max_pixels=max_pixels, decode=self.decode_as)
        values = pixels if self.dtype == "uint8" else self._normalise(pixels)
        return values.reshape(1, *self.sides)

    def _normalise(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The pixels (views, size, size, 3) as the numbers that the backbone itself takes."""
        kept = {"RGB": pixels, "BGR": pixels[..., ::-1], "L": pixels[..., :1]}[self.spec.channels]
        count = kept.shape[-1]
        mean, std = (np.array(numbers[:count], np.float32) for numbers in (self.spec.mean, self.spec.std))
        numbers = ((kept.astype(np.float32) - mean) / std).astype(self.dtype)
        return np.ascontiguousarray(numbers.transpose(0, 3, 1, 2)) if self.channels_first else numbers


def read_input(name: str, described: Mapping[str, Any]) -> ModelInput:
    """The input that the metadata describe so. Raises KeyError, TypeError or ValueError if they do not."""
    dtype = described["dtype"]
    if dtype not in TENSOR_TYPES or described["filter"] not in FILTERS:
        raise ValueError(f"dtype {dtype} and filter {described['filter']}")
    spec = PixelSpec(
        size=int(described["size"]),
        resize=int(described["resize"]),
        crop_mode=described["crop"],
        filter=described["filter"],
        channels=described["channels"],
        exif_orientation=bool(described["exif"]),
        mean=tuple(described.get("mean", (0.0,) * 3)),
        std=tuple(described.get("std", (1.0,) * 3)),
    )
    decode = described.get("decode", DEFAULTS.decode)
    views = tuple(described.get("views", (CENTER,)))
    check_views(views, spec, decode=decode)
    return ModelInput(name, spec, decode, dtype, described["layout"] == "NCHW", views)
