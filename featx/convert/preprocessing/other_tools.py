"""Reads the preprocessing in the files of KerasHub and OpenVINO."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featx.convert.preprocessing.specification import Preprocessing
from featx.convert.preprocessing.values import Keys, scaled, square
from featx.settings import FILTERS

_MOST_BYTES = 2**26
"""Largest .xml file that is searched."""
_KERAS_NOT_PIXELS = {"name", "trainable", "dtype", "data_format", "bounding_box_format", "antialias"}
_VALUE = r'<{}\s+value\s*=\s*"([^"<>]{{0,1000}})"'
"""An entry of the runtime information in a model of OpenVINO."""
_NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?"
_OPENVINO_UNREAD = ("reverse_input_channels", "layout", "preprocess", "resize_type", "pad_value")


def read_keras(config: Mapping[str, Any], source: str) -> tuple[Preprocessing, list[str]] | None:
    """The image converter of KerasHub, alone in its file or inside a preprocessor; pixels times scale plus offset."""
    keys = Keys(config, source).table("config")
    if isinstance(keys.get("image_converter"), dict):
        keys = keys.table("image_converter").table("config")
    if "image_size" not in keys:
        return None
    if keys.get("pad_to_aspect_ratio", False):
        raise keys.refuse("pad_to_aspect_ratio", "adds a border, which featx does not")
    size = square(keys.get("image_size"), "image_size", source)
    crops = keys.get("crop_to_aspect_ratio", True)
    mean, std = _affine(keys)
    found = Preprocessing(
        size=size,
        resize=size,
        crop_mode="center" if crops else "squash",
        filter=keys.one_of("interpolation", FILTERS, "bilinear"),
        mean=mean,
        std=std,
    )
    return found, keys.unread(_KERAS_NOT_PIXELS)


def _affine(keys: Keys) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that do what a scale and an offset do, and then a normalisation if there is one."""
    scale, offset, mean, std = (
        scaled(keys.get(key, default), 1.0, key, keys.source, digits=15) or ()
        for key, default in (("scale", 1.0), ("offset", 0.0), ("norm_mean", 0.0), ("norm_std", 1.0))
    )
    if not all(scale) or not all(std):
        raise keys.refuse("scale", "should not be 0")
    rows = list(zip(scale, offset, mean, std, strict=True))
    return (
        tuple(round((centre - shift) / factor, 6) for factor, shift, centre, _ in rows),
        tuple(round(width / factor, 6) for factor, _, _, width in rows),
    )


def read_openvino(path: Path) -> tuple[Preprocessing, list[str]] | None:
    """The mean and scale that were given to OpenVINO's converter, from the runtime information of its .xml file."""
    if path.stat().st_size > _MOST_BYTES:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    said = {key: found[1] for key in ("mean_values", "scale_values", "scale") if (found := _entry(text, key))}
    means = _numbers(said.get("mean_values", ""))
    scales = _numbers(said.get("scale_values", "")) or _numbers(said.get("scale", ""))
    if not means and not scales:
        return None
    source = str(path)
    mean = scaled(means or [0.0], 1.0, "mean_values", source)
    std = scaled(scales or [1.0], 1.0, "scale_values", source)
    unread = [key for key in _OPENVINO_UNREAD if (found := _entry(text, key)) and found[1] not in ("", "False", "()")]
    return replace(Preprocessing(), mean=mean, std=std), unread


def _entry(text: str, key: str) -> re.Match[str] | None:
    return re.search(_VALUE.format(key), text)


def _numbers(text: str) -> list[float]:
    """The numbers of one input: `[1, 2, 3]`, `1 2 3` or `name[1, 2, 3]`."""
    inside = re.search(r"\[([^\]]*)\]", text)
    return [float(one) for one in re.findall(_NUMBER, inside[1] if inside else text)]
