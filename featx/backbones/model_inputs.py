"""Defines the kinds of input that a model may take, and the keys of a card that describe each kind."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, get_args

from msgspec import Meta

from featx.inputs import PixelSpec

Layout = Literal["NCHW", "NHWC"]
InputType = Literal[
    "float32",
    "float16",
    "uint8",
    "float64",
    "bfloat16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
]
NUMPY_TYPES = {*get_args(InputType)} - {"bfloat16"}
"""The types that numpy has, too."""
WHOLE_NUMBERS = {
    "uint8": 0.0,
    "int8": 128.0,
    **dict.fromkeys(("int16", "int32", "int64", "uint16", "uint32"), 0.0),
}
"""Types of models that take pixels as they are -> what is subtracted so that they fit the type."""
TensorName = Annotated[str, Meta(min_length=1, description="the name of a tensor")]


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """The tensor through which a model takes images, and how an image becomes its numbers."""

    kind: ClassVar[str] = "image"

    name: TensorName
    layout: Layout = "NCHW"
    """Order of the axes: batch, channels, height, width, or with the channels last."""
    dtype: InputType = "float32"
    pixels: PixelSpec

    def __str__(self) -> str:
        """What the model takes, in a few words."""
        return f"{self.pixels.size} x {self.pixels.size} pixels"

    @property
    def sides(self) -> tuple[int, int, int]:
        """The sides of the tensor after the batch."""
        channels = 1 if self.pixels.channels == "L" else 3
        size = self.pixels.size
        return (channels, size, size) if self.layout == "NCHW" else (size, size, channels)

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> "ImageInput":
        """The input that these keys of a card describe."""
        names = {field.name for field in fields(PixelSpec)}
        pixels = {key: value for key, value in values.items() if key in names}
        own = {key: value for key, value in values.items() if key not in names | {"input"}}
        return cls(name=values["input"], pixels=PixelSpec(**pixels), **own)

    def to_card(self) -> dict[str, Any]:
        """The keys of a card that describe this input."""
        return {"input": self.name, "layout": self.layout, "dtype": self.dtype, **asdict(self.pixels)}

    def preparation(self, *, as_pixels: bool) -> dict[str, Any]:
        """How an image file becomes the input of a graph, as plain JSON values.

        `as_pixels` is of the graph that takes uint8 pixels (batch, size, size, 3); else it is of the model's own input.
        """
        pixels = self.pixels
        image = {
            "size": pixels.size,
            "resize": pixels.resize,
            "filter": pixels.filter,
            "crop": pixels.crop_mode,
            "exif": pixels.exif_orientation,
        }
        if as_pixels:
            channels = "L" if pixels.channels == "L" else "RGB"  # grey is resampled as grey, then thrice beside itself
            return image | {"dtype": "uint8", "layout": "NHWC", "channels": channels}
        numbers = {"mean": list(pixels.mean), "std": list(pixels.std)}
        return image | {"dtype": self.dtype, "layout": self.layout, "channels": pixels.channels} | numbers

    def conflicts(self) -> dict[str, str]:
        """For each key of a card that contradicts another one, what it should be."""
        found = {}
        if self.pixels.resize < self.pixels.size:
            found["resize"] = f"at least size = {self.pixels.size}"
        if (offset := WHOLE_NUMBERS.get(self.dtype)) is not None:
            if set(self.pixels.mean) != {offset}:
                found["mean"] = f"three times {offset:g} for a model that takes {self.dtype}"
            if set(self.pixels.std) != {1.0}:
                found["std"] = f"three times 1 for a model that takes {self.dtype}"
        return found


Input = ImageInput
"""What a model takes: one of several kinds, of which images are the first."""
