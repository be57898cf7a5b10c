"""Limits how long a web server may be waited for, and how many bytes of an answer are kept in memory."""

import errno
import io
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import ClientResponse, ClientTimeout

from featx.settings import LARGEST_IMAGE

SILENCE_SECONDS = 20.0
"""Longest time in which a server sends nothing."""
ANSWER_SECONDS = 300.0
"""Longest time of one answer, however steadily its bytes arrive."""
LARGEST_ANSWER = LARGEST_IMAGE
"""Most bytes of one answer that is kept in memory whole: a file that is one image, or a page with links."""
LARGEST_OF_UNKNOWN_SIZE = 32 << 20
"""Most bytes of such an answer if the server does not send its size: it may never end, and many may come at once."""


class BoundedResponse(ClientResponse):
    """An answer of a web server that cannot be read whole if it is larger than the limit."""

    async def read(self) -> bytes:
        """All bytes of the answer. Raises OSError if there are too many."""
        if self._body is None:
            data = io.BytesIO()
            async for part in self._iter_bounded():
                data.write(part)
            self._body = data.getvalue()
        return await super().read()

    async def _iter_bounded(self) -> AsyncIterator[bytes]:
        """Yields the bytes as they arrive; closes the connection if there are too many."""
        size = None if self.headers.get("Content-Encoding", "identity") != "identity" else self.content_length
        most = LARGEST_OF_UNKNOWN_SIZE if size is None else LARGEST_ANSWER
        received = 0
        try:
            async for part in self.content.iter_any():
                received += len(part)
                if max(received, size or 0) > most:
                    raise OSError(errno.EFBIG, _why_too_large(size, most))
                yield part
        except BaseException:  # however the reading ends, also if its task is cancelled, the rest is not waited for
            self.close()
            raise


def _why_too_large(size: int | None, most: int) -> str:
    if size is None:
        return f"more than {most >> 20} MB, and the server does not send the size; download the file and read it here"
    return f"{size >> 20} MB, above the limit of {most >> 20} MB; download the file and read it here"


def web_options() -> dict[str, Any]:
    """Options of fsspec's file system for web servers."""
    timeout = ClientTimeout(total=ANSWER_SECONDS, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
    return {"client_kwargs": {"timeout": timeout, "response_class": BoundedResponse}}
