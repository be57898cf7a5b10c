"""ImageSet: a folder or a manifest in; names, labels, splits, groups and weights in one fixed order out."""

import csv
import errno
import hashlib
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from stat import S_ISREG

import numpy as np
from numpy.typing import NDArray

from featx.errors import ImageSetError, did_you_mean
from featx.provenance import hash_columns

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".jp2", ".avif"}
)
"""Endings of the files that a folder listing takes for images."""

logger = logging.getLogger(__name__)

NO_LABEL = -1
FINGERPRINT_BYTES = 16
SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {"val": "validation", "valid": "validation"}
MANIFEST_COLUMNS = ("path", "label", "split", "group", "weight")


@dataclass(frozen=True)
class ImageSet:
    """Which images, in one fixed order; every array has one entry an image, or is None where nothing was given."""

    root: Path
    names: NDArray[np.bytes_]
    """UTF-8 paths relative to the root, `/`-separated."""
    classes: tuple[str, ...] = ()
    labels: NDArray[np.int32] | None = None
    """Positions in `classes`; -1 where an image has no label."""
    splits: NDArray[np.bytes_] | None = None
    """`train`, `validation` or `test`."""
    groups: NDArray[np.bytes_] | None = None
    """Images of one group (patient, scene, module) never stand on both sides of a split."""
    weights: NDArray[np.float32] | None = None
    ignored: tuple[str, ...] = ()
    """Files of the folder that are no images by their ending: listed, so that nothing is dropped unseen."""

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Name of the image in this row."""
        return bytes(self.names[row]).decode()

    def path(self, row: int) -> Path:
        """File of the image in this row."""
        return self.root / self.name(row)

    def stat(self, row: int) -> tuple[int, int]:
        """Size in bytes and time of change in nanoseconds of the image's file.

        Raises OSError, also for what is no regular file: reading a pipe would wait for ever.
        """
        status = self.path(row).stat()
        if not S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return status.st_size, status.st_mtime_ns

    def read(self, row: int) -> bytes:
        """The bytes of the image in this row. Raises OSError."""
        return self.path(row).read_bytes()

    @cached_property
    def hash(self) -> str:
        """sha256 over names, labels, classes, splits, groups and weights, not over the images' bytes."""
        classes = _texts(self.classes) if self.classes else None
        return hash_columns((self.names, classes, self.labels, self.splits, self.groups, self.weights))


def fingerprint(data: bytes) -> bytes:
    """16 bytes that tell whether an image's bytes are the same: BLAKE2b."""
    return hashlib.blake2b(data, digest_size=FINGERPRINT_BYTES).digest()


def list_images(source: Path | str, *, root: Path | str | None = None) -> ImageSet:
    """The image set of a folder with one sub-folder a class, of a flat folder, or of a CSV manifest.

    A folder is ordered by name; a manifest keeps its own order, and its paths are relative to `root` (default: the
    manifest's folder). Raises ImageSetError naming the file, the line and the next step.
    """
    source = Path(source)
    if _is_folder(source):
        if root is not None:
            raise ImageSetError(f"--root {root} goes with a manifest, but {source} is a folder; leave it out")
        return _list_folder(source)
    if not source.is_file():
        raise ImageSetError(f"{source}: no such folder or manifest; check the path")
    if source.suffix.lower() != ".csv":
        raise ImageSetError(f"{source}: neither a folder nor a .csv manifest; name one of these")
    return _read_manifest(source, Path(root) if root is not None else source.parent)


def _list_folder(root: Path) -> ImageSet:
    files = list(_walk(root, ""))
    ignored = [name for name in files if not is_image_name(name)]
    names = sorted((name for name in files if is_image_name(name)), key=str.encode)
    if not names:
        found = f"{len(ignored)} other files, such as {ignored[0]}" if ignored else "nothing"
        raise ImageSetError(
            f"{root}: no images in this folder, but {found}; images end in {', '.join(sorted(SUFFIXES))}"
        )
    folders = [name.partition("/")[0] if "/" in name else "" for name in names]
    classes = tuple(sorted(set(folders)))
    if "" in classes and len(classes) > 1:
        raise ImageSetError(
            f"{root}: images lie both in it ({names[folders.index('')]}) and in its sub-folder {classes[1]}; "
            "move them all into class folders, or list them in a manifest"
        )
    labels = None if classes == ("",) else _positions(folders, classes)
    return ImageSet(
        root,
        np.array([name.encode() for name in names]),
        classes if labels is not None else (),
        labels,
        ignored=tuple(ignored),
    )


