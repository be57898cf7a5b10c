"""Files on other machines, or inside other files, by an address that fsspec knows: s3://bucket/photos, zip://::a.zip."""

import errno
import hashlib
import html
import io
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, unquote, urlsplit

from featx.errors import ImageSetError
from featx.inputs.sets.files import is_inside, join

WAITS = (0.25, 1.0, 4.0)
"""Seconds before each further try of what a busy server or network refused; fsspec's own tries end before."""
MOST_FOLDERS = 100
"""Folders below each other: a server whose folders lead in a circle has no end."""
CHANGE_TAGS = frozenset(
    {"etag", "md5", "md5hash", "content-md5", "digest", "checksum", "crc", "last-modified", "lastmodified"}
    | {"last_modified", "mtime", "updated", "modified", "modify", "created", "date_time"}
)
"""Under which keys, in lower case, file systems tell what changes with a file."""

PARTIAL_CONTENT = 206
MISSING = (404, 410)
DENIED = (401, 403)
BUSY = (408, 425, 429)
"""Answers of a web server."""

T = TypeVar("T")
_ADDRESS = re.compile(r"(?:[a-z][\w+.-]*::)*([a-z][\w+.-]*)://", re.IGNORECASE)
_SECRETS = re.compile(r"(?<=://)[^/@\s]+@|\?[^\s'\")]+")


def is_address(text: str) -> bool:
    """Whether this is an address and no path: a protocol and ://, maybe behind others and ::."""
    return _ADDRESS.match(text) is not None


def open_address(address: str) -> tuple["RemoteFiles", str]:
    """The file system of the address, and the path in it: the address, without secrets.

    Raises ImageSetError where fsspec, or what it needs for the protocol, is not installed or does not answer.
    """
    shown = hide_secrets(address)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ImageSetError(f"{shown}: reading addresses needs fsspec; pip install 'featx[remote]'") from error
    try:
        system, inside = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ImageSetError(f"{shown}: {hide_secrets(str(error))}; check the protocol") from None
    except Exception as error:  # noqa: BLE001 - backends raise a tree of their own each
        raise ImageSetError(f"{shown}: cannot be reached ({_cause(error)}); check the address") from None
    if re.match(r"https?://", inside):
        return _open_web(system, inside)
    path = next(hop for hop in shown.split("::") if "://" in hop)
    path = path if path.endswith("://") else path.rstrip("/")
    inside = inside.rstrip("/")
    base, inner = path, inside
    while base and base[-1:] == inner[-1:]:
        base, inner = base[:-1], inner[:-1]
    return RemoteFiles(system, base, inner), path


def _open_web(system: Any, url: str) -> tuple["RemoteFiles", str]:
    """A web server: user, password and query are kept out of paths, which are not quoted."""
    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    query = f"?{parts.query}" if parts.query else ""
    path = f"{server}{unquote(parts.path)}".rstrip("/")
    return RemoteFiles(system, server, f"{parts.scheme}://{parts.netloc}", query, web=True), path


def hide_secrets(text: str) -> str:
    """The text on one line, its addresses without user, password and query."""
    return _SECRETS.sub("", " ".join(text.split()))


