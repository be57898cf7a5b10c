"""Finds out how a model's images are prepared: from flags, from its trainers' files, else as is usual for ImageNet."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from featx.errors import BackboneError
from featx.inputs import PixelSpec
from featx.settings import CROP_MODES, FILTERS, Channels, CropMode, Filter

Choice = TypeVar("Choice", bound=str)

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
CROP_SHARE = 0.875
"""Share of the shorter side that the centre crop keeps: 224 of 256."""
HUGGING_FACE_FILTERS: dict[int, Filter] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
"""Number of a filter in Hugging Face's files, which is Pillow's -> the filter."""
STRANGE_PROCESSORS = ("Levit", "PoolFormer", "Perceiver")
"""Prefixes of the Hugging Face processors that resize or crop in ways that featx does not."""
CONVNEXT_SQUASHES_FROM = 384
"""From this size on, the ConvNeXt processor of Hugging Face squashes an image instead of cropping it."""
PIXEL_RANGES = {
    "NominalRange_0_255": (0.0, 1.0),
    "Normalized_0_1": (0.0, 255.0),
    "Normalized_1_1": (127.5, 127.5),
}
"""Image.NominalPixelRange in the metadata of ONNX -> mean and std on the scale 0 to 255."""
PIXEL_FORMATS: dict[str, Channels] = {"Rgb8": "RGB", "Bgr8": "BGR", "Gray8": "L"}
"""Image.BitmapPixelFormat in the metadata of ONNX -> channels."""
TIMM_KEYS = {"input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode"}


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images are prepared for a model, as far as that is known; None for what is not known.

    >>> import featx
    >>> flags = featx.Preprocessing(size=112)
    >>> found = featx.Preprocessing(size=224, resize=256, filter="bilinear")
    >>> both = flags.over(found)
    >>> both.size, both.resize, both.filter
    (112, 128, 'bilinear')
    """

    size: int | None = None
    """Height and width in pixels of what the model takes."""
    resize: int | None = None
    """Pixels of the shorter side before the centre crop; of both sides if `crop_mode` is squash."""
    crop_mode: CropMode | None = None
    filter: Filter | None = None
    mean: tuple[float, ...] | None = None
    """Mean of each channel, on the scale 0 to 255."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel, on the scale 0 to 255."""
    channels: Channels | None = None

    def over(self, other: "Preprocessing") -> "Preprocessing":
        """This preprocessing, completed by another where it has None.

        If this one changes the size but not `resize`, the crop keeps its share of the resized image.
        """
        known = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        both = replace(other, **known)
        if self.size and other.size and other.resize and self.resize is None:
            return replace(both, resize=round(other.resize * self.size / other.size))
        return both


def complete(
    given: Preprocessing, *, size: int, dtype: str, exif_orientation: bool = False
) -> tuple[PixelSpec, tuple[str, ...]]:
    """The whole pixel specification, and what had to be assumed for it."""
    mean, std, assumed = _complete_scale(given, dtype)
    if given.filter is None:
        assumed.append("filter bicubic")
    squash = given.crop_mode == "squash"
    resize = given.resize
    if resize is None:
        resize = size if squash else math.floor(size / CROP_SHARE)
        assumed += [] if squash else [f"resize {resize}"]
    spec = PixelSpec(
        size=size,
        channels=given.channels or "RGB",
        resize=resize,
        crop_mode=given.crop_mode or "center",
        filter=given.filter or "bicubic",
        mean=mean,
        std=std,
        exif_orientation=exif_orientation,
    )
    return spec, tuple(assumed)


def _complete_scale(given: Preprocessing, dtype: str) -> tuple[tuple[float, ...], tuple[float, ...], list[str]]:
    """Mean and standard deviation of each channel, and what had to be assumed for them."""
    if dtype == "uint8":
        return (0.0,) * 3, (1.0,) * 3, []
    if given.mean is None and given.std is None:
        return IMAGENET_MEAN, IMAGENET_STD, [f"mean {IMAGENET_MEAN} and std {IMAGENET_STD} of ImageNet"]
    if given.mean is None or given.std is None:
        pair = "--std is given without --mean" if given.mean is None else "--mean is given without --std"
        raise BackboneError(f"{pair}; give both, or neither")
    return given.mean, given.std, []


