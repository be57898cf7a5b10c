"""Reads the preprocessing in the metadata of an ONNX model: the keys of ONNX, timm, Ultralytics and OpenVINO."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from featx.convert.preprocessing.specification import Preprocessing
from featx.convert.preprocessing.timm_config import TIMM_KEYS, read_timm
from featx.convert.preprocessing.values import Keys, one_of, scaled, square
from featx.settings import Channels

PIXEL_RANGES = {
    "NominalRange_0_255": (0.0, 1.0),
    "Normalized_0_1": (0.0, 255.0),
    "Normalized_1_1": (127.5, 127.5),
}
"""Image.NominalPixelRange in the metadata of ONNX -> mean and std on the scale 0 to 255."""
PIXEL_FORMATS: dict[str, Channels] = {"Rgb8": "RGB", "Bgr8": "BGR", "Gray8": "L"}
"""Image.BitmapPixelFormat in the metadata of ONNX -> channels."""
_PIXEL_WORDS = re.compile(
    r"mean|std|scale|normali[sz]|crop|resiz|resampl|interpol|letterbox|\bimage[._]|pixel|bgr|rgb|pad_value|imgsz|"
    r"reverse_input|image_?size|input_?size|preproc",
    re.IGNORECASE,
)
"""What the name of an entry that is about pixels contains."""
_OPENVINO = "model_info "
"""Prefix of the entries that the Model API of OpenVINO writes."""


def read_metadata_entries(metadata: Mapping[str, str], source: str) -> tuple[Preprocessing, list[str]]:
    """The preprocessing in these entries, and the names of entries about pixels that were not read."""
    found = Preprocessing()
    read = set[str]()
    for reader in (_from_timm, _from_onnx, _from_ultralytics, _from_openvino):
        more, keys = reader(metadata, source)
        found = found.over(more)
        read |= keys
    unread = [key for key in metadata if key not in read and _PIXEL_WORDS.search(key) and metadata[key]]
    return found, sorted(unread)


Part = tuple[Preprocessing, set[str]]
"""What one tool says, and the entries that were read for it."""


def _from_timm(metadata: Mapping[str, str], source: str) -> Part:
    keys = TIMM_KEYS & metadata.keys()
    said = read_timm({key: _parsed(metadata[key]) for key in keys}, f"{source} (metadata)")
    return (said[0], keys) if said else (Preprocessing(), set())


def _from_onnx(metadata: Mapping[str, str], source: str) -> Part:
    """The keys that ONNX itself defines for images, which Custom Vision and Windows ML write."""
    read = {"Image.BitmapPixelFormat", "Image.NominalPixelRange"}
    found = Preprocessing()
    if (pixel_format := metadata.get("Image.BitmapPixelFormat")) is not None:
        known = one_of(pixel_format, tuple(PIXEL_FORMATS), "BitmapPixelFormat", source)
        found = replace(found, channels=PIXEL_FORMATS[known])
    if (pixel_range := metadata.get("Image.NominalPixelRange")) is not None:
        mean, std = PIXEL_RANGES[one_of(pixel_range, tuple(PIXEL_RANGES), "NominalPixelRange", source)]
        found = replace(found, mean=(mean,) * 3, std=(std,) * 3)
    if metadata.get("Image.ColorSpaceGamma") == "SRGB":
        read |= {"Image.ColorSpaceGamma"}
    return found, read


def _from_ultralytics(metadata: Mapping[str, str], source: str) -> Part:
    """Pixels from 0 to 1; a classifier resizes the shorter side and crops, all others add a border."""
    if metadata.get("author") != "Ultralytics":
        return Preprocessing(), set()
    scale = Preprocessing(mean=(0.0,) * 3, std=(255.0,) * 3)
    if metadata.get("task") != "classify" or "imgsz" not in metadata:
        return scale, set()
    size = square(_parsed(metadata["imgsz"]), "imgsz", source)
    return replace(scale, size=size, resize=size, crop_mode="center", filter="bilinear"), {"imgsz"}


def _from_openvino(metadata: Mapping[str, str], source: str) -> Part:
    names = {key.removeprefix(_OPENVINO): key for key in metadata if key.startswith(_OPENVINO)}
    entries = {name: _parsed(metadata[key]) for name, key in names.items()}
    keys = Keys({name: value for name, value in entries.items() if value not in ("", "None")}, source)
    mean = scaled(_as_list(keys.get("mean_values")), 1.0, "mean_values", source)
    std = scaled(_as_list(keys.get("scale_values")), 1.0, "scale_values", source)
    found = Preprocessing(
        mean=mean or ((0.0,) * 3 if std else None),
        std=std or ((1.0,) * 3 if mean else None),
        crop_mode="squash" if keys.get("resize_type") == "standard" else None,
        channels="RGB" if keys.get("reverse_input_channels") in (True, "True", "YES") else None,
    )
    read = {key for name, key in names.items() if name in ("mean_values", "scale_values")}
    read |= {names[name] for name in ("resize_type",) if found.crop_mode}
    read |= {names[name] for name in ("reverse_input_channels",) if found.channels}
    return found, read


def _as_list(value: Any) -> Any:
    """The numbers of a text that separates them by spaces."""
    return [float(one) for one in value.split()] if isinstance(value, str) and " " in value else value


def _parsed(text: str) -> Any:
    """A value of the metadata as JSON, with or without the brackets of a list; else the text itself."""
    for form in (text, f"[{text.strip(' ()[]')}]"):
        try:
            value = json.loads(form)
        except (ValueError, RecursionError):
            continue
        return value[0] if isinstance(value, list) and len(value) == 1 else value
    return text


def says_anything(found: Preprocessing) -> bool:
    """Whether any of its fields is known."""
    return any(getattr(found, field.name) is not None for field in fields(found))
