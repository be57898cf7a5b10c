"""Reads files on other machines or inside other files, by an address for fsspec: s3://bucket/photos, zip://::a.zip."""

import errno
import hashlib
import html
import io
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, unquote, urlsplit

from featx.errors import ImageSetError
from featx.inputs.sets.files import Files, LocalFiles, is_inside, join
from featx.inputs.sets.waiting import call_within

RETRY_WAITS = (0.25, 1.0, 4.0)
"""Seconds to wait before each retry if a server or network is busy; fsspec's own retries come first."""
ANSWER_SECONDS = 330.0
"""Longest time of one call of a backend that may wait for ever, a little longer than that of one answer of a web
server, which fsspec itself ends; some backends read a whole file in one call."""
LARGEST_STREAM = 256 << 20
"""Most bytes of a manifest that are read from a web server which does not send its size: it may never end."""
AT_HAND = {"file", "local", "memory", "zip", "tar", "http", "https"}
"""Protocols that need no clock of ours: what they read is on this machine, or has limits of its own."""
DEEPEST = 100
"""Most nested folders that are listed: folders of a server that link in a circle would never end."""
CHANGE_TAGS = frozenset(
    {"etag", "md5", "md5hash", "content-md5", "digest", "checksum", "crc", "last-modified", "lastmodified"}
    | {"last_modified", "mtime", "updated", "modified", "modify", "created", "date_time"}
)
"""Keys, in lower case, under which file systems give values that change with a file."""

PARTIAL_CONTENT = 206
MISSING = (404, 410)
DENIED = (401, 403)
BUSY = (408, 425, 429)
"""HTTP status codes."""

_T = TypeVar("_T")
_ADDRESS = re.compile(r"(?:[a-z][\w+.-]*::)*([a-z][\w+.-]*)://", re.IGNORECASE)
_SECRETS = re.compile(r"(?<=://)[^/?#\s]+@|\?[^\s'\")]+")


def is_address(text: str) -> bool:
    """Whether the text is an address, not a path: it begins with a protocol and ://, or several chained by ::."""
    return _ADDRESS.match(text) is not None


def open_address(address: str) -> tuple[Files, str]:
    """The file system of the address, and the path in it, which is the address without secrets.

    Of an address that begins with file:// it is that of this machine, which reads only regular files.

    Raises ImageSetError if fsspec, or the package that it needs for the protocol, is not installed, or if the server
    does not answer.
    """
    if re.match(r"(file|local)://(?!.*::)", address, re.IGNORECASE):
        path = address.partition("://")[2]
        return LocalFiles(), path.rstrip("/") or path
    shown = hide_secrets(address)
    system, inside = _find_system(address, shown)
    if re.match(r"https?://", inside):
        return _open_web(system, inside)
    path = next(hop for hop in shown.split("::") if "://" in hop)
    path = path if path.endswith("://") else path.rstrip("/")
    inside = inside.rstrip("/")
    shared = len(os.path.commonprefix([path[::-1], inside[::-1]]))  # noqa: RUF071 - of letters, from the ends
    base = path[: len(path) - shared]
    return RemoteFiles(system, base, inside[: len(inside) - shared], timed=not _protocols(address) <= AT_HAND), path


