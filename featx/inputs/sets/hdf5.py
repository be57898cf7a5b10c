"""HDF5 files of others: the dataset that holds images, and what stands beside it."""

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, ImageColumns
from featx.errors import ImageSetError, did_you_mean
from featx.inputs.sets.arrays import ArraySource, why_no_images
from featx.inputs.sets.building import ColumnsBuilder
from featx.inputs.sets.containers import Container, open_container
from featx.inputs.sets.hdf5_source import Hdf5Source, open_hdf5
from featx.inputs.sets.hdf5_texts import read_texts
from featx.inputs.sets.image_set import ImageSet, ImageSource
from featx.inputs.sets.shards import Shards

logger = logging.getLogger(__name__)

COLUMNS = {"label": "label", "labels": "label", "split": "split", "group": "group", "weight": "weight"}
"""Dataset beside the images -> what it tells of them."""
LARGEST_CHUNK = 1 << 30
"""Bytes of a chunk, which is read whole."""
CACHE_MARK = b"featx cache"
_FILE = re.compile(r"(.+?\.(?:h5|hdf5|hdf|he5))/(.+)", re.IGNORECASE)


def split_dataset(path: str) -> tuple[str, str] | None:
    """The file and the dataset of FILE.h5/DATASET/PATH; None where the path is none."""
    match = _FILE.fullmatch(path)
    return (match[1], match[2].strip("/")) if match else None


def list_hdf5(shards: Shards, *, dataset: str | None = None) -> ImageSet:
    """The rows of this dataset, or of the only one that holds images. Raises ImageSetError saying what is there.

    Labels, splits, groups and weights are those of the datasets of these names beside it.
    """
    (path,) = shards.paths
    container = open_container(shards.files, path)
    try:
        _refuse_cache(container)
        with open_hdf5(shards.files, path) as file:
            images = _find_images(path, file) if dataset is None else _get_images(path, file, name=dataset)
            source = _make_source(container, images)
            values = {word: _read_column(container, found) for word, found in _find_columns(path, images).items()}
            columns = _build(shards, f"{shards.name(path)}{images.name}", rows=len(images), values=values)
    except ImageSetError:
        raise
    except Exception as error:
        # h5py raises OSError, RuntimeError, KeyError and more on damaged files
        cause = " ".join(str(error).split()) or type(error).__name__
        raise ImageSetError(f"{path}: not a readable HDF5 file ({cause}); write it anew") from error
    return ImageSet(**vars(columns), source=source)


def _build(shards: Shards, prefix: str, *, rows: int, values: Mapping[str, NDArray[np.generic]]) -> ImageColumns:
    builder = ColumnsBuilder(shards.given)
    for start in range(0, rows, CHUNK):
        stop = min(start + CHUNK, rows)
        texts = {word: list(map(_text, found[start:stop].tolist())) for word, found in values.items()}
        builder.add({"path": [f"{prefix}/{row}" for row in range(start, stop)], **texts})
    return builder.build()


def _refuse_cache(container: Container) -> None:
    if container.files.read_range(container.path, 0, len(CACHE_MARK)) == CACHE_MARK:
        raise ImageSetError(f"{container.path}: a cache of features, not of images; name the images it was made of")


def _find_images(path: str, file: Any) -> Any:
    """The only dataset that holds images. Raises ImageSetError where there is none, or more than one."""
    found: dict[str, tuple[Any, str | None]] = {}

    def look(name: str, value: Any) -> None:
        if hasattr(value, "shape"):
            found[name] = value, _why_no_images(value)

    file.visititems(look)
    images = {name: value for name, (value, reason) in found.items() if reason is None}
    if len(images) > 1:
        names = ", ".join(f"{path}/{name}" for name in list(images)[:5])
        raise ImageSetError(f"{path}: {len(images)} datasets hold images; name one of {names}")
    if not images:
        reasons = "; ".join(f"{name}: {reason}" for name, (_, reason) in list(found.items())[:3])
        raise ImageSetError(f"{path}: no dataset holds images: {reasons or 'there is none at all'}")
    return next(iter(images.values()))


