"""The routes of a server: classify an image, the Open Inference Protocol, health and metrics."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from featx.errors import DecodeError, Failure, FeatxError, one_line
from featx.hardware import usable_cores
from featx.provenance import __version__
from featx.serving.batching import Batcher, FullError
from featx.serving.bodies import CLOSE, Refusal, drop_body, read_body, unless_gone
from featx.serving.deployed import Answers, DeployedModel
from featx.serving.inference import describe_model, format_answers, parse_inference
from featx.serving.limits import Limits
from featx.serving.metrics import CONTENT_TYPE, Metrics

logger = logging.getLogger("featx")

T = TypeVar("T")
GONE = 499
"""Status under which a request is counted whose client went before its answer; nobody receives it."""
RETRY_SECONDS = "1"
FAULT_SECONDS = 60.0
"""Seconds until a fault outside of requests is logged again."""


class _Json(JSONResponse):
    """A JSON document; ASCII only, so that no name of a class can forge a line on a terminal."""

    def render(self, content: Any) -> bytes:
        """The bytes of the document."""
        return json.dumps(content, allow_nan=False).encode()


@dataclass
class Service:
    """What the routes of one server share."""

    model: DeployedModel
    limits: Limits
    batcher: Batcher = field(init=False)
    metrics: Metrics = field(init=False)
    decoders: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        """Make what belongs to this server only."""
        self.batcher = Batcher(self.model, self.limits)
        self.metrics = Metrics(admitted=lambda: self.batcher.admitted, waiting=lambda: self.batcher.waiting)
        self.batcher.on_run = self.metrics.count_run
        self.decoders = ThreadPoolExecutor(usable_cores(), thread_name_prefix="featx-decode")

    @asynccontextmanager
    async def running(self, application: Starlette) -> AsyncIterator[None]:
        """Answer requests within the block."""
        asyncio.get_running_loop().set_exception_handler(FaultLog())
        async with self.batcher.working():
            yield
        self.decoders.shutdown(cancel_futures=True)

    async def classify(self, request: Request) -> Response:
        """The label of the image in the body."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise Refusal(415, "send the bytes of the image as the body, as `curl --data-binary @image.jpg` does")
        body = await read_body(request, self.limits)
        answers = await unless_gone(request, self._classify(body))
        return _Json(self.model.to_document(answers))

    async def infer(self, request: Request) -> Response:
        """The answer of the Open Inference Protocol to the tensors in the body."""
        self._check_name(request)
        body = await read_body(request, self.limits)
        return _Json(await unless_gone(request, self._infer(body)))

    async def describe_server(self, request: Request) -> Response:
        """Which server this is."""
        return _Json({"name": "featx", "version": __version__, "extensions": []})

    async def describe_model(self, request: Request) -> Response:
        """The inputs and outputs of the model."""
        self._check_name(request)
        described = describe_model(self.model)
        parameters = {key: text for key, text in self.model.metadata.items() if key.startswith("featx.")}
        return _Json(described | {"parameters": described["parameters"] | parameters})

    async def live(self, request: Request) -> Response:
        """Whether the server runs."""
        return _Json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Whether requests are answered."""
        if "name" in request.path_params:
            self._check_name(request)
            return _Json({"name": self.model.name, "ready": True})
        return _Json({"ready": True})

    async def show_metrics(self, request: Request) -> Response:
        """The counts of this server."""
        return Response(self.metrics.to_text(), media_type=CONTENT_TYPE)

    def _check_name(self, request: Request) -> None:
        name = request.path_params["name"]
        if name != self.model.name:
            raise Refusal(404, f"there is no model {name!r}; this server has {self.model.name!r}")

    async def _classify(self, body: bytes) -> Answers:
        return await self.batcher.classify(await self._in_thread(self.model.decode, body))

    async def _infer(self, body: bytes) -> dict[str, Any]:
        def _parse(body: bytes) -> Any:
            return parse_inference(body, self.model, most=self.limits.queue)

        inference = await self._in_thread(_parse, body)
        with self.admitted(inference.count - 1):  # the request itself was admitted as one image
            answers = await self.batcher.classify(inference.values)
        return format_answers(inference, answers, self.model)

    async def _in_thread(self, function: Callable[[bytes], T], body: bytes) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.decoders, function, body)

    @contextmanager
    def admitted(self, count: int) -> Iterator[None]:
        """Count these images as on their way within the block. Raises Refusal if they are too many."""
        try:
            self.batcher.admit(count)
        except FullError as error:
            message = f"{self.limits.queue} images are on their way already; try again in {RETRY_SECONDS} s"
            raise Refusal(503, message, headers=CLOSE | {"Retry-After": RETRY_SECONDS}) from error
        try:
            yield
        finally:
            self.batcher.dismiss(count)


@dataclass
class FaultLog:
    """Logs what goes wrong outside of requests, such as too many open files, in one line, and once a minute."""

    _logged: dict[str, float] = field(default_factory=dict)

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what asyncio says."""
        error = context.get("exception")
        words = f"{context['message']} ({one_line(error)})" if error else str(context["message"])
        if loop.time() - self._logged.get(words, -FAULT_SECONDS) >= FAULT_SECONDS:
            self._logged = {words: loop.time()}
            logger.error("%s", words)


