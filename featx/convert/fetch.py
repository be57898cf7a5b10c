"""A model on an HTTP server in; the same file on disk, its hash the one that was expected, out."""

import logging
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from featx.errors import BackboneError

SERVER_TIMEOUT = 30.0
"""How long a server may be silent."""


def is_url(model: str) -> bool:
    """Whether the model is named by an HTTP address, not by a path."""
    return re.match(r"https?://", model, re.IGNORECASE) is not None


def public_address(url: str) -> str:
    """The address without user, password and query, which may hold secrets; empty for what is no address.

    Raises BackboneError where it begins like an address and is none.
    """
    if not is_url(url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BackboneError(f"{url}: no address ({error}); correct it") from error
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def fetch_model(url: str, *, sha256: str, into: Path) -> Path:
    """The file from this address, in the folder `into`, once its sha256 is known to be this one.

    Raises BackboneError where the server does not answer with the file, or with another one: then nothing is left.
    """
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    name = Path(urlsplit(url).path).name or "model.onnx"
    try:
        found = pooch.retrieve(
            url, f"sha256:{sha256}", fname=name, path=into, downloader=pooch.HTTPDownloader(timeout=SERVER_TIMEOUT)
        )
    except ValueError as error:
        raise BackboneError(f"{public_address(url)}: {_told(error, sha256)}; check address and --sha256") from error
    except Exception as error:
        # requests and urllib3 have a tree each
        raise BackboneError(f"{public_address(url)}: cannot be fetched ({_cause(error)}); check the address") from error
    return Path(found)


def _cause(error: Exception) -> str:
    """What went wrong, in words that do not repeat the address."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server says {answer.status_code} {answer.reason}"
    root: BaseException = error
    while root.__context__ is not None:
        root = root.__context__
    return getattr(root, "strerror", None) or type(error).__name__


def _told(error: ValueError, sha256: str) -> str:
    found = re.search(r"[0-9a-f]{64}", str(error).replace(sha256, ""))
    return f"its sha256 is {found[0]} but {sha256} was expected" if found else " ".join(str(error).split())
