"""Files, wherever they lie: listed, opened, read whole or in part."""

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
    """A file system; paths are texts. Whatever cannot be read raises OSError, FileNotFoundError where it is missing."""

    @property
    def remote(self) -> bool:
        """Whether reading means waiting for a network."""

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder of this path."""

    def is_file(self, path: str) -> bool:
        """Whether there is a file, or what is no folder, of this path."""

    def walk(self, root: str) -> Iterator[str]:
        """Paths of all files below the root, relative to it, in any order. Raises ImageSetError."""

    def glob(self, pattern: str) -> list[str]:
        """Paths of what matches the pattern, in any order."""

    def stat(self, path: str) -> tuple[int, int]:
        """Size in bytes and a number that changes with the file, as ImageSource.stat tells it."""

    def open(self, path: str, *, seek: bool = True) -> BinaryIO:
        """The file, opened for reading: anywhere in it, or only from its start to its end."""

    def read(self, path: str) -> bytes:
        """All bytes of the file."""

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """So many bytes of the file from this place on; fewer where it ends before."""


@dataclass(frozen=True)
class LocalFiles:
    """The file system of this machine."""

    remote: bool = False
    here: str = field(default_factory=os.getcwd)
    """What relative paths are relative to, also in a process that was started elsewhere."""

    def absolute(self, path: str) -> str:
        """The same path from the top of the file system."""
        return os.path.join(self.here, path)

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder of this path; a link to itself or a name that is too long is none."""
        try:
            return Path(path).is_dir()
        except OSError:
            return False

    def is_file(self, path: str) -> bool:
        """Whether there is a file of this path."""
        try:
            return Path(path).is_file()
        except OSError:
            return False

    def walk(self, root: str) -> Iterator[str]:
        """Paths of all files below the root; links are followed, and refused where they lead back."""
        return _walk(Path(root), "", frozenset())

    def glob(self, pattern: str) -> list[str]:
        """Paths of what matches the pattern, in which ** stands for folders below each other."""
        return glob.glob(pattern, recursive=True)

    def stat(self, path: str) -> tuple[int, int]:
        """Size and time of change. What is no regular file raises OSError: reading a pipe would wait for ever."""
        status = os.stat(self.absolute(path))
        if not S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return status.st_size, status.st_mtime_ns

    def open(self, path: str, *, seek: bool = True) -> BinaryIO:
        """The file, opened for reading anywhere in it."""
        return open(self.absolute(path), "rb")

    def read(self, path: str) -> bytes:
        """All bytes of the file."""
        # a Path would intern the name of every file: memory that grows with the images
        with open(self.absolute(path), "rb") as file:
            return file.read()

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """These bytes of the file."""
        with open(self.absolute(path), "rb", buffering=0) as file:
            return os.pread(file.fileno(), size, start)


@dataclass(frozen=True)
class FileSource:
    """Images that are files of their own, named by their path below a root."""

    files: Files
    root: str

    @property
    def remote(self) -> bool:
        """Whether they lie on another machine."""
        return self.files.remote

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size and time of change of the image's file."""
        return self.files.stat(join(self.root, name))

    def read(self, row: int, name: str) -> Stored:
        """The bytes of the image's file."""
        return self.files.read(join(self.root, name))

    def part(self, rows: slice) -> "FileSource":
        """Itself: names tell all there is to know."""
        return self


def join(root: str, name: str) -> str:
    """Path of what has this name below the root."""
    return f"{root}{name}" if root.endswith("/") else f"{root}/{name}"


def parent(path: str) -> str:
    """The folder of the path with its slash, or nothing where the path has no folder."""
    return path[: path.rfind("/") + 1]


def is_inside(name: str) -> bool:
    """Whether the name stays below its root. Raises ImageSetError where it is not UTF-8."""
    if not name.isprintable() and not _is_utf8(name):
        raise ImageSetError(f"the name {name!r} is not UTF-8; rename the file")
    return not name.startswith("/") and ".." not in name.split("/")


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    below: list[str] = []
    try:
        status = folder.stat()
        if (here := (status.st_dev, status.st_ino)) in above:
            raise ImageSetError(f"{folder}: a link back to a folder above it; remove the link")
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
