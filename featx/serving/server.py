"""Runs the server of a deployed model until a signal ends it."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from featx.errors import ServingError, one_line
from featx.serving.limits import Limits
from featx.settings import Device

if TYPE_CHECKING:
    import uvicorn

    from featx.serving.deployed import DeployedModel

LIBRARIES = ("uvicorn", "starlette", "prometheus_client")
BACKLOG = 1024
"""Connections that wait to be accepted."""
GRACE_SECONDS = 8
"""Seconds in which requests are still answered once the server was told to end; after 10 the command is ended."""
EXTRA = "pip install 'featx[serve]'"


@dataclass(frozen=True)
class Served:
    """A server that is ready."""

    address: str
    """Where it is, as in http://127.0.0.1:8000."""
    model: str
    """Name of the model in the routes of the Open Inference Protocol."""
    classes: tuple[str, ...]
    devices: tuple[str, ...]
    """The devices that run the model."""


def serve_model(
    path: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    device: Device = "auto",
    limits: Limits = Limits(),  # noqa: B008 - frozen
    on_ready: Callable[[Served], None] = lambda served: None,
) -> None:
    """Answer requests until the process receives SIGINT or SIGTERM; those under way are answered first.

    `on_ready` is called once requests are answered; port 0 stands for any that is free. Raises ServingError if the
    model cannot be served or the address cannot be used, and DeviceError if a device is not available.
    """
    _check_extra()
    from featx.serving.deployed import open_deployed

    model = open_deployed(path, device=device)
    with listen(host, port) as listener:
        served = Served(_address(listener), model.name, model.classes, model.opened.devices)
        make_server(model, limits, lambda: on_ready(served)).run([listener])


def _check_extra() -> None:
    """Raise ServingError unless what the extra `serve` installs can be imported."""
    for library in LIBRARIES:
        try:
            import_module(library)
        except ImportError as error:
            raise ServingError(f"{library} cannot be imported ({error}); {EXTRA}") from error


def make_server(model: "DeployedModel", limits: Limits, on_ready: Callable[[], None]) -> "uvicorn.Server":
    """The server of this model, which calls `on_ready` once it answers."""
    import uvicorn

    from featx.serving.application import Service, build_application
    from featx.serving.connections import patient_protocol

    class _Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Start, and announce that requests are answered."""
            await super().startup(sockets)
            if self.started:
                on_ready()

    config = uvicorn.Config(
        build_application(Service(model, limits)),
        http=patient_protocol(limits.timeout),
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return _Announcing(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at this address. Raises ServingError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServingError(
            f"--host {host}: {error.strerror or one_line(error)}; name an address of this machine"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ServingError(
            f"{host}:{port} cannot be used ({error.strerror or one_line(error)}); choose another --port or --host"
        ) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