def _get_images(path: str, file: Any, *, name: str) -> Any:
    known: list[str] = []
    file.visit(known.append)
    if name not in file:
        raise ImageSetError(
            f"{path}: no dataset {name!r}{did_you_mean(name, known)}; there are {', '.join(known[:10])}"
        )
    if not hasattr(file[name], "shape"):
        raise ImageSetError(f"{path}: {name!r} is a group, not a dataset; name what is in it")
    if reason := _why_no_images(file[name]):
        raise ImageSetError(f"{path}: {name}: {reason}")
    return file[name]


def _why_no_images(dataset: Any) -> str | None:
    if dataset.shape is None:
        return "it is empty"
    if reason := why_no_images(dataset.shape, dataset.dtype):
        return reason
    return _why_not_whole(dataset)


def _why_not_whole(dataset: Any) -> str | None:
    """HDF5 gives zeros for what is nowhere: images would be black, and labels the first class, without a word."""
    if dataset.is_virtual or dataset.external:
        return "its values lie in other files; name those"
    return "parts of it were never written; write them" if _missing_chunks(dataset) else None


def _missing_chunks(dataset: Any) -> bool:
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size() < dataset.nbytes)
    bands = (math.ceil(side / chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    return bool(dataset.id.get_num_chunks() != math.prod(bands))


def _make_source(container: Container, images: Any) -> ImageSource:
    """Rows that lie one after the other are read without HDF5, by as many threads as there are."""
    shape, dtype = images.shape[1:], images.dtype
    if images.chunks is None and (offset := images.id.get_offset()) is not None:
        if offset + images.nbytes > container.size:
            raise ImageSetError(f"{container.path}: cut short in its dataset {images.name}; copy it anew")
        return ArraySource(container, offset, shape, np.dtype(dtype.str))
    size = math.prod(shape) * dtype.itemsize
    if images.chunks is None:
        return Hdf5Source(container, images.name, size, images.nbytes)
    across = (math.ceil(side / chunk) * chunk for side, chunk in zip(shape, images.chunks[1:], strict=True))
    band = images.chunks[0] * math.prod(across) * dtype.itemsize
    if band > LARGEST_CHUNK:
        raise ImageSetError(
            f"{container.path}: {images.chunks[0]} images of {images.name} lie in one chunk of {band} bytes, above "
            f"{LARGEST_CHUNK}; write it anew in chunks of a few images"
        )
    return Hdf5Source(container, images.name, size, 2 * band)


def _find_columns(path: str, images: Any) -> dict[str, Any]:
    """What stands beside the images: a word of the image set -> a dataset with one value an image. Warns of others."""
    found: dict[str, Any] = {}
    for name, word in COLUMNS.items():
        beside = images.parent.get(name)
        if word in found or not getattr(beside, "shape", None):
            continue
        if beside.shape[0] != len(images):
            raise ImageSetError(
                f"{path}: {beside.name} has {beside.shape[0]} values for the {len(images)} images of {images.name}; "
                "rename or correct it"
            )
        if beside.size == len(images) and _is_plain(beside.dtype):
            if reason := _why_not_whole(beside):
                raise ImageSetError(f"{path}: {beside.name}: {reason}")
            found[word] = beside
        else:
            logger.warning("%s: %s is not used, as it does not hold one value an image", path, beside.name)
    return found


def _is_plain(dtype: np.dtype[np.generic]) -> bool:
    """Whether values of this type are numbers or texts."""
    import h5py

    return dtype.kind in "iufbS" or h5py.check_string_dtype(dtype) is not None


def _read_column(container: Container, dataset: Any) -> NDArray[np.generic]:
    """The values (N,): numbers, or texts as UTF-8."""
    if dataset.dtype.kind == "O":
        return read_texts(container, dataset.name, rows=len(dataset))
    return np.asarray(dataset[:]).reshape(-1)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return str(value)
