"""Iterates over the members of a tar without keeping them; damage is an error, not the end of the tar."""

import posixpath
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from featx.errors import ImageSetError, one_line
from featx.inputs.sets.building import LONGEST_TEXT

LARGEST_TAR_HEADER = 1 << 20
"""Most bytes of one header: intact headers are far smaller, and a damaged one may claim any size."""

_COMPRESSIONS = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ\0": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"\x04\x22\x4d\x18": "unlz4",
}
_BLOCK = tarfile.BLOCKSIZE


def compressed_tar_error(path: str, command: str = "gunzip, bunzip2, unxz or unzstd") -> ImageSetError:
    """The error for a compressed tar, with the command that decompresses it."""
    return ImageSetError(
        f"{path}: compressed, so that single images cannot be read from it; decompress it first ({command})"
    )


def iter_members(path: str, file: BinaryIO, *, size: int) -> Iterator[tarfile.TarInfo]:
    """Every member but folders of a tar of `size` bytes. Raises ImageSetError if it is not an intact tar."""
    _check_compression(path, file)
    last = -1
    try:
        tar = tarfile.open(fileobj=_Headers(file), mode="r:", encoding="utf-8")  # type: ignore[call-overload]  # noqa: SIM115
        while (member := tar.next()) is not None:
            tar.members.clear()
            if not last < tar.offset <= size:
                raise ImageSetError(f"{path}: cut short in its member {member.name!r}; copy it or create it again")
            last = tar.offset
            if not member.isdir():
                yield member
    except (ImageSetError, OSError):
        raise
    except Exception as error:  # tarfile raises almost any type on damaged headers
        what = "not a tar file" if last < 0 else f"damaged after byte {last}"
        step = "check the file" if last < 0 else "copy it or create it again"
        raise ImageSetError(f"{path}: {what} ({one_line(error)}); {step}") from error
    _check_end(path, file, offset=tar.offset)


class _Headers:
    """The file as tarfile may read it: only in small pieces, whatever size a damaged header claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        if not 0 <= size <= LARGEST_TAR_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _check_compression(path: str, file: BinaryIO) -> None:
    """Raise ImageSetError if the file begins like a compressed file."""
    start = file.read(6)
    file.seek(0)
    for magic, command in _COMPRESSIONS.items():
        if start.startswith(magic):
            raise compressed_tar_error(path, command)


def _check_end(path: str, file: BinaryIO, *, offset: int) -> None:
    """Raise ImageSetError unless only zeros follow the last member: tarfile takes a damaged header for the end."""
    file.seek(offset)
    end = file.read(_BLOCK)
    if len(end) < _BLOCK:
        raise ImageSetError(
            f"{path}: has no end mark, so it was cut short or is still being written; copy it or create it again"
        )
    if any(end):
        raise ImageSetError(f"{path}: damaged at byte {offset}, where a header should be; copy it or create it again")
    while block := file.read(LARGEST_TAR_HEADER):
        if block.count(0) != len(block):
            raise ImageSetError(
                f"{path}: has more data after its end mark at byte {offset}; "
                "if several tars were joined, give them one by one"
            )


def clean_name(path: str, name: str) -> str:
    """The name without `.` and empty parts. Raises ImageSetError if it leads out of the tar or is not UTF-8."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ImageSetError(
            f"{path}: the name of its member {name!r} leads out of the tar; create it again without '..'"
        )
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise ImageSetError(f"{path}: the name of its member {name!r} is not UTF-8; rename the file") from error
    if length > LONGEST_TEXT:
        raise ImageSetError(f"{path}: the name of a member has {length} bytes, above {LONGEST_TEXT}; rename the file")
    return "/".join(parts)


def find_target(path: str, member: tarfile.TarInfo, *, name: str) -> str:
    """Name of the member to which the link points, or "/" if it points out of the tar. Raises ImageSetError."""
    if member.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        return "/" if target.startswith(("/", "..")) or target == "." else clean_name(path, target)
    return clean_name(path, member.linkname)
