"""Finds the files that say how a model's images are prepared, and names those that it does not read."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from featx.convert.preprocessing.hugging_face import read_hugging_face, read_nested
from featx.convert.preprocessing.metadata import read_metadata_entries, says_anything
from featx.convert.preprocessing.other_tools import read_keras, read_openvino
from featx.convert.preprocessing.specification import Preprocessing
from featx.convert.preprocessing.timm_config import read_open_clip, read_timm
from featx.errors import BackboneError

Said = tuple[Preprocessing, list[str]]
"""What a file says, and the names of its keys that were not read although they may change pixels."""
_JSON_READERS: dict[str, Callable[[Mapping[str, Any], str], Said | None]] = {
    "preprocessor_config.json": read_hugging_face,
    "processor_config.json": read_nested,
    "open_clip_config.json": read_open_clip,
    "preprocess_cfg.json": read_open_clip,
    "config.json": read_timm,
    "preprocessor.json": read_keras,
    "image_converter.json": read_keras,
}
"""Name of a file -> its reader; the first that says anything counts."""
_UNREAD_ENDINGS = {".json", ".yaml", ".yml", ".prototxt", ".cfg", ".ini", ".xml", ".txt"}
_UNREAD_BYTES = 2**20
_JSON_BYTES = 2**23
"""Largest file of JSON that is parsed, which may need 60 times as much memory."""
_UNREAD_FILES = 50
"""Largest number of other files that are looked at."""
_MEANS = re.compile(
    r"""(^|["'.\s<])(((image|img|pixel|rgb|norm|channel|normalize)_?)?means?(_values?|_rgb)?|preprocess(ing|or)?|"""
    r"""net-scale-factor)["']?\s*[:=]""",
    re.IGNORECASE,
)
"""How a file of any format names the mean of pixels, or a preprocessing."""


@dataclass(frozen=True)
class Found:
    """The preprocessing that was found for a model."""

    pixels: Preprocessing
    origin: str
    """The file that says so; empty if there is none."""
    notes: tuple[str, ...] = ()
    """What was not read, or is said otherwise elsewhere, one sentence each."""


def find_preprocessing(model: Path, metadata: Mapping[str, str]) -> Found:
    """The preprocessing of this model according to the files beside it, or else to its own metadata.

    The first of these counts: `preprocessor_config.json` or `processor_config.json` of Hugging Face,
    `open_clip_config.json` or `preprocess_cfg.json` of OpenCLIP, `config.json` of timm, `preprocessor.json` or
    `image_converter.json` of KerasHub, the .xml file of OpenVINO, the metadata of the model. The files may be in the
    folder of the model or, if that is called `onnx`, in the folder above. Raises BackboneError naming the file and the
    key if one that counts says what featx cannot do.
    """
    found = list(_read_all(model, metadata))
    notes = [*_unread_keys(found), *_conflicts(found), *_unread_files(model)]
    first = next(((pixels, origin) for origin, (pixels, _) in found if says_anything(pixels)), (Preprocessing(), ""))
    return Found(*first, tuple(notes))


def _folders(model: Path) -> list[Path]:
    return [model.parent, *([model.parent.absolute().parent] if model.parent.absolute().name == "onnx" else [])]


def _read_all(model: Path, metadata: Mapping[str, str]) -> Iterator[tuple[str, Said]]:
    """Every source that says anything, the one that counts first; errors of later ones are left aside."""
    readers = [(path, read) for folder in _folders(model) for path, read in _files(folder, model)]
    counts = False
    for path, read in readers:
        try:
            said = _reported(path, read)
        except BackboneError:
            if not counts:
                raise
            continue
        if said is not None:
            counts = counts or says_anything(said[0])
            yield str(path), said
    said = read_metadata_entries(metadata, str(model))
    yield f"{model} (its metadata)", said


def _files(folder: Path, model: Path) -> Iterator[tuple[Path, Callable[[Path], Said | None]]]:
    """The files in this folder that have a reader, with their reader."""
    for name, read in _JSON_READERS.items():
        if (folder / name).is_file():
            yield folder / name, lambda path, read=read: read(_load(path), str(path))  # type: ignore[misc]
    for name in dict.fromkeys((f"{model.stem}.xml", "openvino_model.xml")):
        if (folder / name).is_file():
            yield folder / name, read_openvino


def _reported(path: Path, read: Callable[[Path], Said | None]) -> Said | None:
    try:
        return read(path)
    except BackboneError:
        raise
    except (OSError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise BackboneError(f"{path}: is not usable as preprocessing ({error}); correct it or move it away") from error


def _load(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _JSON_BYTES:
            raise ValueError(f"more than {_JSON_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(f"{path}: not readable JSON ({error}); correct it or move it away") from error
    return values if isinstance(values, dict) else {}


def _unread_keys(found: list[tuple[str, Said]]) -> Iterator[str]:
    for origin, (_, unread) in found:
        if unread:
            listed = ", ".join(map(repr, unread[:8])) + (f" and {len(unread) - 8} more" if len(unread) > 8 else "")
            yield f"{origin}: {listed} not read; if that changes pixels, give the preprocessing with flags"


def _conflicts(found: list[tuple[str, Said]]) -> Iterator[str]:
    """A sentence for each source that contradicts the one that counts."""
    saying = [(origin, pixels) for origin, (pixels, _) in found if says_anything(pixels)]
    for origin, pixels in saying[1:]:
        first, counts = saying[0]
        names = [field.name for field in fields(pixels)]
        pairs = [(name, getattr(counts, name), getattr(pixels, name)) for name in names]
        differing = [(name, one, other) for name, one, other in pairs if None not in (one, other) and one != other]
        if differing:
            told = "; ".join(f"{name} {_shown(one)} and {_shown(other)}" for name, one, other in differing)
            yield f"{first} and {origin} differ: {told}; the first counts, unless you set it with flags"


def _shown(value: Any) -> str:
    return "(" + ", ".join(f"{one:g}" for one in value) + ")" if isinstance(value, tuple) else str(value)


def _unread_files(model: Path) -> Iterator[str]:
    """A sentence for each other file beside the model that seems to say how pixels are prepared."""
    read = {*_JSON_READERS, f"{model.stem}.xml", "openvino_model.xml"}
    for folder in _folders(model):
        try:
            others = sorted(path for path in folder.iterdir() if path.suffix in _UNREAD_ENDINGS)
        except OSError:
            continue
        for path in [path for path in others if path.name not in read][:_UNREAD_FILES]:
            if _mentions_mean(path):
                yield f"{path}: seems to say how pixels are prepared, but featx does not read this file; compare it"


def _mentions_mean(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > _UNREAD_BYTES:
            return False
        return _MEANS.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False