def _find_system(address: str, shown: str) -> tuple[Any, str]:
    """The file system of fsspec for the address, and the path in it. Raises ImageSetError."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ImageSetError(f"{shown}: reading addresses needs fsspec; pip install 'featx[remote]'") from error
    protocols = _protocols(address)
    options = dict.fromkeys(protocols & {"http", "https"})
    try:
        for protocol in options:
            options[protocol] = _web_options()
        system, inside = call_within(ANSWER_SECONDS, lambda: url_to_fs(address, **options))
    except (ImportError, ValueError) as error:
        raise ImageSetError(f"{shown}: {hide_secrets(str(error))}; check the protocol") from None
    except Exception as error:  # noqa: BLE001 - each backend raises its own types
        raise ImageSetError(f"{shown}: cannot be reached ({_cause(error)}); check the address") from None
    return system, inside


def _open_web(system: Any, url: str) -> tuple["RemoteFiles", str]:
    """The file system of a web server, and the path: the URL without user, password, query and quoting."""
    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    query = f"?{parts.query}" if parts.query else ""
    path = f"{server}{unquote(parts.path)}".rstrip("/")
    return RemoteFiles(system, server, f"{parts.scheme}://{parts.netloc}", query, web=True), path


def _protocols(address: str) -> set[str]:
    """The protocols of an address, which may be chained by ::."""
    hops = [hop.partition("://") for hop in address.split("::")]
    return {hop[0].lower() if hop[1] else "file" for hop in hops}


def _web_options() -> dict[str, Any]:
    from featx.inputs.sets.web import web_options  # it needs aiohttp, which only web addresses need

    return web_options()


def hide_secrets(text: str) -> str:
    """The text on one line, with user, password and query removed from its addresses."""
    return _SECRETS.sub("", " ".join(text.split()))


@dataclass(frozen=True)
class RemoteFiles:
    """A file system of fsspec. Our paths begin with `base` and have no secrets; fsspec's own begin with `inner`."""

    system: Any = field(repr=False)
    base: str
    inner: str = field(repr=False)
    query: str = field(default="", repr=False)
    web: bool = False
    """Whether it is a web server: its paths are quoted, and its folders are pages with links to their files."""
    timed: bool = False
    """Whether each call is given up after ANSWER_SECONDS."""
    remote: bool = True

    def is_folder(self, path: str) -> bool:
        """Whether the path is an existing folder. Raises ImageSetError if the server does not answer."""
        return self._ask(path, lambda: self._is_folder(path))

    def is_file(self, path: str) -> bool:
        """Whether the path is an existing file. Raises ImageSetError if the server does not answer."""
        return self._ask(path, lambda: self.system.info(self._inner(path))["type"] != "directory")

    def walk(self, root: str) -> Iterator[str]:
        """Paths of all files below the root, folder by folder. Raises ImageSetError."""
        folders = [""]
        while folders:
            folder = folders.pop()
            if folder.count("/") > DEEPEST:
                raise ImageSetError(f"{root}: has more than {DEEPEST} nested folders; name one of them")
            try:
                found = self._list(join(root, folder.rstrip("/")) if folder else root)
            except OSError as error:
                raise ImageSetError(
                    f"{join(root, folder)}: cannot be listed ({error.strerror}); check the address"
                ) from error
            for name, is_folder in found:
                if is_folder:
                    folders.append(f"{folder}{name}/")
                else:
                    yield folder + name

    def glob(self, pattern: str) -> list[str]:
        """Paths that match the pattern. Raises ImageSetError if the server does not answer."""
        try:
            return [self._public(name) for name in self._call(pattern, lambda: self.system.glob(self._quote(pattern)))]
        except OSError as error:
            raise ImageSetError(f"{pattern}: cannot be listed ({error.strerror}); check the address") from error

    def stat(self, path: str) -> tuple[int, int]:
        """Size in bytes, 0 if unknown, and a hash of the values that change with the file, 0 if there are none."""
        info = self._call(path, lambda: self.system.info(self._inner(path)))
        tags = sorted((key, str(value)) for key, value in info.items() if key.lower() in CHANGE_TAGS and value)
        digest = hashlib.blake2b(repr(tags).encode(errors="replace"), digest_size=8).digest()
        return info.get("size") or 0, int.from_bytes(digest) >> 1 if tags else 0

    def open(self, path: str, *, seek: bool = True) -> BinaryIO:
        """The file, opened for reading; without `seek` only from start to end, which every server supports."""
        if self.web and seek and "http" in self.system.protocol:
            self._call(path, lambda: self._check_ranges(path))
        options = {"block_size": 0} if self.web and not seek else {}
        file = self._call(path, lambda: self.system.open(self._inner(path), "rb", **options))
        left = LARGEST_STREAM if self.web and not seek and not _has_size(file) else None
        return io.BufferedReader(_Reader(self, path, file=file, retry=seek, left=left), 1 << 16)

    def read(self, path: str) -> bytes:
        """All bytes of the file."""
        return bytes(self._call(path, lambda: self.system.cat_file(self._inner(path))))

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Up to `size` bytes from position `start`; more if a server does not support ranges."""
        return bytes(self._call(path, lambda: self.system.cat_file(self._inner(path), start, start + size)))

    def _inner(self, path: str) -> str:
        """Fsspec's path for this path of ours."""
        return self._quote(path) + self.query

    def _quote(self, path: str) -> str:
        rest = path[len(self.base) :]
        return self.inner + quote(rest, safe="/*[]") if self.web else (self.inner + rest) or "/"

    def _public(self, name: str) -> str:
        """Our path for this path of fsspec."""
        if self.web:
            return self.base + unquote(name[len(self.inner) :])
        slash = "/" if self.base.endswith(":/") else ""
        return self.base + slash + name.lstrip("/")[len(self.inner.lstrip("/")) :]

    def _is_folder(self, path: str) -> bool:
        """Whether the path is a folder; on a web server, a page with links to files below it."""
        if not self.web:
            return bool(self.system.info(self._inner(path))["type"] == "directory")
        kind = self.system.info(self._inner(f"{path}/")).get("mimetype")
        return kind in (None, "text/html") and bool(self._list(path))

    def _list(self, path: str) -> Iterable[tuple[str, bool]]:
        """Names of the files and folders in the folder, and whether each is a folder. Raises OSError."""
        inner = self._quote(path)
        start = f"{inner.rstrip('/')}/" if self.web else f"{inner.strip('/')}/".lstrip("/")
        self.system.invalidate_cache()
        entries = self._call(path, lambda: self.system.ls(start if self.web else inner, detail=True))
        self.system.invalidate_cache()  # fsspec caches listings, and ten million entries take much memory
        read = _read_link if self.web else _read_entry
        found = (item for item in (read(entry, start) for entry in entries) if item[0] and is_inside(item[0]))
        return set(found) if self.web else found  # a page may link to the same file twice

    def _check_ranges(self, path: str) -> None:
        """Raise OSError if the server sends only whole files: reading one image would take as long as reading all."""
        with self.system.open(self._inner(path), "rb", block_size=0, headers={"Range": "bytes=0-0"}) as file:
            if file.r.status != PARTIAL_CONTENT:
                raise OSError(
                    errno.ENOTSUP, "the server does not support ranges of bytes; use another server, or copy the file"
                )

    def _ask(self, path: str, question: Callable[[], bool]) -> bool:
        """The answer, False if the path does not exist. Raises ImageSetError if the server does not answer."""
        try:
            return self._call(path, question)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ImageSetError(f"{path}: cannot be reached ({error.strerror}); check the address") from error

    def _call(self, path: str, function: Callable[[], _T], *, retry: bool = True) -> _T:
        """What the function returns, after retries if these may help. Raises OSError for all errors of the backend."""
        last = None
        for wait in (*RETRY_WAITS, None) if retry else (None,):
            try:
                return call_within(ANSWER_SECONDS, function) if self.timed else function()
            except Exception as error:  # noqa: BLE001 - each backend raises its own types
                cause = _cause_within(error)
                silent = isinstance(cause, TimeoutError) and isinstance(last, TimeoutError)  # once more is enough
                if wait is None or silent or not _may_pass(cause):
                    raise _as_os_error(cause, path) from None  # its text may have secrets
                last = cause
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")