def find_preprocessing(model: Path, metadata: Mapping[str, str]) -> tuple[Preprocessing, str]:
    """The preprocessing of this model and the file that says so; an empty preprocessing and "" if there is none.

    The first of these counts: Hugging Face's `preprocessor_config.json`, timm's `config.json`, the metadata of the
    model. The two files may be in the folder of the model or, if that is called `onnx`, in the folder above. Raises
    BackboneError naming the file and the key.
    """
    folders = [model.parent, *([model.parent.parent] if model.parent.name == "onnx" else [])]
    for folder in folders:
        for name, read in (("preprocessor_config.json", _from_hugging_face), ("config.json", _from_timm)):
            path = folder / name
            if path.is_file() and (found := _read(path, read)) is not None:
                return found, str(path)
    found = _from_metadata(metadata, str(model))
    return found, f"{model} (its metadata)" if found != Preprocessing() else ""


def _read(path: Path, read: Callable[[Mapping[str, Any], str], Preprocessing | None]) -> Preprocessing | None:
    try:
        return read(_load(path), str(path))
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        if isinstance(error, BackboneError):
            raise
        raise BackboneError(f"{path}: is not usable as preprocessing ({error}); correct it or move it away") from error


def _load(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(f"{path}: not readable JSON ({error}); correct it or move it away") from error
    return values if isinstance(values, dict) else {}


# ---- timm


def _from_timm(config: Mapping[str, Any], source: str) -> Preprocessing | None:
    """The pretrained_cfg of timm: mean and std on the scale 0 to 1, the crop as a share of the resized side."""
    values = config.get("pretrained_cfg", config)
    if not isinstance(values, dict) or not TIMM_KEYS & values.keys():
        return None
    size = _timm_size(values.get("input_size"), source)
    mode = _one_of(values.get("crop_mode") or "center", CROP_MODES, "crop_mode", source)
    share = _number(values.get("crop_pct") or CROP_SHARE, "crop_pct", source)
    filter_ = values.get("interpolation")
    if filter_ == "random":
        filter_ = "bilinear"
    return Preprocessing(
        size=size,
        resize=math.floor(size / share) if size else None,
        crop_mode=mode,
        filter=_one_of(filter_, FILTERS, "interpolation", source) if filter_ else None,
        mean=_scaled(values.get("mean"), 255.0, "mean", source),
        std=_scaled(values.get("std"), 255.0, "std", source),
    )


def _timm_size(value: Any, source: str) -> int | None:
    if value is None:
        return None
    sides = value if isinstance(value, list) and len(value) == 3 else [3, value, value]
    if sides[0] != 3 or sides[1] != sides[2] or type(sides[1]) is not int:
        raise BackboneError(f"{source}: input_size = {value!r} should be [3, n, n]; featx gives square RGB images")
    return sides[1]


# ---- Hugging Face


def _from_hugging_face(config: Mapping[str, Any], source: str) -> Preprocessing | None:
    """The image processor of transformers, which resizes, crops, rescales and then normalises."""
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    strange = [key for key in ("rescale_offset", "include_top") if config.get(key) is True]
    if strange or kind.startswith(STRANGE_PROCESSORS):
        raise BackboneError(
            f"{source}: {(strange or [kind])[0]} prepares pixels in a way that featx does not; move the file away, and "
            "give --size, --mean and --std yourself"
        )
    geometry = _hugging_face_geometry(config, source)
    factor = _number(config.get("rescale_factor", 1 / 255), "rescale_factor", source)
    if not config.get("do_rescale", True):
        factor = 1.0
    normalised = config.get("do_normalize", True)
    filter_ = config.get("resample", 2)
    if filter_ not in HUGGING_FACE_FILTERS:
        raise BackboneError(f"{source}: resample = {filter_!r} should be one of {list(HUGGING_FACE_FILTERS)}")
    return replace(
        geometry,
        channels="BGR" if config.get("do_flip_channel_order") else None,
        filter=HUGGING_FACE_FILTERS[filter_],
        mean=_scaled(config.get("image_mean") if normalised else [0, 0, 0], 1 / factor, "image_mean", source),
        std=_scaled(config.get("image_std") if normalised else [1, 1, 1], 1 / factor, "image_std", source),
    )


def _hugging_face_geometry(config: Mapping[str, Any], source: str) -> Preprocessing:
    """The size, resize and crop mode of a Hugging Face processor."""
    size = config.get("size")
    crop = config.get("crop_size")
    crops = config.get("do_center_crop", crop is not None)
    cropped = _side(crop, "crop_size", source) if crops and crop is not None else None
    if not config.get("do_resize", True) or size is None:
        return Preprocessing(size=cropped, resize=cropped)
    side = _side(size, "size", source)
    share = config.get("crop_pct")
    if share and cropped is None:
        if side >= CONVNEXT_SQUASHES_FROM:
            return Preprocessing(size=side, resize=side, crop_mode="squash")
        return Preprocessing(size=side, resize=int(side / share), crop_mode="center")
    if cropped and cropped > side:
        raise BackboneError(
            f"{source}: crop_size {cropped} is above size {side}, but featx does not pad; "
            "give --size and --resize yourself"
        )
    squash = not crops if isinstance(size, int) else isinstance(size, dict) and "shortest_edge" not in size
    return Preprocessing(size=cropped or side, resize=side, crop_mode="squash" if squash else "center")


def _side(value: Any, key: str, source: str) -> int:
    """The number of pixels in a size given as a number, a shortest edge, or equal height and width."""
    if isinstance(value, dict):
        sides = {value.get(name) for name in ("shortest_edge", "height", "width") if name in value}
    else:
        sides = {value}
    side = next(iter(sides), None)
    if len(sides) != 1 or type(side) is not int or side < 1:
        raise BackboneError(f"{source}: {key} = {value!r} should be one side in pixels; featx gives square images")
    return side


# ---- ONNX metadata


def _from_metadata(metadata: Mapping[str, str], source: str) -> Preprocessing:
    """The preprocessing in the metadata: ONNX's keys for images, and timm's as JSON or numbers separated by commas."""
    timm = {key: _parsed(metadata[key]) for key in TIMM_KEYS & metadata.keys()}
    found = _from_timm(timm, f"{source} (metadata)") or Preprocessing()
    pixel_format = metadata.get("Image.BitmapPixelFormat")
    if pixel_format is not None:
        known = _one_of(pixel_format, tuple(PIXEL_FORMATS), "BitmapPixelFormat", source)
        found = replace(found, channels=PIXEL_FORMATS[known])
    pixel_range = metadata.get("Image.NominalPixelRange")
    if pixel_range is not None and found.mean is None:
        mean, std = PIXEL_RANGES[_one_of(pixel_range, tuple(PIXEL_RANGES), "NominalPixelRange", source)]
        found = replace(found, mean=(mean,) * 3, std=(std,) * 3)
    return found


def _parsed(text: str) -> Any:
    """A value of the metadata as JSON, with or without the brackets of a list; else the text itself."""
    for form in (text, f"[{text.strip(' ()[]')}]"):
        try:
            value = json.loads(form)
        except ValueError:
            continue
        return value[0] if isinstance(value, list) and len(value) == 1 else value
    return text


# ---- values


def _scaled(value: Any, factor: float, key: str, source: str) -> tuple[float, ...] | None:
    """Three numbers, or one for all channels, times this factor."""
    if value is None:
        return None
    values = value if isinstance(value, list) else [value] * 3
    if len(values) != 3:
        raise BackboneError(f"{source}: {key} = {value!r} should be three numbers, one per channel")
    return tuple(round(_number(number, key, source) * factor, 6) for number in values)


def _number(value: Any, key: str, source: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BackboneError(f"{source}: {key} = {value!r} should be a number; correct it, or set it with flags")
    return float(value)


def _one_of(value: Any, known: Sequence[Choice], key: str, source: str) -> Choice:
    for choice in known:
        if value == choice:
            return choice
    raise BackboneError(f"{source}: {key} = {value!r} is not known to featx ({', '.join(known)}); set it with flags")
