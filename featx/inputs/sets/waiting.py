"""Waits for a call only for a limited time, whatever library it is stuck in."""

from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """What the function returns or raises, or TimeoutError if that takes longer than this.

    The function runs in a thread of its own, which is left to itself after that, and does not keep the process alive.
    """
    outcome: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def _run() -> None:
        try:
            outcome.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            outcome.put((None, error))

    Thread(target=copy_context().run, args=(_run,), name="featx-wait", daemon=True).start()
    try:
        value, error = outcome.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
