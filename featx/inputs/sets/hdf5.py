"""Lists the images in HDF5 files of other programs: one dataset of images, and datasets of labels next to it."""

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, ImageColumns, to_text
from featx.errors import ImageSetError, did_you_mean, one_line
from featx.inputs.sets.arrays import ArraySource, why_not_images
from featx.inputs.sets.building import LONGEST_TEXT, ColumnsBuilder
from featx.inputs.sets.containers import Container, is_refused, open_container
from featx.inputs.sets.hdf5_chunks import LARGEST_CHUNK, Chunks, why_unbounded
from featx.inputs.sets.hdf5_links import find_own, foreign_links
from featx.inputs.sets.hdf5_source import Hdf5Source, open_hdf5
from featx.inputs.sets.hdf5_texts import read_texts
from featx.inputs.sets.image_set import ImageSet, ImageSource
from featx.inputs.sets.shards import Shards

logger = logging.getLogger(__name__)

COLUMN_OF_DATASET = {
    "label": "label",
    "labels": "label",
    "split": "split",
    "group": "group",
    "domain": "domain",
    "weight": "weight",
}
"""Name of a dataset next to the images -> the column that it is read as."""
CACHE_MARK = b"featx cache"
"""First bytes of a cache of features."""
_FILE = re.compile(r"(.+?\.(?:h5|hdf5|hdf|he5))/(.+)", re.IGNORECASE)


def split_dataset(path: str) -> tuple[str, str] | None:
    """The file and the dataset in FILE.h5/DATASET/PATH; None if the path is not of this form."""
    match = _FILE.fullmatch(path)
    return (match[1], match[2].strip("/")) if match else None


def list_hdf5(shards: Shards, *, dataset: str | None = None) -> ImageSet:
    """The image set of the rows of this dataset, or of the only dataset of images.

    Labels, splits, groups, domains and weights are read from the datasets with these names in the same group of the
    file. Raises ImageSetError saying what the file has instead.
    """
    (path,) = shards.paths
    container = open_container(shards.files, path)
    try:
        _refuse_cache(container)
        with open_hdf5(shards.files, path) as file:
            images = _find_images(path, file) if dataset is None else _get_images(path, file, name=dataset)
            source = _make_source(container, images)
            datasets = _find_columns(path, file, images)
            values = {column: _read_column(container, dataset) for column, dataset in datasets.items()}
            columns = _build(shards, f"{shards.name(path)}{images.name}", rows=len(images), values=values)
    except ImageSetError:
        raise
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError and others on damaged files
        if is_refused(error):
            raise ImageSetError(f"{path}: cannot be read ({one_line(error)}); check it") from error
        raise ImageSetError(f"{path}: not a readable HDF5 file ({one_line(error)}); write it again") from error
    return ImageSet(**vars(columns), source=source)


def _build(shards: Shards, prefix: str, *, rows: int, values: Mapping[str, NDArray[np.generic]]) -> ImageColumns:
    builder = ColumnsBuilder(shards.given)
    for start in range(0, rows, CHUNK):
        stop = min(start + CHUNK, rows)
        texts = {column: list(map(to_text, found[start:stop].tolist())) for column, found in values.items()}
        builder.add({"path": [f"{prefix}/{row}" for row in range(start, stop)], **texts})
    return builder.build()


def _refuse_cache(container: Container) -> None:
    if container.files.read_range(container.path, 0, len(CACHE_MARK)) == CACHE_MARK:
        raise ImageSetError(
            f"{container.path}: a cache of features, not images; name the images that it was computed from"
        )


