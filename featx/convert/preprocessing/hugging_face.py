"""Reads the preprocessing in the image processors of Hugging Face, also in the spelling of old feature extractors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from featx.convert.preprocessing.specification import Preprocessing
from featx.convert.preprocessing.timm_config import TIMM_TABLES, read_timm
from featx.convert.preprocessing.values import Keys
from featx.errors import BackboneError
from featx.settings import Filter

_FILTERS: dict[int, Filter] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
"""Number of a filter, which is Pillow's -> the filter."""
_STRANGE_PROCESSORS = ("Levit", "PoolFormer", "Perceiver")
"""Prefixes of the processors that resize or crop in ways that featx does not."""
_STRANGE_KEYS = (
    *("rescale_offset", "include_top", "do_grayscale", "do_color_quantize", "do_thumbnail", "do_align_long_axis"),
    *("do_crop_margin", "do_image_splitting", "do_pan_and_scan", "do_invert", "keep_aspect_ratio"),
)
"""Keys that, if they are true, prepare pixels in ways that featx does not."""
_NOT_PIXELS = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "model_input_names"),
    *("_valid_processor_keys", "_processor_class", "use_fast", "return_tensors", "disable_grouping", "device"),
    *("input_data_format", "data_format", "do_convert_rgb", "do_reduce_labels", "reduce_labels", "image_seq_length"),
    *("num_labels", "id2label", "label2id", "transformers_version", "model_type", "num_channels", "backend"),
    *("return_metadata", "name_or_path", "_name_or_path", "patch_size", "num_image_tokens", "default_to_square"),
    *("fill_color", "segmentation_maps", "do_reduce_label"),
}
"""Keys that do not change the pixels of a photograph in RGB."""
_CONVNEXT_SQUASHES_FROM = 384
"""From this size on, the processor of ConvNeXt squashes an image instead of cropping it."""


def read_nested(config: Mapping[str, Any], source: str) -> tuple[Preprocessing, list[str]] | None:
    """The processor of images inside the file of a processor that takes texts too."""
    for key in ("image_processor", "feature_extractor"):
        if isinstance(found := config.get(key), dict):
            return read_hugging_face(found, source)
    return None


def read_hugging_face(config: Mapping[str, Any], source: str) -> tuple[Preprocessing, list[str]] | None:
    """The image processor of transformers, which resizes, crops, rescales and normalises; None if it is for sound."""
    if "sampling_rate" in config:
        return None
    if any(isinstance(config.get(key), dict) for key in TIMM_TABLES):
        return read_timm(config, source)
    if (nested := read_nested(config, source)) is not None:
        return nested
    keys = Keys(config, source)
    _refuse_strange(keys)
    geometry = _geometry(keys)
    factor = keys.number("rescale_factor", 1 / 255) or 1 / 255
    if not keys.flag("do_rescale", default=True):
        factor = 1.0
    flips = keys.flag("do_flip_channel_order", default=False)
    mean, std = _scale(keys, factor)
    found = replace(geometry, channels="BGR" if flips else None, filter=_filter(keys), mean=mean, std=std)
    return found, keys.unread(_NOT_PIXELS)


def _refuse_strange(keys: Keys) -> None:
    kind = str(keys.get("image_processor_type") or keys.get("feature_extractor_type") or "")
    strange = [key for key in _STRANGE_KEYS if keys.get(key, False) is True]
    if strange or kind.startswith(_STRANGE_PROCESSORS):
        raise BackboneError(
            f"{keys.source}: {(strange or [kind])[0]} prepares pixels in a way that featx does not; move the file "
            "away, and give --size, --mean and --std yourself"
        )


def _scale(keys: Keys, factor: float) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and standard deviation on the scale 0 to 255; None if the file leaves them to the class of the processor."""
    mean = keys.channels("image_mean", 1 / factor)
    std = keys.channels("image_std", 1 / factor)
    if not keys.flag("do_normalize", default=True):
        return (0.0,) * 3, (round(1 / factor, 6),) * 3
    if (mean is None) != (std is None):
        raise keys.refuse("image_mean" if mean is None else "image_std", "should be three numbers, as the other is")
    return mean, std


def _filter(keys: Keys) -> Filter:
    """The filter by Pillow's number, or by its name, as in `bicubic` or `PIL.Image.BICUBIC`."""
    said = keys.get("resample", 2)
    name = said.rpartition(".")[2].lower() if isinstance(said, str) else None
    found = next((one for one in _FILTERS.values() if one == name), None) or _FILTERS.get(
        said if type(said) is int else -1
    )
    if found is None:
        raise BackboneError(f"{keys.source}: resample = {said!r} should be one of {list(_FILTERS)}")
    return found


def _geometry(keys: Keys) -> Preprocessing:
    """The size, resize and crop mode."""
    size = keys.get("size")
    crop = keys.get("crop_size")
    share = keys.number("crop_pct")
    crops = keys.flag("do_center_crop", default=crop is not None)
    resizes = keys.flag("do_resize", default=True)
    if crops and crop is None and size is not None and not isinstance(size, int):
        raise keys.refuse("crop_size", "is missing, although do_center_crop is true")
    cropped = _side(crop, "crop_size", keys) if crops and crop is not None else None
    if not resizes or size is None:
        _refuse_padding(keys, exact=False)
        return Preprocessing(size=cropped, resize=cropped)
    side = _side(size, "size", keys)
    squash = not crops if isinstance(size, int) else not (isinstance(size, dict) and size.get("shortest_edge"))
    _refuse_padding(keys, exact=squash)
    if share and cropped is None:
        if side >= _CONVNEXT_SQUASHES_FROM:
            return Preprocessing(size=side, resize=side, crop_mode="squash")
        return Preprocessing(size=side, resize=int(side / share), crop_mode="center")
    if cropped and cropped > side:
        raise BackboneError(
            f"{keys.source}: crop_size {cropped} is above size {side}, but featx does not pad; "
            "give --size and --resize yourself"
        )
    return Preprocessing(size=cropped or side, resize=side, crop_mode="squash" if squash else "center")


def _refuse_padding(keys: Keys, *, exact: bool) -> None:
    """Refuse a border around the image, unless its height and width are those of the model already."""
    pads = keys.get("do_pad", False)
    sizes = [key for key in ("pad_size", "size_divisor", "size_divisibility") if keys.get(key) is not None]
    if pads and not exact:
        raise keys.refuse("do_pad", "adds a border, which featx does not")
    if pads and sizes:
        raise keys.refuse(sizes[0], "adds a border, which featx does not")


def _side(value: Any, key: str, keys: Keys) -> int:
    """The number of pixels in a size given as a number, a shortest edge, or equal height and width."""
    if isinstance(value, dict):
        said = {name: side for name, side in value.items() if side is not None}
        sides = set(said.values()) if said.keys() in ({"shortest_edge"}, {"height", "width"}) else set()
    else:
        sides = set(value) if isinstance(value, list) and len(value) == 2 else {value}
    side = next(iter(sides), None)
    if len(sides) != 1 or type(side) is not int or side < 1:
        raise BackboneError(f"{keys.source}: {key} = {value!r} should be one side in pixels; featx gives square images")
    return side
