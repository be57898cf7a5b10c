"""A server in this process, and one request to it over loopback."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from featx.serving import Limits
from featx.serving.deployed import open_deployed
from featx.serving.server import listen, make_server


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case, as the server sends them."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Address:
    """Where a server is."""

    port: int

    def ask(
        self,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        *,
        method: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """The answer to one request, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answered(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def infer(self, model: str, *tensors: Mapping[str, Any], **more: Any) -> Answered:
        """The answer of the Open Inference Protocol to these tensors."""
        return self.ask(f"/v2/models/{model}/infer", json.dumps({"inputs": list(tensors), **more}).encode())


@contextmanager
def serving(path: Path, limits: Limits | None = None) -> Iterator[Address]:
    """A server of this file in a thread, within the block."""
    ready = Event()
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = make_server(open_deployed(path, device="cpu"), limits or Limits(), ready.set)
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert ready.wait(30)
            yield Address(port)
        finally:
            server.should_exit = True
            thread.join(30)
