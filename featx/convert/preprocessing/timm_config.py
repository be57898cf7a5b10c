"""Reads the preprocessing in the files of timm and OpenCLIP."""

import math
from collections.abc import Mapping
from typing import Any

from featx.convert.preprocessing.specification import CROP_SHARE, Preprocessing
from featx.convert.preprocessing.values import Keys, square
from featx.errors import BackboneError
from featx.settings import CROP_MODES, FILTERS, Filter

TIMM_KEYS = {"input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode"}
TIMM_TABLES = ("pretrained_cfg", "data_config")
"""The tables of a file in which timm's keys may be."""
_LARGEST = 3.0
"""Largest absolute mean and standard deviation on the scale 0 to 1."""
_NOT_PIXELS = {
    *("architecture", "classifier", "custom_load", "features_only", "file", "first_conv", "global_pool", "license"),
    *("hf_hub_filename", "hf_hub_id", "hf_hub_revision", "label_descriptions", "label_names", "label_offset"),
    *("min_input_size", "model_args", "notes", "num_classes", "num_features", "origin_url", "paper_ids", "paper_name"),
    *("pool_size", "pretrained_cfg", "source", "state_dict", "tag", "test_crop_pct", "test_input_size", "url"),
    *("fixed_input_size", "has_weights", "hf_hub_id_base", "model_name", "pretrained", "version", "strict"),
}
"""Keys of timm that do not change pixels."""
_OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
_OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]


def read_timm(config: Mapping[str, Any], source: str) -> tuple[Preprocessing, list[str]] | None:
    """The table of timm: mean and std on the scale 0 to 1, the crop as a share of the resized side."""
    values = next((config[key] for key in TIMM_TABLES if isinstance(config.get(key), dict)), config)
    if not isinstance(values, dict) or not TIMM_KEYS & values.keys():
        return None
    keys = Keys(values, source)
    size = _timm_size(keys.get("input_size"), source)
    mode = keys.one_of("crop_mode", CROP_MODES, "center")
    share = keys.number("crop_pct") or CROP_SHARE
    mean, std = _scale(keys)
    found = Preprocessing(
        size=size,
        resize=math.floor(size / share) if size else None,
        crop_mode=mode,
        filter=_filter(keys),
        mean=mean,
        std=std,
    )
    return found, keys.unread(_NOT_PIXELS)


def _scale(keys: Keys) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and standard deviation on the scale 0 to 255; numbers that are on it already are refused."""
    for key in ("mean", "std"):
        if max(map(abs, keys.channels(key, 1.0) or (0.0,))) > _LARGEST:
            raise keys.refuse(key, "should be on the scale 0 to 1")
    return keys.channels("mean", 255.0), keys.channels("std", 255.0)


def _filter(keys: Keys, default: Filter | None = None) -> Filter | None:
    """The filter; a random one was bilinear or bicubic in training, and timm takes bilinear afterwards."""
    if keys.get("interpolation") == "random":
        return "bilinear"
    return keys.one_of("interpolation", FILTERS, default)


def _timm_size(value: Any, source: str) -> int | None:
    if value is None:
        return None
    sides = value if isinstance(value, list) and len(value) == 3 else [3, value, value]
    if sides[0] != 3 or sides[1] != sides[2] or type(sides[1]) is not int:
        raise BackboneError(f"{source}: input_size = {value!r} should be [3, n, n]; featx gives square RGB images")
    return sides[1]


def read_open_clip(config: Mapping[str, Any], source: str) -> tuple[Preprocessing, list[str]] | None:
    """The preprocess_cfg of OpenCLIP, alone in its file or beside a model_cfg, which says the size."""
    if not isinstance(config.get("preprocess_cfg", config), dict) or not isinstance(config.get("model_cfg", {}), dict):
        return None
    vision = Keys(config, source).table("model_cfg").table("vision_cfg")
    keys = Keys(config.get("preprocess_cfg", config), source)
    size = keys.get("size", vision.get("image_size"))
    side = None if size is None else square(size, "size", source)
    mode = keys.one_of("resize_mode", ("shortest", "squash"), "shortest")
    if keys.get("mode", "RGB") != "RGB":
        raise keys.refuse("mode", "should be 'RGB'")
    keys.get("fill_color")  # the colour of a border, which neither mode adds
    mean, std = _scale(keys)
    found = Preprocessing(
        size=side,
        resize=side,
        crop_mode="squash" if mode == "squash" else "center",
        filter=_filter(keys, "bicubic"),
        mean=mean or tuple(round(255 * one, 6) for one in _OPENAI_MEAN),
        std=std or tuple(round(255 * one, 6) for one in _OPENAI_STD),
    )
    return found, keys.unread(())
