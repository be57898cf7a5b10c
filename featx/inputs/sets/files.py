"""A file system, here or on another machine: lists files, opens them, and reads them whole or in part."""

import errno
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO, ClassVar, Protocol

from featx.errors import ImageSetError
from featx.inputs.sets.image_set import Stored, check_size


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
        return _walk(Path(root))

    def glob(self, pattern: str) -> list[str]:
        """Paths that match the pattern; ** matches any number of nested folders."""
        return glob.glob(pattern, recursive=True)

    def stat(self, path: str) -> tuple[int, int]:
        """Size and modification time. Raises OSError for anything but regular files: reading a pipe would never end.

        A time that 64 bits of nanoseconds cannot hold, such as one after 2262, is 0: changes cannot be detected.
        """
        status = os.stat(self.absolute(path))
        _check_regular(status.st_mode, path)
        changed = status.st_mtime_ns
        return status.st_size, changed if abs(changed) < 2**63 else 0

    def open(self, path: str, *, seek: bool = True) -> BinaryIO:
        """The file, opened for reading at any position. Raises OSError for anything but regular files."""
        return open(self.absolute(path), "rb", opener=lambda name, flags: _open_regular(name)[0])

    def read(self, path: str) -> bytes:
        """All bytes of the file, as many as it has when it is opened.

        Raises OSError for anything but regular files, and for a file above the limit for one image.

        A file of size 0 is not read at all: those of /proc have this size, and some of them wait for ever.
        """
        # Path would intern the name of every file, so that memory grows with the number of images
        descriptor, size = _open_regular(self.absolute(path))
        try:
            check_size(size, path)
            return _read_up_to(descriptor, size) if size else b""
        finally:
            os.close(descriptor)

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Up to `size` bytes of the file from position `start`. Raises OSError for anything but regular files."""
        descriptor, _ = _open_regular(self.absolute(path))
        try:
            return os.pread(descriptor, size, start)
        finally:
            os.close(descriptor)


_READ_ONLY = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
"""How files are opened: with O_NONBLOCK, opening a pipe does not wait for its writer."""


def _open_regular(path: str) -> tuple[int, int]:
    """A descriptor of the open file, and its size in bytes. Raises OSError for anything but regular files."""
    descriptor = os.open(path, _READ_ONLY)
    try:
        status = os.fstat(descriptor)
        _check_regular(status.st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def _check_regular(mode: int, path: str) -> None:
    """Raise OSError for a pipe, socket or device, whose reading may never end, and for a folder."""
    if S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _read_up_to(descriptor: int, size: int) -> bytes:
    """The first `size` bytes of the file, fewer if it has become shorter."""
    data = os.read(descriptor, size)
    if len(data) == size:
        return data
    parts = [data]
    size -= len(data)
    while size and parts[-1]:
        parts.append(os.read(descriptor, size))
        size -= len(parts[-1])
    return b"".join(parts)


@dataclass(frozen=True)
class FileSource:
    """Images that are single files, named by their path below a root folder."""

    files: Files
    root: str
    sized: ClassVar[bool] = True

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
    check_utf8(name)
    return not name.startswith("/") and ".." not in name.split("/")


def check_utf8(name: str, *, within: str = "") -> None:
    """Raise ImageSetError if the name of a file, which is `within` a folder, is not UTF-8."""
    if not name.isprintable() and not _is_utf8(name):
        raise ImageSetError(f"{within}the name {name!r} is not UTF-8; rename the file")


def _walk(root: Path) -> Iterator[str]:
    """Paths of all files below the root, relative to it: a stack of folders, which may be nested to any depth."""
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        prefix, above = waiting.pop()
        folder = root / prefix
        below: list[str] = []
        try:
            within = above | {_identify(folder, above)}
            with os.scandir(folder) as entries:
                for entry in entries:
                    check_utf8(entry.name, within=f"{folder}: ")
                    if _is_folder(entry):
                        below.append(entry.name)
                    else:
                        yield prefix + entry.name
        except OSError as error:
            raise ImageSetError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
        waiting.extend((f"{prefix}{name}/", within) for name in sorted(below, reverse=True))


def _identify(folder: Path, above: frozenset[tuple[int, int]]) -> tuple[int, int]:
    """Device and inode of the folder. Raises ImageSetError if it is one of those above it."""
    status = folder.stat()
    if (here := (status.st_dev, status.st_ino)) in above:
        raise ImageSetError(f"{folder}: a link to a folder that contains it; remove the link")
    return here


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