@dataclass(frozen=True)
class RemoteFiles:
    """A file system of fsspec. Paths are public: they begin with `base`, which the file system calls `inner`."""

    system: Any = field(repr=False)
    base: str
    inner: str = field(repr=False)
    query: str = field(default="", repr=False)
    web: bool = False
    """Whether paths are web addresses, which are quoted; a folder is what has links to what lies below it."""
    remote: bool = True

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder of this path. Raises ImageSetError where nothing answers."""
        return self._ask(path, lambda: self._is_folder(path))

    def is_file(self, path: str) -> bool:
        """Whether there is a file of this path. Raises ImageSetError where nothing answers."""
        return self._ask(path, lambda: self.system.info(self._inner(path))["type"] != "directory")

    def walk(self, root: str) -> Iterator[str]:
        """Paths of all files below the root, one folder after the other."""
        folders = [""]
        while folders:
            folder = folders.pop()
            if folder.count("/") > MOST_FOLDERS:
                raise ImageSetError(f"{root}: has more than {MOST_FOLDERS} folders below each other; name one of them")
            try:
                found = self._list(join(root, folder.rstrip("/")) if folder else root)
            except OSError as error:
                raise ImageSetError(f"{join(root, folder)}: cannot be listed ({error.strerror}); check it") from error
            for name, is_folder in found:
                if is_folder:
                    folders.append(f"{folder}{name}/")
                else:
                    yield folder + name

    def glob(self, pattern: str) -> list[str]:
        """Paths of what matches the pattern. Raises ImageSetError where nothing answers."""
        try:
            return [self._public(name) for name in self._call(pattern, lambda: self.system.glob(self._quote(pattern)))]
        except OSError as error:
            raise ImageSetError(f"{pattern}: cannot be listed ({error.strerror}); check the address") from error

    def stat(self, path: str) -> tuple[int, int]:
        """Size in bytes, 0 where it is not told, and a hash of what the file system tells to change with the file."""
        info = self._call(path, lambda: self.system.info(self._inner(path)))
        tags = sorted((key, str(value)) for key, value in info.items() if key.lower() in CHANGE_TAGS and value)
        digest = hashlib.blake2b(repr(tags).encode(errors="replace"), digest_size=8).digest()
        return info["size"] or 0, int.from_bytes(digest) >> 1 if tags else 0

    def open(self, path: str, *, seek: bool = True) -> BinaryIO:
        """The file, opened for reading: anywhere in it, or from its start to its end, which any server can."""
        if self.web and seek and "http" in self.system.protocol:
            self._call(path, lambda: self._check_ranges(path))
        options = {"block_size": 0} if self.web and not seek else {}
        file = self._call(path, lambda: self.system.open(self._inner(path), "rb", **options))
        return io.BufferedReader(_Reader(self, path, file=file, again=seek), 1 << 16)

    def read(self, path: str) -> bytes:
        """All bytes of the file."""
        return bytes(self._call(path, lambda: self.system.cat_file(self._inner(path))))

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """These bytes of the file; more where a server does not answer ranges."""
        return bytes(self._call(path, lambda: self.system.cat_file(self._inner(path), start, start + size)))

    def _inner(self, path: str) -> str:
        """What the file system calls this path."""
        return self._quote(path) + self.query

    def _quote(self, path: str) -> str:
        rest = path[len(self.base) :]
        return self.inner + quote(rest, safe="/*[]") if self.web else (self.inner + rest) or "/"

    def _public(self, name: str) -> str:
        """The path of what the file system calls by this name."""
        if self.web:
            return self.base + unquote(name[len(self.inner) :])
        slash = "/" if self.base.endswith(":/") else ""
        return self.base + slash + name.lstrip("/")[len(self.inner.lstrip("/")) :]

    def _is_folder(self, path: str) -> bool:
        if not self.web:
            return bool(self.system.info(self._inner(path))["type"] == "directory")
        kind = self.system.info(self._inner(f"{path}/")).get("mimetype")
        return kind in (None, "text/html") and bool(self._list(path))

    def _list(self, path: str) -> Iterable[tuple[str, bool]]:
        """Names of what lies in the folder, and whether each is a folder. Raises OSError."""
        inner = self._quote(path)
        start = f"{inner.rstrip('/')}/" if self.web else f"{inner.strip('/')}/".lstrip("/")
        self.system.invalidate_cache()
        entries = self._call(path, lambda: self.system.ls(start if self.web else inner, detail=True))
        self.system.invalidate_cache()  # fsspec keeps what it listed, but ten million entries take room
        read = _read_link if self.web else _read_entry
        found = (item for item in (read(entry, start) for entry in entries) if item[0] and is_inside(item[0]))
        return set(found) if self.web else found  # a page may link twice to the same

    def _check_ranges(self, path: str) -> None:
        """Raises OSError where the server gives whole files only: each image would take as long as all of them."""
        with self.system.open(self._inner(path), "rb", block_size=0, headers={"Range": "bytes=0-0"}) as file:
            if file.r.status != PARTIAL_CONTENT:
                raise OSError(
                    errno.ENOTSUP, "the server does not answer ranges of bytes; use another, or copy the file"
                )

    def _ask(self, path: str, question: Callable[[], bool]) -> bool:
        try:
            return self._call(path, question)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ImageSetError(f"{path}: cannot be reached ({error.strerror}); check the address") from error

    def _call(self, path: str, function: Callable[[], T], *, again: bool = True) -> T:
        """What the function gives, tried again where that may help. Raises OSError, whatever the backend raised."""
        for wait in (*WAITS, None) if again else (None,):
            try:
                return function()
            except Exception as error:  # noqa: BLE001 - backends raise a tree of their own each
                cause = _cause_of_missing(error)
                if wait is None or not _may_pass(cause):
                    raise _as_os_error(cause, path) from None  # what it says may hold secrets
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")


class _Reader(io.RawIOBase):
    """A file of fsspec as Python's own files are, all of whose errors are OSError."""

    def __init__(self, files: RemoteFiles, path: str, *, file: Any, again: bool) -> None:
        self._files = files
        self._path = path
        self._file = file
        self._again = again

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Whether the backend can go to any place in it."""
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        """Number of bytes that were read into the buffer. Raises OSError."""
        data = self._files._call(self._path, lambda: self._file.read(len(buffer)), again=self._again)
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """The new place in the file. Raises OSError."""
        return int(self._files._call(self._path, lambda: self._file.seek(offset, whence)))

    def tell(self) -> int:
        """The place in the file."""
        return int(self._file.tell())

    def close(self) -> None:
        """Let go of the file; a second time does nothing."""
        if not self.closed:
            self._file.close()
        super().close()


def _read_link(entry: Any, start: str) -> tuple[str, bool]:
    """Name of what a page links to below itself, unquoted, and whether it is a folder."""
    name = html.unescape(entry["name"])
    rest = name[len(start) :].removeprefix("./") if name.startswith(start) else ""
    return ("" if "?" in rest or "#" in rest else unquote(rest.rstrip("/"))), rest.endswith("/")


def _read_entry(entry: Any, start: str) -> tuple[str, bool]:
    """Name of what a folder lists, and whether it is a folder."""
    return entry["name"].strip("/")[len(start) :].lstrip("/"), entry["type"] == "directory"


def _cause_of_missing(error: Exception) -> BaseException:
    """What went wrong: fsspec says of web addresses that they are missing, whatever the server answered."""
    cause = error.__cause__
    busy = cause is not None and (getattr(cause, "status", 404) not in MISSING or _may_pass(cause))
    return cause if isinstance(error, FileNotFoundError) and cause is not None and busy else error


def _may_pass(error: BaseException) -> bool:
    """Whether the same may go well a little later."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status in BUSY or status >= 500
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith("aiohttp")


def _as_os_error(error: BaseException, path: str) -> OSError:
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in MISSING:
        return FileNotFoundError(errno.ENOENT, "no such file", path)
    denied = isinstance(error, PermissionError) or status in DENIED
    return (PermissionError if denied else OSError)(errno.EACCES if denied else errno.EIO, _cause(error), path)


def _cause(error: BaseException) -> str:
    return hide_secrets(getattr(error, "strerror", None) or str(error)) or type(error).__name__
