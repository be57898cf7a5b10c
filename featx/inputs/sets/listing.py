"""Whatever holds images in; the image set out."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.errors import ImageSetError
from featx.inputs.sets.archives import list_tars
from featx.inputs.sets.arrays import list_npy
from featx.inputs.sets.files import (
    Files,
    FileSource,
    LocalFiles,
    join,
    parent,
)
from featx.inputs.sets.folder import (
    is_hidden,
    list_folder,
    walk_folder,
)
from featx.inputs.sets.hdf5 import list_hdf5, split_dataset
from featx.inputs.sets.image_set import ImageSet
from featx.inputs.sets.manifest import read_csv_manifest
from featx.inputs.sets.parquet import list_parquet
from featx.inputs.sets.remote import is_address, open_address
from featx.inputs.sets.shards import (
    Shards,
    is_pattern,
    match_pattern,
    one_file,
)
from featx.inputs.sets.tar import refuse_compressed

KINDS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tar": "tar",
    ".npy": "npy",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".he5": "hdf5",
}
COMPRESSED_TAR = re.compile(r"\.(tgz|tbz2?|txz|tzst|tar\.\w+)$", re.IGNORECASE)
TAKEN = (
    "a folder of images, a manifest (.csv, .parquet), .tar, .parquet with images, .npy, .h5, FILE.h5/DATASET, "
    "or a pattern of .tar or .parquet"
)


def list_images(source: Path | str, *, root: Path | str | None = None) -> ImageSet:
    """The image set of whatever holds images: files, archives, tables or arrays, here or at an address.

    - a folder of images, one sub-folder a class or flat, in bytewise order of the names;
    - a manifest, `.csv` or `.parquet`, with the columns path and maybe label, split, group, weight, in its own order;
      paths are relative to `root` (default: the manifest's folder);
    - a `.tar`, a folder of them or a pattern (`shards-{000..127}.tar`, `*.tar`), in archive order; labels are those of
      WebDataset's .cls or .json beside the images, else the first folder;
    - a `.parquet` with the images' bytes, as Hugging Face has it, a folder of them or a pattern;
    - a `.npy` or `.h5` array, or FILE.h5/DATASET, (N, H, W) or (N, H, W, 3) of uint8 or uint16;
    - any of them at an address that fsspec knows, such as `s3://bucket/photos` or `https://host/photos.csv`.

    Raises ImageSetError naming what is wrong, where it stands and the next step.
    """
    given = _Given(*_locate(str(source)), root)
    files, path = given.files, given.path
    kind = _kind_of(path)
    if not (files.remote and kind) and files.is_folder(path):
        return _list_folder(given)
    if files.is_file(path):
        return _list_shards(given, one_file(files, path), kind=kind)
    if (inside := split_dataset(path)) and files.is_file(inside[0]):
        given.refuse_root()
        return list_hdf5(one_file(files, inside[0]), dataset=inside[1])
    if is_pattern(path):
        shards = match_pattern(files, path)
        return _list_shards(given, shards, kind=_only_kind(shards))
    raise ImageSetError(f"{path}: no such file or folder; check the path")


@dataclass(frozen=True)
class _Given:
    """What the user named, and what its paths are relative to if it turns out to be a manifest."""

    files: Files
    path: str
    root: Path | str | None

    def refuse_root(self) -> None:
        """Raises ImageSetError where a root was given to what is no manifest."""
        if self.root is not None:
            raise ImageSetError(f"--root {self.root} goes with a manifest, but {self.path} is none; leave it out")

    def find_root(self, base: str) -> FileSource:
        """The files that a manifest lists. Raises ImageSetError where the root is no folder."""
        if self.root is None:
            return FileSource(self.files, base or ".")
        files, folder = _locate(str(self.root))
        if not files.remote and not files.is_folder(folder):
            raise ImageSetError(
                f"{folder}: no such folder, to which the paths of {self.path} are relative; correct --root"
            )
        return FileSource(files, folder)


def _locate(text: str) -> tuple[Files, str]:
    """The file system, and the path in it."""
    if is_address(text):
        return open_address(text)
    return LocalFiles(), text.rstrip("/") or text


def _kind_of(path: str) -> str | None:
    if COMPRESSED_TAR.search(path):
        return "compressed"
    match = re.search(r"\.\w+$", path)
    return KINDS.get(match[0].lower()) if match else None


def _list_folder(given: _Given) -> ImageSet:
    """The images in a folder, or in the tars or tables in it. Raises ImageSetError where it holds several kinds."""
    names, others = walk_folder(given.files, given.path)
    tars = _of_kind(others, "tar")
    tables = [] if len(names) else _of_kind(others, "parquet")
    found = [*(bytes(name).decode() for name in names[:1]), *tars[:1], *tables[:1]]
    if len(found) > 1:
        raise ImageSetError(
            f"{given.path}: holds images in more than one way, such as {' and '.join(found)}; "
            "name those of one kind by a pattern, or move the others away"
        )
    if tars or tables:
        return _list_shards(given, _shards_of(given, tars or tables, others=others), kind="tar" if tars else "parquet")
    if not len(names) and (compressed := _of_kind(others, "compressed")):
        raise refuse_compressed(join(given.path, compressed[0]))
    given.refuse_root()
    return list_folder(given.files, given.path, names=names, ignored=others)


def _of_kind(names: NDArray[np.bytes_], kind: str) -> list[str]:
    """Those of the names that end as this kind does and are not hidden."""
    lower = np.strings.lower(names)
    endings = [ending.encode() for ending, known in KINDS.items() if known == kind] or [b"z", b"z2", b"st", b"lz4"]
    likely = names[np.any([np.strings.endswith(lower, ending) for ending in endings], axis=0)]
    return [name for name in map(bytes.decode, likely.tolist()) if _kind_of(name) == kind and not is_hidden(name)]


def _shards_of(given: _Given, names: list[str], *, others: NDArray[np.bytes_]) -> Shards:
    base = join(given.path, "")
    rest = others[~np.isin(others, [name.encode() for name in names])]
    return Shards(given.files, given.path, base, tuple(base + name for name in names), rest)


def _only_kind(shards: Shards) -> str | None:
    """The kind of all of these files. Raises ImageSetError where there are several, or files that stand alone."""
    kinds = {_kind_of(path): path for path in shards.paths}
    if len(kinds) > 1:
        raise ImageSetError(f"{shards.given}: matches files of several kinds, such as {' and '.join(kinds.values())}")
    kind = next(iter(kinds))
    if kind not in ("tar", "parquet", "compressed") and len(shards.paths) > 1:
        raise ImageSetError(
            f"{shards.given}: matches {len(shards.paths)} files such as {shards.paths[0]}, but only .tar and .parquet "
            "make one image set together; name their folder, or one of them"
        )
    return kind


def _list_shards(given: _Given, shards: Shards, *, kind: str | None) -> ImageSet:
    path = shards.paths[0]
    if kind == "csv":
        return read_csv_manifest(given.files, path, source=given.find_root(parent(path)))
    if kind == "parquet":
        return list_parquet(shards, root=lambda: given.find_root(shards.base), refuse_root=given.refuse_root)
    given.refuse_root()
    if kind == "compressed":
        raise refuse_compressed(path)
    if kind == "npz":
        raise ImageSetError(f"{path}: an .npz holds several arrays; save the one with the images as .npy")
    if kind is None:
        raise ImageSetError(f"{path}: none of what holds images; name {TAKEN}")
    return ALONE[kind](shards)


ALONE = {"tar": list_tars, "npy": list_npy, "hdf5": list_hdf5}
"""What takes files of a kind without further questions."""
