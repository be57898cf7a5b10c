"""Zip files that may be hostile: nothing is unpacked before its name, kind and size are known to be right."""

import os
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from featx.errors import HeadError
from featx.file_kinds import START_BYTES, name_given

DIRECTORY_BYTES = 2**23
"""The largest directory of a zip: 100,000 members."""
LEAST_LIMIT = 2**26
"""Bytes that any file may unpack to."""
MOST_PACKED = 16
"""How many times its own size a larger file may unpack to; numbers hardly shrink to a half."""
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
END_BYTES = 22
"""Bytes of the record at the end of a zip; a larger zip has two more records before it."""
ZIP64_BYTES = 76
ENCRYPTED = 0x41
"""The bits of a member's flags that say that it is encrypted."""


def unpacked_limit(packed: int) -> int:
    """The number of bytes that a file of this size may unpack to."""
    return max(LEAST_LIMIT, MOST_PACKED * packed)


def read_members(path: Path, limits: dict[str, int]) -> dict[str, bytes]:
    """The bytes of the members of the zip at this path, which are exactly these names, each of at most these bytes.

    All of them together unpack to at most `unpacked_limit`. Raises HeadError for any other file, OSError and what
    zipfile raises if it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise HeadError("is not a file; name a file that `featx train` wrote")  # a pipe would be waited for
    with path.open("rb") as file:
        start = file.read(START_BYTES)
        if not start.startswith(b"PK"):
            raise HeadError(f"not a featx head{name_given(start)}; name a file that `featx train` wrote")
        return _read_all(file, limits)


def _read_all(file: BinaryIO, limits: dict[str, int]) -> dict[str, bytes]:
    with open_archive(file, limit=unpacked_limit(os.fstat(file.fileno()).st_size)) as archive:
        found = {member.filename: member for member in archive.infolist()}
        if found.keys() != limits.keys():
            raise HeadError(f"contains {_list_names(list(found))} instead of {_list_names(list(limits))}")
        for name, limit in limits.items():
            if found[name].file_size > limit:
                raise HeadError(f"{name} has {found[name].file_size} bytes, more than {limit}")
        return {name: archive.read(name) for name in limits}


@contextmanager
def open_archive(file: BinaryIO, *, limit: int) -> Iterator[zipfile.ZipFile]:
    """The zip, whose members are plain files with different names that unpack to at most `limit` bytes together.

    zipfile itself never unpacks more of a member than the size that its directory names. Raises HeadError for another
    zip, and what zipfile raises if it is none.
    """
    if _directory_bytes(file) > DIRECTORY_BYTES:
        raise HeadError("lists more members than any head has")
    with zipfile.ZipFile(file) as archive:
        if repeated := _repeated(archive.namelist()):
            raise HeadError(f"contains {repeated!r} twice")
        for member in archive.infolist():
            _check_plain(member)
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > limit:
            raise HeadError(
                f"unpacks to {unpacked} bytes, more than {limit}, which is what a head of its size can have"
            )
        yield archive


def _repeated(names: Sequence[str]) -> str:
    """A name that is there twice; empty if there is none."""
    return next((name for name, count in Counter(names).items() if count > 1), "")


def _directory_bytes(file: BinaryIO) -> int:
    """The size of the directory, by the last bytes of the file, which zipfile reads as a whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END_BYTES - ZIP64_BYTES))
    end = file.read()
    file.seek(0)
    if end[-END_BYTES:-18] != b"PK\x05\x06" or end[-2:] != b"\0\0":
        raise HeadError("its end is not that of a head")
    found = int(struct.unpack("<L", end[-10:-6])[0])
    if end[-42:-38] == b"PK\x06\x07" and len(end) == END_BYTES + ZIP64_BYTES:
        found = max(found, int(struct.unpack("<Q", end[40:48])[0]))
    return found


def _check_plain(member: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.flag_bits & ENCRYPTED:
        raise HeadError(f"its member {member.filename!r} is encrypted")
    if member.compress_type not in PLAIN:
        raise HeadError(f"its member {member.filename!r} is compressed in a way that heads are not")
    if member.is_dir() or kind not in (0, stat.S_IFREG):
        raise HeadError(f"its member {member.filename!r} is a folder or a link")


def _list_names(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3]) or "nothing"
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
