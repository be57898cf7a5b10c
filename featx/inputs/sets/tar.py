"""The members of a tar, one after the other, none kept; damage is refused, not taken for the end."""

import posixpath
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from featx.errors import ImageSetError
from featx.inputs.sets.building import LONGEST_TEXT

LARGEST_HEADER = 1 << 20
"""Bytes of one header: none that is sound comes near, and a damaged one may ask for any number."""

_COMPRESSIONS = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ\0": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"\x04\x22\x4d\x18": "unlz4",
}
_BLOCK = tarfile.BLOCKSIZE


def refuse_compressed(path: str, command: str = "gunzip, bunzip2, unxz or unzstd") -> ImageSetError:
    """Why a compressed tar is not taken, and what decompresses it."""
    return ImageSetError(
        f"{path}: compressed, so that its images cannot be reached one by one; decompress it first ({command})"
    )


def iter_members(path: str, file: BinaryIO, *, size: int) -> Iterator[tarfile.TarInfo]:
    """Every member but folders of a tar of this many bytes. Raises ImageSetError where it is none, damaged or cut."""
    _check_compression(path, file)
    last = -1
    try:
        tar = tarfile.open(fileobj=_Headers(file), mode="r:", encoding="utf-8")  # type: ignore[call-overload]  # noqa: SIM115
        while (member := tar.next()) is not None:
            tar.members.clear()
            if not last < tar.offset <= size:
                raise ImageSetError(f"{path}: cut short in its member {member.name!r}; copy or make it anew")
            last = tar.offset
            if not member.isdir():
                yield member
    except (ImageSetError, OSError):
        raise
    except Exception as error:
        # tarfile raises almost any type on damaged headers; all of them mean the same here
        what = "not a tar file" if last < 0 else f"damaged behind byte {last}"
        step = "check the file" if last < 0 else "copy or make it anew"
        raise ImageSetError(f"{path}: {what} ({' '.join(str(error).split())}); {step}") from error
    _check_end(path, file, offset=tar.offset)


class _Headers:
    """The file as tarfile may read it: in small pieces only, whatever a damaged header asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int) -> bytes:
        """So many bytes."""
        if not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _check_compression(path: str, file: BinaryIO) -> None:
    start = file.read(6)
    file.seek(0)
    for magic, command in _COMPRESSIONS.items():
        if start.startswith(magic):
            raise refuse_compressed(path, command)


def _check_end(path: str, file: BinaryIO, *, offset: int) -> None:
    """Only zeros may stand behind the last member: tarfile takes a damaged header for the end, without a word."""
    file.seek(offset)
    end = file.read(_BLOCK)
    if len(end) < _BLOCK:
        raise ImageSetError(
            f"{path}: ends without the mark of its end, so it was cut short or is still written; copy or make it anew"
        )
    if any(end):
        raise ImageSetError(f"{path}: damaged at byte {offset}, where no header stands; copy or make it anew")
    while block := file.read(LARGEST_HEADER):
        if block.count(0) != len(block):
            raise ImageSetError(
                f"{path}: more bytes stand behind the mark of its end at byte {offset}: if several tars were joined, "
                "give them one by one"
            )


def clean_name(path: str, name: str) -> str:
    """The name without what says nothing, as ./ does. Raises ImageSetError where it leads out or is no text."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ImageSetError(f"{path}: the name of its member {name!r} leads out of the tar; make it anew without '..'")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise ImageSetError(f"{path}: the name of its member {name!r} is not UTF-8; rename the file") from error
    if length > LONGEST_TEXT:
        raise ImageSetError(f"{path}: a member has a name of {length} bytes, above {LONGEST_TEXT}; rename the file")
    return "/".join(parts)


def find_target(path: str, member: tarfile.TarInfo, *, name: str) -> str:
    """Name of the member that the link of this name leads to, or "/", which is none. Raises ImageSetError."""
    if member.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        return "/" if target.startswith(("/", "..")) or target == "." else clean_name(path, target)
    return clean_name(path, member.linkname)
