"""Reads the body of a request within limits of size and time, and notices that a client has gone."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from featx.serving.limits import Limits

T = TypeVar("T")
CLOSE = {"Connection": "close"}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the server
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, *, headers: dict[str, str] | None = None, **details: str) -> None:
        self.status = status
        self.headers = headers
        self.body = {"error": message, **details}
        super().__init__(message)


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body of the request. Raises Refusal if it is too large or too slow, and ClientDisconnect."""
    try:
        async with asyncio.timeout(limits.timeout):
            body = await _read(request, limits.max_body)
    except TimeoutError as error:
        message = f"the body did not arrive within {limits.timeout:g} seconds; send it faster, or serve with --timeout"
        raise Refusal(408, message, headers=CLOSE) from error
    return body


async def _read(request: Request, most: int) -> bytes:
    chunks = list[bytes]()
    size = 0
    too_large = int(request.headers.get("content-length", 0)) > most
    if too_large and "expect" in request.headers:  # the client asks before it sends the body
        raise _too_large(most)
    async for chunk in request.stream():
        size += len(chunk)
        too_large = too_large or size > most
        if too_large:
            chunks.clear()  # the rest is read, as many clients only listen once they have sent all
        else:
            chunks.append(chunk)
    if too_large:
        raise _too_large(most)
    return b"".join(chunks)


def _too_large(most: int) -> Refusal:
    message = f"the body has more than {most} bytes; send a smaller image, or serve with a larger --max-body"
    return Refusal(413, message, headers=CLOSE)


async def drop_body(request: Request, limits: Limits) -> None:
    """Read the body and drop it, as many clients only listen to an answer once they have sent all."""
    if "expect" not in request.headers:
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.timeout):
                async for _ in request.stream():
                    pass


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled if the client goes. Raises ClientDisconnect in that case."""
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_leave(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise ClientDisconnect
    finally:
        leaving.cancel()
        doing.cancel()


async def _leave(request: Request) -> None:
    """Return once the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
