"""Ends the process after an interrupt even if the command cannot end in order, as while a read or a model hangs."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import NoReturn

INTERRUPTED = 130
"""The exit code of an interrupted command."""
KEPT = "featx: interrupted; finished work is kept, and the same command continues from there"
LOST = "featx: interrupted; nothing was written, and the same command begins again"
SERVED = "featx: interrupted; requests under way were answered, and the same command serves again"
BEGINNING = (
    *("train", "evaluate", "predict", "label-errors", "label-next", "cluster"),
    *("head", "cache", "export", "doctor", "inspect", "backbones", "report", "deploy", "gap", "adapt"),
)
"""Commands that write their result at the end only."""
WITH_INTO = ("compare", "curve", "gain", "score")
"""Commands that write one result after the other with --into only."""
GRACE_SECONDS = 10.0
"""The command has this long to end in order after the first interrupt."""
REPEATED_SECONDS = 1.0
"""A second interrupt ends the process no earlier than this long after the first: `make` and others pass on to the
command the Ctrl-C that the terminal has sent to it already."""


def interruption(arguments: Sequence[str]) -> str:
    """What to tell the user of an interrupted command with these arguments: what is kept, and how to go on."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command == "serve":
        return SERVED
    into = any(word.startswith("--into") for word in arguments)
    return LOST if command in BEGINNING or (command in WITH_INTO and not into) else KEPT


def watch_interrupts(numbers: Iterable[int], *, told: Event) -> None:
    """End the process at the second of these signals, or GRACE_SECONDS after the first.

    A thread does so, which Python wakes as soon as it receives a signal: handlers in Python run only when the main
    thread comes back from the system or from a library, which may be never. `told` is set once the user has been told.
    """
    arrivals, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    Thread(target=_watch, args=(frozenset(numbers), arrivals, sender, told), daemon=True).start()


def _watch(numbers: frozenset[int], arrivals: socket.socket, sender: socket.socket, told: Event) -> NoReturn:
    """Wait for two signals, or for one and GRACE_SECONDS, and end the process; having the sender keeps it open."""
    _await(numbers, arrivals)
    first = time.monotonic()
    arrivals.settimeout(GRACE_SECONDS)
    with suppress(TimeoutError):
        _await(numbers, arrivals)
        time.sleep(max(0.0, first + REPEATED_SECONDS - time.monotonic()))
    _end(told)


def _await(numbers: frozenset[int], arrivals: socket.socket) -> None:
    """Wait for one of these signals. Raises TimeoutError."""
    while arrivals.recv(1)[0] not in numbers:
        pass


def _end(told: Event) -> NoReturn:
    """End the process and those that it started, at once: nothing is cleaned up, as after a kill."""
    try:
        if "multiprocessing" in sys.modules:
            for child in sys.modules["multiprocessing"].active_children():
                child.kill()
        if not told.is_set():
            os.set_blocking(2, False)
            os.write(2, f"{interruption(sys.argv[1:])}\n".encode())
    finally:
        os._exit(INTERRUPTED)
