"""Feature files made of numbers that tell their row, for the tests of the cache and of what comes out of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import (
    DONE,
    CacheWriter,
    ComputedRows,
    Provenance,
    create_partial,
    open_cache,
    seal,
)
from featx.columns import FURTHER_COLUMNS, ImageColumns, take
from featx.errors import Failure

DIM = 6


def image_set(count: int = 10, *, start: int = 0) -> ImageColumns:
    """Names and labels of images that need not exist: the cache never looks at them."""
    rows = np.arange(start, start + count)
    names = np.array([f"class{row % 2}/{row:03}.png".encode() for row in rows])
    labels = (rows % 2).astype(np.int32)
    splits = np.array([b"train", b"test"])[labels]
    weights = np.ones(count, np.float32)
    return ImageColumns(names=names, classes=("class0", "class1"), labels=labels, splits=splits, weights=weights)


def part(images: ImageColumns, rows: slice) -> ImageColumns:
    """These images of the set, as one of its shards."""
    columns: dict[str, Any] = {
        name: take(getattr(images, name), rows) for name in ("names", "labels", *FURTHER_COLUMNS)
    }
    return replace(images, **columns)


def provenance(outputs: Sequence[str] = (), **changes: Any) -> Provenance:
    """As an extraction would give it; further outputs have half as many columns."""
    card = {"name": "made-up", "sha256": "0" * 64, "feature": "pooled", "dim": DIM}
    if outputs:
        card["outputs"] = [{"name": name, "dim": DIM // 2, "pool": ""} for name in outputs]
    made = Provenance(
        card=card,
        backbone="b" * 64,
        hashes={"pooled": "b" * 64} | {name: name.encode().hex().ljust(64, "0") for name in outputs},
        provider="CPUExecutionProvider",
        device="a processor",
        precision="float32",
        batch_size=4,
        versions={"featx": "0", "onnxruntime": "1", "pillow": "2"},
    )
    return replace(made, **changes)


def features(rows: NDArray[np.int64], dim: int = DIM) -> NDArray[np.float32]:
    """Numbers that tell their row."""
    return (rows[:, None] * 100 + np.arange(dim)).astype(np.float32)


def views_of(rows: NDArray[np.int64], views: int, dim: int = DIM) -> NDArray[np.float32]:
    """(n, views, dim): numbers that tell their row and their view."""
    return features(rows, dim)[:, None] + 10 * np.arange(views, dtype=np.float32)[:, None]


def rows_of(
    rows: NDArray[np.int64], status: int = DONE, *, start: int = 0, dim: int = DIM, views: int = 1
) -> ComputedRows:
    """Those rows, as a batch would bring them; their numbers tell the row counted from `start`."""
    told = rows + start
    values = views_of(told, views, dim)
    values[...] = values if status == DONE else np.nan
    marks = np.repeat(told[:, None].astype(np.uint8), 16, axis=1) + 1
    return ComputedRows(rows, values, np.full(len(rows), status, np.uint8), marks, np.stack([told, told], axis=1))


def write_cache(
    path: Path,
    images: ImageColumns | None = None,
    made: Provenance | None = None,
    *,
    failed: Sequence[int] = (),
    start: int = 0,
) -> Path:
    """A sealed cache of these images; the numbers of its rows count from `start`, and `failed` are rows of it."""
    images = image_set(start=start) if images is None else images
    cache = create_partial(path, images, made or provenance())
    dim, views, lost = sum(cache.outputs.values()), len(cache.views), np.array(failed, np.int64)
    with CacheWriter(cache) as writer:
        writer.append(rows_of(np.setdiff1d(np.arange(len(images)), lost), start=start, dim=dim, views=views))
        for row in lost:
            writer.append(rows_of(np.array([row]), Failure.EMPTY, start=start, dim=dim, views=views))
    seal(path)
    return path


def place(path: Path, name: str, row: int) -> int:
    """Where the last byte of this row of a dataset lies in the file."""
    field = open_cache(path).fields[name]
    return field.offset + (row + 1) * field.stride - 1


def without_cost(path: Path) -> bytes:
    """The bytes of a cache, with zeros in the place of what an image has cost, which no two runs measure alike."""
    data = bytearray(path.read_bytes())
    field = open_cache(path).fields.get("cost")
    if field is not None:
        data[field.offset : field.offset + field.size] = bytes(field.size)
    return bytes(data)


def flip(path: Path, offset: int) -> None:
    """Turn over the bits of one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))
