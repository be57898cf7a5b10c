"""The standard streams of a command: they may be closed, full, or read by nobody, which must not end its work."""

import os
import sys
import warnings
from contextlib import suppress
from typing import Any, TextIO

from featx.showing import visible

STREAMS = 3
"""The file descriptors 0, 1 and 2."""


class OutputError(OSError):
    """Standard output cannot be written."""


class OutputStream:
    """A stream whose errors say that they are its own, and not those of a file that the command works on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text. Raises OutputError."""
        try:
            return self._stream.write(text)
        except OSError as error:
            return self._failed(error, len(text))

    def flush(self) -> None:
        """Write what waits to be written. Raises OutputError."""
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _failed(self, error: OSError, length: int) -> int:
        """What `write` returns for a text of this length that was not written, unless this raises OutputError."""
        raise OutputError(error.errno, error.strerror) from error


class MessageStream(OutputStream):
    """A stream that drops what cannot be written: messages matter less than the work that they are about."""

    def _failed(self, error: OSError, length: int) -> int:
        return length


def prepare_streams() -> None:
    """Open streams that are closed, and let none of them end the command; call it before any file is opened.

    A file that is opened while standard output is closed would take its place, and receive what is printed.
    """
    for _ in range(STREAMS):
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor >= STREAMS:
            os.close(descriptor)
            break
        os.set_inheritable(descriptor, True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")
    sys.stdout = OutputStream(sys.stdout)
    sys.stderr = MessageStream(sys.stderr)
    warnings.showwarning = _show_warning  # type: ignore[assignment]


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    sys.stderr.write(warnings.formatwarning(visible(str(message)), category, filename, lineno))


def discard_output() -> None:
    """Drop what waits to be written on standard output: Python would try again, and complain, when it ends."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
