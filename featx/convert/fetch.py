"""Downloads a model from a web address and checks its sha256."""

import errno
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

from featx.errors import BackboneError, one_line

SERVER_TIMEOUT = 30.0
"""Longest silence of a server, in seconds."""
LARGEST_MODEL = 2**31
"""Most bytes of a model: an ONNX file, which is a message of Protocol Buffers, cannot be larger."""


def is_url(model: str) -> bool:
    """Whether the model is named by a web address (http or https), not by a path."""
    return re.match(r"https?://", model, re.IGNORECASE) is not None


def public_address(url: str) -> str:
    """The address without user, password and query, which may be secret; empty if `url` is not an address.

    Raises BackboneError if it begins like an address but cannot be parsed.
    """
    if not is_url(url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BackboneError(f"{url}: not a web address ({error}); correct it") from error
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def fetch_model(url: str, *, sha256: str, into: Path) -> Path:
    """Download the file from this address into a folder and check its sha256; returns its path.

    Raises BackboneError, and leaves no file, if the server does not send the file or sends another one.
    """
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    name = Path(urlsplit(url).path).name or "model.onnx"
    try:
        found = pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=into, downloader=_download)
    except ValueError as error:
        raise BackboneError(
            f"{public_address(url)}: {_mismatch(error, sha256)}; check the address and --sha256"
        ) from error
    except Exception as error:  # errors of requests and urllib3 have no common base class
        raise BackboneError(f"{public_address(url)}: cannot be fetched ({_cause(error)}); check the address") from error
    return Path(found)


def _download(url: str, path: str, _: object) -> None:
    """Write the file at this address to the path. Raises OSError once it is larger than a model can be."""
    import pooch

    with open(path, "wb") as file:
        pooch.HTTPDownloader(timeout=SERVER_TIMEOUT)(url, _BoundedFile(file), None)


@dataclass
class _BoundedFile:
    """A file for writing that takes at most LARGEST_MODEL bytes."""

    file: BinaryIO
    size: int = 0

    def write(self, data: bytes) -> int:
        """Write the data, and return its length. Raises OSError if the file would be too large."""
        self.size += len(data)
        if self.size > LARGEST_MODEL:
            raise OSError(errno.EFBIG, f"more than {LARGEST_MODEL} bytes, which no ONNX model has")
        return self.file.write(data)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self.file.flush()


def _cause(error: Exception) -> str:
    """The cause of the error, without the address, which may contain a password."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server answered {answer.status_code} {answer.reason}"
    root: BaseException = error
    while root.__context__ is not None:
        root = root.__context__
    return getattr(root, "strerror", None) or type(error).__name__


def _mismatch(error: ValueError, sha256: str) -> str:
    """The hash that was found and the one that was expected, from pooch's message."""
    found = re.search(r"[0-9a-f]{64}", str(error).replace(sha256, ""))
    return f"its sha256 is {found[0]} but {sha256} was expected" if found else one_line(error)