def is_image_name(name: str) -> bool:
    """Whether a folder listing takes a file of this name for an image."""
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and os.path.splitext(name)[1].lower() in SUFFIXES


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ImageSetError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    if (here := (status.st_dev, status.st_ino)) in above:
        raise ImageSetError(f"{folder}: a link back to a folder above it; remove the link")
    for entry in entries:
        name = prefix + entry.name
        if not name.isprintable() and not _is_utf8(name):
            raise ImageSetError(f"{folder}: the name {name!r} is not UTF-8; rename the file")
        if _is_folder(entry):
            yield from _walk(Path(entry.path), name + "/", above | {here})
        else:
            yield name


def _is_folder(entry: os.DirEntry[str] | Path) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself, or a name that is too long


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _positions(values: Sequence[str], classes: Sequence[str]) -> NDArray[np.int32]:
    position = {name: index for index, name in enumerate(classes)} | {"": NO_LABEL}
    return np.array([position[value] for value in values], np.int32)


def _read_manifest(path: Path, root: Path) -> ImageSet:
    if not _is_folder(root):
        raise ImageSetError(f"{root}: no such folder, to which the paths of {path} are relative; correct --root")
    columns = _read_columns(path)
    labels = columns.get("label")
    classes = tuple(sorted(set(labels or ()) - {""}))
    return ImageSet(
        root,
        np.array([name.encode() for name in _checked_names(path, columns["path"])]),
        classes,
        _positions(labels, classes) if labels and classes else None,
        _texts(_checked_splits(path, columns.get("split"))),
        _texts(_checked_groups(path, columns.get("group"))),
        _checked_weights(path, columns.get("weight")),
    )


def _read_columns(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageSetError(f"{path}: not a readable CSV file ({error}); save it as UTF-8 CSV") from error
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    header = [column.strip() for column in header]
    for column in header:
        if column not in MANIFEST_COLUMNS and (hint := did_you_mean(column, MANIFEST_COLUMNS)):
            logger.warning("%s: column %r is not used%s", path, column, hint)
    if "path" not in header:
        raise ImageSetError(f"{path}: no column 'path' among {header}; the first line names the columns")
    if twice := {column for column in header if header.count(column) > 1}:
        raise ImageSetError(f"{path}: column {min(twice)!r} stands twice in the first line; remove one")
    for number, row in enumerate(rows, start=2):
        if row and len(row) != len(header):
            raise ImageSetError(f"{path}: line {number} has {len(row)} values for {len(header)} columns; correct it")
    if not (rows := [row for row in rows if row]):
        raise ImageSetError(f"{path}: lists no images; add one line an image")
    return {
        column: [row[index].strip() for row in rows]
        for index, column in enumerate(header)
        if column in MANIFEST_COLUMNS
    }


def _checked_names(path: Path, values: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    for number, value in enumerate(values, start=1):
        name = str(PurePosixPath(value))
        if name.startswith("/") or ".." in PurePosixPath(name).parts or name == "." or "\0" in name:
            raise ImageSetError(
                f"{path}: image {number}: {value!r} does not lie inside the root; give a path that is relative to "
                "the manifest's folder, or to --root, without '..'"
            )
        if name in seen:
            raise ImageSetError(f"{path}: {name!r} is both image {seen[name]} and image {number}; remove one")
        seen[name] = number
    return list(seen)


def _checked_splits(path: Path, values: Sequence[str] | None) -> list[str] | None:
    if values is None:
        return None
    splits = [SPLIT_ALIASES.get(value, value) for value in values]
    for number, split in enumerate(splits, start=1):
        if split not in SPLITS:
            raise ImageSetError(f"{path}: image {number}: split {split!r} is none of {', '.join(SPLITS)}; correct it")
    return splits


def _checked_groups(path: Path, values: Sequence[str] | None) -> Sequence[str] | None:
    if values and "" in values:
        number = list(values).index("") + 1
        raise ImageSetError(f"{path}: image {number}: its group is blank; name one for every image")
    return values


def _checked_weights(path: Path, values: Sequence[str] | None) -> NDArray[np.float32] | None:
    if values is None:
        return None
    weights = []
    for number, value in enumerate(values, start=1):
        try:
            weights.append(weight := float(value))
        except ValueError:
            weight = math.nan
        if not 0 <= weight <= float(np.finfo(np.float32).max):
            raise ImageSetError(f"{path}: image {number}: weight {value!r} is not a number of 0 or more; correct it")
    return np.array(weights, np.float32)


def _texts(values: Sequence[str] | None) -> NDArray[np.bytes_] | None:
    return None if values is None else np.array([value.encode() for value in values])
