"""A file system, here or on another machine: lists files, opens them, and reads them whole or in part."""

import errno
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Protocol

from featx.errors import ImageSetError
from featx.inputs.sets.image_set import Stored


class Files(Protocol):
    """A file system. Paths are texts. Reading raises OSError, or FileNotFoundError if the file does not exist."""

    @property
    def remote(self) -> bool:
        """Whether files are read over a network."""

    def is_folder(self, path: str) -> bool:
        """Whether the path is an existing folder."""

    def is_file(self, path: str) -> bool:
        """Whether the path exists and is not a folder."""

    def walk(self, root: str) -> Iterator[str]:
        """Paths of all files below the root, relative to it, in any order. Raises ImageSetError."""

    def glob(self, pattern: str) -> list[str]:
        """Paths that match the pattern, in any order."""

    def stat(self, path: str) -> tuple[int, int]:
        """Size in bytes and a number that changes with the file, as in ImageSource.stat."""

    def open(self, path: str, *, seek: bool = True) -> BinaryIO:
        """The file, opened for reading; without `seek`, only from start to end."""

    def read(self, path: str) -> bytes:
        """All bytes of the file."""

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """`size` bytes of the file from position `start`; fewer if the file ends before."""


@dataclass(frozen=True)
class LocalFiles:
    """The file system of this machine."""

    remote: bool = False
    here: str = field(default_factory=os.getcwd)
    """The folder that relative paths are relative to, also in a process with another current folder."""

    def absolute(self, path: str) -> str:
        """The absolute path."""
        return os.path.join(self.here, path)

    def is_folder(self, path: str) -> bool:
        """Whether the path is an existing folder; false for links to themselves and names that are too long."""
        try:
            return Path(path).is_dir()
        except OSError:
            return False

    def is_file(self, path: str) -> bool:
        """Whether the path is an existing file."""
        try:
            return Path(path).is_file()
        except OSError:
            return False

    def walk(self, root: str) -> Iterator[str]:
        """Paths of all files below the root. Links are followed; a link to a folder above it is an error."""
        return _walk(Path(root), "", frozenset())

    def glob(self, pattern: str) -> list[str]:
        """Paths that match the pattern; ** matches any number of nested folders."""
        return glob.glob(pattern, recursive=True)

    def stat(self, path: str) -> tuple[int, int]:
        """Size and modification time. Raises OSError for anything but regular files: reading a pipe would never end."""
        status = os.stat(self.absolute(path))
        if not S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return status.st_size, status.st_mtime_ns

    def open(self, path: str, *, seek: bool = True) -> BinaryIO:
        """The file, opened for reading at any position."""
        return open(self.absolute(path), "rb")

    def read(self, path: str) -> bytes:
        """All bytes of the file."""
        # Path would intern the name of every file, so that memory grows with the number of images
        with open(self.absolute(path), "rb") as file:
            return file.read()

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Up to `size` bytes of the file from position `start`."""
        with open(self.absolute(path), "rb", buffering=0) as file:
            return os.pread(file.fileno(), size, start)


@dataclass(frozen=True)
class FileSource:
    """Images that are single files, named by their path below a root folder."""

    files: Files
    root: str

    @property
    def remote(self) -> bool:
        """Whether the files are on another machine."""
        return self.files.remote

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size and modification time of the image's file."""
        return self.files.stat(join(self.root, name))

    def read(self, row: int, name: str) -> Stored:
        """The bytes of the image's file."""
        return self.files.read(join(self.root, name))

    def part(self, rows: slice) -> "FileSource":
        """This source, as it finds images by name alone."""
        return self


def join(root: str, name: str) -> str:
    """Path of the file with this name below the root."""
    return f"{root}{name}" if root.endswith("/") else f"{root}/{name}"


def parent(path: str) -> str:
    """The folder of the path with its slash, or an empty text if the path has no folder."""
    return path[: path.rfind("/") + 1]


def is_inside(name: str) -> bool:
    """Whether the name does not lead out of its root. Raises ImageSetError if it is not UTF-8."""
    if not name.isprintable() and not _is_utf8(name):
        raise ImageSetError(f"the name {name!r} is not UTF-8; rename the file")
    return not name.startswith("/") and ".." not in name.split("/")


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Prefixed paths of all files below the folder; `above` are the device and inode of the folders that contain it."""
    below: list[str] = []
    try:
        status = folder.stat()
        if (here := (status.st_dev, status.st_ino)) in above:
            raise ImageSetError(f"{folder}: a link to a folder that contains it; remove the link")
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.isprintable() and not _is_utf8(entry.name):
                    raise ImageSetError(f"{folder}: the name {entry.name!r} is not UTF-8; rename the file")
                if _is_folder(entry):
                    below.append(entry.name)
                else:
                    yield prefix + entry.name
    except OSError as error:
        raise ImageSetError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    for name in sorted(below):
        yield from _walk(folder / name, f"{prefix}{name}/", above | {here})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