def _find_images(path: str, file: Any) -> Any:
    """The only dataset of images. Raises ImageSetError if there is none or more than one."""
    datasets: dict[str, Any] = {}

    def _collect(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            datasets[name] = item

    file.visititems(_collect)
    reasons = {name: _why_not_images(dataset) for name, dataset in datasets.items()} | foreign_links(file)
    images = [name for name, reason in reasons.items() if reason is None]
    if len(images) > 1:
        names = ", ".join(f"{path}/{name}" for name in images[:5])
        raise ImageSetError(f"{path}: {len(images)} datasets contain images; name one of {names}")
    if not images:
        listed = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
        raise ImageSetError(f"{path}: no dataset contains images: {listed or 'it has no datasets'}")
    return datasets[images[0]]


def _get_images(path: str, file: Any, *, name: str) -> Any:
    known: list[str] = []
    file.visit(known.append)
    found = find_own(path, file, name=name)
    if found is None:
        raise ImageSetError(
            f"{path}: no dataset {name!r}{did_you_mean(name, known)}; choose from {', '.join(known[:10])}"
        )
    if not hasattr(found, "shape"):
        raise ImageSetError(f"{path}: {name!r} is a group, not a dataset; name a dataset in it")
    if reason := _why_not_images(found):
        raise ImageSetError(f"{path}: {name}: {reason}")
    return found


def _why_not_images(dataset: Any) -> str | None:
    if dataset.shape is None:
        return "it is empty"
    if reason := why_not_images(dataset.shape, dataset.dtype):
        return reason
    return _why_not_whole(dataset)


def _why_not_whole(dataset: Any) -> str | None:
    """Why not all values of the dataset can be read; for missing ones, HDF5 would silently read zeros: black images."""
    if dataset.is_virtual or dataset.external:
        return "its values are in other files; name those"
    if _has_missing_chunks(dataset):
        return "parts of it were never written; write them"
    return why_unbounded(dataset)


def _has_missing_chunks(dataset: Any) -> bool:
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size() < dataset.nbytes)
    counts = (math.ceil(side / chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    return bool(dataset.id.get_num_chunks() != math.prod(counts))


def _make_source(container: Container, images: Any) -> ImageSource:
    """The source of the rows of images; rows that are stored one after the other are read in parallel, without HDF5."""
    shape = images.shape[1:]
    dtype = images.dtype
    if images.chunks is None and (offset := images.id.get_offset()) is not None:
        if offset + images.nbytes > container.size:
            raise ImageSetError(f"{container.path}: cut short in its dataset {images.name}; copy it again")
        return ArraySource(container, offset, shape, np.dtype(dtype.str))
    size = math.prod(shape) * dtype.itemsize
    if images.chunks is None:
        return Hdf5Source(container, images.name, size, images.nbytes)
    chunked = (math.ceil(side / chunk) * chunk for side, chunk in zip(shape, images.chunks[1:], strict=True))
    touched = images.chunks[0] * math.prod(chunked) * dtype.itemsize  # bytes of all chunks with a part of one image
    if touched > LARGEST_CHUNK:
        raise ImageSetError(
            f"{container.path}: chunks of {images.name} have {images.chunks[0]} images and {touched} bytes, above "
            f"{LARGEST_CHUNK}; write it again in chunks of a few images"
        )
    return Hdf5Source(container, images.name, size, 2 * touched)


def _find_columns(path: str, file: Any, images: Any) -> dict[str, Any]:
    """Column -> dataset with one value per image, in the group of the images. Warns of datasets with other shapes."""
    found: dict[str, Any] = {}
    for name, column in COLUMN_OF_DATASET.items():
        dataset = find_own(path, file, name=f"{images.parent.name}/{name}")
        if column in found or not getattr(dataset, "shape", None):
            continue
        if dataset.shape[0] != len(images):
            raise ImageSetError(
                f"{path}: {dataset.name} has {dataset.shape[0]} values for the {len(images)} images of {images.name}; "
                "rename or correct it"
            )
        if dataset.size != len(images) or not _is_plain(dataset.dtype):
            logger.warning("%s: %s is not used, as it does not have one value per image", path, dataset.name)
            continue
        if reason := _why_not_whole(dataset) or _why_too_wide(dataset):
            raise ImageSetError(f"{path}: {dataset.name}: {reason}")
        found[column] = dataset
    return found


def _is_plain(dtype: np.dtype[np.generic]) -> bool:
    """Whether values of this type are numbers or texts."""
    import h5py

    return dtype.kind in "iufbS" or h5py.check_string_dtype(dtype) is not None


def _why_too_wide(dataset: Any) -> str | None:
    """Why a column takes more memory than its values need; None if it does not."""
    if dataset.dtype.itemsize > LONGEST_TEXT:
        return f"its values have {dataset.dtype.itemsize} bytes each, above {LONGEST_TEXT}; write shorter ones"
    size = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    return f"its chunks have {size} bytes, above {LARGEST_CHUNK}; write smaller ones" if size > LARGEST_CHUNK else None


def _read_column(container: Container, dataset: Any) -> NDArray[np.generic]:
    """The values (N,): numbers, or texts as UTF-8."""
    if dataset.dtype.kind == "O":
        return read_texts(container, dataset.name, rows=len(dataset))
    Chunks(dataset, rows=len(dataset)).check(0)
    return np.asarray(dataset[:]).reshape(-1)