Handler = Callable[[Request], Awaitable[Response]]


def _answering(service: Service, route: str, handler: Handler, *, admit: bool = False) -> Handler:
    """The handler, whose errors become answers in JSON, and whose requests are counted; with `admit`, also bounded."""

    async def _admitted(request: Request) -> Response:
        try:
            with service.admitted(1):
                return await handler(request)
        except Refusal as refusal:
            if refusal.status == 503:
                await drop_body(request, service.limits)
            raise

    async def _answer(request: Request) -> Response:
        began = time.perf_counter()
        response = await _in_words(request, _admitted if admit else handler)
        service.metrics.count_request(route, status=response.status_code, seconds=time.perf_counter() - began)
        return response

    return _answer


async def _in_words(request: Request, handler: Handler) -> Response:
    """The handler's response, or the JSON document that says why there is none."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return _Json(refusal.body, refusal.status, headers=refusal.headers)
    except DecodeError as error:
        status = 503 if error.failure == Failure.NO_MEMORY else 422
        return _Json({"error": str(error), "failure": error.failure.name}, status)
    except ClientDisconnect:
        return Response(status_code=GONE)
    except asyncio.CancelledError:  # it ends this task, which has nothing else to do, once others had time to finish
        return _Json({"error": "the server ends"}, 503, headers=CLOSE)
    except Exception as error:  # noqa: BLE001 - a fault ends this request, not the server
        known = isinstance(error, (FeatxError, MemoryError))
        words = one_line(error) if known else f"{type(error).__name__}: {one_line(error)}"
        logger.error("%s", words)
        return _Json({"error": words if known else "a fault of the server, which its log names"}, 500)


async def _refuse_route(request: Request, error: Exception) -> Response:
    """The answer to a route or method that is not there."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}; the routes are POST /classify, /v2 and /metrics"
    return _Json({"error": message}, error.status_code, headers=dict(error.headers or {}))


def build_application(service: Service) -> Starlette:
    """The ASGI application of this service."""
    gets: dict[str, Handler] = {
        "/v2": service.describe_server,
        "/v2/health/live": service.live,
        "/v2/health/ready": service.ready,
        "/v2/models/{name}": service.describe_model,
        "/v2/models/{name}/ready": service.ready,
        "/metrics": service.show_metrics,
    }
    posts: dict[str, Handler] = {"/classify": service.classify, "/v2/models/{name}/infer": service.infer}
    routes = [Route(path, _answering(service, path, handler)) for path, handler in gets.items()]
    routes += [
        Route(path, _answering(service, path, handler, admit=True), methods=["POST"]) for path, handler in posts.items()
    ]
    return Starlette(routes=routes, lifespan=service.running, exception_handlers={HTTPException: _refuse_route})
