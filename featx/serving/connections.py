"""Connections that end when nothing comes: a client that sends no request would else hold one for ever."""

from asyncio import BaseTransport, TimerHandle
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """A connection that is closed after `patience` seconds, or at most twice as many, without a request."""

    patience: float
    _timer: TimerHandle
    _seen: Any = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin to watch."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End to watch."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._timer = self.loop.call_later(self.patience, self._check)

    def _check(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is self._seen:
            self.transport.close()
        else:
            self._seen = self.cycle if idle else None
            self._watch()


def patient_protocol(seconds: float) -> type[PatientProtocol]:
    """The protocol with this patience."""
    return type("PatientProtocol", (PatientProtocol,), {"patience": seconds})