class _Reader(io.RawIOBase):
    """A file of fsspec with the interface of Python's raw files; all errors become OSError."""

    def __init__(self, files: RemoteFiles, path: str, *, file: Any, retry: bool, left: int | None) -> None:
        self._files = files
        self._path = path
        self._file = file
        self._retry = retry
        self._left = left
        """Number of bytes that may still be read; None for no limit."""

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """Whether the backend can move to any position."""
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        """Read into the buffer; returns the number of bytes. Raises OSError."""
        data = self._files._call(self._path, lambda: self._file.read(len(buffer)), retry=self._retry)
        buffer[: len(data)] = data
        self._count(len(data))
        return len(data)

    def _count(self, size: int) -> None:
        """Raise OSError once more was read than may be."""
        if self._left is None:
            return
        self._left -= size
        if self._left < 0:
            most = f"more than {LARGEST_STREAM >> 20} MB"
            raise OSError(errno.EFBIG, f"{most}, and the server does not send its size; download it", self._path)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the file; returns the new position. Raises OSError."""
        return int(self._files._call(self._path, lambda: self._file.seek(offset, whence)))

    def tell(self) -> int:
        """The position in the file."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if not self.closed:
            self._file.close()
        super().close()


def _has_size(file: Any) -> bool:
    """Whether the answer of a web server has a size, so that it ends; what is compressed grows as it is read."""
    headers = getattr(getattr(file, "r", None), "headers", {})
    return "Content-Length" in headers and headers.get("Content-Encoding", "identity") == "identity"


def _read_link(entry: Any, start: str) -> tuple[str, bool]:
    """Unquoted name of a link to something below the page (else empty), and whether it is a folder."""
    name = html.unescape(entry["name"])
    rest = name[len(start) :].removeprefix("./") if name.startswith(start) else ""
    return ("" if "?" in rest or "#" in rest else unquote(rest.rstrip("/"))), rest.endswith("/")


def _read_entry(entry: Any, start: str) -> tuple[str, bool]:
    """Name of an entry of a folder, and whether it is a folder."""
    return entry["name"].strip("/")[len(start) :].lstrip("/"), entry["type"] == "directory"


def _cause_within(error: Exception) -> BaseException:
    """The error, or its cause: fsspec hides why it waited in vain, and what a web server answered instead of a file."""
    cause = error.__cause__
    if cause is not None and isinstance(error, TimeoutError):
        return cause
    if not isinstance(error, FileNotFoundError) or cause is None:
        return error
    is_missing = getattr(cause, "status", 404) in MISSING and not _may_pass(cause)
    return error if is_missing else cause


def _may_pass(error: BaseException) -> bool:
    """Whether a retry may succeed."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status in BUSY or status >= 500
    if type(error) is TimeoutError:
        return False  # the whole time for one answer was used
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith("aiohttp")


def _as_os_error(error: BaseException, path: str) -> OSError:
    """The OSError that matches the backend's error."""
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in MISSING:
        return FileNotFoundError(errno.ENOENT, "no such file", path)
    if isinstance(error, PermissionError) or status in DENIED:
        return PermissionError(errno.EACCES, _cause(error), path)
    return OSError(errno.EIO, _cause(error), path)


def _cause(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no whole answer in time"
    return hide_secrets(getattr(error, "strerror", None) or str(error)) or type(error).__name__
