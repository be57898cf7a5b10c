"""Makes an image set from a folder, manifest, archive, table or array."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.columns import as_texts
from featx.errors import ImageSetError
from featx.inputs.sets.archives import list_tars
from featx.inputs.sets.arrays import list_npy
from featx.inputs.sets.files import Files, FileSource, LocalFiles, check_utf8, join, parent
from featx.inputs.sets.folder import is_hidden, is_image_name, list_folder, walk_folder
from featx.inputs.sets.hdf5 import list_hdf5, split_dataset
from featx.inputs.sets.image_set import ImageSet
from featx.inputs.sets.joining import Part, join_sets
from featx.inputs.sets.manifest import read_csv_manifest
from featx.inputs.sets.parquet import list_parquet
from featx.inputs.sets.remote import hide_secrets, is_address, open_address
from featx.inputs.sets.shards import Shards, is_pattern, match_pattern, one_file
from featx.inputs.sets.tar import compressed_tar_error

KIND_OF_ENDING = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tar": "tar",
    ".npy": "npy",
    ".npz": "npz",
    ".zip": "zip",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".he5": "hdf5",
}
COMPRESSED_TAR = re.compile(r"\.(tgz|tbz2?|txz|tzst|tar\.\w+)$", re.IGNORECASE)
_COMPRESSED_ENDINGS = (b"z", b"z2", b"st", b"lz4")
"""The last letters of compressed tars, which are compared first, as that is fast for many names."""
ACCEPTED = (
    "a folder of images, a manifest (.csv, .tsv, .parquet), .tar, .parquet with images, .npy, .h5, FILE.h5/DATASET, "
    "a pattern of .tar or .parquet, or an image file"
)


def list_images(
    source: Path | str | Sequence[Path | str], *, root: Path | str | None = None, label_column: str | None = None
) -> ImageSet:
    """The image set of a folder, manifest, archive, table, array or image file, or of several of them.

    Only names and labels are read, not the images. `source` is one of these, or a list of them:

    - a folder of images, with one sub-folder per class or flat, in bytewise order of the names; folders such as `train`
      and `val` above the classes are splits;
    - a manifest, `.csv`, `.tsv` or `.parquet`, with a column `path` and any of `label`, `split`, `group`, `domain`,
      `weight`, in its own order; paths are relative to `root` (default: the manifest's folder);
    - a `.tar`, a folder of tars or a pattern (`shards-{000..127}.tar`, `*.tar`), in archive order; labels are those of
      WebDataset's .cls or .json members, else of the folders;
    - a `.parquet` with the bytes of images, as Hugging Face writes it, a folder of such files or a pattern;
    - a `.npy` or `.h5` array, or FILE.h5/DATASET, of shape (N, H, W) or (N, H, W, 3) and type uint8 or uint16;
    - an image file, whose name is that of the image, or a pattern of image files;
    - any of these at an address that fsspec supports, such as `s3://bucket/photos` or `https://host/photos.csv`.

    In a list of several, the names of images in folders begin with the folder's name. `label_column` names the column
    of labels in a manifest or table that does not call it `label`, or the key of labels in the .json members of a tar.

    Raises ImageSetError saying what is wrong, where, and the next step.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> len(images), images.classes
    (60, ('circle', 'cross', 'square', 'star', 'triangle'))
    >>> featx.list_images(["new", "photos/star/000.png"]).name(5)
    '000.png'
    """
    given = [source] if isinstance(source, str | Path) else list(source)
    if not given:
        raise ImageSetError("no source of images was given; name at least one")
    requests = [_Request(*_locate(str(one)), root, label_column) for one in given]
    if len(requests) == 1:
        return _list_one(requests[0])
    return join_sets([_as_part(request) for request in _group_images(_keep_options(requests))])


def _list_one(request: "_Request") -> ImageSet:
    files = request.files
    path = request.path
    kind = _kind_of(path)
    if request.images or _is_image(request):
        return _list_image_files(request)
    if not (files.remote and kind) and files.is_folder(path):
        return _list_folder(request)
    if files.is_file(path):
        return _list_shards(request, one_file(files, path), kind=kind)
    if (inside := split_dataset(path)) and files.is_file(inside[0]):
        request.refuse_root()
        request.refuse_label_column()
        return list_hdf5(one_file(files, inside[0]), dataset=inside[1])
    if is_pattern(path):
        shards = match_pattern(files, path)
        if all(is_image_name(found.rpartition("/")[2]) for found in shards.paths):
            return _list_matched_images(request, shards)
        return _list_shards(request, shards, kind=_only_kind(shards))
    raise ImageSetError(f"{path}: no such file or folder; check the path")


def _is_image(request: "_Request") -> bool:
    """Whether the user named one image file."""
    return is_image_name(request.path.rpartition("/")[2]) and request.files.is_file(request.path)


def _list_image_files(request: "_Request") -> ImageSet:
    """The image set of image files in one folder, in their order."""
    request.refuse_root()
    request.refuse_label_column()
    names = request.images or [request.path.rpartition("/")[2]]
    for name in names:
        check_utf8(name)
    return ImageSet(names=as_texts(names), source=FileSource(request.files, parent(request.path) or "."))


def _list_matched_images(request: "_Request", shards: Shards) -> ImageSet:
    """The image set of image files that a pattern matches, named by their paths behind its fixed part."""
    request.refuse_root()
    request.refuse_label_column()
    names = as_texts([shards.name(path) for path in shards.paths])
    return ImageSet(names=names, source=FileSource(request.files, shards.base or "."))


def _keep_options(requests: Sequence["_Request"]) -> list["_Request"]:
    """The requests: with a root only if they may be manifests, with a column of labels only if they may be tars too.

    Raises ImageSetError if an option was given that belongs to none of them.
    """
    if requests[0].root is None and requests[0].label_column is None:
        return list(requests)
    kinds = [_kind_of(request.path) or _kind_inside(request) for request in requests]
    if not {"csv", "parquet"} & {*kinds}:
        requests[0].refuse_root()
    if not {"csv", "parquet", "tar"} & {*kinds}:
        requests[0].refuse_label_column()
    return [
        replace(
            request,
            root=request.root if kind in ("csv", "parquet") else None,
            label_column=request.label_column if kind in ("csv", "parquet", "tar") else None,
        )
        for request, kind in zip(requests, kinds, strict=True)
    ]


def _kind_inside(request: "_Request") -> str | None:
    """The kind of a folder by the first tar, table or image in it; None for images, and for what is no folder."""
    if not request.files.is_folder(request.path):
        return None
    for name in request.files.walk(request.path):
        if (kind := _kind_of(name)) in ("tar", "parquet") and not is_hidden(name):
            return kind
        if is_image_name(name):
            break
    return None


def _group_images(requests: Sequence["_Request"]) -> Iterator["_Request"]:
    """The requests, of which neighbouring image files in one folder have become one."""
    folder_of = {id(request): parent(request.path) for request in requests if _is_image(request)}
    for folder, group in groupby(requests, key=lambda request: folder_of.get(id(request))):
        if folder is None:
            yield from group
        else:
            found = list(group)
            yield replace(found[0], images=tuple(one.path.rpartition("/")[2] for one in found))


def _as_part(request: "_Request") -> Part:
    """The image set of one of several requests."""
    images = _list_one(request)
    is_folder = not request.images and not (request.files.remote and _kind_of(request.path))
    is_folder = is_folder and request.files.is_folder(request.path)
    return Part(images, request.path, request.path if is_folder else parent(request.path), is_folder)


@dataclass(frozen=True)
class _Request:
    """What the user gave: a path in a file system, and the root for the paths in it if it is a manifest."""

    files: Files
    path: str
    root: Path | str | None
    label_column: str | None
    images: tuple[str, ...] = ()
    """Names of image files in the folder of the path, if these were given one by one."""

    def refuse_label_column(self) -> None:
        """Raise ImageSetError if a column of labels was named: only manifests, tables and tars can have one."""
        if self.label_column is not None:
            raise ImageSetError(
                f"--label-column {self.label_column} is only for manifests, tables and tars, but {self.path} is "
                "none of these; leave it out"
            )

    def refuse_root(self) -> None:
        """Raise ImageSetError if a root was given: only manifests have one."""
        if self.root is not None:
            root = hide_secrets(str(self.root))
            raise ImageSetError(f"--root {root} is only for manifests, but {self.path} is not a manifest; leave it out")

    def find_root(self, base: str) -> FileSource:
        """The source of the files that a manifest lists. Raises ImageSetError if the root is not a folder."""
        if self.root is None:
            return FileSource(self.files, base or ".")
        files, folder = _locate(str(self.root))
        if not files.remote and not files.is_folder(folder):
            raise ImageSetError(
                f"{folder}: no such folder, but the paths in {self.path} are relative to it; correct --root"
            )
        return FileSource(files, folder)


def _locate(text: str) -> tuple[Files, str]:
    """The file system of a path or address, and the path in it. Raises ImageSetError for an empty text."""
    if not text:
        raise ImageSetError(f"an empty text is no path; give {ACCEPTED}")
    if is_address(text):
        return open_address(text)
    return LocalFiles(), text.rstrip("/") or text


def _kind_of(path: str) -> str | None:
    """The kind of file by its ending, or None if it is unknown."""
    if COMPRESSED_TAR.search(path):
        return "compressed"
    match = re.search(r"\.\w+$", path)
    return KIND_OF_ENDING.get(match[0].lower()) if match else None


def _list_folder(request: _Request) -> ImageSet:
    """The image set of a folder of images, tars or tables. Raises ImageSetError if it has several kinds of them."""
    names, others = walk_folder(request.files, request.path)
    tars = _of_kind(others, "tar")
    tables = [] if len(names) else _of_kind(others, "parquet")
    found = [*(bytes(name).decode() for name in names[:1]), *tars[:1], *tables[:1]]
    if len(found) > 1:
        raise ImageSetError(
            f"{request.path}: has images of more than one kind, such as {' and '.join(found)}; "
            "name those of one kind with a pattern, or move the others away"
        )
    if tars or tables:
        shards = _shards_of(request, tars or tables, others=others)
        return _list_shards(request, shards, kind="tar" if tars else "parquet")
    if not len(names) and (compressed := _of_kind(others, "compressed")):
        raise compressed_tar_error(join(request.path, compressed[0]))
    request.refuse_root()
    request.refuse_label_column()
    return list_folder(request.files, request.path, names=names, ignored=others)


def _of_kind(names: NDArray[np.bytes_], kind: str) -> list[str]:
    """The names with an ending of this kind that are not hidden."""
    lower = np.strings.lower(names)
    endings = [ending.encode() for ending, known in KIND_OF_ENDING.items() if known == kind] or _COMPRESSED_ENDINGS
    likely = names[np.any([np.strings.endswith(lower, ending) for ending in endings], axis=0)]
    return [name for name in map(bytes.decode, likely.tolist()) if _kind_of(name) == kind and not is_hidden(name)]


def _shards_of(request: _Request, names: list[str], *, others: NDArray[np.bytes_]) -> Shards:
    base = join(request.path, "")
    rest = others[~np.isin(others, [name.encode() for name in names])]
    return Shards(request.files, request.path, base, tuple(base + name for name in names), rest)


def _only_kind(shards: Shards) -> str | None:
    """The kind of all these files. Raises ImageSetError if kinds differ, or if the kind allows one file only."""
    kinds = {_kind_of(path): path for path in shards.paths}
    if len(kinds) > 1:
        raise ImageSetError(
            f"{shards.given}: matches files of several kinds, such as {' and '.join(kinds.values())}; name one kind"
        )
    kind = next(iter(kinds))
    if kind not in ("tar", "parquet", "compressed") and len(shards.paths) > 1:
        raise ImageSetError(
            f"{shards.given}: matches {len(shards.paths)} files such as {shards.paths[0]}, but only several .tar or "
            ".parquet files can be one image set; name their folder, or one of them"
        )
    return kind


def _list_shards(request: _Request, shards: Shards, *, kind: str | None) -> ImageSet:
    path = shards.paths[0]
    if kind == "csv":
        source = request.find_root(parent(path))
        return read_csv_manifest(request.files, path, source=source, label_column=request.label_column)
    if kind == "parquet":
        return list_parquet(
            shards,
            root=lambda: request.find_root(shards.base),
            refuse_root=request.refuse_root,
            label_column=request.label_column,
        )
    request.refuse_root()
    if kind == "tar":
        return list_tars(shards, label_key=request.label_column)
    request.refuse_label_column()
    if kind not in LISTERS:
        raise _unread_error(path, kind)
    return LISTERS[kind](shards)


def _unread_error(path: str, kind: str | None) -> ImageSetError:
    """The error for a file of a kind that is not read, with what to give instead."""
    if kind == "compressed":
        return compressed_tar_error(path)
    if kind == "npz":
        return ImageSetError(f"{path}: an .npz has several arrays; save the one with the images as .npy")
    if kind == "zip":
        return ImageSetError(
            f"{path}: a zip archive; unpack it, or give it as zip://::{path}, which needs pip install 'featx[remote]'"
        )
    return ImageSetError(f"{path}: not a known kind of image source; give {ACCEPTED}")


LISTERS = {"npy": list_npy, "hdf5": list_hdf5}
"""Kind -> the function that lists its images; manifests and tables need a root too."""
